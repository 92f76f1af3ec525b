"""Label sets, the prompt, and the corpus file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from comc_utils.errors import CoMCError
from comc_utils.sentences import (
    Record,
    comc_instruction,
    distinct_share,
    draw_label_sets,
    label_matrix,
    read_corpora,
    read_corpus,
    write_corpus,
)
from comc_utils.sentences.labels import COCO, VOC2007

RECORDS = [
    Record("A dog on a sofa.", ("dog", "sofa"), "test", "prompt", 7),
    Record("Ein Café — 犬.", ("dog",), "test", "", 7),
]

words = st.text(min_size=1).filter(str.strip)
records = st.builds(
    Record,
    text=words,
    labels=st.lists(words, min_size=1, max_size=5, unique=True).map(tuple),
    generator=st.text(),
    prompt=st.text(),
    seed=st.integers(),
)


# Label sets


def test_sizes_and_labels_are_uniform() -> None:
    n = 20_000
    label_sets = draw_label_sets(VOC2007.class_names, n, seed=3)
    sizes = Counter(map(len, label_sets))
    assert set(sizes) == {1, 2, 3, 4, 5}
    # Four standard deviations of a binomial count.
    assert all(abs(count - n / 5) < 4 * (n * 0.2 * 0.8) ** 0.5 for count in sizes.values())
    firsts = Counter(labels[0] for labels in label_sets)
    assert set(firsts) == set(range(20))
    assert all(abs(count - n / 20) < 4 * (n * 0.05 * 0.95) ** 0.5 for count in firsts.values())


def test_labels_do_not_repeat_in_a_set() -> None:
    label_sets = draw_label_sets(VOC2007.class_names[:6], 2_000, seed=0)
    assert all(len(set(labels)) == len(labels) for labels in label_sets)


def test_draw_is_fixed_by_the_seed() -> None:
    long = draw_label_sets(COCO.class_names, 50, seed=1)
    assert draw_label_sets(COCO.class_names, 20, seed=1) == long[:20]
    assert draw_label_sets(COCO.class_names, 50, seed=2) != long
    assert all(type(label) is int for labels in long for label in labels)


def test_never_more_labels_than_classes() -> None:
    label_sets = draw_label_sets(["dog", "cat"], 200, seed=0, max_labels=5)
    assert {len(labels) for labels in label_sets} == {1, 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 5), "empty"),
        ((["dog", "dog"], 1, 5), "'dog'"),
        ((["dog"], -1, 5), "-1 label sets"),
        ((["dog"], 1, 0), "max_labels is 0"),
    ],
)
def test_impossible_draws(arguments: tuple[list[str], int, int], message: str) -> None:
    class_names, n, max_labels = arguments
    with pytest.raises(CoMCError, match=message):
        draw_label_sets(class_names, n, seed=0, max_labels=max_labels)


# Prompt


@pytest.mark.parametrize(
    ("names", "listing"),
    [(["dog"], "dog"), (["dog", "car"], "dog and car"), (["a", "b", "c"], "a, b and c")],
)
def test_prompt_words(names: list[str], listing: str) -> None:
    paper = "Please make a brief sentence to describe a photo that contains"
    assert comc_instruction(names) == f"{paper} {listing}"


def test_prompt_without_labels() -> None:
    with pytest.raises(CoMCError, match="at least one label"):
        comc_instruction([])


# Corpus file


@pytest.fixture(scope="module")
def corpus_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus") / "corpus.jsonl"


@settings(max_examples=50)  # each is a write to disk
@given(corpus=st.lists(records, min_size=1, max_size=5))
@example(corpus=[replace(RECORDS[0], text="one\u2028two\r\nthree\x85four", labels=("a\nb",))])
def test_round_trip(corpus: list[Record], corpus_path: Path) -> None:
    assert write_corpus(corpus_path, iter(corpus)) == len(corpus)
    assert read_corpus(corpus_path) == corpus
    assert corpus_path.read_bytes().count(b"\n") == len(corpus)


def test_file_is_readable_json_lines(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.jsonl", RECORDS)
    text = (tmp_path / "corpus.jsonl").read_text(encoding="utf-8")
    assert "Ein Café — 犬." in text
    assert json.loads(text.splitlines()[0]) == {
        "text": "A dog on a sofa.",
        "labels": ["dog", "sofa"],
        "generator": "test",
        "prompt": "prompt",
        "seed": 7,
    }


def test_every_cut_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    write_corpus(path, RECORDS)
    whole = path.read_bytes()
    first_line_end = whole.index(b"\n") + 1
    for length in range(first_line_end + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CoMCError, match=r"corpus\.jsonl, line 2, the last, is cut short"):
            read_corpus(path)
    path.write_bytes(whole[:-1])  # nothing but the line end is missing
    assert read_corpus(path) == RECORDS


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not JSON", "is not JSON"),
        ("", "is not JSON"),
        ('"a string"', "JSON object with just the fields text, labels"),
        ('{"text": "A dog."}', "JSON object with just the fields text, labels"),
        ({"text": "   "}, "text of a sentence is empty"),
        ({"text": 1}, "must be text"),
        ({"labels": []}, "at least one name"),
        ({"labels": "dog"}, "at least one name"),
        ({"labels": ["dog", 2]}, "must be a name"),
        ({"labels": ["dog", "dog"]}, "repeated"),
        ({"seed": True}, "must be an integer"),
        ({"seed": None}, "must be an integer"),
        ({"colour": "red"}, "JSON object with just the fields"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, line: str | dict, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    write_corpus(path, RECORDS)
    good = path.read_text(encoding="utf-8").splitlines()
    if isinstance(line, dict):
        line = json.dumps(json.loads(good[0]) | line)
    path.write_text("\n".join([good[0], line, good[1], ""]), encoding="utf-8")
    with pytest.raises(CoMCError, match=rf"corpus\.jsonl, line 2.*{message}.*[Cc]orrect or remove"):
        read_corpus(path)


def test_missing_and_empty_corpus(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    with pytest.raises(CoMCError, match=r"corpus\.jsonl does not exist"):
        read_corpus(path)
    with pytest.raises(CoMCError, match="no sentence to write"):
        write_corpus(path, [])
    assert list(tmp_path.iterdir()) == []
    path.touch()
    with pytest.raises(CoMCError, match="is empty"):
        read_corpus(path)


def test_failing_generator_leaves_the_old_corpus(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    write_corpus(path, RECORDS)

    def failing() -> Iterator[Record]:
        yield RECORDS[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(path, failing())
    assert read_corpus(path) == RECORDS


def test_corpora_are_called_by_file_and_writer(tmp_path) -> None:
    mixed = [RECORDS[0], replace(RECORDS[1], generator="other")]
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, records in zip(paths, (RECORDS, mixed), strict=True):
        write_corpus(path, records)
    assert read_corpora(map(str, paths)) == {
        "a (by test)": RECORDS,
        "b (by test, other)": mixed,
    }
    assert read_corpora([]) == {}
    (tmp_path / "copy").mkdir()
    write_corpus(tmp_path / "copy" / "a.jsonl", RECORDS)
    with pytest.raises(CoMCError, match=r"called a \(by test\); rename the file a.jsonl"):
        read_corpora([*paths, tmp_path / "copy" / "a.jsonl"])


# What a corpus says of itself


def test_distinct_share() -> None:
    assert distinct_share(["a", "b", "a", "A"]) == 0.75
    with pytest.raises(CoMCError, match="without texts"):
        distinct_share([])


def test_label_matrix() -> None:
    matrix = label_matrix(RECORDS, ["sofa", "cat", "dog"])
    assert matrix.dtype == np.uint8
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 1]]


def test_label_that_is_no_class() -> None:
    stranger = replace(RECORDS[0], labels=("dog", "settee"))
    with pytest.raises(CoMCError, match=r"'settee' of sentence 1 .*A dog on a sofa"):
        label_matrix([RECORDS[0], stranger], ["dog", "sofa"])
    with pytest.raises(CoMCError, match="'dog'"):
        label_matrix(RECORDS, ["dog", "sofa", "dog"])
