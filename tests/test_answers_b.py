"""Answers on parts, mixture and gap: from committed metrics, and with the numbers turned round."""

from __future__ import annotations

import pytest
from published_metrics import committed, turned

from comc_utils.notebooks import answers

ANSWERS = {
    "04_ablations": answers.ablations,
    "05_alpha_sweep": answers.alpha_sweep,
    "06_modality_gap": answers.modality_gap,
}


@pytest.mark.parametrize("profile", ["miniworld", "coco500"])
@pytest.mark.parametrize("notebook", ANSWERS)
def test_an_answer_begins_with_a_verdict_and_says_no_place(notebook, profile):
    answer = ANSWERS[notebook](committed(notebook, profile))
    assert answer.startswith("**") and "embedded world" not in answer


def above(difference: float) -> dict:
    """Make a comparison up whose interval and seeds lie within 0.5 of the difference."""
    low, high = difference - 0.5, difference + 0.5
    return {"difference": difference, "low": low, "high": high, "over_seeds": [low, high]}


def with_both(presets: float, zero_shot: float) -> dict:
    """Add how the paper's preset and CoMC without regions stand beside others."""
    metrics = committed("04_ablations")
    metrics["zero_shot"] = metrics["parts"]["released"]["global only, mapping"] - zero_shot
    metrics["comparisons"]["paper's preset over"] = {"released": above(presets)}
    metrics["comparisons"]["CoMC without regions over"] = {"Zero-shot CLIP": above(zero_shot)}
    return metrics


@pytest.mark.parametrize("preset", ["preset released", "paper's"])
def test_parts_add_or_cost_by_their_intervals(preset):
    metrics = committed("04_ablations")
    group = "local adds" if preset == "preset released" else "local adds, paper"
    c = metrics["comparisons"][group]["with mapping"]
    numbers = f"{c['difference']:+.2f} points [{c['low']:.2f}, {c['high']:.2f}]"
    assert numbers in answers.ablations(metrics)
    other = answers.ablations(turned(metrics, group))
    assert numbers not in other and f"{-c['difference']:+.2f} points [{-c['high']:.2f}" in other
    assert ("Regions cost" in other) == (group == "local adds")


def test_what_the_mapping_adds_is_said_by_its_interval():
    assert "The mapping makes no measurable difference (+0.17 points" in answers.ablations(
        committed("04_ablations")
    )
    on_photos = committed("04_ablations", "coco500")
    assert answers.ablations(on_photos).startswith("**The mapping adds (+2.00 points [0.66, 3.08]).**")
    assert answers.ablations(turned(on_photos, "mapping adds")).startswith("**The mapping costs (-2.00")


def test_the_better_preset_is_said_first():
    answer = answers.ablations(with_both(2.3, -2.3))
    assert answer.startswith("**The paper's preset (72.6 %) is better than the released one (70.3 %)")
    assert answers.ablations(with_both(-2.3, -2.3)).startswith("**The paper's preset (72.6 %) is worse than")
    assert answers.ablations(with_both(0.1, -2.3)).startswith(
        "**The paper's preset (72.6 %) cannot be told from"
    )
    assert "paper" not in answers.ablations(committed("04_ablations", "coco500"))


def test_without_regions_it_is_above_or_below_zero_shot_clip():
    answer = answers.ablations(with_both(2.3, -2.3))
    assert "(62.7 %) is below zero-shot CLIP (65.0 %): -2.30 points [-2.80, -1.80]" in answer
    assert "CoMC without regions has 68.5 %" in answer
    for difference, words in ((2.3, "is above"), (0.1, "cannot be told from")):
        other = answers.ablations(with_both(2.3, difference))
        assert f"(62.7 %) {words} zero-shot CLIP" in other and "leaves the positional" not in other
    metrics = with_both(2.3, -2.3)
    metrics["switches"]["no positional embedding, switched on in the paper's preset"] = [-0.1, -0.3, 0.1]
    assert "leaves the positional" not in answers.ablations(metrics)


