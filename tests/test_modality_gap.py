"""Measures of the gap on clouds whose answer is known, and the pairs of both profiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from torch.nn.functional import normalize

from comc_utils.errors import CoMCError
from comc_utils.evaluation import modality_gap
from comc_utils.evaluation.modality_gap import (
    gap,
    gap_difference,
    same_modality_neighbours,
    tsne,
)
from comc_utils.method.mapping import fuse, map_to_text
from comc_utils.method.presets import PAPER, RELEASED
from comc_utils.miniworld import N_PAIRS, load_miniworld, miniworld_scenes, scene_captions
from comc_utils.sources import load_experiment
from comc_utils.store.cache import EmbeddingCache

MEASURES = {
    "centroid distance",
    "probe accuracy",
    "recall, image to text",
    "recall, text to image",
    "cosine of pairs",
}


def cloud(*, n: int = 60, d: int = 8, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Unit vectors around 0, or around a point on the first axis."""
    points = np.random.default_rng(seed).normal(size=(n, d))
    points[:, 0] += shift
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def value(measure: str, images, texts, *, seed: int = 0) -> float:
    return gap(images, texts, seed=seed)[measure].value


def recalls(images, texts) -> tuple[float, float]:
    both = ("image to text", "text to image")
    return tuple(value(f"recall, {way}", images, texts) for way in both)


def test_identical_clouds_have_no_gap():
    points = cloud()
    assert value("centroid distance", points, points) == 0
    assert value("probe accuracy", points, points) == pytest.approx(0.5, abs=1e-12)
    assert recalls(points, points) == pytest.approx((1, 1), abs=1e-12)
    assert value("cosine of pairs", points, points) == pytest.approx(1)


def test_clouds_of_one_distribution_cannot_be_told_apart():
    accuracy = value("probe accuracy", cloud(n=400, seed=1), cloud(n=400, seed=2))
    assert 0.42 < accuracy < 0.58


def test_clouds_apart_are_told_apart():
    images, texts = cloud(shift=10), cloud(shift=-10, seed=1)
    assert value("probe accuracy", images, texts) == pytest.approx(1, abs=1e-12)
    assert 1.8 < value("centroid distance", images, texts) <= 2
    assert value("cosine of pairs", images, texts) < -0.8


def test_the_probe_has_not_seen_the_pairs_that_it_judges():
    # In 200 dimensions a hyperplane separates any 120 points: only held-out ones show that it means nothing.
    images, texts = cloud(d=200, seed=1), cloud(d=200, seed=2)
    assert value("probe accuracy", images, texts) < 0.75


def test_both_members_of_a_pair_are_held_out_together():
    # Near copies: with its copy in training, under the other answer, a point would be told wrong.
    texts = cloud(d=200, seed=1)
    images = normalize(torch.from_numpy(texts + 0.01 * cloud(d=200, seed=2)), dim=1)
    assert value("probe accuracy", images, texts) > 0.35


def test_centroid_distance_is_that_of_liang_et_al():
    images, texts = cloud(shift=1), cloud(seed=1)
    expected = np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0))
    assert value("centroid distance", images, texts) == pytest.approx(expected)
    opposite = np.eye(4)[[0, 1, 0, 1, 0, 1]]
    assert value("centroid distance", opposite, -opposite) == pytest.approx(np.sqrt(2))


def test_recall_counts_each_direction(monkeypatch):
    monkeypatch.setattr(modality_gap, "N_FOLDS", 3)
    texts = np.eye(3)
    images = np.eye(3)[[0, 0, 2]]
    # Image 1 lies on text 0. Text 0 has two nearest images, its own among them; text 1 ties with all.
    assert recalls(images, texts) == pytest.approx((2 / 3, (1 / 2 + 1 / 3 + 1) / 3))


