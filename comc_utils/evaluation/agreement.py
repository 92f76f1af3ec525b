"""What scores say of themselves without a label: criteria by which settings could be chosen.

All are the higher the better, by their own lights. Whether one predicts the order of methods is an experiment,
which notebook 13 makes where labels are at hand.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from comc_utils.evaluation.comparison import map_percent

Scores = Float[np.ndarray, "n n_labels"]


def agreement(first: Scores, second: Scores) -> tuple[float, float]:
    """Compare scores of the same images from two views that share no coordinate.

    Parameters
    ----------
    first, second : ndarray of shape (n, N)

    Returns
    -------
    plain : float
        Mean over classes of the rank correlation over images, in [-1, 1].
    specific : float
        The same, minus the mean rank correlation of a class in one view with another class in the other view:
        what two views have in common for a class that they do not have in common for any.
    """
    ranks = [rankdata(view, axis=0) for view in (first, second)]
    centred = [view - view.mean(axis=0) for view in ranks]
    unit = [view / np.maximum(np.linalg.norm(view, axis=0), 1e-12) for view in centred]
    correlations = unit[0].T @ unit[1]  # (N, N)
    n_labels = len(correlations)
    plain = np.trace(correlations) / n_labels
    across = (correlations.sum() - np.trace(correlations)) / max(1, n_labels * (n_labels - 1))
    return float(plain), float(plain - across)


def certainty(scores: Scores) -> float:
    """Negative mean entropy, in nats, of the softmax over classes of scores in units of their deviation."""
    units = scores / max(scores.std(), 1e-12)
    shares = np.exp(units - units.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return float((shares * np.log(shares + 1e-12)).sum(axis=1).mean())


def separation(scores: Scores) -> float:
    """Mean over classes of the share of variance, in [0, 1], between the groups that the best threshold makes.

    References
    ----------
    Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    ordered = np.sort(scores, axis=0)
    n = len(ordered)
    below = np.arange(1, n)[:, None]
    sums = ordered.cumsum(axis=0)
    apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / (n - below)
    between = (below * (n - below) / n**2 * apart**2).max(axis=0)
    return float(np.mean(between / np.maximum(ordered.var(axis=0), 1e-12)))


def continuity(scores: Scores, neighbours: Int[np.ndarray, "n few"]) -> float:
    """Mean over classes of the rank correlation of an image's score with the mean rank of its neighbours'."""
    ranks = rankdata(scores, axis=0)
    return agreement(ranks, ranks[neighbours].mean(axis=1))[0]


def agreement_with_all(
    family: Mapping[str, Scores], expected: Int[np.ndarray, " n_labels"]
) -> dict[str, float]:
    """Score each member of a family by the labels that all together would give.

    Parameters
    ----------
    family : mapping of str to ndarray of shape (n, N)
    expected : ndarray of shape (N,)
        So many images are taken for each class: those of the highest mean rank.

    Returns
    -------
    dict of str to float
        mAP in percent.
    """
    ranks = sum(rankdata(scores, axis=0) for scores in family.values())
    places = rankdata(-ranks, axis=0, method="ordinal")
    taken = (places <= expected).astype(np.uint8)
    return {name: map_percent(scores, taken) for name, scores in family.items()}
