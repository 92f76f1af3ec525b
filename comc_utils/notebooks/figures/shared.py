"""Parts of figures: images in rows, points with intervals, labels beside lines and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from comc_utils.notebooks.figures.palette import LEARNS_FROM, MAIN

_PLACES = (
    ((6, 0), "left", "center"), ((6, 4), "left", "center"), ((6, -4), "left", "center"),
    ((-6, 0), "right", "center"), ((0, 6), "center", "bottom"), ((0, -6), "center", "top"),
    ((2, 13), "left", "bottom"), ((2, -13), "left", "top"),
)  # fmt: skip
"""Where a label may stand, the best first: distance from its point, and alignment."""


def image_grid(
    images: Sequence[Image.Image], titles: Sequence[str], *, columns: int, cell: float = 1.25
) -> Figure:
    """Images in rows, each under its title.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
    titles : sequence of str
        One an image, '' for none.
    columns : int
        Images a row.
    cell : float
        Inches that an image takes on each side.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") + bool(title) for title in titles)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * cell, rows * (cell + 0.16 * lines)), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=8)
    return figure


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


def methods_with_intervals(axis: Axes, table: pd.DataFrame, names: Sequence[str]) -> None:
    """A line a method, the first on top: mAP with its interval, in the colour of what it learns from.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    table : pandas.DataFrame
        Columns method, learns_from, rate, mAP, low, high. Where the rate is "searched" the point is filled and
        stands below the others, which are hollow.
    names : sequence of str
        The methods.
    """
    names = list(names)[::-1]
    for row in table.itertuples():
        colour, searched = LEARNS_FROM[row.learns_from], row.rate == "searched"
        y = names.index(row.method) - 0.25 * searched
        axis.hlines(y, row.low, row.high, color=colour, lw=1)
        axis.plot(row.mAP, y, "o", ms=4, color=colour, mfc=colour if searched else "white")
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlabel("mAP (%)")


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


def label_points(
    axis: Axes, named: Mapping[str, tuple[float, float, str]], others: Sequence[tuple[float, float]]
) -> None:
    """Write each label beside its point, where it covers neither a point nor another label.

    Call it when limits and scales are those of the finished figure. A label for which there is no free place
    stands to the right of its point.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    named : mapping of str to (float, float, str)
        Label: x and y of its point, and the colour.
    others : sequence of (float, float)
        Points without a label.
    """
    axis.figure.draw_without_rendering()  # the layout is settled by drawing
    frame = axis.get_window_extent()
    points = [(x, y) for x, y, _ in named.values()] + list(others)
    taken = [Bbox.from_extents(*(c - 4), *(c + 4)) for c in axis.transData.transform(points)]
    # From the right, so that of neighbours the last one has the place beside it.
    for label, (x, y, colour) in sorted(named.items(), key=lambda item: (-item[1][0], item[1][1])):
        text = axis.annotate(label, (x, y), (0, 0), textcoords="offset points", fontsize=7, color=colour)
        for offset, ha, va in (*_PLACES, _PLACES[0]):
            text.set(position=offset, ha=ha, va=va)
            box = text.get_window_extent()
            inside = frame.contains(*box.min) and frame.contains(*box.max)
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)
