"""Answers of notebooks 10 to 12 say what their numbers say; the figures of methods."""

from __future__ import annotations

import copy

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from published_metrics import RESULTS, committed

from comc_utils.notebooks import answers
from comc_utils.notebooks.answers.words import in_comparable_form
from comc_utils.notebooks.figures import by_shots, methods_by_source

matplotlib.use("agg")

ANSWERS = {
    "10_few_shot": answers.few_shot,
    "11_rivals": answers.rivals,
    "12_seen_and_unseen": answers.seen_and_unseen,
}


ANSWERED = [
    (path.parents[1].name, path.stem)
    for path in sorted(RESULTS.glob("*/metrics/*.json"))
    if path.stem in ANSWERS and "skipped" not in committed(path.stem, path.parents[1].name)
]


def comparison(difference: float, width: float = 0.5) -> dict:
    return {
        "difference": difference,
        "low": difference - width,
        "high": difference + width,
        "over_seeds": [difference, difference],
    }


def set_all(metrics: dict, difference: float) -> dict:
    """Give every comparison one outcome."""
    changed = copy.deepcopy(metrics)
    for members in changed["comparisons"].values():
        members.update(dict.fromkeys(members, comparison(difference)))
    return changed


def test_there_are_results_to_answer_from():
    assert {notebook for _, notebook in ANSWERED} == set(ANSWERS)
    assert ("coco500", "11_rivals") in ANSWERED


@pytest.mark.parametrize(("profile", "notebook"), ANSWERED)
def test_an_answer_holds_numbers_of_its_run(profile, notebook):
    metrics = committed(notebook, profile)
    text = ANSWERS[notebook](metrics)
    assert text.startswith("**")
    if notebook == "10_few_shot":
        of_run = metrics["map"]["CoMC"]["0"]
    else:
        maps = metrics["map" if notebook == "11_rivals" else "map of unseen classes"]
        of_run = next(value for name, value in maps.items() if name.endswith(", CoMC, default"))
    assert f"{of_run:.1f} %" in text
    assert "nan" not in text


@pytest.mark.parametrize(("profile", "notebook"), ANSWERED)
def test_the_opposite_outcome_turns_the_answer(profile, notebook):
    metrics = committed(notebook, profile)
    said = {d: ANSWERS[notebook](set_all(metrics, d)) for d in (2.0, 0.0, -2.0)}
    assert len({text.split("**")[1] for text in said.values()}) == 3
    # On one side alone: what was said of the other side is gone.
    assert " below " not in said[2.0] and " above " not in said[-2.0]
    assert "smallest lead" not in said[-2.0] + said[0.0]
    if notebook == "10_few_shot":
        assert "5 are measurable gains and 0 losses" in said[2.0]
        assert "0 are measurable gains and 5 losses" in said[-2.0]
    else:
        assert "not measurably different from" in said[0.0]
    if notebook == "11_rivals":
        assert "is within 1 point of it" in said[0.0] and "the loss matters little" not in said[2.0]


def test_shots_are_judged_by_all_of_them_together_where_that_is_measured():
    metrics = set_all(committed("10_few_shot", "miniworld"), 0.0)
    assert answers.few_shot(metrics).startswith("**Nothing that can be measured here.**")
    metrics["comparisons"]["all shots over none"] = {"16 over 0": comparison(0.0)}
    metrics["comparisons"]["all shots over none, known drawings"] = {"16 over 0": comparison(1.0)}
    text = answers.few_shot(metrics)
    assert text.startswith("**They help in part.**")
    assert "+1.00 points [0.50, 1.50]: a gain)" in text
    metrics["comparisons"]["all shots over none"] = {"16 over 0": comparison(-1.0)}
    assert answers.few_shot(metrics).startswith("**They help and they cost.**")


