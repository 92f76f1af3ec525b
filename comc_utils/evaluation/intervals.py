"""The interval of a value over the resamples of a bootstrap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from comc_utils.errors import CoMCError


class Interval(NamedTuple):
    """A value with its bootstrap percentile interval."""

    value: float
    """Value on all images, each once."""
    low: float
    high: float


def percentile_interval(values: Float[np.ndarray, " r"], level: float = 0.95) -> Interval:
    """Give the interval that a bootstrap's resamples span, but for the same share of them at both ends.

    Parameters
    ----------
    values : ndarray of shape (1 + resamples,)
        The value on all images, each once; then that on each resample, NaN where it has none.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    Interval

    Raises
    ------
    CoMCError
        For a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise CoMCError(
            f"The interval's level is {level}; give a fraction between 0 and 1, such as 0.95."
        )
    samples = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=float(values[0]), low=float(low), high=float(high))
