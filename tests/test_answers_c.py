"""Answers on text and towers: from committed metrics, and with the numbers turned round."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from published_metrics import RESULTS, committed
from published_metrics import turned as turned_round

from comc_utils.notebooks import answers

ANSWERS = {
    "07_data_size": answers.data_size,
    "08_language_models": answers.language_models,
    "09_backbones": answers.backbones,
}
SIZES = {"miniworld-ViT": 0.93, "miniworld-RN-small": 3.11, "miniworld-RN-large": 3.95}
KINDS = {name: "VisionTransformer" if "ViT" in name else "ModifiedResNet" for name in SIZES}


def difference(value: float, spread: float = 0.2) -> dict:
    return {"difference": value, "low": value - spread, "high": value + spread, "over_seeds": [value, value]}


def of_backbones(*steps: float) -> dict:
    """Metrics of notebook 09 with three backbones, where CoMC is above zero-shot CLIP on all but the first."""
    names = list(SIZES)
    pairs = [f"{b} over {a}" for a, b in pairwise(names)]
    over = {name: difference(-1.5 if name == names[0] else 5.0) for name in names}
    return {
        "map": {name: {"CoMC": 60 + i} for i, name in enumerate(names)},
        "map, comparable": {name: {"CoMC": 60 + i, "CLIP-DPT": 60.5} for i, name in enumerate(names)},
        "image parameters (M)": SIZES,
        "image tower": KINDS,
        "comparisons": {
            "better backbone": dict(zip(pairs, map(difference, steps), strict=True)),
            "CoMC over Zero-shot CLIP": over,
        },
    }


def of_sizes() -> dict:
    return committed("07_data_size") | {"equal steps over equal epochs": {"1 %": difference(29.0)}}


@pytest.mark.parametrize(
    ("profile", "notebook"),
    [
        (path.parents[1].name, path.stem)
        for path in sorted(RESULTS.glob("*/metrics/0[789]_*.json"))
        if "skipped" not in json.loads(path.read_text(encoding="utf-8"))
    ],
)
def test_an_answer_begins_with_a_verdict_and_holds_a_number_of_the_metrics(profile, notebook):
    metrics = committed(notebook, profile)
    answer = ANSWERS[notebook](metrics)
    assert answer.startswith("**")
    parts = [part.values() if isinstance(part, dict) else [part] for part in metrics["map"].values()]
    assert any(f"{value:.1f} %" in answer for values in parts for value in values)
    assert 3 <= answer.count(". ") + 1 <= 8


def test_half_is_enough_or_not_by_what_the_other_half_adds():
    metrics = of_sizes()
    half = metrics["comparisons"]["all over half"]
    assert answers.data_size(metrics).startswith("**Half is nearly enough here.**")
    half["100 % over 50 %"] = difference(2.0)
    assert answers.data_size(metrics).startswith("**Half is not enough here.** ")
    half["100 % over 50 %"] = difference(0.9)
    assert answers.data_size(metrics).startswith("**Undecided here.**")


def test_steps_to_more_text_are_counted_by_what_they_add():
    answer, turned = answers.data_size(of_sizes()), answers.data_size(turned_round(of_sizes()))
    assert "of 8 steps to more text, 6 add, 0 take away and 2 are within noise" in answer
    assert "of 8 steps to more text, 0 add, 6 take away and 2 are within noise" in turned


def test_a_small_share_lacks_steps_only_where_more_of_them_help():
    metrics = of_sizes()
    assert "training with equal epochs is too short" in answers.data_size(metrics)
    for gap, words in ((difference(-2.0), "more training harms"), (difference(0.1), "no measurable")):
        metrics["equal steps over equal epochs"] = {"1 %": gap}
        answer = answers.data_size(metrics)
        assert words in answer
        assert "too short" not in answer
    del metrics["equal steps over equal epochs"]
    assert "Equal steps over" not in answers.data_size(metrics)


def test_from_which_share_on_the_mean_is_above_zero_shot_clip():
    metrics = of_sizes()
    assert "with equal epochs from 5 % on and with equal steps from 1 % on" in answers.data_size(metrics)
    metrics["zero_shot"] = 90.0
    assert "with equal epochs not at the last share" in answers.data_size(metrics)


def test_writers_are_judged_by_every_step():
    metrics = committed("08_language_models")
    steps = metrics["comparisons"]["better writer"]
    for differences, verdict in (
        ((1.0, 1.0, 1.0), "**Yes, here.**"),
        ((1.0, 0.1, -1.0), "**Partly.**"),
        ((0.1, 0.1, -1.0), "**No.**"),
        ((0.1, 0.0, -0.1), "**Not measurably.**"),
    ):
        steps.update(zip(steps, map(difference, differences), strict=True))
        assert answers.language_models(metrics).startswith(verdict)


def test_no_writer_is_called_better_than_zero_shot_clip_where_it_is_not():
    metrics = committed("08_language_models")
    assert "With every writer CoMC is above zero-shot CLIP" in answers.language_models(metrics)
    turned = answers.language_models(turned_round(metrics))
    assert "With every writer" not in turned
    assert "CoMC is below it with *class templates*" in turned


def test_without_a_language_model_the_other_writers_are_compared():
    metrics = committed("08_language_models")
    for of_writer in (metrics["map"], metrics["texts"], metrics["comparisons"]["over zero-shot CLIP"]):
        del of_writer["large language model"]
    del metrics["comparisons"]["better writer"]["large language model over grammar, full"]
    answer = answers.language_models(metrics)
    assert "large language model" not in answer
    assert "1,200 sentences each, the paper's 40,000" in answer


def test_the_papers_number_of_sentences_is_no_caveat_where_writers_wrote_as_many():
    metrics = committed("08_language_models")
    metrics["texts"] = dict.fromkeys(metrics["texts"], 40_000)
    assert "the paper's 40,000" not in answers.language_models(metrics)


@pytest.mark.parametrize(
    ("steps", "verdict", "of_one_kind"),
    [
        ((40.0, 1.0), "**Yes, in the order of size.**", "1 above 0"),
        ((40.0, -1.0), "**Partly.**", "1 below 0"),
        ((-40.0, 0.1), "**No.**", "1 within noise"),
        ((0.0, 0.1), "**Not measurably.**", "1 within noise"),
    ],
)
def test_backbones_are_judged_in_the_order_of_size(steps, verdict, of_one_kind):
    answer = answers.backbones(of_backbones(*steps))
    assert answer.startswith(verdict)
    assert "That of *miniworld-RN-small* changes the kind of tower" in answer
    assert f"between towers of one kind: {of_one_kind}." in answer


def test_towers_of_one_kind_need_no_caveat():
    metrics = of_backbones(1.0, 1.0)
    metrics["image tower"] = dict.fromkeys(SIZES, "ModifiedResNet")
    assert "no evidence on size" not in answers.backbones(metrics)


def test_the_backbones_on_which_comc_is_below_are_named():
    answer, turned = (
        f(of_backbones(1.0, 1.0)) for f in (answers.backbones, lambda m: answers.backbones(turned_round(m)))
    )
    assert "it is below it with *miniworld-ViT* (-1.50 points" in answer
    assert "above it with *miniworld-ViT* (+1.50 points" in turned
    assert "below it with *miniworld-RN-small* (-5.00 points" in turned
    assert "Against CLIP-DPT" not in answer
    assert "*miniworld-ViT*: CoMC has 60.0 %, and ahead of it is CLIP-DPT (60.5 %); *miniworld-RN" in answer


def test_one_backbone_alone_is_not_judged():
    metrics = of_backbones(1.0, 1.0)
    metrics["comparisons"] = {"better backbone": {}}
    metrics["image parameters (M)"] = {"miniworld-ViT": 0.93}
    assert answers.backbones(metrics).startswith("**One backbone alone cannot say.** ")