def test_equal_captions_share_a_hit(monkeypatch):
    monkeypatch.setattr(modality_gap, "N_FOLDS", 4)
    texts = np.eye(3)[[0, 0, 1, 2]]
    images = np.eye(3)[[0, 0, 1, 2]]
    assert value("recall, image to text", images, texts) == pytest.approx(3 / 4)


def test_recall_is_chance_where_partners_are_shuffled():
    points = cloud(n=300)
    assert recalls(points, np.roll(points, 1, axis=0)) == (0, 0)


def test_gap_holds_the_measures_inside_their_intervals():
    images, texts = cloud(shift=2, n=100), cloud(shift=-0.5, seed=1, n=100)
    measured = gap(images, texts, seed=3)
    assert set(measured) == MEASURES
    cosines, own, both = images @ texts.T, np.arange(100), np.concatenate([images, texts])
    told = []
    for seen, left in KFold(5, shuffle=True, random_state=3).split(own):
        seen, left = (np.concatenate([rows, rows + 100]) for rows in (seen, left))
        probe = LogisticRegression(C=modality_gap.PROBE_C, max_iter=10_000)
        told += [*(probe.fit(both[seen], seen >= 100).predict(both[left]) == (left >= 100))]
    values = {
        "centroid distance": np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)),
        "probe accuracy": np.mean(told),
        "recall, image to text": (cosines.argmax(axis=1) == own).mean(),
        "recall, text to image": (cosines.argmax(axis=0) == own).mean(),
        "cosine of pairs": (images * texts).sum(axis=1).mean(),
    }
    for name, interval in measured.items():
        assert interval.value == pytest.approx(values[name], abs=1e-12), name
        assert interval.low <= interval.value <= interval.high, name
    assert measured["cosine of pairs"].low < measured["cosine of pairs"].high
    assert measured == gap(images, texts, seed=3)
    other = gap(images, texts, seed=4)
    for name in ("centroid distance", "cosine of pairs"):
        assert other[name].value == pytest.approx(measured[name].value, abs=1e-12)
        assert other[name].low != measured[name].low


def test_interval_of_a_mean_is_the_usual_one():
    images, texts = cloud(shift=2, n=400), cloud(shift=2, seed=1, n=400)
    interval = gap(images, texts, seed=0)["cosine of pairs"]
    half = 1.96 * (images * texts).sum(axis=1).std() / np.sqrt(400)
    assert interval.value - interval.low == pytest.approx(half, rel=0.15)
    assert interval.high - interval.value == pytest.approx(half, rel=0.15)


def test_difference_is_paired():
    texts = cloud(shift=-1, n=100)
    before = cloud(shift=2, seed=1, n=100)
    after = normalize(torch.from_numpy(0.7 * before + 0.3 * texts), dim=1)
    changes = gap_difference(before, after, texts, seed=0)
    first, second = gap(before, texts, seed=0), gap(after, texts, seed=0)
    for name, change in changes.items():
        assert change.value == pytest.approx(first[name].value - second[name].value, abs=1e-12)
        assert change.low <= change.value <= change.high, name
    cosine = changes["cosine of pairs"]
    assert cosine.high < 0 < changes["centroid distance"].low
    unpaired = first["cosine of pairs"].high - first["cosine of pairs"].low
    assert cosine.high - cosine.low < unpaired
    nothing = gap_difference(before, before, texts, seed=0)
    assert {tuple(interval) for interval in nothing.values()} == {(0, 0, 0)}


def test_alpha_one_is_no_mapping_and_less_brings_images_closer(real_data):
    experiment = load_experiment("coco500", data=real_data / "coco500")
    images, texts = experiment.image_text_pairs(100, seed=0)
    mapped = map_to_text(images, experiment.label_embeddings, tau=0.01, renormalise=True)
    distances = {}
    for alpha in (1.0, 0.7, 0.0):
        fused = normalize(fuse(images, mapped, alpha), dim=1)
        distances[alpha] = gap(fused, texts, seed=0)["centroid distance"].value
    assert distances[1.0] == pytest.approx(value("centroid distance", images, texts), abs=1e-6)
    assert distances[1.0] > distances[0.7] > distances[0.0]