def test_what_was_searched_with_some_shots_is_said_of_these():
    metrics = committed("10_few_shot", "miniworld")
    text = answers.few_shot(metrics)
    assert "At rates searched at 4 shots, and known for 4 shots alone" in text
    searched = metrics["comparisons"]["zero-shot over learned prompts, searched rates"]
    searched["CoOp, 4 shots"] = comparison(-3.0)
    assert "below CoOp (-3.00 points [-3.50, -2.50])" in answers.few_shot(metrics)
    del metrics["comparisons"]["zero-shot over learned prompts, searched rates"]
    assert "searched" not in answers.few_shot(metrics)


def test_shots_without_prompts_or_other_images_and_with_a_pull():
    metrics = committed("10_few_shot", "miniworld")
    kept = ("more shots", "zero-shot over linear probe")
    metrics["comparisons"] = {name: metrics["comparisons"][name] for name in kept}
    few = {"map": {name: metrics["map"][name] for name in ("CoMC", "linear probe")}}
    few["map by pull"] = {"CoMC, 16 shots": {"0": 87.04, "5": 90.91}}
    text = answers.few_shot(few | {"comparisons": metrics["comparisons"]})
    assert "CoOp" not in text and "known drawings" not in text
    assert "CoMC with 16 shots comes, by the pull, to 87.0 % at 0 and 90.9 % at 5." in text


def test_rivals_at_default_rates_alone_and_with_another_backbone():
    metrics = committed("11_rivals", "coco500")
    text = answers.rivals(metrics)
    assert "No rate was searched" in text and "No method learned from labelled images." in text
    assert "not measurably different from Ridge regression (53.1 %, -0.49 points [-2.18, 0.45])" in text
    metrics |= {"shots": 4, "rate factors": {"CoMC": 1.0}}
    metrics["map"] |= {"RN101, CoMC, default": 60.04, "RN101, Zero-shot CLIP, default": 50.0}
    metrics["comparisons"]["CoMC over, RN101"] = {"Zero-shot CLIP": comparison(10.04)}
    text = answers.rivals(metrics)
    assert "No rate" not in text and "No method" not in text
    assert "With RN101: At default rates CoMC (60.0 %) is above Zero-shot CLIP (50.0 %)" in text


def test_zero_shot_clip_is_set_against_methods_that_learned_from_seen_classes():
    metrics = committed("12_seen_and_unseen", "miniworld")
    metrics["comparisons"]["zero-shot CLIP over methods trained on seen classes"] = {
        "ConSE": comparison(50.0),
        "DualCoOp": comparison(-3.0),
    }
    text = answers.seen_and_unseen(metrics)
    assert "at default rates above ConSE (11.2 %); below DualCoOp (47.4 %, -3.00 points [-3.50, -2.50])" in text
    metrics["comparisons"] = {"CoMC over methods trained on seen classes": {}}
    assert answers.seen_and_unseen(metrics).startswith("**Nothing to compare with, here.** Zero-shot CLIP")


def test_what_systems_have_learned_and_what_they_owe_to_clip():
    metrics = committed("12_seen_and_unseen", "miniworld")
    metrics["comparisons"] = {
        "learned over start on seen classes": {"LESA": comparison(9.0), "SDL": comparison(0.1)},
        "learned over start on unseen classes": {"LESA": comparison(-3.0), "SDL": comparison(0.2)},
        "more seen classes": {"LESA": comparison(-2.0), "BiAM": comparison(8.0)},
        "with images of other things": {"BiAM": comparison(-4.0)},
    }
    metrics["map of unseen classes"] |= {"miniworld-RN-small, SDL, default": 65.0}
    metrics["from random starts"] = {"LESA": 13.1, "SDL": 14.0}
    metrics["by seen classes"] = {
        "LESA": {"4 classes": 55.0, "16 classes": 53.0},
        "BiAM": {"4 classes": 42.0, "16 classes": 50.0, "371 classes, with icons": 46.0},
    }
    text = answers.seen_and_unseen(metrics).split("\n\n")[1]
    assert (
        "seen classes are at default rates better with LESA (+9.0); not measurably different with SDL" in text
    )
    assert "Unseen classes are worse with LESA (-3.0); not measurably different with SDL (+0.2)." in text
    assert "searched" not in text
    assert (
        "SDL is the best of 2 on unseen classes, at 14.0 %; from CLIP's own match it comes to 65.0 %." in text
    )
    assert (
        "With labels of 16 classes in place of 4 classes, unseen ones are better with BiAM (+8.0); worse"
        in text
    )
    assert "With 371 classes, with icons, in place of 16 classes, they are worse with BiAM (-4.0)." in text
    metrics |= {"from random starts": {}, "by seen classes": {}, "comparisons": {}}
    assert "\n\n" not in answers.seen_and_unseen(metrics)


