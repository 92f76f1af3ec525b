"""How good tags are: F1 over photos, and whether a score is the probability that it says."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

N_BINS = 15
"""Of the expected calibration error."""


def f1_of_tags(
    tags: Bool[np.ndarray, "n n_labels"], labels: Bool[np.ndarray, "n n_labels"]
) -> tuple[float, float]:
    """F1 in percent.

    Parameters
    ----------
    tags, labels : ndarray of bool [n, N]
        What was tagged, and what is there.

    Returns
    -------
    micro : float
        Of all tags together.
    macro : float
        Mean over labels; 0 for one that is neither tagged nor there.
    """
    right, tagged, there = (part.sum(axis=0) for part in (tags & labels, tags, labels))
    by_label = 2 * right / np.maximum(tagged + there, 1)
    micro = 200 * right.sum() / max(tagged.sum() + there.sum(), 1)
    return float(micro), float(100 * by_label.mean())


def calibration_error(scores: Float[np.ndarray, "n n_labels"], labels: Bool[np.ndarray, "n n_labels"]) -> float:
    """Expected calibration error in percent: over bins of equal width, by how much the mean score is off.

    Parameters
    ----------
    scores : ndarray [n, N]
        In [0, 1].
    labels : ndarray of bool [n, N]

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017, eq. 3.
    """
    bins = np.minimum((scores * N_BINS).astype(int), N_BINS - 1)
    off = [abs((scores - labels)[bins == b].sum()) for b in range(N_BINS)]
    return float(100 * sum(off) / scores.size)
