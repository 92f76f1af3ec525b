"""A gallery of tagged photos, written by the command and used in a real browser."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page
from scipy.special import expit, logit
from tagging import MODEL, write_scenes

from comc_utils import Tagger
from comc_utils.cli import main
from comc_utils.miniworld import load_miniworld
from comc_utils.tagging.gallery import pages
from comc_utils.tagging.thresholds import read_answers

BIRD = "</script><script>alert(1)</script>"
BOAT = 'na\u00efve "boat", \u8239'
LABELS = ("dog", "car", "potted plant", "cat", "person", "bicycle", BIRD, BOAT)
STRANGE = ("<img src=x onerror=alert(1)>.png", 'a, "b" & \u00fc\u4e2d.png', "50% of #1?.png")
N_PHOTOS = 40
ALL = "all.txt"
"""Of all things that the embedded world shows: more labels than a photo's card has."""
CHIP = re.compile(r"(?P<label>.*?)(?: (?P<score><?-?[\d.]+))?(?: (?P<answer>[\u2713\u2717]))?")
Tags = dict[str, list[str]]
Open = Callable[..., Page]


@pytest.fixture(scope="module", autouse=True)
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Forty scenes, three of them of strange names, in the folder that commands run in."""
    folder = tmp_path_factory.mktemp("gallery")
    made = write_scenes(folder / "photos", N_PHOTOS)
    for number, name in enumerate(STRANGE):
        (made / f"test-{number:05d}.png").rename(made / name)
    phrases = {BIRD: f"{BIRD} = a bird", BOAT: f"{BOAT} = a boat"}
    (folder / "labels.txt").write_text("\n".join(phrases.get(label, label) for label in LABELS))
    (folder / ALL).write_text("\n".join(load_miniworld("test", 1, classes="all").class_names))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield made


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five scenes in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncar\npotted plant\n")
    return write_scenes(tmp_path / "photos", 5)


def run(*words: str, labels: str = "labels.txt") -> int:
    given = () if {"--tagger", "--remove"} & set(words) else ("--labels", labels)
    model = ("--model", MODEL) if given and "--model" not in words else ()
    return main(["tag", "photos", *given, *words, *model])


def tags_of(*words: str, labels: str = "labels.txt") -> Tags:
    """What the command writes as a table."""
    assert run("--to", "tags.csv", *words, labels=labels) == 0
    found: Tags = {}
    for row in read("tags.csv"):
        found.setdefault(row["file"], []).extend([row["label"]] * bool(row["label"]))
    return found


def read(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scores_of(*words: str, labels: str = "labels.txt") -> dict[str, dict[str, float]]:
    """All scores, by photo and label."""
    tags_of("--threshold", "all", *words, labels=labels)
    found: dict[str, dict[str, float]] = {}
    for row in read("tags.csv"):
        found.setdefault(row["file"], {})[row["label"]] = float(row["score"])
    return found


def thresholds(values: dict[str, float]) -> str:
    """Write a file of thresholds."""
    with open("thresholds.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("label", "threshold"), *((n, repr(v)) for n, v in values.items())])
    return "thresholds.csv"


@pytest.fixture
def show(browser: Browser) -> Iterator[Open]:
    """Give a function that opens a page; whatever the page should not do fails the test."""
    faults: list[str] = []
    opened: list[Page] = []

    def show(
        path: str = "tags.html", at: str = "", *, width: int = 1280, scheme: str = "light", dialogs: Any = None
    ) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(5000)
        opened.append(page)
        page.on("console", lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("request", lambda r: None if _is_local(r.url) else faults.append(f"asks for {r.url}"))
        page.on("dialog", dialogs or (lambda d: (faults.append(f"dialog: {d.message}"), d.dismiss())))
        page.goto(Path(path).absolute().as_uri() + at)
        return page

    yield show
    for page in opened:
        page.close()
    assert faults == []


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:"))


def cards(page: Page) -> Tags:
    """Files of the photos that are shown, and what their chips say."""
    return dict(
        page.eval_on_selector_all(
            "ol.photos > li",
            "all => all.map(i => [i.querySelector('.name').textContent,"
            " [...i.querySelectorAll('.tags > :not(.none)')].map(t => t.textContent)])",
        )
    )


def shown(page: Page) -> Tags:
    """Files of the photos that are shown, and their tags."""
    return {file: [CHIP.fullmatch(chip)["label"] for chip in chips] for file, chips in cards(page).items()}


def move(page: Page, value: float) -> None:
    page.locator("input[type=range]").fill(repr(float(value)))


def options(page: Page, which: str) -> list[str]:
    return select(page, which).locator("option").all_text_contents()


def select(page: Page, which: str) -> Locator:
    """What to show, or how to sort."""
    return page.locator(".bar label").filter(has_text=re.compile(f"^{which}")).locator("select")


def choose(page: Page, which: str, text: str) -> None:
    select(page, which).select_option(label=text)


def look(page: Page, file: str) -> None:
    """Open a photo's viewer."""
    page.get_by_role("button", name=file, exact=True).click()


def close(page: Page, how: Callable[[], None] | None = None) -> None:
    """Close a photo's viewer, by its key unless told otherwise, and wait until the page has heard of it."""
    waiting = page.evaluate_handle(
        "({ until: new Promise(done => document.querySelector('dialog').addEventListener('close', done)) })"
    )
    (how or (lambda: page.keyboard.press("Escape")))()
    waiting.evaluate("waiting => waiting.until.then(() => true)")


def in_viewer(page: Page) -> str:
    """Name of the photo that is shown large; '' for none."""
    name = page.locator("dialog[open] .name")
    return name.text_content() if name.count() else ""


def label_in_viewer(page: Page) -> str:
    return page.locator("dialog .label[aria-pressed=true]").evaluate("b => b.firstChild.textContent")


def has_focus(page: Page) -> str:
    """Name of the photo whose card has the focus."""
    return page.evaluate("document.activeElement.matches('.open') ? document.activeElement.firstChild.alt : ''")


def data_of(page: Page) -> dict[str, Any]:
    return json.loads(page.locator("#data").text_content())


# The tags that are shown.


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--threshold", "0.02"),
        ("--threshold", "0"),
        ("--threshold", "1"),
        ("--threshold", "all"),
        ("--threshold", "FILE"),
        ("--top-k", "2", "--threshold", "0.001"),
        ("--top-k", "1", "--threshold", "all"),
        ("--background", "none", "--threshold", "all"),
        ("--background", "none", "--threshold", "all", "--top-k", "2"),
        ("--background", "none", "--threshold", "15"),
        ("--method", "comc", "--sentences", "20"),
        ("--method", "comc", "--sentences", "20", "--background", "none", "--threshold", "0.5"),
        ("--templates", "templates.txt", "--threshold", "0.01"),
    ],
    ids=" ".join,
)
def test_the_tags_at_first_are_those_of_the_table(show: Open, words: tuple[str, ...]) -> None:
    Path("templates.txt").write_text("a drawing of {}.\n{} in a scene.\n")
    file = thresholds({label: 0.001 * 2**number for number, label in enumerate(LABELS)})
    given = [file if word == "FILE" else word for word in words]
    expected = tags_of("--gallery", "tags.html", *given)
    page = show()
    assert shown(page) == expected
    assert list(cards(page)) == list(expected)
    mean = sum(map(len, expected.values())) / N_PHOTOS
    counts = page.locator(".counts").text_content()
    assert counts == f"{N_PHOTOS} of {N_PHOTOS} photos shown; {mean:.2f} tags a photo"
    assert page.locator("h1").text_content() == f"{N_PHOTOS} photos, {len(LABELS)} labels"
    assert page.title() == f"{N_PHOTOS} photos, {len(LABELS)} labels"
    written = {(row["file"], row["label"]): row["score"] for row in read("tags.csv")}
    for file, chips in cards(page).items():
        for chip in map(CHIP.fullmatch, chips):
            score, digits = float(written[file, chip["label"]]), chip["score"]
            if digits == "<0.001":
                assert score < 0.001 + 1e-6
            else:
                few_digits = score < 0.0995 and "none" not in words
                near = {"rel": 0.051} if few_digits else {"abs": 0.0051}
                assert float(digits) == pytest.approx(score, **near)


