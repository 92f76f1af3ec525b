"""Average precision, its mean over classes, top-K metrics, and bootstrap intervals.

Scores are of shape (n, N), n images by N classes, higher where a class is surer; labels are 0/1 of
the same shape. All values are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt
from numpy.typing import ArrayLike

from comc_utils.errors import CoMCError
from comc_utils.evaluation.intervals import Interval, percentile_interval

_RESAMPLES_AT_ONCE = 100


class MeanAP(NamedTuple):
    """Mean average precision, and over what it was taken."""

    value: float
    """mAP in [0, 1]."""
    n_classes: int
    """Classes in the mean."""
    left_out: tuple[int, ...]
    """Indices of the classes without a positive image, which have no AP."""


class TopK(NamedTuple):
    """Micro-averaged metrics of the K highest scores of each image, in [0, 1]."""

    precision: float
    recall: float
    f1: float


def average_precision_per_class(
    scores: Float[ArrayLike, "n n_labels"],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    left_out: Int[ArrayLike, "n n_labels"] | None = None,
) -> Float[np.ndarray, " n_labels"]:
    """Average precision of each class: the precision at each positive's rank, averaged.

    Images with equal scores share the lowest rank among them, as in scikit-learn's
    `average_precision_score`; there is no interpolation.

    Parameters
    ----------
    scores : array of shape (n, N)
    labels : array of shape (n, N)
        0 or 1.
    left_out : array of shape (n, N), optional
        1 where an image is neither positive nor negative for a class: the pair has no part in the
        class's ranking. Such a pair cannot be labelled 1.

    Returns
    -------
    numpy.ndarray of shape (N,)
        APs in [0, 1]; NaN for a class without positives.

    Raises
    ------
    CoMCError
        Where shapes differ, a score is NaN, a label or mark is neither 0 nor 1, or a pair left out is
        labelled 1.
    """
    return np.array([_average_precision(*of_class) for of_class in _classes(scores, labels, left_out)])


def mean_average_precision(
    scores: Float[ArrayLike, "n n_labels"],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    left_out: Int[ArrayLike, "n n_labels"] | None = None,
) -> MeanAP:
    """Mean of the classes' average precisions; classes without positives are left out and reported.

    Parameters
    ----------
    scores : array of shape (n, N)
    labels : array of shape (n, N)
        0 or 1.
    left_out : array of shape (n, N), optional
        1 where an image is neither positive nor negative for a class: the pair has no part in the
        class's ranking. Such a pair cannot be labelled 1.

    Returns
    -------
    MeanAP

    Raises
    ------
    CoMCError
        As `average_precision_per_class` does, and where no class has a positive.

    References
    ----------
    CoMC (ICML 2024), Tables 1 to 6.
    """
    per_class = average_precision_per_class(scores, labels, left_out=left_out)
    without_positive = np.flatnonzero(np.isnan(per_class))
    if without_positive.size == per_class.size:
        raise CoMCError(
            f"None of the {per_class.size} classes has a positive image, so there is no mAP; check the labels."
        )
    return MeanAP(
        value=float(np.nanmean(per_class)),
        n_classes=per_class.size - without_positive.size,
        left_out=tuple(without_positive.tolist()),
    )


def top_k_metrics(scores: Float[ArrayLike, "n n_labels"], labels: Int[ArrayLike, "n n_labels"], k: int) -> TopK:
    """Precision, recall and F1 of each image's k highest scores, micro-averaged over all images.

    Images without labels count. Of equal scores the class that comes first is taken.

    Parameters
    ----------
    scores : array of shape (n, N)
    labels : array of shape (n, N)
        0 or 1.
    k : int
        Labels predicted for each image, 1 to N.

    Returns
    -------
    TopK

    Raises
    ------
    CoMCError
        Where shapes differ, a score is NaN, a label is neither 0 nor 1, k is out of range, or there
        is no
        positive label.

    References
    ----------
    CoMC (ICML 2024), Table 2.
    """
    checked_scores, checked_labels = _check(scores, labels)
    n, n_labels = checked_scores.shape
    if not 1 <= k <= n_labels:
        raise CoMCError(f"k is {k}, but there are {n_labels} classes; choose 1 to {n_labels}.")
    n_positives = int(checked_labels.sum())
    if n_positives == 0:
        raise CoMCError("No image has a label, so there is no recall; check the labels.")
    hits = int((_highest(checked_scores, k) & checked_labels).sum())
    return TopK(
        precision=hits / (n * k),
        recall=hits / n_positives,
        f1=2 * hits / (n * k + n_positives),  # 2PR / (P + R), defined for hits = 0 too
    )


def bootstrap_map(
    scores: Float[ArrayLike, "n n_labels"],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    left_out: Int[ArrayLike, "n n_labels"] | None = None,
    seed: int,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Give mAP with a bootstrap percentile interval over images.

    A class that has no positive in a resample is left out of that resample's mean.

    Parameters
    ----------
    scores : array of shape (n, N)
    labels : array of shape (n, N)
        0 or 1.
    left_out : array of shape (n, N), optional
        Pairs without a part in their class's ranking, as in `mean_average_precision`.
    seed : int
    n_resamples : int
        Resamples of n images with replacement.
    level : float
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Interval

    Raises
    ------
    CoMCError
        As `mean_average_precision` does, and for a level outside (0, 1) or fewer than 2 resamples.

    References
    ----------
    Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 7, 1979.
    """
    values = _whole_and_resampled(scores, labels, left_out, seed, n_resamples)
    return percentile_interval(values, level)


