"""Label sets, prompts, and classes found in text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import COCO, NUSWIDE, VOC2007, LabelSet, check_label_names, label_prompt

ALL_SETS = pytest.mark.parametrize("label_set", [VOC2007, COCO, NUSWIDE], ids=lambda s: s.name)


def _found(label_set: LabelSet, text: str) -> set[str]:
    return {label_set.class_names[i] for i in label_set.find(text)}


@pytest.mark.parametrize(
    ("label_set", "n", "at_place"),
    [
        (VOC2007, 20, {0: "aeroplane", 10: "diningtable", 14: "person", 19: "tvmonitor"}),
        (COCO, 80, {0: "person", 14: "bird", 52: "hot dog", 57: "couch", 79: "toothbrush"}),
        (NUSWIDE, 81, {0: "airport", 40: "nighttime", 42: "person", 80: "zebra"}),
    ],
    ids=["VOC2007", "COCO", "NUSWIDE"],
)
def test_official_order(label_set: LabelSet, n: int, at_place: dict[int, str]) -> None:
    assert len(label_set.class_names) == len(label_set.official_names) == n
    assert {i: label_set.official_names[i] for i in at_place} == at_place


def test_display_names_of_voc_are_words() -> None:
    assert {"dining table", "potted plant", "tv monitor"} <= set(VOC2007.class_names)


@ALL_SETS
def test_every_name_and_synonym_finds_its_class_alone(label_set: LabelSet) -> None:
    for index, name in enumerate(label_set.class_names):
        for noun in (name, *label_set.synonyms.get(name, ()), *label_set.narrower.get(name, ())):
            assert label_set.find(f"Here: {noun.upper()}!") == {index}, noun


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two men eat a hot dog.", {"person", "hot dog"}),
        ("A dog looks at a hot-dog", {"dog", "hot dog"}),
        ("a teddy bear and a polar bear", {"teddy bear", "bear"}),
        ("Knives, geese, mice and persons", {"knife", "bird", "mouse", "person"}),
        ("the woman's cell phone", {"person", "cell phone"}),
        ("a scarf, a catalogue, a carpet", set()),
        ("an empty track of the train station", set()),
        ("He rides a dirt bike", {"motorcycle"}),
        ("", set()),
    ],
)
def test_find_in_sentences(text: str, expected: set[str]) -> None:
    assert _found(COCO, text) == expected


@pytest.mark.parametrize(
    ("text", "is_fruit"),
    [
        ("An orange cat on a bench", False),
        ("an orange and white cat", False),
        ("a bowl with an orange", True),
        ("an orange, a pear", True),
        ("an orange and a pear", True),
        ("an orange on a table", True),
        ("sliced oranges lie there", True),
    ],
)
def test_the_colour_orange_is_no_fruit(text: str, is_fruit: bool) -> None:
    assert ("orange" in _found(COCO, text)) == is_fruit


def test_a_hot_dog_is_no_dog_where_hot_dogs_are_no_class() -> None:
    assert _found(VOC2007, "a hot dog and teddy bears") == set()
    assert _found(NUSWIDE, "a hot dog and teddy bears") == set()


@given(st.lists(st.integers(0, 79), min_size=1, max_size=5), st.sampled_from([" and ", ", ", " / "]))
def test_find_reads_every_name_of_a_list(labels: list[int], separator: str) -> None:
    text = separator.join(f"the {COCO.class_names[i]} there" for i in labels)
    expected = {i for i in labels if COCO.class_names[i] != "orange"}
    assert COCO.find(text) - {COCO.class_names.index("orange")} == expected


def test_find_agrees_with_the_labels_of_real_captions(real_data: Path) -> None:
    rows = [line.split() for line in (real_data / "coco_photos/labels.txt").read_text().splitlines()]
    labels = {row[0]: set(map(int, row[1:])) for row in rows}
    named = correct = 0
    for line in (real_data / "coco_photos/captions.jsonl").read_text().splitlines():
        record = json.loads(line)
        for caption in record["captions"]:
            found = COCO.find(caption)
            named += len(found)
            correct += len(found & labels[record["image"]])
    assert named > 500
    assert correct / named > 0.9


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("person", "a photo of a person."),
        ("umbrella", "a photo of an umbrella."),
        ("dining table", "a photo of a dining table."),
        ("scissors", "a photo of scissors."),
        ("snow", "a photo of snow."),
        ("bus", "a photo of a bus."),
        ("hourglass", "a photo of an hourglass."),
    ],
)
def test_prompt_has_the_right_article(name: str, prompt: str) -> None:
    assert label_prompt(name) == prompt


@pytest.mark.parametrize(
    ("names", "message"),
    [(["cat", "dog", "Cat "], "positions 0 and 2"), (["cat", " "], "number 1"), ([], "empty")],
)
def test_repeated_and_empty_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        check_label_names(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ("cat", "cat"), "synonyms": {}}, "positions 0 and 1"),
        ({"class_names": ("cat",), "synonyms": {"dog": ("puppy",)}}, "dog"),
        (
            {"class_names": ("cat", "dog"), "synonyms": {"cat": ("pet",), "dog": ("pet",)}},
            "'pet' names both 'cat' and 'dog'",
        ),
        ({"class_names": ("cat",), "synonyms": {}, "official_names": ("a", "b")}, "2 official"),
    ],
    ids=["repeated", "stranger", "ambiguous", "official"],
)
def test_label_sets_that_confuse_classes_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        LabelSet(name="test", **arguments)
