"""Parts of figures: points with intervals, labels beside lines and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from comc_utils.notebooks.figures.palette import MAIN


def dots_with_intervals(
    axis: Axes,
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    colours: Sequence[str] | None = None,
) -> None:
    """A line a name, the first on top: a point with its 95 % interval and the value written beside it.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    names : sequence of str
    values, lows, highs : sequence of float
        In percent.
    colours : sequence of str, optional
        Of the points; `palette.MAIN` by default.
    """
    places = np.arange(len(names))[::-1]
    colours = [MAIN] * len(names) if colours is None else list(colours)
    # Lines rather than error bars: a bootstrap interval of few images need not hold the value.
    axis.hlines(places, lows, highs, color=colours, linewidth=2)
    axis.scatter(values, places, color=colours, s=30, zorder=3)
    for place, value in zip(places, values, strict=True):
        axis.annotate(
            f"{value:.1f}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    axis.set_yticks(places, names)
    axis.set_ylim(-0.6, len(names) - 0.3)


def spread_labels(heights: Mapping[str, float], *, gap: float) -> dict[str, float]:
    """Heights for labels at the ends of lines, moved apart where they would overlap.

    Parameters
    ----------
    heights : mapping of str to float
        Label: where its line ends.
    gap : float
        Smallest distance between two labels, in the axis's unit.

    Returns
    -------
    dict of str to float
        In the order of height; the lowest label stays where it is.
    """
    placed: dict[str, float] = {}
    below = -np.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = below = max(height, below + gap)
    return placed
