"""Labels as people bring them, and those that cannot be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from tagging import learn, scene

from comc_utils.errors import CoMCError
from comc_utils.sentences.common import common_things
from comc_utils.tagging.against import twins
from comc_utils.tagging.labels import Label, as_labels, in_other_scripts
from comc_utils.tagging.learning import THE_LABEL, own_sentences


def test_names_phrases_and_where_they_come_from(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(
        "\ufeffdog\r\n\njogger = a person jogging\nWashington, D.C.\n犬 = a  dog on a lead\n", "utf-8"
    )
    labels = as_labels(path)
    assert labels == as_labels(str(path))
    assert [label.name for label in labels] == ["dog", "jogger", "Washington, D.C.", "犬"]
    assert [label.phrase for label in labels][:2] == ["a dog", "a person jogging"]
    assert as_labels(list(map(str, labels))) == labels
    assert [label.name for label in as_labels("dog, park  bench,cat")] == ["dog", "park bench", "cat"]
    assert as_labels(["a,b"])[0].name == "a,b"
    assert as_labels({"dog": "a bus"})[0].phrase == "a bus"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], "There is no label in the list"),
        (" , ", "There is no label in the list"),
        (["dog", " "], "is empty"),
        (["dog ="], "is empty"),
        (["= dog"], "is empty"),
        (["do\ng"], "holds a line break"),
        (["dog", "Dog"], "Label 'Dog' of the list is there twice, number 1 and number 2; remove one"),
        (["dog", "dogs"], "are the same but for case, spaces or the plural"),
        (["park bench", "Park_Benches"], "are the same"),
        (["dog", "hound = a dog"], "are the same"),
        (["dog = a dog on grass", "dog = a dog on sand"], "is there twice"),
        (["dog", "dog = a puppy"], "is there twice"),
        ([f"label {i}" for i in range(10_000)], "There are 10,000 labels in the list, and 5,000 at most"),
        ([3], "A label is 3, of type int"),
        ("nowhere.txt", "cannot be read"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(labels: object, expected: str) -> None:
    with pytest.raises(CoMCError, match=expected):
        as_labels(labels)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"dog\n# my comment\n", "line 2 looks like a comment"),
        (b"dog\ncat\nDOG\n", "is there twice, line 1 and line 3"),
        (b"dog\ncat\ndogs\n", r"'dog' \(line 1\) and 'dogs' \(line 3\)"),
        (b"- dog\n- cat\n", "line 1 looks like a comment or a bullet"),
        (b"dog, cat\n", "has one line with commas"),
        (b"dog\n= cat\n", "line 2: Label '= cat' is empty"),
        (b"caf\xe9\n", "is not in UTF-8"),
        (b"\n\n", "There is no label in"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(CoMCError, match=expected):
        as_labels(tmp_path / "labels.txt")


def test_a_phrase_tells_labels_apart_that_words_do_not() -> None:
    assert (
        len(
            as_labels(
                ["glass", "glasses = a pair of spectacles", "mouse", "mouse (computer) = a computer mouse"]
            )
        )
        == 4
    )


def test_letters_that_english_does_not_have_are_told_of() -> None:
    labels = as_labels(["dog", "собака", "犬 = a small dog", "café"])
    assert in_other_scripts(labels) == ["собака"]


def test_a_word_of_the_background_is_found_in_any_form() -> None:
    words = common_things()
    same = twins([Label.of(name) for name in ("Dogs", "hound = a dog", "street lamps", "volcano")], words)
    found = [[words[i] for i in row.nonzero()[:, 0]] for row in same]
    assert found == [["dog"], ["dog"], ["street lamp"], []]


@pytest.mark.parametrize("name", ("file", "score", "label", "<b>dog</b>", "犬", 'it\'s "quoted"', "-5", "NaN"))
def test_any_name_is_given_back_as_it_is(name: str) -> None:
    assert learn([name])(scene(0))[0]["label"] == name


def test_some_thousand_labels_are_learned() -> None:
    tagger = learn([f"thing number {i}" for i in range(2_000)])
    assert len(tagger(scene(0))) == 2_000


def test_sentences_about_a_label_are_its_own_and_always_the_same() -> None:
    words = common_things()
    labels = [Label.of("volcano"), Label.of("dogs")]
    same = twins(labels, words)
    of_volcano, of_dogs = (own_sentences(one, row, words, 50, 5) for one, row in zip(labels, same, strict=True))
    # Not by Python's own hash, which differs from process to process.
    assert of_volcano[1].text == "A snapshot of a volcano."
    assert own_sentences(labels[0], same[0], words, 50, 5) == of_volcano
    assert all(record.labels[0] == THE_LABEL for record in (*of_volcano, *of_dogs))
    assert all("dogs" in record.text.lower() for record in of_dogs[:50])
    assert not any("dog" in record.labels for record in of_dogs)
