"""The shipped corpus: written for its label sets, naming exactly their labels, and no template's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

from comc_utils.sentences import (
    Record,
    comc_instruction,
    distinct_share,
    draw_label_sets,
    language_model_corpus,
)
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import VOC2007


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return language_model_corpus()


def test_is_large_and_never_repeats_itself(records: list[Record]) -> None:
    assert len(records) >= 1_000
    texts = [record.text for record in records]
    assert distinct_share(texts) == 1
    assert distinct_share([" ".join(_words(text)) for text in texts]) == 1


def test_label_sets_are_those_drawn_with_the_seed_of_the_records(records: list[Record]) -> None:
    (seed,) = {record.seed for record in records}
    drawn = draw_label_sets(VOC2007.class_names, len(records), seed=seed)
    expected = [tuple(VOC2007.class_names[i] for i in labels) for labels in drawn]
    assert [record.labels for record in records] == expected


def test_every_sentence_names_exactly_its_labels(records: list[Record]) -> None:
    index = {name: i for i, name in enumerate(VOC2007.class_names)}
    wrong = [
        record.text
        for record in records
        if VOC2007.find(record.text) != {index[label] for label in record.labels}
    ]
    assert wrong == []


def test_every_prompt_is_the_papers_for_its_labels(records: list[Record]) -> None:
    assert all(record.prompt == comc_instruction(record.labels) for record in records)


def test_names_its_kind_of_writer(records: list[Record]) -> None:
    assert {record.generator for record in records} == {"large language model"}


def test_every_class_has_a_hundred_sentences(records: list[Record]) -> None:
    counts = Counter(label for record in records for label in record.labels)
    assert set(counts) == set(VOC2007.class_names)
    assert min(counts.values()) >= 100


def test_sentences_are_single_brief_lines_of_ascii(records: list[Record]) -> None:
    for text in (record.text for record in records):
        assert text.isascii() and text.isprintable() and "  " not in text, text
        assert text == text.strip() and text.endswith("."), text
        assert text[0].isupper() or text[0].isdigit(), text
        assert 6 <= len(text.split()) <= 25, text


def test_is_no_product_of_a_template(records: list[Record]) -> None:
    texts = [record.text for record in records]
    openings = [_opening(text) for text in texts]
    # Measured: 0.88 of the openings differ, and 0.82 of the runs; the commonest opening has 0.8 %.
    assert distinct_share(openings) > 0.6
    assert max(Counter(openings).values()) < 0.03 * len(texts)
    assert distinct_share(_runs_without_labels(texts)) > 0.6


def test_measures_of_a_template_tell_a_template() -> None:
    label_sets = draw_label_sets(VOC2007.class_names, 1_000, seed=0)
    texts = [record.text for record in Grammar(VOC2007).generate(label_sets, seed=0)]
    assert distinct_share([_opening(text) for text in texts]) < 0.55
    assert distinct_share(_runs_without_labels(texts)) < 0.55


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _opening(text: str) -> str:
    return " ".join(_words(text)[:3])


def _runs_without_labels(texts: Sequence[str]) -> list[str]:
    # Runs of four words with the labels blanked, so that another label alone makes no other run.
    runs = []
    for text in texts:
        blanked = ["_" if VOC2007.find(word) else word for word in _words(text)]
        runs += [" ".join(blanked[i : i + 4]) for i in range(len(blanked) - 3)]
    return runs