def test_real_clip_has_a_gap_and_its_pairs_belong_together(real_data):
    experiment = load_experiment("coco500", data=real_data / "coco500")
    images, texts = experiment.image_text_pairs(300, seed=0)
    assert 0.8 < value("centroid distance", images, texts) < 0.9
    others, other_texts = experiment.image_text_pairs(300, seed=1)
    assert not torch.equal(images, others)
    assert value("cosine of pairs", images, texts) == pytest.approx(
        value("cosine of pairs", others, other_texts), abs=0.01
    )
    assert value("recall, image to text", images, texts) > 0.4
    with pytest.raises(
        CoMCError, match="coco500 has 497 image-text pairs, not 498; ask for fewer."
    ):
        experiment.image_text_pairs(498, seed=0)


@pytest.mark.parametrize("preset", [PAPER, RELEASED], ids=lambda preset: preset.name)
def test_pairs_of_the_embedded_world(preset, tmp_path):
    cache = EmbeddingCache(tmp_path)
    experiment = replace(load_experiment("miniworld", preset=preset, smoke=True), cache=cache)
    images, texts = experiment.image_text_pairs(20, seed=0)
    assert images.shape == texts.shape == (20, experiment.label_embeddings.shape[1])
    embedded = experiment.embed_images(load_miniworld("pairs", 20))
    assert torch.equal(images, embedded.with_position if preset is PAPER else embedded.global_)
    captions = scene_captions(miniworld_scenes("pairs", N_PAIRS))[:20]
    assert torch.equal(texts, experiment.embed_texts(captions))
    others, other_texts = experiment.image_text_pairs(20, seed=1)
    assert not torch.equal(images, others)
    assert not torch.equal(texts, other_texts)


def test_tsne_keeps_clouds_apart_and_follows_its_seed():
    images, texts = cloud(n=30, shift=10), cloud(n=30, shift=-10, seed=1)
    layout = tsne(images, texts, perplexity=10, seed=0)
    assert [points.shape for points in layout] == [(30, 2), (30, 2)]
    assert same_modality_neighbours(*layout) > 0.95
    again, other = (tsne(images, texts, perplexity=10, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(layout, again)
    assert not np.allclose(layout, other, atol=1)
    with pytest.raises(CoMCError, match="perplexity is 60; 30 pairs are 60 points"):
        tsne(images, texts, perplexity=60, seed=0)


def test_neighbours_are_a_half_where_modalities_are_mixed():
    rng = np.random.default_rng(0)
    mixed = same_modality_neighbours(rng.normal(size=(300, 2)), rng.normal(size=(300, 2)))
    assert mixed == pytest.approx(0.5, abs=0.05)
    apart = same_modality_neighbours(rng.normal(size=(30, 2)), 100 + rng.normal(size=(30, 2)))
    assert apart == 1
    # Each point's one nearest neighbour is its partner: no point is its own neighbour.
    images, texts = np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([[0.1, 0.0], [9.1, 0.0]])
    assert same_modality_neighbours(images, texts, n_neighbours=1) == 0


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (cloud(n=6), cloud(n=7), r"shape \(6, 8\) and text embeddings \(7, 8\); expected the same"),
        (cloud(n=6) * 0.9, cloud(n=6), "Row 0 of the image embeddings is no unit vector"),
        (cloud(n=6), cloud(n=6) * np.nan, "Row 0 of the text embeddings is no unit vector"),
        (cloud(n=4), cloud(n=4), "4 pairs cannot be split into 5 folds; give 5 or more."),
    ],
)
def test_what_cannot_be_measured_is_refused(images, texts, message):
    with pytest.raises(CoMCError, match=message):
        gap(images, texts, seed=0)
