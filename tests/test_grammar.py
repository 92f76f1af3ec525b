"""The offline writer: every sentence names exactly its labels, in English, and depends on its seed alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comc_utils.errors import CoMCError
from comc_utils.sentences import distinct_share, draw_label_sets
from comc_utils.sentences.english import article, plural
from comc_utils.sentences.grammar import RICHNESS, Grammar
from comc_utils.sentences.labels import COCO, NUSWIDE, VOC2007

LABEL_SETS = {label_set.name: label_set for label_set in (VOC2007, COCO, NUSWIDE)}
GRAMMARS = {
    (name, richness): Grammar(label_set, richness=richness)
    for name, label_set in LABEL_SETS.items()
    for richness in RICHNESS
}


@given(key=st.sampled_from(sorted(GRAMMARS)), seed=st.integers(0, 2**32), data=st.data())
def test_a_sentence_names_exactly_its_labels(key, seed, data):
    label_set = LABEL_SETS[key[0]]
    n_classes = len(label_set.class_names)
    labels = data.draw(st.lists(st.integers(0, n_classes - 1), min_size=1, max_size=5, unique=True))
    (record,) = GRAMMARS[key].generate([labels], seed=seed)
    assert label_set.find(record.text) == set(labels), record.text
    assert record.labels == tuple(label_set.class_names[i] for i in labels)


@given(key=st.sampled_from(sorted(GRAMMARS)), seed=st.integers(0, 2**32))
def test_a_sentence_reads_as_one(key, seed):
    label_set = LABEL_SETS[key[0]]
    label_sets = draw_label_sets(label_set.class_names, 3, seed=seed)
    for record in GRAMMARS[key].generate(label_sets, seed=seed):
        text = record.text
        assert text[0].isupper() and text.endswith(".") and "  " not in text and " ," not in text
        assert not re.search(r"\ba [aeio]", text.lower()), text
        assert not re.search(r"\ban [^aeiouh]", text.lower()), text


@pytest.mark.slow
def test_forty_thousand_sentences_are_overwhelmingly_distinct():
    label_sets = draw_label_sets(VOC2007.class_names, 40_000, seed=0)
    texts = [record.text for record in Grammar(VOC2007).generate(label_sets, seed=0)]
    assert distinct_share(texts) > 0.95
    several = [t for t, labels in zip(texts, label_sets, strict=True) if len(labels) > 1]
    assert distinct_share(several) > 0.999


def test_one_seed_gives_one_corpus_and_a_longer_one_begins_with_it():
    label_sets = draw_label_sets(COCO.class_names, 60, seed=5)
    grammar = Grammar(COCO)
    once = list(grammar.generate(label_sets, seed=5))
    assert list(grammar.generate(label_sets[:20], seed=5)) == once[:20]
    assert list(grammar.generate(label_sets, seed=6)) != once


def test_richer_levels_say_more():
    label_sets = draw_label_sets(VOC2007.class_names, 500, seed=1)
    words = [
        np.mean([len(r.text.split()) for r in Grammar(VOC2007, richness=level).generate(label_sets, seed=1)])
        for level in RICHNESS
    ]
    assert words == sorted(words) and words[-1] > words[0] + 2


def test_unknown_richness_is_refused():
    with pytest.raises(CoMCError, match="Unknown richness 'poetic'.*list, relations, full"):
        Grammar(VOC2007, richness="poetic")


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("bus", "buses"), ("sheep", "sheep"), ("person", "people"), ("knife", "knives"),
        ("dining table", "dining tables"), ("toothbrush", "toothbrushes"), ("puppy", "puppies"),
        ("toy", "toys"), ("wolf", "wolves"), ("leaf", "leaves"),
    ],
)  # fmt: skip
def test_plurals(noun, expected):
    assert plural(noun) == expected


def test_articles():
    assert [article(w) for w in ("umbrella", "unicorn", "hour", "european town", "orange", "bus")] == [
        "an", "a", "an", "a", "an", "a",
    ]  # fmt: skip