def bootstrap_samples(
    scores: Float[ArrayLike, "n n_labels"],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    left_out: Int[ArrayLike, "n n_labels"] | None = None,
    seed: int,
    n_resamples: int = 1000,
) -> Float[np.ndarray, " r"]:
    """Give mAP on each bootstrap resample of the images.

    One seed gives one series of resamples, so that the samples of several methods are paired.

    Parameters
    ----------
    scores : array of shape (n, N)
    labels : array of shape (n, N)
        0 or 1.
    left_out : array of shape (n, N), optional
        Pairs without a part in their class's ranking, as in `mean_average_precision`.
    seed : int
    n_resamples : int
        Resamples of n images with replacement.

    Returns
    -------
    ndarray of shape (n_resamples,)
        In [0, 1]; NaN where a resample has no positive at all.

    Raises
    ------
    CoMCError
        As `mean_average_precision` does, and for fewer than 2 resamples.
    """
    columns = _classes(scores, labels, left_out)
    ranked = [_rank(*of_class) for of_class in columns if of_class[1].any()]
    counts = _resample_counts(len(columns[0][0]), n_resamples, seed)
    return np.concatenate([_mean_ap(ranked, chunk) for chunk in counts])


def bootstrap_map_difference(
    scores_a: Float[ArrayLike, "n n_labels"],
    scores_b: Float[ArrayLike, "n n_labels"],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    left_out: Int[ArrayLike, "n n_labels"] | None = None,
    seed: int,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Give one method's mAP minus another's, with a paired bootstrap interval over images.

    Both methods see the same resamples, so what makes an image hard for both cancels.

    Parameters
    ----------
    scores_a, scores_b : array of shape (n, N)
        Scores of the two methods for the same images and classes.
    labels : array of shape (n, N)
        0 or 1.
    left_out : array of shape (n, N), optional
        Pairs without a part in their class's ranking, as in `mean_average_precision`.
    seed : int
    n_resamples : int
        Resamples of n images with replacement.
    level : float
        Coverage of the interval, in (0, 1).

    Returns
    -------
    Interval
        In [-1, 1]; above 0 where the first method is better.

    Raises
    ------
    CoMCError
        As `bootstrap_map` does.
    """
    first, second = (
        _whole_and_resampled(scores, labels, left_out, seed, n_resamples) for scores in (scores_a, scores_b)
    )
    return percentile_interval(first - second, level)


def _whole_and_resampled(
    scores: ArrayLike, labels: ArrayLike, left_out: ArrayLike | None, seed: int, n_resamples: int
) -> Float[np.ndarray, " r"]:
    whole = mean_average_precision(scores, labels, left_out=left_out).value
    samples = bootstrap_samples(scores, labels, left_out=left_out, seed=seed, n_resamples=n_resamples)
    return np.concatenate([[whole], samples])


class _RankedClass(NamedTuple):
    """One class's images from the highest score down, reduced to what a weighted AP needs."""

    order: np.ndarray
    """Image at each rank, (n,), without those left out."""
    positives: np.ndarray
    """Ranks of the positives, (P,)."""
    last_of_tie: np.ndarray
    """For each positive, the last rank with the same score, (P,)."""
    last_positive_of_tie: np.ndarray
    """For each positive, the last position in `positives` with the same score, (P,)."""


def _rank(scores: np.ndarray, labels: np.ndarray, kept: np.ndarray | None) -> _RankedClass:
    order = np.argsort(-scores, kind="stable")
    if kept is not None:
        order = order[kept[order]]
    negated = -scores[order]
    positives = np.flatnonzero(labels[order])
    last_of_tie = np.searchsorted(negated, negated[positives], side="right") - 1
    return _RankedClass(
        order=order,
        positives=positives,
        last_of_tie=last_of_tie,
        last_positive_of_tie=np.searchsorted(positives, last_of_tie, side="right") - 1,
    )


def _highest(scores: np.ndarray, k: int) -> Bool[np.ndarray, "n n_labels"]:
    """Mark each image's k highest scores, of equal ones those that come first."""
    kth = np.partition(scores, -k, axis=1)[:, -k, None]  # several times as fast as sorting
    marked = scores >= kth
    crowded = np.count_nonzero(marked, axis=1) > k
    if crowded.any():
        above, tied = (scores > kth)[crowded], (scores == kth)[crowded]
        room = k - np.count_nonzero(above, axis=1, keepdims=True)
        marked[crowded] = above | (tied & (tied.cumsum(axis=1) <= room))
    return marked


def _average_precision(scores: np.ndarray, labels: np.ndarray, kept: np.ndarray | None) -> float:
    if not labels.any():
        return float("nan")
    if kept is not None:
        scores, labels = scores[kept], labels[kept]
    # Of the negatives only the number above each positive counts. So values are sorted, which takes a
    # fraction of the time of finding the images' order.
    ascending, positives = np.sort(scores), np.sort(scores[labels])
    from_highest = positives[::-1]
    retrieved = len(ascending) - np.searchsorted(ascending, from_highest)
    hits = len(positives) - np.searchsorted(positives, from_highest)
    return float((hits / retrieved).mean())


def _weighted_ap(ranked: _RankedClass, weights: UInt[np.ndarray, "n r"]) -> Float[np.ndarray, " r"]:
    # An image of weight w counts as w images of one score; sorting once serves every resample.
    positive_weights = weights[ranked.order[ranked.positives]].T.astype(np.float64)
    # How many are retrieved matters at the ends of ties with a positive alone, so that between them images are
    # summed up, small integers of all resamples side by side.
    ends, end_of = np.unique(ranked.last_of_tie, return_inverse=True)
    starts = np.concatenate([[0], ends[:-1] + 1])
    between = np.add.reduceat(weights[ranked.order[: ends[-1] + 1]], starts, axis=0, dtype=np.int32)
    retrieved = between.cumsum(axis=0)[end_of].T
    hits = positive_weights.cumsum(axis=1)[:, ranked.last_positive_of_tie]
    precision = hits / np.maximum(retrieved, 1)  # nothing retrieved: the positive itself has weight 0
    total = positive_weights.sum(axis=1)
    ap = (positive_weights * precision).sum(axis=1) / np.maximum(total, 1)
    return np.where(total > 0, ap, np.nan)


def _mean_ap(ranked: list[_RankedClass], weights: np.ndarray) -> np.ndarray:
    per_class = np.stack([_weighted_ap(r, weights) for r in ranked])  # (N, r)
    present = ~np.isnan(per_class)
    n_present = present.sum(axis=0)
    sums = np.where(present, per_class, 0.0).sum(axis=0)
    return np.where(n_present > 0, sums / np.maximum(n_present, 1), np.nan)


def _resample_counts(n: int, n_resamples: int, seed: int) -> Iterator[UInt[np.ndarray, "n r"]]:
    if n_resamples < 2:
        raise CoMCError(f"n_resamples is {n_resamples}; an interval needs 2 or more (1000 is usual).")
    rng = np.random.default_rng(seed)
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, n_resamples - start)
        draws = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)
        yield np.ascontiguousarray(counts.T.astype(np.min_scalar_type(counts.max())))


