"""Answers, figures and tables of notebooks 00 to 03."""

from __future__ import annotations

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from published_metrics import committed, negated

from comc_utils import answers, figures, miniworld
from comc_utils.evaluation import groups, tables
from comc_utils.evaluation.metrics import mean_average_precision
from comc_utils.sentences import Record, text_checks
from comc_utils.sentences.labels import VOC2007
from comc_utils.sentences.llm import read_answers

PROFILES = ("miniworld", "coco500")


def of_noise(comparison: dict) -> dict:
    return comparison | {"low": -1.0, "high": 9.0}


def verdict(text: str) -> str:
    assert text.startswith("**")
    return text.split("**")[1]


@pytest.mark.parametrize("profile", PROFILES)
def test_answers_hold_numbers_of_their_run(profile):
    text = committed("01_data_generation", profile)
    assert f"{text['sentences']:,} sentences" in answers.data_generation(text)
    reading = committed("02_training", profile)
    held_out = next(value for name, value in reading["reading_map"].items() if name.endswith("held out"))
    assert f"{held_out:.1f} %" in answers.training(reading)
    scored = committed("03_inference", profile)
    assert f"CoMC reaches {scored['map']['CoMC']:.1f} % mAP" in answers.inference(scored)


def test_the_embedded_world_is_described_by_its_numbers():
    metrics = committed("00_miniworld", "miniworld")
    text = answers.miniworld(metrics)
    assert verdict(text) == "Easy to draw, not easy to recognise."
    assert "sees no more than the smaller one (+0.4 points" in text
    other = copy.deepcopy(metrics)
    other["zero_shot_map"] |= {name: 95.0 for name in other["zero_shot_map"] if "RN-large" in name}
    other["zero_shot_map_by_size"]["miniworld-ViT, test drawings"]["dominant"] = 0.0
    other["learned_scale"]["miniworld-ViT"] = 101.0
    text = answers.miniworld(other)
    assert verdict(text) == "Easy to recognise."
    assert "sees more than the smaller one" in text
    assert "ViT on test drawings it is 7.8 points worse" in text
    assert "0.0 points (RN-large) and 2.6 points (ViT), which is not a loss for each" in text
    assert "are not all below the 100" in text


def test_the_smallest_tower_is_named_where_sizes_are_known():
    metrics = committed("00_miniworld", "miniworld")
    sizes = {"miniworld-RN-small": 3.11, "miniworld-RN-large": 3.95, "miniworld-ViT": 0.93}
    assert "ViT (29.7 %), which is the smallest" in answers.miniworld(metrics | {"image_tower_millions": sizes})
    sizes["miniworld-ViT"] = 5.0
    assert "while RN-small is the smallest" in answers.miniworld(metrics | {"image_tower_millions": sizes})


def test_one_model_has_two_gaps():
    metrics = committed("00_miniworld", "miniworld")
    bare = {"miniworld-RN-small": 0.722}
    text = answers.miniworld(metrics | {"centroid_distance_without_position": bare})
    assert "0.474 (RN-small)" in text
    assert "as notebook 06 takes them, 0.722 (RN-small)" in text


def test_a_text_that_fails_a_check_is_fit_in_part():
    metrics = committed("01_data_generation", "miniworld")
    assert verdict(answers.data_generation(metrics)) == "Yes."
    failed = answers.data_generation(metrics | {"names_all_labels_percent": 60.0})
    assert verdict(failed) == "Partly."
    assert "60.0 % name all their labels" in failed
    assert "too few name all their labels" in failed


@pytest.mark.parametrize(("fewest", "expected"), [(9, ("Partly.", "far from")), (90, ("Yes.", "nearly"))])
def test_classes_of_uneven_frequency_are_told(fewest, expected):
    counts = {"most": 162, "median": 100.0, "fewest": fewest}
    text = answers.data_generation(committed("01_data_generation", "coco500") | {"sentences_a_class": counts})
    assert verdict(text) == expected[0]
    assert f"{expected[1]} equally frequent" in text


