"""Notebook 13's answer says what its numbers say, and its figures show what they are given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from comc_utils.evaluation import groups
from comc_utils.method.normalise import Normalisation
from comc_utils.notebooks import answers, figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def above(difference: float) -> dict:
    low, high = difference - 0.5, difference + 0.5
    return {"difference": difference, "low": low, "high": high, "over_seeds": [low, high]}


def made_up(*, raw: float = 5.0, softmax: float = -1.0, centred: float = -1.0, others: float = 2.0) -> dict:
    """Metrics in which CoMC is so far over zero-shot CLIP, and other methods over CoMC."""
    over = {"as it is": raw, "centred": centred, "softmax": softmax}
    return {
        "map": {
            **{f"Zero-shot CLIP, {how}": 50 - lead for how, lead in over.items()},
            "CoMC, as it is": 50.0, "CoMC, softmax": 50.1, "Prototypes, as it is": 50 + others,
        },
        "share of variance by image": {"Zero-shot CLIP": 61.2, "CoMC": 3.4},
        "chosen": {"settings": "centred, nearness 0.3", "of": 80, "map": 51.0, "best by labels": 53.5},
        "criteria": {},
        "inference": {"alpha without a label": 48.0, "as the profile has them": 50.0},
        "comparisons": {
            groups.NORMALISED_OVER_AS_IT_IS: {
                "Zero-shot CLIP, softmax": above(raw - softmax),
                "Zero-shot CLIP, centred": above(raw - centred),
                "CoMC, softmax": above(0.1),
            },
            groups.COMC_OVER_COMPARABLE: {f"Zero-shot CLIP, {how}": above(lead) for how, lead in over.items()},
            groups.COMC_OVER_IN_KIND: {"Zero-shot CLIP, softmax": above(softmax + 0.25)},
            groups.OTHERS_OVER_COMC: {"Prototypes": above(others)},
        },
    }  # fmt: skip


def test_the_answer_holds_the_numbers():
    answer = answers.comparable_scores(made_up())
    assert answer.startswith(
        "**Where scores can be compared, zero-shot CLIP, which learns nothing, is above CoMC.**"
    )
    assert "zero-shot CLIP has 45.0 %" in answer and "no choice, 51.0 %; CoMC has 50.0 %" in answer
    assert (
        "over Zero-shot CLIP +5.00 points [4.50, 5.50] as it is, -1.00 points [-1.50, -0.50] with a softmax"
        in answer
    )
    assert "CLIP-DPT" not in answer and "preset" not in answer
    assert "Zero-shot CLIP (+6.00) gains by it; CoMC (+0.10) does not change measurably" in answer
    assert "61.2 % of the variance of Zero-shot CLIP's scores and 3.4 % of the variance of CoMC's" in answer
    assert "Prototypes has 52.0 %, above CoMC (+2.00 points [1.50, 2.50])" in answer


@pytest.mark.parametrize(
    ("lead", "verdict"),
    [
        (1.0, "above zero-shot CLIP also where"),
        (0.1, "cannot be told from noise"),
        (-1.0, "learns nothing, is above CoMC"),
    ],
)
def test_the_verdict_is_that_of_the_comparable_form(lead, verdict):
    assert verdict in answers.comparable_scores(made_up(softmax=lead)).split("**")[1]


def test_forms_that_disagree_are_named():
    assert "disagree" not in answers.comparable_scores(made_up())
    assert "The two forms disagree on zero-shot CLIP." in answers.comparable_scores(made_up(centred=1.0))


def test_the_other_preset_meets_the_best_that_learns_nothing():
    metrics = made_up()
    metrics["map"] |= {"CoMC, paper's preset, as it is": 52.5, "CLIP-DPT, centred": 53.5}
    over = {"CLIP-DPT, centred": above(-1.0), "Zero-shot CLIP, softmax": above(9.0)}
    metrics["comparisons"]["CoMC over comparable, paper"] = over
    answer = answers.comparable_scores(metrics)
    assert "The best that learns nothing is CLIP-DPT with centred scores, 53.5 %." in answer
    assert "With the paper's preset CoMC has 52.5 %, below it (-1.00 points [-1.50, -0.50])." in answer


def test_comc_meets_the_others_in_kind():
    over = "CoMC's own scores, too, its lead is -0.75 points [-1.25, -0.25] over Zero-shot CLIP"
    metrics = made_up()
    assert f"{over}." in answers.comparable_scores(metrics)
    metrics["comparisons"][groups.COMC_OVER_IN_KIND]["CLIP-DPT, softmax"] = above(2.0)
    assert f"{over} and +2.00 points [1.50, 2.50] over CLIP-DPT." in answers.comparable_scores(metrics)


def test_what_a_choice_without_labels_is_worth():
    metrics = made_up()
    answer = answers.comparable_scores(metrics)
    assert "Of 80 settings" in answer and "(centred, nearness 0.3) has 51.0 %, 2.50 below the best" in answer
    assert "known drawings" not in answer
    assert "alpha would give CoMC 48.0 %, where the profile's gives 50.0 %" in answer
    metrics["criteria"] = {"low entropy": -0.3, "specific agreement of halves": 0.5}
    answer = answers.comparable_scores(metrics)
    assert "best is the specific agreement of halves (rank correlation 0.50); the others reach -0.30" in answer


def test_settings_are_drawn_with_the_chosen_and_the_best():
    frame = pd.DataFrame({"specific": [0.1, 0.3, 0.2], "mAP": [50.0, 51.0, 52.0]})
    figure = figures.settings_without_labels(frame.assign(regions=[False, True, True], nearness=True))
    *_, chosen, best = figure.axes[0].collections
    assert chosen.get_offsets().tolist() == [[0.3, 51.0]] and best.get_offsets().tolist() == [[0.2, 52.0]]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-2:] == ["chosen without a label", "best by the labels"]


def test_what_is_below_comc_is_called_so():
    answer = answers.comparable_scores(made_up(others=-2.0))
    assert "Prototypes has 48.0 %, below CoMC (-2.00 points" in answer
    nothing = made_up()
    nothing["comparisons"][groups.OTHERS_OVER_COMC] = {}
    assert "unlabelled" not in answers.comparable_scores(nothing)


def test_every_method_and_normalisation_is_drawn():
    rows = [("CLIP", how.value, 50 + i) for i, how in enumerate(Normalisation)] + [("SPARC", "as it is", 55)]
    table = pd.DataFrame(rows, columns=["method", "scores", "mAP"]).assign(low=48.0, high=57.0)
    figure = figures.by_normalisation(table)
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["CLIP", "SPARC"]
    heights = [line.get_ydata()[0] for line in axis.lines if line.get_marker() in ("o", "D")]
    assert len(set(heights)) == len(rows)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*(how.value for how in Normalisation), "looks at all images", "95 % interval over images"]


def test_images_with_the_class_stand_out():
    frame = pd.DataFrame(
        {"mean": np.arange(6.0), "as it is": np.arange(6.0), "centred": 0.0, "there": [True] * 2 + [False] * 4}
    )
    figure = figures.shift_of_images(frame, "cat", (40.0, 60.0))
    assert [axis.get_title() for axis in figure.axes] == [
        "as it is: AP 40.0 %", "minus the image's mean: AP 60.0 %",
    ]  # fmt: skip
    assert [len(points.get_offsets()) for points in figure.axes[0].collections] == [4, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["without cat", "with cat"]