def test_tags_of_a_calibrated_tagger_are_those_of_the_table(show: Open) -> None:
    assert main(["learn", "--labels", "labels.txt", "--to", "park", "--model", MODEL]) == 0
    lines = [["file", "label", "answer"]]
    for file, scores in scores_of().items():
        lines += [[file, label, int(scores[label] > 0.05)] for label in ("dog", "car", BOAT)]
    with open("answers.csv", "w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows(lines)
    assert main(["calibrate", "park", "photos", "--answers", "answers.csv"]) == 0
    for words in ((), ("--threshold", "0.3"), ("--threshold", "all")):
        expected = tags_of("--gallery", "tags.html", "--tagger", "park", *words)
        page = show()
        assert shown(page) == expected
        assert "probabilities, calibrated on 120 answers" in page.locator(".about").text_content()


def test_a_threshold_that_is_a_photo_s_own_score_makes_a_tag(show: Open) -> None:
    tagger = Tagger.learn("labels.txt", model=MODEL)
    scores = tagger.scores(tagger.embed("photos"))
    for row, column in ((0, 1), (5, 0), (8, 2), (12, 3), (20, 4), (33, 5), (36, 6), (39, 7)):
        expected = tags_of("--gallery", "tags.html", "--threshold", repr(float(scores[row, column])))
        assert LABELS[column] in expected[list(expected)[row]]
        assert shown(show()) == expected


def test_with_more_labels_than_a_card_holds_tags_are_those_of_the_table(show: Open) -> None:
    names = Path(ALL).read_text().split("\n")
    assert len(names) > 24
    for words in ((), ("--threshold", "all"), ("--threshold", "0.0001")):
        expected = tags_of("--gallery", "tags.html", *words, labels=ALL)
        assert shown(show()) == expected
    # As low as the slider goes no tag is missing.
    page = show()
    lowest = data_of(page)["lowest"]
    assert lowest < 0
    move(page, lowest)
    value = float(expit(data_of(page)["least"][0] + lowest))
    assert shown(page) == tags_of("--threshold", repr(value), labels=ALL)


def test_a_tag_of_a_low_threshold_is_shown_however_many_labels_score_higher(show: Open) -> None:
    names = Path(ALL).read_text().split("\n")
    # Of a label that the user wants wherever it is likelier than elsewhere.
    file = thresholds({name: 1e-6 if name in ("tennis racket", "bus", "sheep") else 0.9 for name in names})
    expected = tags_of("--gallery", "tags.html", "--threshold", file, labels=ALL)
    assert any(expected.values())
    assert shown(show()) == expected


def test_the_page_says_how_it_was_made(show: Open) -> None:
    tags_of("--gallery", "tags.html", "--threshold", "0.02", "--top-k", "3")
    about = show().locator(".about").text_content()
    assert f"Tagged by {MODEL} (zero-shot), comc-notebooks " in about
    assert "tags are scores from 0.02 on, 3 a photo at most." in about
    assert "Scores are shares of a label against 416 background words; no probabilities." in about


# The threshold.


def output(page: Page) -> str:
    return page.locator("output").text_content()


@pytest.mark.parametrize("top_k", [(), ("--top-k", "2")])
def test_the_slider_gives_what_the_threshold_gives(show: Open, top_k: tuple[str, ...]) -> None:
    first = tags_of("--gallery", "tags.html", "--threshold", "0.03", *top_k)
    page = show()
    assert output(page) == "0.030"
    for value in (0.6, 0.35, 0.1, 0.02, 0.004, 0.0007):
        move(page, logit(value) - logit(0.03))
        assert shown(page) == tags_of("--threshold", repr(value), *top_k)
        said = "<0.001" if value < 0.001 else value
        assert output(page) == said or float(output(page)) == pytest.approx(said, rel=0.01)
    page.get_by_role("button", name="reset").click()
    assert shown(page) == first
    assert output(page) == "0.030"
    slider = page.locator("input[type=range]")
    assert slider.input_value() == "0"
    move(page, float(slider.get_attribute("max")))
    assert not any(shown(page).values())
    assert page.get_by_text("none of the labels").count() == N_PHOTOS


def test_the_slider_moves_each_label_s_own_threshold(show: Open) -> None:
    own = {label: 0.002 * 2**number for number, label in enumerate(LABELS)}
    first = tags_of("--gallery", "tags.html", "--threshold", thresholds(own))
    page = show()
    assert shown(page) == first
    for by in (0.8, -1.3):
        move(page, by)
        moved = thresholds({label: float(expit(logit(value) + by)) for label, value in own.items()})
        assert shown(page) == tags_of("--threshold", moved)
        assert output(page) == f"each its own {'+' if by > 0 else chr(0x2212)} {abs(by):.2f}"


def test_the_slider_moves_the_method_s_own_scores(show: Open) -> None:
    words = ("--background", "none")
    tags_of("--gallery", "tags.html", "--threshold", "15", *words)
    page = show()
    assert output(page) == "15.00"
    for value in (15.4, 12.25, 9.0):
        move(page, value - 15)
        assert shown(page) == tags_of("--threshold", repr(value), *words)
        assert output(page) == f"{value:.2f}"
    every = tags_of("--gallery", "tags.html", "--threshold", "all", *words)
    page = show()
    assert shown(page) == every
    least = data_of(page)["least"][0]
    move(page, 14 - least)
    assert shown(page) == tags_of("--threshold", "14", *words)


def test_the_slider_is_moved_by_keys_and_by_the_mouse(show: Open) -> None:
    tags_of("--gallery", "tags.html")
    page = show()
    slider = page.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) > 0
    assert page.evaluate("document.activeElement.type") == "range"
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    assert float(slider.input_value()) == pytest.approx(float(slider.get_attribute("max")), rel=0.1)
    assert not any(shown(page).values())


# Filters and orders.