@pytest.mark.parametrize("profile", PROFILES)
def test_what_cannot_read_is_said_not_to(profile):
    metrics = committed("02_training", profile)
    assert verdict(answers.training(metrics)) == "It learns to read."
    for share, expected in ((0.7, "It learns to read in part."), (0.2, "It does not learn to read.")):
        poor = {
            name: value * (share if name.endswith("held out") else 1)
            for name, value in metrics["reading_map"].items()
        }
        text = answers.training(metrics | {"reading_map": poor})
        assert verdict(text) == expected
        assert "as well as" not in text
    text = answers.training(metrics | {"cosine_with_other_labels": 0.9})
    assert "no nearer to their own" in text


def test_the_verdict_on_methods_follows_their_differences():
    metrics = committed("03_inference", "miniworld")
    assert verdict(answers.inference(metrics)) == "Better than every one of them."
    over = metrics["comparisons"][groups.COMC_OVER]
    for change, expected in (
        ({name: negated(c) for name, c in over.items()}, "Worse than Zero-shot CLIP, CLIP-DPT and TaI-DPT."),
        ({name: of_noise(c) for name, c in over.items()}, "Not to be told apart from them."),
        (
            over | {"CLIP-DPT": of_noise(over["CLIP-DPT"])},
            "Better than Zero-shot CLIP and TaI-DPT, not than all.",
        ),
        (over | {"CLIP-DPT": negated(over["CLIP-DPT"])}, "Worse than CLIP-DPT."),
    ):
        text = answers.inference(metrics | {"comparisons": {groups.COMC_OVER: change}})
        assert verdict(text) == expected


def test_the_order_of_clip_dpt_and_tai_dpt_is_told():
    metrics = committed("03_inference", "miniworld")
    above = {"difference": 1.7, "low": 0.9, "high": 2.6, "over_seeds": [1.7, 2.0]}
    for comparison, expected in (
        (above, "CLIP-DPT is above TaI-DPT, the reverse of the paper's order (+1.70"),
        (negated(above), "CLIP-DPT is below TaI-DPT, as in the paper (-1.70"),
        (of_noise(above), "CLIP-DPT and TaI-DPT cannot be told apart"),
    ):
        comparisons = metrics["comparisons"] | {groups.CLIP_DPT_OVER: {"TaI-DPT": comparison}}
        assert expected in answers.inference(metrics | {"comparisons": comparisons})


def test_a_better_map_is_not_taken_for_a_better_top_k():
    metrics = committed("03_inference", "miniworld")
    assert "CLIP-DPT is first (54.8 %), not CoMC (53.5 %)" in answers.inference(metrics)
    best = metrics | {"top_k_f1": metrics["top_k_f1"] | {"CoMC, 3": 60.0}}
    text = answers.inference(best)
    assert "CoMC is first, too (60.0 %)" in text
    assert "not a better top-K" not in text


def test_scores_without_regions_are_set_beside_zero_shot_clip():
    metrics = committed("03_inference", "miniworld")
    assert "62.6 is below zero-shot CLIP's 65.0" in answers.inference(metrics)
    parts = metrics["parts"] | {"global only, mapping": 66.0}
    assert "66.0 is not below zero-shot CLIP's 65.0" in answers.inference(metrics | {"parts": parts})
    assert "egions" not in answers.inference(committed("03_inference", "coco500"))


def test_labels_are_found_wrong_or_missed():
    scores = np.array([[0.1, 0.9, 0.5, 0.3], [0.4, 0.3, 0.2, 0.1]])
    found = tables.labels_found(scores, [[1, 1, 0, 0], [0, 0, 0, 0]], "abcd", k=2)
    assert found["class"].tolist() == ["b", "c", "a", "a", "b"]
    assert found.outcome.tolist() == ["found", "wrong", "missed", "wrong", "wrong"]
    assert found.image.tolist() == [0, 0, 0, 1, 1]