def _check(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    score_array = np.asarray(scores)
    if score_array.dtype != np.float32:  # sorted as they are: only their order counts
        score_array = score_array.astype(np.float64, copy=False)
    label_array = np.asarray(labels)
    if score_array.ndim != 2 or score_array.shape != label_array.shape or not score_array.size:
        raise CoMCError(
            f"Scores have the shape {score_array.shape} and labels {label_array.shape}; expected "
            "the same non-empty shape (n, N) for both."
        )
    nan = np.argwhere(np.isnan(score_array))
    if nan.size:
        raise CoMCError(
            f"{len(nan)} of {score_array.size} scores are NaN, the first for image {nan[0][0]}, class "
            f"{nan[0][1]} (counted from 0); check the embeddings that were scored."
        )
    binary = (label_array == 0) | (label_array == 1)
    if not binary.all():
        found = np.unique(label_array[~binary])[0]
        raise CoMCError(f"Labels must be 0 or 1, but {found} is among them; convert them first.")
    return score_array, label_array.astype(bool)


def _classes(
    scores: ArrayLike, labels: ArrayLike, left_out: ArrayLike | None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Each class's scores, labels, and the images that its ranking keeps; None where it keeps them all."""
    checked_scores, checked_labels = _check(scores, labels)
    # Turned once: a class's scores side by side in memory are sorted several times as fast.
    by_class = np.ascontiguousarray(checked_scores.T), np.ascontiguousarray(checked_labels.T)
    return [*zip(*by_class, _kept(left_out, checked_labels), strict=True)]


def _kept(left_out: ArrayLike | None, labels: np.ndarray) -> Iterable[np.ndarray | None]:
    if left_out is None:
        return repeat(None, labels.shape[1])
    marks = np.asarray(left_out)
    if marks.shape != labels.shape:
        raise CoMCError(
            f"The pairs left out have the shape {marks.shape} and labels {labels.shape}; expected the same."
        )
    if not np.isin(marks, (0, 1)).all():
        raise CoMCError("The pairs left out must be marked by 0 or 1; convert them first.")
    both = np.argwhere(marks.astype(bool) & labels)
    if both.size:
        raise CoMCError(
            f"{len(both)} pairs are left out and labelled 1, the first of image {both[0][0]}, class "
            f"{both[0][1]} (counted from 0); a pair can be only one of both."
        )
    return ~marks.T.astype(bool)
