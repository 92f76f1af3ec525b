"""Metrics against scikit-learn and literal loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from comc_utils.errors import CoMCError
from comc_utils.evaluation.metrics import (
    average_precision_per_class,
    bootstrap_map,
    bootstrap_map_difference,
    mean_average_precision,
    top_k_metrics,
)


def _average_precision(scores, labels) -> float:
    """Of one class, as a data set with no other has it."""
    (value,) = average_precision_per_class(np.c_[scores], np.c_[labels])
    return value


def _problem(seed: int, n: int = 40, n_labels: int = 6, *, ties: bool = False) -> tuple:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, n_labels)) < 0.3).astype(int)
    labels[0] = 1
    scores = rng.normal(size=(n, n_labels)) + labels
    return (scores.round() if ties else scores), labels


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
@pytest.mark.parametrize("seed", range(5))
def test_map_is_scikit_learns(seed: int, ties: bool) -> None:
    scores, labels = _problem(seed, ties=ties)
    expected = average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(average_precision_per_class(scores, labels), expected, rtol=1e-12)
    mean = mean_average_precision(scores, labels)
    assert mean.value == pytest.approx(expected.mean(), rel=1e-12)
    assert (mean.n_classes, mean.left_out) == (6, ())


@given(
    scores=arrays(np.float64, 12, elements=st.integers(-3, 3).map(float)),
    labels=arrays(np.int64, 12, elements=st.integers(0, 1)),
)
def test_ap_is_scikit_learns_for_any_input(scores: np.ndarray, labels: np.ndarray) -> None:
    assume(labels.any())
    expected = average_precision_score(labels, scores)
    assert _average_precision(scores, labels) == pytest.approx(expected, rel=1e-12)


def test_ap_by_hand() -> None:
    # Positives at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    assert _average_precision([9, 8, 7, 6, 5], [1, 0, 1, 1, 0]) == pytest.approx(
        (1 + 2 / 3 + 3 / 4) / 3
    )


@given(seed=st.integers(0, 1000), order=st.permutations(range(10)), ties=st.booleans())
def test_map_does_not_depend_on_the_order_of_images(
    seed: int, order: list[int], ties: bool
) -> None:
    scores, labels = _problem(seed, n=10, ties=ties)
    permuted = mean_average_precision(scores[order], labels[order])
    assert permuted.value == pytest.approx(mean_average_precision(scores, labels).value, rel=1e-12)


@given(seed=st.integers(0, 1000))
def test_map_does_not_depend_on_an_increasing_change_of_scores(seed: int) -> None:
    scores, labels = _problem(seed)
    changed = mean_average_precision(np.exp(scores) * 3 + 1, labels)
    assert changed.value == pytest.approx(mean_average_precision(scores, labels).value, rel=1e-12)


def test_classes_without_positives_are_left_out_and_reported() -> None:
    scores, labels = _problem(0)
    labels[:, [1, 4]] = 0
    per_class = average_precision_per_class(scores, labels)
    assert np.flatnonzero(np.isnan(per_class)).tolist() == [1, 4]
    mean = mean_average_precision(scores, labels)
    assert (mean.n_classes, mean.left_out) == (4, (1, 4))
    kept = [0, 2, 3, 5]
    assert mean.value == pytest.approx(
        mean_average_precision(scores[:, kept], labels[:, kept]).value
    )


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
def test_pairs_left_out_have_no_part_in_their_class(ties: bool) -> None:
    scores, labels = _problem(5, ties=ties)
    left_out = (np.random.default_rng(6).random(labels.shape) < 0.3) & (labels == 0)
    expected = [
        average_precision_score(labels[~out, c], scores[~out, c])
        for c, out in enumerate(left_out.T)
    ]
    found = average_precision_per_class(scores, labels, left_out=left_out)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    mean = mean_average_precision(scores, labels, left_out=left_out.astype(np.uint8))
    assert mean.value == pytest.approx(np.mean(expected), rel=1e-12)
    assert mean.value > mean_average_precision(scores, labels).value


def test_pairs_left_out_are_left_out_of_each_resample() -> None:
    scores, labels = _problem(1, n=30)
    left_out = (np.random.default_rng(6).random(labels.shape) < 0.3) & (labels == 0)
    interval = bootstrap_map(scores, labels, left_out=left_out, seed=4, n_resamples=100)
    rows = np.random.default_rng(4).integers(30, size=(100, 30))
    anew = [mean_average_precision(scores[r], labels[r], left_out=left_out[r]).value for r in rows]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(anew, [0.025, 0.975]))
    assert interval.value == mean_average_precision(scores, labels, left_out=left_out).value
    difference = bootstrap_map_difference(
        scores, 0 * scores, labels, left_out=left_out, seed=4, n_resamples=100
    )
    nothing = mean_average_precision(0 * scores, labels, left_out=left_out).value
    assert difference.value == interval.value - nothing


@pytest.mark.parametrize("k", [1, 3, 6])
def test_top_k_is_a_literal_loop(k: int) -> None:
    scores, labels = _problem(3)
    labels[5:9] = 0  # images without labels count
    hits = predicted = positives = 0
    for image in range(len(scores)):
        chosen = sorted(range(6), key=lambda c: scores[image, c], reverse=True)[:k]
        hits += sum(labels[image, c] for c in chosen)
        predicted += k
        positives += sum(labels[image])
    found = top_k_metrics(scores, labels, k)
    precision, recall = hits / predicted, hits / positives
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_top_k_without_a_hit_has_an_f1_of_zero() -> None:
    assert top_k_metrics([[1.0, 0.0]], [[0, 1]], 1) == (0.0, 0.0, 0.0)


def test_top_k_breaks_ties_by_the_order_of_classes() -> None:
    assert top_k_metrics([[1.0, 1.0]], [[1, 0]], 1).precision == 1.0


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
def test_bootstrap_equals_scoring_each_resample_anew(ties: bool) -> None:
    scores, labels = _problem(1, n=30, ties=ties)
    labels[1:, 2] = 0  # one positive: more than a third of the resamples miss it
    interval = bootstrap_map(scores, labels, seed=4, n_resamples=150, level=0.9)
    rng = np.random.default_rng(4)
    rows = np.concatenate([rng.integers(30, size=(100, 30)), rng.integers(30, size=(50, 30))])
    anew = [mean_average_precision(scores[r], labels[r]).value for r in rows]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(anew, [0.05, 0.95]), rel=1e-9)
    assert interval.value == mean_average_precision(scores, labels).value


def test_paired_bootstrap_equals_scoring_both_on_each_resample() -> None:
    first, labels = _problem(1, n=30)
    second = first + np.random.default_rng(0).normal(size=first.shape)
    interval = bootstrap_map_difference(first, second, labels, seed=4, n_resamples=100)
    rows = np.random.default_rng(4).integers(30, size=(100, 30))
    anew = [
        mean_average_precision(first[r], labels[r]).value
        - mean_average_precision(second[r], labels[r]).value
        for r in rows
    ]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(anew, [0.025, 0.975]))
    same = bootstrap_map_difference(first, first, labels, seed=0, n_resamples=10)
    assert same == (0.0, 0.0, 0.0)


def test_bootstrap_depends_on_its_seed_alone() -> None:
    scores, labels = _problem(2)
    first = bootstrap_map(scores, labels, seed=0, n_resamples=50)
    np.random.seed(3)  # the global generator has no say
    assert bootstrap_map(scores, labels, seed=0, n_resamples=50) == first
    assert bootstrap_map(scores, labels, seed=1, n_resamples=50) != first


def test_bootstrap_interval_covers_the_value_and_widens_with_its_level() -> None:
    scores, labels = _problem(2, n=400)
    narrow = bootstrap_map(scores, labels, seed=0, level=0.5)
    wide = bootstrap_map(scores, labels, seed=0, level=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


SCORES, LABELS = np.array([[0.5, 0.2], [0.1, 0.9]]), np.array([[1, 0], [0, 1]])
NAN_SCORES = np.array([[0.5, 0.2], [0.1, np.nan]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _average_precision([np.nan, 1.0], [0, 1]), "NaN, the first for image 0, class 0"),
        (lambda: mean_average_precision(NAN_SCORES, LABELS), "NaN, the first for image 1, class 1"),
        (lambda: top_k_metrics(NAN_SCORES, LABELS, 1), "NaN"),
        (lambda: bootstrap_map(NAN_SCORES, LABELS, seed=0), "NaN"),
        (
            lambda: bootstrap_map_difference(SCORES, NAN_SCORES, LABELS, seed=0),
            "NaN",
        ),
        (lambda: mean_average_precision(SCORES, LABELS[:1]), r"\(2, 2\) and labels \(1, 2\)"),
        (lambda: average_precision_per_class([0.5], [1]), r"non-empty shape \(n, N\)"),
        (lambda: mean_average_precision(SCORES[:0], LABELS[:0]), "non-empty"),
        (lambda: mean_average_precision(SCORES, 2 * LABELS - 1), "0 or 1, but -1"),
        (lambda: mean_average_precision(SCORES, 0 * LABELS), "None of the 2 classes"),
        (
            lambda: mean_average_precision(SCORES, LABELS, left_out=LABELS[:1]),
            r"left out have the shape \(1, 2\) and labels \(2, 2\)",
        ),
        (lambda: mean_average_precision(SCORES, LABELS, left_out=LABELS + 1), "marked by 0 or 1"),
        (
            lambda: mean_average_precision(SCORES, LABELS, left_out=[[0, 1], [0, 1]]),
            "1 pairs are left out and labelled 1, the first of image 1, class 1",
        ),
        (lambda: top_k_metrics(SCORES, 0 * LABELS, 1), "No image has a label"),
        (lambda: top_k_metrics(SCORES, LABELS, 3), "k is 3"),
        (lambda: top_k_metrics(SCORES, LABELS, 0), "k is 0"),
        (lambda: bootstrap_map(SCORES, LABELS, seed=0, level=95), "level is 95"),
        (lambda: bootstrap_map(SCORES, LABELS, seed=0, n_resamples=1), "n_resamples is 1"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        call()