def test_classes_without_a_positive_have_no_row():
    scores = np.array([[0.9, 0.1], [0.2, 0.3]])
    table = tables.ap_by_method({"CoMC": scores}, np.array([[1, 0], [0, 0]]), ["a", "b"])
    assert table.to_dict("records") == [{"class": "a", "positives": 1, "CoMC": 100.0}]


def test_tables_hold_what_metrics_say():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, (30, 4)), rng.random((30, 4))
    (row,) = tables.map_by_method({"CoMC": scores}, labels, seed=0).itertuples()
    assert row.mAP == pytest.approx(100 * mean_average_precision(scores, labels).value)
    assert row.low < row.mAP < row.high
    table = tables.top_k_by_method({"CoMC": scores}, labels, (1, 4))
    assert table.K.tolist() == [1, 4]
    assert table.recall.iloc[1] == 100


@pytest.mark.parametrize("n_classes", [20, 80])
def test_of_many_classes_the_largest_gains_and_losses_are_drawn(n_classes):
    gains = np.linspace(20, -10, n_classes)
    names = [f"class {i}" for i in range(n_classes)]
    frame = pd.DataFrame({"class": names, "positives": 3, "Zero-shot CLIP": 50.0, "CoMC": 50 + gains})
    figure = figures.average_precisions(frame)
    (axis,) = figure.axes
    drawn = [label.get_text() for label in axis.get_yticklabels()]
    expected = names if n_classes == 20 else names[:12] + names[-12:]
    assert drawn == [f"{name} (3)" for name in expected]
    assert (f"below in {(gains < 0).sum()}" in axis.get_xlabel()) == (n_classes == 80)
    plt.close(figure)


def test_missed_labels_are_written_below_an_image():
    found = tables.labels_found(np.arange(8.0)[None], np.array([[1] * 8]), list("abcdefgh"), k=3)
    images = [miniworld.render(scene) for scene in miniworld.miniworld_scenes("test", 1)]
    figure = figures.found_and_missed(images, found)
    written = [text.get_text() for text in figure.axes[0].texts]
    assert [text[2:] for text in written] == ["h", "g", "f", "e", "d", "c", "2 more"]
    assert len({text[0] for text in written[:3]}) == len({text[0] for text in written[3:]}) == 1
    assert written[0][0] != written[3][0]
    plt.close(figure)


def test_a_text_is_read_again():
    def of(text, *labels):
        return Record(text, labels, "somebody", "", 0)

    checks = text_checks(
        [of("A dog.", "dog"), of("A dog.", "dog", "cat"), of("A cow and a cat.", "cow")], VOC2007
    )
    assert checks["sentences"] == 3
    assert checks["distinct (%)"] == checks["names all its labels (%)"] == pytest.approx(200 / 3)
    assert checks["names no other (%)"] == pytest.approx(200 / 3)
    assert checks["distinct with 2 or more labels (%)"] == 100
    assert np.isnan(text_checks([of("A dog.", "dog")], VOC2007)["distinct with 2 or more labels (%)"])


def test_published_answers_become_answered_instructions(tmp_path):
    file = tmp_path / "raw.jsonl"
    file.write_text('{"labels": ["dog", "cat"], "captions": ["One.", "Two."]}\n', encoding="utf-8")
    (answered,) = read_answers(file)
    assert answered.labels == ("dog", "cat")
    assert answered.prompt.endswith("contains dog and cat")
    assert answered.answer == "One.\nTwo."


def test_dominant_objects_are_the_first_of_their_scenes():
    dominant = miniworld.dominant_objects("test", 30)
    labels = miniworld.load_miniworld("test", 30).labels
    assert (dominant <= labels).all()
    assert set(dominant.sum(1)) == {0, 1}  # 0 for a distractor
    for row, scene in zip(dominant, miniworld.miniworld_scenes("test", 30), strict=True):
        first = miniworld.shown_names(scene)[0]
        assert row.any() == (first in VOC2007.class_names)
        assert not row.any() or VOC2007.class_names[row.argmax()] == first