def row(method: str, source: str, rate: str, value: float, parameters: int, backbone: str = "RN50") -> dict:
    ends = {"mAP": value, "low": value - 1, "high": value + 1}
    learned = {"seconds": 12.0 if parameters else float("nan"), "parameters": parameters}
    return {"backbone": backbone, "method": method, "learns_from": source, "rate": rate, **ends, **learned}


TABLE = pd.DataFrame(
    [
        row("ConSE", "labelled images of seen classes", "default", 12, 4112),
        row("CoMC", "sentences", "default", 70, 5120),
        row("CoMC", "sentences", "searched", 71, 5120),
        row("Zero-shot CLIP", "nothing", "none", 65, 0),
    ]
)


def test_who_is_ahead_in_comparable_form():
    maps = {"CoMC": 60.0, "CLIP-DPT": 61.0, "SPARC, softmax": 62.0, "ConSE": 9.0}
    assert (
        in_comparable_form(maps)
        == "CoMC has 60.0 %, and ahead of it are CLIP-DPT (61.0 %) and SPARC, softmax (62.0 %)"
    )
    assert in_comparable_form({"CoMC": 60.0, "ConSE": 9.0}) == "CoMC has 60.0 %, and none is ahead of it"
    metrics = committed("11_rivals", "miniworld")
    metrics["map, comparable"] = {
        "A, CoMC, default": 60.0,
        "A, CoMC, searched": 65.0,
        "A, CLIP, 80 prompts, none": 61.0,
        "B, CoMC, default": 9.0,
    }
    assert "CoMC has 60.0 %, and ahead of it is CLIP, 80 prompts (61.0 %)." in answers.rivals(metrics)


def test_methods_stand_by_what_they_learn_from_with_what_learning_took():
    figure = methods_by_source(TABLE)
    (axis,) = figure.axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["Zero-shot CLIP", "CoMC", "ConSE"]
    heights = {x: y for line in axis.lines if len(line.get_xdata()) == 1 for x, y in line.get_xydata()}
    assert heights[65] == 0 and heights[12] == -2
    assert heights[70] > -1 > heights[71]
    written = [text.get_text() for text in axis.texts]
    assert written.count("12") == 3 and written.count("5,120") == 1 and "0" not in written
    explained = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert explained == [
        "nothing", "sentences", "labelled images of seen classes",
        "at the default rate", "at the rate searched for it", "learns nothing, has no rate",
        "95 % interval over images",
    ]  # fmt: skip
    plt.close(figure)


def test_backbones_stand_side_by_side():
    figure = methods_by_source(pd.concat([TABLE, TABLE.assign(backbone="RN101")]))
    assert [axis.get_title() for axis in figure.axes] == ["RN50", "RN101"]
    assert not figure.axes[0].texts
    plt.close(figure)


def test_shots_share_one_scale_and_the_paper_has_no_band():
    rows = [
        (name, "CoMC", k, 70.0 + k, 0.5 if name == "here" else None)
        for name in ("here", "paper")
        for k in (0, 16)
    ]
    figure = by_shots(pd.DataFrame(rows, columns=["images", "method", "shots", "mean", "std"]))
    here, paper = figure.axes
    assert here.get_ylim() == paper.get_ylim()
    assert [line.get_xdata().tolist() for line in here.lines] == [[0, 5]]
    explained = [text.get_text() for text in paper.get_legend().get_texts()]
    assert explained == ["CoMC", "mean over draws\n(paper: one draw)", "± 1 standard\ndeviation over draws"]
    assert here.collections[0].get_paths() and not paper.collections[0].get_paths()
    plt.close(figure)
