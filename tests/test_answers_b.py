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


def test_parts_add_or_cost_by_their_intervals():
    metrics = committed("04_ablations")
    answer = answers.ablations(metrics)
    assert "Regions add (+7.58 points [6.86, 8.21])" in answer and "cannot be told from noise (+0.17" in answer
    assert "**Regions cost (-7.58" in answers.ablations(turned(metrics, "local adds"))
    on_photos = committed("04_ablations", "coco500")
    assert answers.ablations(on_photos).startswith("**The mapping adds (+2.00 points [0.66, 3.08]).**")
    assert answers.ablations(turned(on_photos, "mapping adds")).startswith("**The mapping costs (-2.00")


def test_both_presets_the_largest_switch_and_zero_shot_clip_are_said():
    metrics = committed("04_ablations") | {"zero_shot": 65.04}
    answer = answers.ablations(metrics)
    assert "reaches 72.6 %, 2.3 points more than the released one (70.3 %)" in answer
    assert '"no positional embedding" is worth most: -2.3 to -2.2 points' in answer
    assert "Regions add 7.6 points with the released preset and 4.0 with the paper's" in answer
    assert "(62.7 %) is below zero-shot CLIP (65.0 %): its embedding of the whole image" in answer
    weak = answers.ablations(metrics | {"zero_shot": 60.0})
    assert "is above zero-shot CLIP (60.0 %)." in weak and "positional embedding that" not in weak
    metrics["parts"]["paper"] = {variant: 69.0 for variant in metrics["parts"]["paper"]}
    assert "reaches 69.0 %, 1.3 points less than" in answers.ablations(metrics)
    assert "paper's preset" not in answers.ablations(committed("04_ablations", "coco500"))


def test_the_mixture_is_as_good_as_its_interval_says():
    metrics = committed("05_alpha_sweep", "coco500")
    assert answers.alpha_sweep(metrics).startswith("**Mixed: a share of the mapped embedding helps.**")
    assert "(alpha = 0) loses to it" in answers.alpha_sweep(metrics)
    other = answers.alpha_sweep(turned(metrics, "optimum over"))
    assert other.startswith("**Not at all: the original embedding alone is best.**")
    assert "(alpha = 0) is better than it" in other
    assert "cannot be told from noise.**" in answers.alpha_sweep(committed("05_alpha_sweep"))


def test_the_gap_closes_or_widens_by_the_numbers():
    metrics = committed("06_modality_gap")
    answer = answers.modality_gap(metrics)
    assert answer.startswith("**It shortens the distance, and does not close it.**")
    assert "from 0.722 to 0.560 (22 % closer)" in answer and "less often (13.7 %, 17.3 % before)" in answer
    assert answers.modality_gap(turned(metrics, "before over after")).startswith("**It widens the gap.**")
    metrics["gap"]["probe accuracy"]["after"] = 55.0
    assert answers.modality_gap(metrics).startswith("**It brings images and texts together.**")
