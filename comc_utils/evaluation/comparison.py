"""One method against another: a difference in mAP with what chance could do to it.

Two kinds of chance: other images (paired bootstrap) and other seeds (the spread of the same difference). A
verdict needs both, never a bare difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.stats import t as student

from comc_utils.errors import CoMCError
from comc_utils.evaluation.metrics import (
    bootstrap_map,
    bootstrap_map_difference,
    mean_average_precision,
    top_k_metrics,
)


class Comparison(TypedDict):
    """A first method minus a second one, in points (percent of mAP, or what else was measured)."""

    difference: float
    """With the first seed."""
    low: float
    """95 % interval of the difference over images, paired."""
    high: float
    over_seeds: list[float]
    """The difference with each seed, the first included; empty where nothing is random."""


def map_percent(scores: Float[ArrayLike, "n n_labels"], labels: Int[ArrayLike, "n n_labels"]) -> float:
    """`mean_average_precision` in percent, as the paper's tables give it.

    Parameters
    ----------
    scores, labels : array of shape (n, N)

    Returns
    -------
    float
        In [0, 100].
    """
    return 100 * mean_average_precision(scores, labels).value


def compare(
    first: Sequence[Float[ArrayLike, "n n_labels"]],
    second: Sequence[Float[ArrayLike, "n n_labels"]],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    seed: int,
) -> Comparison:
    """Compare two methods' mAP on the same images.

    Parameters
    ----------
    first, second : sequence of array of shape (n, N)
        Scores, one array a seed; a method without chance gives one array, which is used with every seed
        of the other.
    labels : array of shape (n, N)
        0 or 1.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Comparison
        Rounded to 4 digits: a ten-thousandth of a point.

    Raises
    ------
    CoMCError
        As `bootstrap_map_difference`; and where both have several seeds, but not the same number.
    """
    lengths = {len(first), len(second)} - {1}
    if not first or not second or len(lengths) > 1:
        raise CoMCError(
            f"{len(first)} seeds of the first method cannot be paired with {len(second)} of the "
            "second; give the same number, or one for a method without chance."
        )
    interval = bootstrap_map_difference(first[0], second[0], labels, seed=seed)
    over_seeds = []
    if lengths:
        n_seeds = lengths.pop()
        maps = [[map_percent(scores, labels) for scores in method] for method in (first, second)]
        a, b = (values * n_seeds if len(values) == 1 else values for values in maps)
        over_seeds = [round(x - y, 4) for x, y in zip(a, b, strict=True)]
    return Comparison(
        difference=round(100 * interval.value, 4),
        low=round(100 * interval.low, 4),
        high=round(100 * interval.high, 4),
        over_seeds=over_seeds,
    )


def compare_steps(
    scores: Mapping[str, Sequence[Float[ArrayLike, "n n_labels"]]],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    seed: int,
) -> dict[str, Comparison]:
    """Compare each with the one before it.

    Parameters
    ----------
    scores : mapping of str to sequence of array of shape (n, N)
        What is compared, in order; of each one array a seed, as `compare` takes them.
    labels : array of shape (n, N)
        0 or 1.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to Comparison
        "b over a" where b follows a; empty for fewer than two.

    Raises
    ------
    CoMCError
        As `compare`.
    """
    return {
        f"{later} over {earlier}": compare(scores[later], scores[earlier], labels, seed=seed)
        for earlier, later in pairwise(scores)
    }


def compare_each(
    first: Sequence[Float[ArrayLike, "n n_labels"]],
    others: Mapping[str, Sequence[Float[ArrayLike, "n n_labels"]]],
    labels: Int[ArrayLike, "n n_labels"],
    *,
    seed: int,
) -> dict[str, Comparison]:
    """Compare one method's mAP with that of each other on the same images: see `compare`.

    Parameters
    ----------
    first : sequence of array of shape (n, N)
        Scores, one array a seed.
    others : mapping of str to sequence of array of shape (n, N)
        By name.
    labels : array of shape (n, N)
        0 or 1.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to Comparison
        The first minus each other.
    """
    return {name: compare(first, other, labels, seed=seed) for name, other in others.items()}


def map_over_seeds(
    scores: Sequence[Float[ArrayLike, "n n_labels"]], labels: Int[ArrayLike, "n n_labels"], *, seed: int
) -> dict[str, float]:
    """Mean over seeds of mAP and of its interval, in percent, as a row of a table.

    Parameters
    ----------
    scores : sequence of array of shape (n, N)
        One array a seed; one alone of a method without chance.
    labels : array of shape (n, N)
        0 or 1.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to float
        "mAP"; "low" and "high" of the 95 % interval over images; "spread", the standard deviation over seeds.
    """
    intervals = [bootstrap_map(of_seed, labels, seed=seed) for of_seed in scores]
    values, low, high = (100 * np.array(part) for part in zip(*intervals, strict=True))
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    means = {"mAP": values.mean(), "low": low.mean(), "high": high.mean(), "spread": spread}
    return {name: float(value) for name, value in means.items()}


def over_seeds(differences: Float[np.ndarray, " n_seeds"]) -> tuple[float, float, float]:
    """Mean of a difference over seeds with its 95 % t interval.

    Parameters
    ----------
    differences : array of shape (seeds,)

    Returns
    -------
    mean, low, high : float
        The ends are NaN for one seed, which has no spread.
    """
    n = len(differences)
    half = student.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return differences.mean(), differences.mean() - half, differences.mean() + half


def top_k_over_seeds(
    scores: Sequence[Float[ArrayLike, "n n_labels"]],
    labels: Int[ArrayLike, "n n_labels"],
    ks: Sequence[int] = (3, 5),
) -> pd.DataFrame:
    """Mean over seeds of precision, recall and F1 of the K highest scores, in percent.

    Parameters
    ----------
    scores : sequence of array of shape (n, N)
        One array a seed; one alone of a method without chance.
    labels : array of shape (n, N)
        0 or 1.
    ks : sequence of int
        3 and 5 by default, as in Table 2.

    Returns
    -------
    pandas.DataFrame
        A row a K: columns K, precision, recall, F1.
    """
    of_seeds = {k: np.mean([top_k_metrics(of_seed, labels, k) for of_seed in scores], axis=0) for k in ks}
    rows = [(k, *100 * values) for k, values in of_seeds.items()]
    return pd.DataFrame(rows, columns=["K", "precision", "recall", "F1"])
