"""Parts of figures: images in rows, points with intervals, labels beside lines and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from comc_utils.notebooks.figures.palette import MAIN


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
