"""mAP along alpha, in as little memory as one evaluation takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from comc_utils.evaluation.comparison import map_percent
from comc_utils.method.scores import ScoreComponents, Scores

_AT_ONCE = 10
"""Values of alpha that are scored together; all of them would fill memory on large data sets."""


def map_along_alpha(
    components: ScoreComponents,
    alphas: Sequence[float],
    labels: Int[np.ndarray, "n n_labels"],
    *,
    keep: Collection[float] = (),
) -> tuple[pd.DataFrame, dict[float, Float[np.ndarray, "n n_labels"]]]:
    """Score images at many values of alpha, each for the price of an addition.

    Parameters
    ----------
    components : ScoreComponents
        Scores before the fusion.
    alphas : sequence of float
        In [0, 1].
    labels : array of shape (n, N)
        0 or 1.
    keep : collection of float
        Values of alpha whose final scores are given back, too.

    Returns
    -------
    curves : pandas.DataFrame
        Columns alpha, score ("global", "regions" and "final"; "final" alone without regions), mAP in percent.
    finals : dict of float to array of shape (n, N)
        By the values of `keep`.

    References
    ----------
    CoMC (ICML 2024), eq. 6 to 12, Figure 3.
    """
    rows, finals = [], {}
    for alpha, scores in zip(alphas, along_alpha(components, alphas), strict=True):
        rows += [(alpha, kind, map_percent(values, labels)) for kind, values in _kinds(scores).items()]
        if alpha in keep:
            finals[alpha] = scores.final.numpy()
    return pd.DataFrame(rows, columns=["alpha", "score", "mAP"]), finals


def along_alpha(components: ScoreComponents, alphas: Sequence[float]) -> Iterator[Scores]:
    """Score images at many values of alpha, a few in memory at a time: otherwise `ScoreComponents.sweep`."""
    for first in range(0, len(alphas), _AT_ONCE):
        yield from components.sweep(alphas[first : first + _AT_ONCE])


def _kinds(scores: Scores) -> dict[str, Float[np.ndarray, "n n_labels"]]:
    if scores.aggregated is None:
        return {"final": scores.final.numpy()}
    return {
        "global": scores.global_scores.numpy(),
        "regions": scores.aggregated.numpy(),
        "final": scores.final.numpy(),
    }