def test_filters_name_how_many_photos_they_show(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html")
    page = show()

    def check(expected: Tags) -> None:
        numbers = {label: sum(label in tags for tags in expected.values()) for label in LABELS}
        none = [file for file, tags in expected.items() if not tags]
        mean = sum(map(len, expected.values())) / N_PHOTOS
        found = options(page, "show")
        by_number = sorted((label for label in LABELS if numbers[label]), key=lambda label: -numbers[label])
        assert found == [
            f"all photos ({N_PHOTOS})",
            f"no tag ({len(none)})",
            *(f"{label} ({numbers[label]})" for label in by_number),
        ]
        assert sum(numbers.values()) and none
        for label in by_number:
            choose(page, "show", f"{label} ({numbers[label]})")
            assert list(cards(page)) == [file for file, tags in expected.items() if label in tags]
            assert shown(page) == {file: tags for file, tags in expected.items() if label in tags}
            counts = page.locator(".counts").text_content()
            assert counts == f"{numbers[label]} of {N_PHOTOS} photos shown; {mean:.2f} tags a photo"
        choose(page, "show", f"no tag ({len(none)})")
        assert list(cards(page)) == none
        choose(page, "show", f"all photos ({N_PHOTOS})")
        assert list(cards(page)) == list(expected)

    check(expected)
    move(page, -1.0)
    check(shown(page))


def test_a_filter_stays_while_the_threshold_moves(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.03")
    page = show()
    n_dogs = sum("dog" in tags for tags in expected.values())
    choose(page, "show", f"dog ({n_dogs})")
    more = tags_of("--threshold", "0.002")
    move(page, logit(0.002) - logit(0.03))
    assert list(cards(page)) == [file for file, tags in more.items() if "dog" in tags]
    assert len(cards(page)) > n_dogs
    move(page, float(page.locator("input[type=range]").get_attribute("max")))
    assert cards(page) == {}
    assert "dog (0)" in options(page, "show")
    assert select(page, "show").evaluate("s => s.selectedOptions[0].text") == "dog (0)"


def test_orders_are_by_score_number_doubt_and_name(show: Open) -> None:
    scores = scores_of()
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.03")
    page = show()
    files = list(scores)

    def in_order(text: str, key: Callable[[str], float | str]) -> None:
        choose(page, "sort", text)
        found = [key(file) for file in cards(page)]
        assert sorted(cards(page)) == sorted(files)
        assert found == sorted(map(key, files)), text

    assert options(page, "sort") == [
        "as they come",
        "highest score first",
        "most tags first",
        "least sure first",
        "by name",
    ]
    in_order("by name", lambda file: file)
    in_order("highest score first", lambda file: -max(scores[file].values()))
    in_order("most tags first", lambda file: -len(expected[file]))
    near = {file: min(abs(logit(s) - logit(0.03)) for s in of.values()) for file, of in scores.items()}
    in_order("least sure first", lambda file: round(near[file], 3))
    in_order("as they come", files.index)
    # Of a label alone.
    files = [file for file, tags in expected.items() if "car" in tags]
    choose(page, "show", f"car ({len(files)})")
    in_order("highest score first", lambda file: -scores[file]["car"])
    assert [file for file in expected if file in files] != list(cards(page))


def test_equal_photos_stay_as_they_come(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.03")
    page = show()
    choose(page, "sort", "most tags first")
    for number in range(4):
        of_number = [file for file, tags in expected.items() if len(tags) == number]
        assert [file for file, chips in cards(page).items() if len(chips) == number] == of_number


# Keys.


def test_arrows_move_between_photos(show: Open) -> None:
    expected = list(tags_of("--gallery", "tags.html"))
    page = show()
    tops = page.eval_on_selector_all(".open", "all => all.map(b => b.getBoundingClientRect().top)")
    row = tops.count(tops[0])
    assert 1 < row < N_PHOTOS / 2
    page.locator(".open").first.focus()
    at = 0
    for key, to in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("ArrowDown", 1 + row),
        ("ArrowDown", 1 + 2 * row),
        ("ArrowUp", 1 + row),
        ("End", N_PHOTOS - 1),
        ("ArrowRight", N_PHOTOS - 1),
        ("ArrowDown", N_PHOTOS - 1),
        ("ArrowUp", N_PHOTOS - 1 - row),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("ArrowUp", 0),
    ):
        page.keyboard.press(key)
        assert has_focus(page) == expected[to], (key, at, to)
        at = to
    choose(page, "show", f"no tag ({sum(not tags for tags in tags_of().values())})")
    page.locator(".open").first.focus()
    page.keyboard.press("ArrowRight")
    assert has_focus(page) == list(cards(page))[1]


def test_a_photo_opens_by_enter_and_closes_by_escape(show: Open) -> None:
    expected = list(tags_of("--gallery", "tags.html"))
    page = show()
    page.locator(".open").nth(4).focus()
    page.keyboard.press("Enter")
    assert in_viewer(page) == expected[4]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert in_viewer(page) == expected[6]
    page.keyboard.press("ArrowLeft")
    assert in_viewer(page) == expected[5]
    close(page)
    assert in_viewer(page) == ""
    assert has_focus(page) == expected[5]
    page.keyboard.press("Space")
    assert in_viewer(page) == expected[5]
    close(page, page.get_by_role("button", name="close").click)
    assert in_viewer(page) == ""
    assert has_focus(page) == expected[5]
    look(page, expected[0])
    page.keyboard.press("ArrowLeft")
    assert in_viewer(page) == expected[0]
    close(page, lambda: page.mouse.click(3, 3))  # beside it
    assert in_viewer(page) == ""
    look(page, expected[-1])
    page.keyboard.press("ArrowRight")
    assert in_viewer(page) == expected[-1]


def test_other_labels_come_by_arrows_and_by_clicks(show: Open) -> None:
    scores = scores_of()
    tags_of("--gallery", "tags.html")
    page = show()
    file = list(scores)[5]
    order = sorted(LABELS, key=lambda label: -scores[file][label])
    look(page, file)
    names = page.locator("dialog .label").evaluate_all("all => all.map(b => b.firstChild.textContent)")
    assert names == order
    assert label_in_viewer(page) == order[0]
    for key, label in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowUp", 0), ("ArrowUp", 0)):
        page.keyboard.press(key)
        assert label_in_viewer(page) == order[label]
    for _ in LABELS:
        page.keyboard.press("ArrowDown")
    assert label_in_viewer(page) == order[-1]
    page.locator("dialog .label").nth(2).click()
    assert label_in_viewer(page) == order[2]
    assert page.locator(".where").text_content().startswith(f"{order[2]}: the framed region scores ")


def test_with_a_filter_the_next_photo_shows_the_same_label(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.005")
    page = show()
    dogs = [file for file, tags in expected.items() if "dog" in tags]
    later = next(i for i, file in enumerate(dogs) if i and expected[file][0] != "dog")
    choose(page, "show", f"dog ({len(dogs)})")
    look(page, dogs[later - 1])
    page.locator("dialog .label").filter(has_text=re.compile("^dog")).click()
    page.keyboard.press("ArrowRight")
    assert in_viewer(page) == dogs[later]
    assert label_in_viewer(page) == "dog"


def test_brackets_move_the_threshold(show: Open) -> None:
    tags_of("--gallery", "tags.html", "--threshold", "0.03")
    page = show()
    slider = page.locator("input[type=range]")
    step = (data_of(page)["highest"] - data_of(page)["lowest"]) / 50
    page.locator(".open").first.focus()
    for presses, key, steps in ((2, "]", 2), (3, "[", -1)):
        for _ in range(presses):
            page.keyboard.press(key)
        assert float(slider.input_value()) == pytest.approx(steps * step)
        value = float(expit(logit(0.03) + steps * step))
        assert shown(page) == tags_of("--threshold", repr(value))
    page.keyboard.press("Enter")
    page.keyboard.press("[")
    assert float(slider.input_value()) == pytest.approx(-2 * step)
    close(page)
    for _ in range(60):
        page.keyboard.press("]")
    assert not any(shown(page).values())
    page.keyboard.press("[")
    assert float(slider.input_value()) == pytest.approx(data_of(page)["highest"] - step)


def test_brackets_move_the_threshold_of_a_page_that_was_just_opened(show: Open) -> None:
    tags_of("--gallery", "tags.html")
    page = show()
    page.keyboard.press("]")
    assert float(page.locator("input[type=range]").input_value()) > 0


def test_the_keys_are_listed(show: Open) -> None:
    tags_of("--gallery", "tags.html")
    page = show()
    page.get_by_text("keys", exact=True).click()
    listed = page.locator(".keys dl")
    assert listed.is_visible()
    for key in ("arrows, Enter", "[ and ]", "y, n, u", "o, g", "Esc"):
        assert listed.get_by_text(key, exact=True).is_visible()


# Answers.


def press_answers(page: Page) -> list[str]:
    """Which of the buttons right and wrong are pressed, of all labels of the photo in view."""
    return page.locator("dialog .labels button[aria-label][aria-pressed=true]").evaluate_all(
        "all => all.map(b => b.getAttribute('aria-label'))"
    )


def test_answers_by_keys_and_buttons_change_the_tags(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.03")
    file = next(file for file, tags in expected.items() if len(tags) == 1)
    (tag,) = expected[file]
    page = show()
    look(page, file)
    save = page.locator("#save")
    assert not save.is_visible()
    page.keyboard.press("n")
    assert press_answers(page) == [f"{tag}: wrong"]
    assert shown(page)[file] == []
    assert page.locator(".counts").text_content().endswith("; 1 answered")
    assert save.text_content() == "save one answer as a file"
    page.keyboard.press("y")
    assert press_answers(page) == [f"{tag}: right"]
    (chip,) = cards(page)[file]
    assert chip.endswith(" \u2713")
    page.keyboard.press("u")
    assert press_answers(page) == []
    assert shown(page) == expected
    assert not save.is_visible()
    page.keyboard.press("ArrowDown")
    other = label_in_viewer(page)
    page.get_by_role("button", name=f"{other}: right", exact=True).click()
    assert shown(page)[file] == [tag, other]
    page.get_by_role("button", name=f"{tag}: wrong", exact=True).click()
    assert shown(page)[file] == [other]
    assert save.text_content() == "save 2 answers as a file"
    page.get_by_role("button", name=f"{other}: right", exact=True).click()
    assert press_answers(page) == [f"{tag}: wrong"]
    assert {f: t for f, t in shown(page).items() if f != file} == {
        f: t for f, t in expected.items() if f != file
    }
    # An answer is there whatever the threshold is.
    close(page)
    move(page, data_of(page)["lowest"] if data_of(page)["lowest"] else -2)
    assert tag not in shown(page)[file]


def test_at_most_so_many_tags_are_chosen_beside_those_that_were_said_to_be_right(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.0001", "--top-k", "1")
    every = tags_of("--threshold", "0.0001")
    file = next(file for file, tags in every.items() if len(tags) > 2)
    page = show()
    look(page, file)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("y")
    assert shown(page)[file] == [every[file][0], every[file][2]]
    page.keyboard.press("u")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("n")
    assert shown(page)[file] == [every[file][1]]
    page.keyboard.press("u")
    assert shown(page) == expected


def test_after_a_tag_was_wrong_the_next_photo_of_the_filter_comes(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.005")
    page = show()
    dogs = [file for file, tags in expected.items() if "dog" in tags]
    choose(page, "show", f"dog ({len(dogs)})")
    look(page, dogs[2])
    page.locator("dialog .label").filter(has_text=re.compile("^dog")).click()
    page.keyboard.press("n")
    page.keyboard.press("ArrowRight")
    assert in_viewer(page) == dogs[3]


def test_after_an_answer_the_next_of_the_least_sure_comes(show: Open) -> None:
    scores = scores_of()
    tags_of("--gallery", "tags.html", "--threshold", "0.03")
    page = show()
    choose(page, "sort", "least sure first")
    order = list(cards(page))
    look(page, order[0])
    for file in order[:4]:
        assert in_viewer(page) == file
        # Of its labels the one that is asked about is the least sure.
        assert label_in_viewer(page) == min(
            LABELS, key=lambda label: abs(logit(scores[file][label]) - logit(0.03))
        )
        page.keyboard.press("y")
        page.keyboard.press("ArrowRight")


def test_the_focus_has_a_place_after_the_last_photo_of_a_filter_is_gone(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.03")
    page = show()
    label = next(label for label in LABELS if sum(label in tags for tags in expected.values()) > 1)
    files = [file for file, tags in expected.items() if label in tags]
    choose(page, "show", f"{label} ({len(files)})")
    look(page, files[0])
    page.locator("dialog .label").filter(has_text=re.compile(f"^{label}")).click()
    page.keyboard.press("n")
    close(page)
    assert has_focus(page) in files[1:]


def test_another_label_can_be_right_and_be_taken_back(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", labels=ALL)
    page = show()
    file = list(expected)[4]
    look(page, file)
    page.keyboard.press("o")
    listed = page.locator("dialog .label").evaluate_all("all => all.map(b => b.firstChild.textContent)")
    others = [name for name in Path(ALL).read_text().split("\n") if name not in listed]
    assert len(listed) == 24 and len(others) == 12
    add = page.get_by_label("another label", exact=True)
    assert add.locator("option").all_text_contents() == others
    right = page.get_by_role("button", name="is right, too")
    for label in (others[3], others[7]):
        add.select_option(label=label)
        right.click()
    assert cards(page)[file][-2:] == [f"{others[3]} \u2713", f"{others[7]} \u2713"]
    assert shown(page)[file] == [*expected[file], others[3], others[7]]
    assert add.locator("option").all_text_contents() == [x for x in others if x not in (others[3], others[7])]
    close(page)
    number = 1 + sum(others[3] in tags for tags in expected.values())
    choose(page, "show", f"{others[3]} ({number})")
    assert file in cards(page)
    with page.expect_download() as download:
        page.locator("#save").click()
    lines = ["file,label,answer", *(f"{file},{label},1" for label in (others[3], others[7]))]
    assert Path(download.value.path()).read_text().splitlines() == lines
    look(page, file)
    for label in (others[7], others[3]):
        page.get_by_role("button", name=f"{label}: take the answer back", exact=True).click()
    assert add.locator("option").all_text_contents() == others
    close(page)
    choose(page, "show", f"all photos ({N_PHOTOS})")
    assert shown(page) == expected
    assert not page.locator("#save").is_visible()


def test_answers_are_saved_as_calibrate_reads_them(show: Open, tmp_path: Path) -> None:
    assert main(["learn", "--labels", "labels.txt", "--to", "park", "--model", MODEL]) == 0
    expected = tags_of("--gallery", "tags.html", "--tagger", "park", "--threshold", "0.02")
    files = list(expected)
    strange = [file for file in files if file.removeprefix("photos/") in STRANGE]
    assert len(strange) == 3
    page = show()
    said: dict[tuple[str, str], bool] = {}
    for number, file in enumerate([*strange, *files[6:11]]):
        look(page, file)
        if not number:
            page.keyboard.press("o")  # pictures that are drawn take time
        for label, yes in ((BOAT, False), (BIRD, False), (label_in_viewer(page), number % 4 < 3)):
            name = f"{label}: {'right' if yes else 'wrong'}"
            page.get_by_role("button", name=name, exact=True).click()
            said[file, label] = yes
        close(page)
    save = page.locator("#save")
    assert save.text_content() == f"save {len(said)} answers as a file"
    with page.expect_download() as download:
        save.click()
    assert download.value.suggested_filename == "answers.csv"
    shutil.copy(download.value.path(), tmp_path / "answers.csv")
    assert read_answers(tmp_path / "answers.csv", LABELS) == said
    assert main(["calibrate", "park", "photos", "--answers", str(tmp_path / "answers.csv")]) == 0
    assert Tagger.load("park").about.calibration.answers == len(said)


def test_unsaved_answers_are_not_left_unasked(show: Open) -> None:
    tags_of("--gallery", "tags.html", "--threshold", "all")
    asked: list[str] = []
    page = show(dialogs=lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.locator(".open").first.click()
    page.keyboard.press("y")
    page.reload()
    assert asked == ["beforeunload"]
    page.locator(".open").first.click()
    page.keyboard.press("y")
    close(page)
    with page.expect_download():
        page.locator("#save").click()
    page.reload()
    assert asked == ["beforeunload"]


# One photo, large.


def framed(page: Page) -> tuple[str, int, int, int, str]:
    """Label, row, column and side of the framed region, and its score, from the words below the picture."""
    words = page.locator(".where").text_content()
    found = re.match(
        r"(.*): the framed region scores (\S+) by itself \(row (\d), column (\d) of (\d)\)", words, re.DOTALL
    )
    assert found, words
    return found[1], int(found[3]), int(found[4]), int(found[5]), found[2]


@pytest.fixture(scope="module")
def regions() -> np.ndarray:
    """Scores of regions by the tagger of the labels, [n, K, N]."""
    tagger = Tagger.learn("labels.txt", model=MODEL)
    return np.concatenate([scores for _, scores in tagger.scorer.where(tagger.embed("photos"))])


def test_the_framed_region_is_the_highest(show: Open, regions: np.ndarray) -> None:
    files = list(tags_of("--gallery", "tags.html"))
    page = show()
    look(page, files[8])
    for row in range(8, 11):
        assert in_viewer(page) == files[row]
        seen = set()
        for _ in range(len(LABELS) - 1):
            page.keyboard.press("ArrowUp")
        for _ in LABELS:
            label, at_row, at_column, side, score = framed(page)
            of_label = regions[row, :, LABELS.index(label)]
            assert (at_row - 1, at_column - 1, side) == (*divmod(int(of_label.argmax()), 3), 3)
            assert score == "<0.001" or float(score) == pytest.approx(of_label.max(), rel=0.1, abs=0.01)
            seen.add(label)
            page.keyboard.press("ArrowDown")
        assert seen == set(LABELS)
        page.keyboard.press("ArrowRight")


def test_the_framed_region_is_the_highest_of_all_photos_and_labels(show: Open, regions: np.ndarray) -> None:
    tags_of("--gallery", "tags.html")
    data = data_of(show())
    for row, photo in enumerate(data["photos"]):
        steps = np.frombuffer(base64.b64decode(photo["regions"]), "<u2").reshape(len(photo["tags"]), -1)
        for (label, _), of_label in zip(photo["tags"], steps, strict=True):
            assert of_label.argmax() == regions[row, :, label].argmax(), (photo["name"], LABELS[label])
            values = photo["low"] + of_label * (photo["high"] - photo["low"]) / 65535
            np.testing.assert_allclose(values, logit(regions[row, :, label]), atol=0.1)


def test_a_sharp_model_s_low_scores_have_an_order_and_a_place(show: Open) -> None:
    mild = Tagger.learn("labels.txt", model=MODEL)
    # OpenAI's models have a temperature of 1/100, and log-odds that go far below those of this one.
    tagger = Tagger(replace(mild.about, tau=mild.about.tau / 3), mild.scorer.tensors)
    tagger.save("sharp")
    expected = tags_of("--gallery", "tags.html", "--tagger", "sharp", "--threshold", "all")
    page = show()
    assert shown(page) == expected
    regions = np.concatenate([scores for _, scores in tagger.scorer.where(tagger.embed("photos"))])
    look(page, list(expected)[8])
    for _ in LABELS:
        label, row, column, _, _ = framed(page)
        assert (row - 1, column - 1) == divmod(int(regions[8, :, LABELS.index(label)].argmax()), 3), label
        page.keyboard.press("ArrowDown")


def pixel(page: Page, x: float, y: float) -> list[int]:
    """Red, green, blue and opacity of the overlay, at shares of its width and height."""
    return page.locator("dialog canvas").evaluate(
        "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]", [x, y]
    )


def test_the_overlay_lies_on_the_part_that_is_looked_at(show: Open, photos: Path, regions: np.ndarray) -> None:
    files = list(tags_of("--gallery", "tags.html"))
    sizes = [load_miniworld("test", N_PHOTOS)[int(number)].size for number in range(len(STRANGE), N_PHOTOS)]
    of_scenes = [file for file in files if "test-" in file]
    page = show()
    for size in ((112, 96), (96, 112), (96, 96)):
        file = of_scenes[sizes.index(size)]
        look(page, file)
        canvas, picture = (
            page.locator(f"dialog {what}").evaluate(
                "e => (({ x, y, width, height }) => [x, y, width, height])(e.getBoundingClientRect())"
            )
            for what in ("canvas", "img")
        )
        np.testing.assert_allclose(canvas, picture, atol=1)
        for what in ("[canvas.width, canvas.height]", "[img.naturalWidth, img.naturalHeight]"):
            width, height = page.locator("dialog .stage").evaluate(
                f"s => {{ const [img, canvas] = s.children; return {what}; }}"
            )
            assert width / height == pytest.approx(size[0] / size[1], abs=0.005)
        cropped = "; dark: not looked at" in page.locator(".where").text_content()
        assert cropped == (size[0] != size[1])
        margin = {(112, 96): (4 / 112, 0.5), (96, 112): (0.5, 4 / 112)}.get(size)
        if margin:
            for x, y in (margin, (1 - margin[0], 1 - margin[1])):
                assert pixel(page, x, y) == pytest.approx([0, 0, 0, 140], abs=2)
        label, row, column, _, _ = framed(page)
        of_label = regions[files.index(file), :, LABELS.index(label)]

        def at(row: float, column: float, size: tuple[int, int] = size) -> tuple[float, float]:
            """Shares of the photo, of a place in the square that is looked at."""
            return (((size[0] - 96) / 2 + 32 * column) / size[0], ((size[1] - 96) / 2 + 32 * row) / size[1])

        # White on the frame, the strongest colour within, none where the score is lowest.
        assert pixel(page, *at(row - 1, column - 0.7))[:3] == [255] * 3
        red, _, _, strong = pixel(page, *at(row - 0.5, column - 0.5))
        assert red == pytest.approx(213, abs=4) and strong == pytest.approx(200, abs=4)
        low_row, low_column = divmod(int(of_label.argmin()), 3)
        assert pixel(page, *at(low_row + 0.5, low_column + 0.5))[3] < 10
        close(page)


def test_grid_and_overlay_come_and_go(show: Open) -> None:
    files = list(tags_of("--gallery", "tags.html"))
    page = show()
    look(page, files[4])

    def state() -> tuple[str, str, str, str]:
        pressed = (
            page.get_by_role("button", name=name, exact=True).get_attribute("aria-pressed")
            for name in ("overlay", "grid")
        )
        return (
            *pressed,
            page.locator("dialog canvas").evaluate("c => c.toDataURL()"),
            page.locator(".where").text_content(),
        )

    overlay, grid, plain, words = state()
    assert (overlay, grid) == ("true", "false") and words
    page.keyboard.press("g")
    assert state()[:2] == ("true", "true")
    with_grid = state()[2]
    assert with_grid != plain
    page.keyboard.press("ArrowRight")
    assert state()[1] == "true"
    page.keyboard.press("ArrowLeft")
    assert state()[2] == with_grid
    page.get_by_role("button", name="grid", exact=True).click()
    assert state() == ("true", "false", plain, words)
    page.keyboard.press("o")
    overlay, grid, empty, none = state()
    assert (overlay, grid, none) == ("false", "false", "")
    assert empty != plain
    assert page.locator("dialog canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.every(v => v === 0)"
    )
    page.keyboard.press("g")
    overlay, grid, lines, again = state()
    assert (overlay, grid, again) == ("false", "true", words)
    assert lines not in (empty, plain, with_grid)
    page.keyboard.press("g")
    page.get_by_role("button", name="overlay", exact=True).click()
    assert state()[2] == plain


def test_a_model_without_regions_says_so(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--model", "miniworld-ViT", "--threshold", "0.01")
    page = show()
    assert shown(page) == expected
    look(page, next(iter(expected)))
    says = (
        "miniworld-ViT looks at the whole photo alone; a ResNet such as RN50-quickgelu looks at regions, too."
    )
    assert page.locator(".where").text_content() == says
    assert page.get_by_role("button", name=re.compile("overlay|grid")).count() == 0
    page.keyboard.press("o")
    page.keyboard.press("g")
    page.keyboard.press("o")
    assert page.locator(".where").text_content() == says
    page.keyboard.press("ArrowDown")
    page.keyboard.press("y")
    assert page.locator("#save").is_visible()


def test_the_link_leads_to_the_file(show: Open, photos: Path) -> None:
    for place in ("tags.html", "out/of the way/tags.html"):
        files = list(tags_of("--gallery", place))
        page = show(place)
        look(page, files[0])
        page.keyboard.press("o")
        for file in files:
            assert in_viewer(page) == file
            address = urlparse(page.get_by_text("open the file").evaluate("a => a.href"))
            assert address.scheme == "file" and not address.query and not address.fragment
            assert Path(unquote(address.path)) == Path(file).absolute()
            page.keyboard.press("ArrowRight")


# What comes from people stays text.


def test_names_are_text_and_nothing_runs(show: Open) -> None:
    expected = tags_of("--gallery", "tags.html", "--threshold", "all")
    page = show()
    assert set(cards(page)) == set(expected)
    image = f"photos/{STRANGE[0]}"
    look(page, image)
    assert in_viewer(page) == image
    for _ in LABELS:
        if label_in_viewer(page) == BIRD:
            break
        page.keyboard.press("ArrowDown")
    assert framed(page)[0] == BIRD
    page.keyboard.press("y")
    close(page)
    assert f"{BIRD} ({N_PHOTOS})" in options(page, "show")
    choose(page, "show", f"{BIRD} ({N_PHOTOS})")
    again = show(at=page.evaluate("location.hash"))
    assert select(again, "show").evaluate("s => s.selectedOptions[0].text") == (f"{BIRD} ({N_PHOTOS})")
    for each in (page, again):
        assert each.locator("script").count() == 2
        assert each.locator("img[src=x], [onerror]").count() == 0
        assert each.locator("img").count() >= N_PHOTOS
    source = Path("tags.html").read_text(encoding="utf-8")
    assert source.count("<script") == source.count("</script") == 2
    assert "alert(1)</" not in source and "onerror=alert(1)>" not in source


def test_nothing_is_asked_of_a_network(show: Open, browser: Browser) -> None:
    tags_of("--gallery", "tags.html")
    source = Path("tags.html").read_text(encoding="utf-8")
    assert "http://" not in source and "https://" not in source
    assert str(Path().absolute()) not in source
    page = show()
    broken = "all => all.filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)"
    page.wait_for_load_state("load")
    page.locator(".open img").last.scroll_into_view_if_needed()
    page.eval_on_selector_all("img", "all => all.forEach(i => { i.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every(i => i.complete)")
    assert page.eval_on_selector_all("img", broken) == []
    # Nor could it be: the browser refuses, and says so, for which `show` would fail.
    page = browser.new_page()
    page.goto(Path("tags.html").absolute().as_uri())
    with page.expect_console_message() as said:
        assert page.evaluate("fetch('https://example.org').then(() => 'fetched', () => 'refused')") == "refused"
    assert "Content Security Policy" in said.value.text
    page.close()


def test_a_large_photo_is_shown_small_and_upright(few: Path, show: Open) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    with Image.open(few / "test-00002.png") as image:
        large = image.convert("RGB").resize((1200, 1600)).transpose(Image.Transpose.ROTATE_90)
        large.save(few / "large.jpg", exif=exif)
    tags_of("--gallery", "tags.html")
    page = show()
    look(page, "photos/large.jpg")
    picture = page.locator("dialog img")
    assert picture.evaluate("i => [i.naturalWidth, i.naturalHeight]") == [288, 384]
    words = page.locator(".where").text_content()
    assert "dark: not looked at" in words
    assert pixel(page, 0.5, 0.04) == pytest.approx([0, 0, 0, 140], abs=2)
    assert pixel(page, 0.04, 0.5) != pytest.approx([0, 0, 0, 140], abs=2)


def test_thumbnails_say_nothing_of_place_and_time(few: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "the maker of the camera"
    exif[0x0132] = "2024:01:02 03:04:05"
    with Image.open(few / "test-00001.png") as image:
        image.convert("RGB").save(few / "test-00001.jpg", exif=exif, comment=b"a comment")
    assert run("--gallery", "tags.html") == 0
    pictures = re.findall(rb"data:image/jpeg;base64,([\w+/=]+)", Path("tags.html").read_bytes())
    assert len(pictures) == 6
    for picture in map(base64.b64decode, pictures):
        assert b"Exif" not in picture and b"maker" not in picture and b"a comment" not in picture


# Looks.


@pytest.mark.parametrize(
    ("width", "scheme"), [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
)
def test_it_fits_its_window_by_day_and_by_night(show: Open, width: int, scheme: str) -> None:
    tags_of("--gallery", "tags.html", "--threshold", "all")
    page = show(width=width, scheme=scheme)

    def check(what: str) -> None:
        for of in ("document.documentElement", "document.querySelector('dialog')"):
            assert page.evaluate(f"{of}.scrollWidth - {of}.clientWidth") <= 0, what
        assert page.evaluate("document.documentElement.scrollWidth") <= width, what
        # What is wider than its card is cut off, and makes no window scroll.
        over = (
            "all => all.filter(t => t.getBoundingClientRect().right > 1 +"
            " t.closest('.photos > li').getBoundingClientRect().right).map(t => t.textContent)"
        )
        assert page.eval_on_selector_all(".tags > li", over) == [], what

    check("closed")
    page.get_by_text("keys", exact=True).click()
    check("with keys")
    for selector in ("body", ".comc-gallery", ".counts", ".name", ".tags > li", "button.open", "select"):
        ground, ink = page.locator(selector).first.evaluate(
            "e => { let g = e; while (getComputedStyle(g).backgroundColor === 'rgba(0, 0, 0, 0)')"
            " g = g.parentElement; return [getComputedStyle(g).backgroundColor, getComputedStyle(e).color]; }"
        )
        assert (_lightness(ground) < _lightness(ink)) == (scheme == "dark"), (selector, ground, ink)
        assert abs(_lightness(ground) - _lightness(ink)) > 90, (selector, ground, ink)
    look(page, next(iter(cards(page))))
    page.keyboard.press("g")
    check("a photo")
    dialog = page.locator("dialog").bounding_box()
    assert dialog["x"] >= 0 and dialog["x"] + dialog["width"] <= width
    ground = page.locator("dialog").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (_lightness(ground) < 128) == (scheme == "dark")
    picture = page.locator("dialog img").bounding_box()
    assert picture["width"] > 200


def _lightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


# Several pages, and what stays from one to the next.


@pytest.fixture
def in_fifteens(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fifteen photos a page, in a folder of their own."""
    monkeypatch.setattr(pages, "PHOTOS_A_PAGE", 15)
    folder = Path("pages")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def follow(page: Page, link: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=link, exact=True).click()


def links(page: Page) -> list[str]:
    return page.locator("nav a").all_text_contents()


def test_pages_link_to_each_other(show: Open, in_fifteens: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = in_fifteens / "my #1, 100% t\u00e4gs.html"
    files = list(expected := tags_of("--gallery", str(place)))
    assert f"Gallery: {place} and 2 more pages" in capsys.readouterr().out
    names = sorted(path.name for path in in_fifteens.iterdir())
    assert names == sorted([place.name, *(f"{place.stem}-{n}.html" for n in (2, 3))])
    page = show(str(place))
    page.get_by_text("photos 1 to 15 of 40").wait_for()
    assert list(cards(page)) == files[:15]
    assert links(page) == ["next", "last"]
    follow(page, "next")
    page.get_by_text("photos 16 to 30 of 40").wait_for()
    assert shown(page) == {file: expected[file] for file in files[15:30]}
    assert links(page) == ["first", "previous", "next", "last"]
    follow(page, "last")
    page.get_by_text("photos 31 to 40 of 40").wait_for()
    assert list(cards(page)) == files[30:]
    assert links(page) == ["first", "previous"]
    follow(page, "previous")
    page.get_by_text("photos 16 to 30 of 40").wait_for()
    follow(page, "first")
    page.get_by_text("photos 1 to 15 of 40").wait_for()
    assert page.locator("h1").text_content() == f"40 photos, {len(LABELS)} labels"


def on_page(tags: Tags, number: int) -> Tags:
    return dict(list(tags.items())[15 * (number - 1) : 15 * number])


def test_what_was_chosen_goes_along_to_the_next_page(show: Open, in_fifteens: Path) -> None:
    tags_of("--gallery", "pages/tags.html", "--threshold", "0.03")
    moved = tags_of("--threshold", "0.004")
    page = show("pages/tags.html")
    move(page, logit(0.004) - logit(0.03))
    choose(page, "sort", "by name")
    follow(page, "next")
    page.get_by_text("photos 16 to 30").wait_for()
    assert page.evaluate("location.pathname").endswith("/pages/tags-2.html")
    assert output(page) == "0.0040"
    assert shown(page) == on_page(moved, 2)
    assert select(page, "sort").input_value() == "name"
    number = sum(BOAT in tags for tags in on_page(moved, 2).values())
    choose(page, "show", f"{BOAT} ({number})")
    follow(page, "previous")
    page.get_by_text("photos 1 to 15").wait_for()
    assert shown(page) == {file: tags for file, tags in on_page(moved, 1).items() if BOAT in tags}
    page.reload()
    assert shown(page) == {file: tags for file, tags in on_page(moved, 1).items() if BOAT in tags}
    none = [file for file, tags in on_page(moved, 1).items() if not tags]
    choose(page, "show", f"no tag ({len(none)})")
    page.reload()
    assert none and list(cards(page)) == none


def test_what_was_chosen_goes_along_through_pages_where_nothing_is_changed(
    show: Open, in_fifteens: Path
) -> None:
    tags_of("--gallery", "pages/tags.html", "--threshold", "0.03")
    moved = tags_of("--threshold", "0.004")
    page = show("pages/tags.html")
    move(page, logit(0.004) - logit(0.03))
    for number in (2, 3):
        follow(page, "next")
        page.get_by_text(f"photos {15 * number - 14} to ").wait_for()
        assert shown(page) == on_page(moved, number), number


def test_the_method_s_own_threshold_is_the_same_on_the_next_page(show: Open, in_fifteens: Path) -> None:
    words = ("--background", "none")
    tags_of("--gallery", "pages/tags.html", "--threshold", "all", *words)
    moved = tags_of("--threshold", "14", *words)
    page = show("pages/tags.html")
    move(page, 14 - data_of(page)["least"][0])
    assert shown(page) == on_page(moved, 1)
    follow(page, "next")
    page.get_by_text("photos 16 to 30").wait_for()
    assert shown(page) == on_page(moved, 2)


def test_a_label_may_be_named_none(few: Path, show: Open) -> None:
    Path("labels.txt").write_text("dog\ncar\nnone = a potted plant\n")
    expected = tags_of("--gallery", "tags.html", "--threshold", "0.01")
    files = [file for file, tags in expected.items() if "none" in tags]
    assert files
    page = show()
    choose(page, "show", f"none ({len(files)})")
    assert list(cards(page)) == files
    page.reload()
    assert list(cards(page)) == files


@pytest.mark.parametrize(
    "at", ["#", "#shift=high&label=nothing&sort=best", "#%%%", "#shift=NaN&sort=__proto__", "#label=toString"]
)
def test_an_address_that_says_nothing_changes_nothing(show: Open, at: str) -> None:
    expected = tags_of("--gallery", "tags.html")
    assert shown(show(at=at)) == expected


def test_a_threshold_of_the_address_stays_within_the_slider(show: Open) -> None:
    tags_of("--gallery", "tags.html")
    page = show(at="#shift=1e9")
    assert not any(shown(page).values())
    assert output(page) not in ("NaN", "1.00")
    page = show(at="#shift=-1e9")
    lowest = pytest.approx(data_of(page)["lowest"])
    assert float(page.locator("input[type=range]").input_value()) == lowest


def test_a_shorter_gallery_removes_the_pages_that_are_too_many_and_no_other_file(in_fifteens: Path) -> None:
    tags_of("--gallery", "pages/tags.html")
    foreign = {"tags-9.html": "<p>my own page", "tags-3.txt": "notes", "tags-2b.html": "", "other-3.html": ""}
    for name, text in foreign.items():
        (in_fifteens / name).write_text(text)
    tags_of("--gallery", "pages/tags.html", "--limit", "20")
    assert {path.name for path in in_fifteens.iterdir()} == {"tags.html", "tags-2.html", *foreign}
    tags_of("--gallery", "pages/tags.html", "--limit", "2")
    assert {path.name for path in in_fifteens.iterdir()} == {"tags.html", *foreign}
    for name, text in foreign.items():
        assert (in_fifteens / name).read_text() == text


def test_another_gallery_whose_name_ends_in_a_number_stays(in_fifteens: Path) -> None:
    tags_of("--gallery", "pages/trip-2023.html", "--limit", "3")
    before = (in_fifteens / "trip-2023.html").read_bytes()
    tags_of("--gallery", "pages/trip.html", "--limit", "2")
    assert (in_fifteens / "trip-2023.html").read_bytes() == before


def test_a_page_of_another_gallery_is_not_written_over(
    in_fifteens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tags_of("--gallery", "pages/trip-2.html", "--limit", "3")
    before = (in_fifteens / "trip-2.html").read_bytes()
    assert run("--gallery", "pages/trip.html") == 2
    assert "pages/trip-2.html is there and no page of this gallery" in capsys.readouterr().err
    tags_of("--gallery", "pages/park.html")
    of_park = (in_fifteens / "park-2.html").read_bytes()
    assert run("--gallery", "pages/park-2.html") == 2
    assert "pages/park-2.html is there and no page of this gallery" in capsys.readouterr().err
    assert (in_fifteens / "park-2.html").read_bytes() == of_park
    assert {path.name for path in in_fifteens.iterdir()} == {
        "trip-2.html",
        *(f"park{n}.html" for n in ("", "-2", "-3")),
    }
    assert (in_fifteens / "trip-2.html").read_bytes() == before


# Files.


def test_twice_gives_the_same_bytes(in_fifteens: Path) -> None:
    for name in ("one", "two"):
        tags_of("--gallery", f"pages/{name}/tags.html")
    for name in ("tags.html", "tags-2.html", "tags-3.html"):
        assert (in_fifteens / "one" / name).read_bytes() == (in_fifteens / "two" / name).read_bytes()
    before = (in_fifteens / "one" / "tags.html").read_bytes()
    tags_of("--gallery", "pages/one/tags.html")
    assert (in_fifteens / "one" / "tags.html").read_bytes() == before
    assert not list(in_fifteens.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gallery", "tags.txt"), "--gallery tags.txt: a gallery is a page; let its name end in .html."),
        (("--gallery", "tags"), "let its name end in .html"),
        (
            ("--gallery", "mine.html"),
            "--gallery mine.html is there and no page of this gallery; choose another name",
        ),
        (("--gallery", "photos.html"), "--gallery photos.html is there and no page of this gallery"),
        (("--gallery", "labels.txt/tags.html"), "choose another --gallery"),
        (
            ("--gallery", "tags.html", "--remove", "--sidecars", "xmp"),
            "--remove writes no tags; leave --gallery out",
        ),
        (("--gallery", "mine.html", "--dry-run"), "--gallery mine.html is there and no page of this gallery"),
    ],
)
def test_what_cannot_be_a_gallery_is_refused(
    few: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    Path("mine.html").write_text("<!doctype html><title>my page</title>")
    Path("photos.html").mkdir()
    before = sorted(Path().rglob("*"))
    assert run(*words) == 2
    out, err = capsys.readouterr()
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "photos with" not in out, "before photos are embedded"
    assert Path("mine.html").read_text() == "<!doctype html><title>my page</title>"
    assert sorted(Path().rglob("*")) == before


def test_a_foreign_file_in_the_place_of_a_later_page_is_refused(
    few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "PHOTOS_A_PAGE", 2)
    Path("tags-3.html").write_text("mine")
    assert run("--gallery", "tags.html") == 2
    assert "--gallery tags-3.html is there and no page of this gallery" in capsys.readouterr().err
    assert Path("tags-3.html").read_text() == "mine"
    assert not Path("tags.html").exists()


def test_a_dry_run_writes_nothing(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    assert run("--gallery", "new/tags.html", "--to", "tags.csv", "--dry-run") == 0
    assert "Would write the gallery new/tags.html" in capsys.readouterr().out
    assert sorted(Path().rglob("*")) == before
    assert run("--gallery", "tags.html") == 0
    old = Path("tags.html").read_bytes()
    assert run("--gallery", "tags.html", "--threshold", "0", "--dry-run") == 0
    assert Path("tags.html").read_bytes() == old


@pytest.mark.parametrize("ending", ["htm", "HTML"])
def test_other_endings_of_pages_are_taken(few: Path, show: Open, ending: str) -> None:
    expected = tags_of("--gallery", f"tags.{ending}")
    assert shown(show(f"tags.{ending}")) == expected


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_a_photo_that_is_gone_is_named_and_the_old_gallery_stays(
    few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    assert run("--gallery", "tags.html") == 0
    before = Path("tags.html").read_bytes()
    path, tag = few / "test-00003.png", Tagger.tag

    def after_embedding(*arguments: Any, **options: Any) -> Any:
        if how == "removed":
            path.unlink(missing_ok=True)
        else:
            status = path.stat()
            path.write_bytes(b"\0" * status.st_size)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return tag(*arguments, **options)

    monkeypatch.setattr(Tagger, "tag", after_embedding)
    assert run("--gallery", "tags.html", "--threshold", "0") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "photos/test-00003.png" in line
    assert Path("tags.html").read_bytes() == before
    assert not list(Path().rglob("*.partial*"))


def test_a_full_disk_leaves_the_old_gallery(
    few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--gallery", "tags.html") == 0
    before = Path("tags.html").read_bytes()

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("comc_utils.tagging.gallery.pages._remove_longer", full)
    assert run("--gallery", "tags.html", "--threshold", "0") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert Path("tags.html").read_bytes() == before
    assert not list(Path().rglob("*.partial*"))


def test_photos_that_were_left_out_are_named_at_the_head(few: Path, show: Open) -> None:
    broken = ("<b>no photo</b>.png".replace("/", "\u2215"), "test-00002.png")
    for name in broken:
        (few / name).write_bytes(b"no image")
    assert run("--gallery", "tags.html") == 2
    assert not Path("tags.html").exists()
    expected = tags_of("--gallery", "tags.html", "--skip-unreadable")
    page = show()
    assert shown(page) == expected and len(expected) == 4
    about = page.locator(".about").inner_text().splitlines()
    assert about[-1] == "2 left out, as they do not open: " + ", ".join(f"photos/{name}" for name in broken)
    assert page.locator(".about b").count() == 0


def test_a_moved_gallery_still_shows_its_photos(few: Path, show: Open, tmp_path: Path) -> None:
    expected = tags_of("--gallery", "tags.html", "--sidecars", "txt")
    (tmp_path / "elsewhere").mkdir()
    Path("tags.html").rename("elsewhere/tags.html")
    shutil.rmtree(few)
    page = show("elsewhere/tags.html")
    assert shown(page) == expected
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
