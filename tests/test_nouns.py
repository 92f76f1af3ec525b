"""Articles and plurals of the labels that people bring."""

from __future__ import annotations

import numpy as np
import pytest

from comc_utils.sentences.common import common_things
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import COCO, NUSWIDE, PROMPT_TEMPLATE, VOC2007, LabelSet, label_prompt
from comc_utils.sentences.nouns import counting, singular, with_article

AS_SAID = {
    "hour": "an hour",
    "university": "a university",
    "honest man": "an honest man",
    "scissors": "scissors",
    "water": "water",
    "people": "people",
    "children": "children",
    "geese": "geese",
    "park benches": "park benches",
    "LED lamp": "an LED lamp",
    "UFO": "a UFO",
    "SUV": "an SUV",
    "NASA rocket": "a NASA rocket",
    "X-ray": "an X-ray",
    "T-shirt": "a T-shirt",
    "8-ball": "an 8-ball",
    "ukulele": "a ukulele",
    "bus": "a bus",
    "lens": "a lens",
    "glass": "a glass",
    "glasses": "glasses",
    "wedding ring": "a wedding ring",
    "building": "a building",
    "washing machine": "a washing machine",
    "jogging": "jogging",
    "playing football": "playing football",
    "riding a horse": "riding a horse",
    "man in a suit": "a man in a suit",
    "people with umbrellas": "people with umbrellas",
    "cup of tea": "a cup of tea",
    "orange juice": "orange juice",
    "blurry": "something blurry",
    "red car": "a red car",
    "Paris": "Paris",
    "Eiffel Tower": "Eiffel Tower",
    "Dog": "a Dog",
    "the moon": "the moon",
    "a person jogging": "a person jogging",
    "犬": "犬",
}


@pytest.mark.parametrize("name", AS_SAID)
def test_a_label_takes_the_article_that_a_person_would_say(name: str) -> None:
    assert with_article(name) == AS_SAID[name]


@pytest.mark.parametrize("label_set", (VOC2007, COCO, NUSWIDE), ids=lambda label_set: label_set.name)
def test_the_benchmarks_keep_their_prompts(label_set: LabelSet) -> None:
    for name in label_set.class_names:
        assert PROMPT_TEMPLATE.format(with_article(name)) == label_prompt(name)


@pytest.mark.parametrize(
    ("plural", "one"),
    [("dogs", "dog"), ("buses", "bus"), ("knives", "knife"), ("mice", "mouse"), ("park benches", "park bench")],
)
def test_plurals_are_seen(plural: str, one: str) -> None:
    assert singular(plural) == one
    assert singular(one) == one


@pytest.mark.parametrize(
    "name", ("grass", "tennis", "news", "scissors", "octopus", "canvas", "series", "glass")
)
def test_what_only_looks_like_a_plural_is_left(name: str) -> None:
    assert singular(name) == name


def test_the_common_things_have_one_sense_each() -> None:
    words = common_things()
    assert len(words) == len({singular(word) for word in words}) == 416
    LabelSet("common", words, {})  # refuses names that cannot be told apart


def test_sentences_of_the_grammar_take_the_same_articles() -> None:
    names = ("hour", "LED lamp", "scissors", "water", "Eiffel Tower", "blurry", "a person jogging")
    grammar = Grammar(LabelSet("own", names, {}), counting=counting)
    rng = np.random.default_rng(0)
    for name in names:
        phrases = {grammar.noun_phrase(name, rng, adjective="", plural_probability=0.0)[0] for _ in range(20)}
        expected = {with_article(name)}
        if name == "scissors":
            expected = {"scissors", "some scissors", "many scissors"}
        assert phrases <= expected