@pytest.mark.parametrize(
    ("on", "off", "words"),
    [
        ([-2.2, -2.3, -2.1], [-2.3, -2.4, -2.2], "costs most: 2.2 to 2.3 points"),
        ([2.2, 2.1, 2.3], [2.2, 2.1, 2.3], "brings most: 2.2 points"),
        ([-2.2, -2.3, -2.1], [2.3, 2.2, 2.4], "makes the largest difference: -2.2 to +2.3 points"),
        ([-2.2, -9.0, 4.6], [2.3, None, None], "none makes a measurable difference"),
    ],
)
def test_a_switch_costs_or_brings_by_its_interval(on, off, words):
    metrics = committed("04_ablations")
    name = "no positional embedding, switched"
    metrics["switches"] = {f"{name} on in the paper's preset": on, f"{name} off in the released preset": off}
    assert words in answers.ablations(metrics)


@pytest.mark.parametrize(
    ("over_original", "over_mapped", "verdict", "worse"),
    [
        (2.0, 6.0, "Mixed: each of the two embeddings adds to the other.", 2),
        (0.2, 6.0, "Mostly original: what the mapped", 1),
        (6.0, 0.2, "Mostly mapped: what the original", 1),
        (0.2, 0.2, "As one likes: what either", 0),
        (-2.0, 6.0, "Not at all: the original embedding alone is better.", 1),
        (6.0, -2.0, "Not at all: the mapped embedding alone is better.", 1),
    ],
)
def test_the_mixture_is_as_good_as_its_intervals_say(over_original, over_mapped, verdict, worse):
    metrics = committed("05_alpha_sweep")
    optimum = metrics["comparisons"]["optimum over"]
    optimum["alpha 1"], optimum["alpha 0"] = above(over_original), above(over_mapped)
    answer = answers.alpha_sweep(metrics)
    assert answer.startswith(f"**{verdict}") and answer.count("measurably worse") == worse
    assert f"{over_original:+.2f} points" in answer and f"{over_mapped:+.2f} points" in answer


def test_each_preset_has_its_own_interval():
    metrics = committed("05_alpha_sweep")
    metrics.pop("best_alpha_interval_by_preset", None)
    own_alone = answers.alpha_sweep(metrics)
    assert '0.81 (95 % interval over images 0.75 to 0.90) with the preset "released"' in own_alone
    assert 'and 0.78 with the preset "paper"' in own_alone
    metrics["best_alpha_interval_by_preset"] = {"released": [0.75, 0.9], "paper": [0.65, 0.85]}
    assert "0.78 (95 % interval over images 0.65 to 0.85) with" in answers.alpha_sweep(metrics)


def test_the_gap_closes_or_widens_by_the_numbers():
    metrics = committed("06_modality_gap")
    answer = answers.modality_gap(metrics)
    assert answer.startswith("**It brings images and captions nearer, and a linear probe does not tell")
    assert "0.560 apart, 0.722 before: 22 % nearer" in answer and "97 to 99 % of a point's" in answer
    wider = turned(metrics, "before over after")
    wider["gap"]["centroid distance"] |= {"before": 0.56, "after": 0.7}
    answer = answers.modality_gap(wider)
    assert (
        answer.startswith("**It widens the gap.**") and "25 % further away" in answer and "nearer" not in answer
    )


@pytest.mark.parametrize(
    ("fall", "words", "change"),
    [(20.0, "apart less well", "measurably less"), (-20.0, "apart better", "measurably more")],
)
def test_the_probe_decides_whether_they_are_mixed(fall, words, change):
    metrics = committed("06_modality_gap")
    metrics["comparisons"]["before over after"]["probe accuracy"] = above(fall)
    answer = answers.modality_gap(metrics)
    assert f"{words}.**" in answer and f"before ({change};" in answer


def test_partners_are_found_more_or_less_often_by_the_interval():
    metrics = committed("06_modality_gap")
    names = ("recall, image to text", "recall, text to image")
    for falls, words in (((3.0, -4.0), ("less", "more")), ((-3.0, 0.1), ("more", "as often within noise"))):
        metrics["other measures, before over after"] = dict(zip(names, map(above, falls), strict=True))
        answer = answers.modality_gap(metrics)
        assert f"an image finds its own caption {words[0]} often (13.7 %, 17.3 % before)" in answer
        assert f"a caption finds its own image {words[1]}" in answer


def test_the_other_gap_is_said_where_it_is_another():
    metrics = committed("06_modality_gap")
    metrics["gap with positional embedding"] = {"centroid distance": 0.4739}
    assert "0.474 apart before any mapping" in answers.modality_gap(metrics)
    metrics["gap with positional embedding"]["centroid distance"] = 0.7219
    assert "positional" not in answers.modality_gap(metrics)
