"""Parts of figures: images in rows, points with intervals, labels beside lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from comc_utils.evaluation.claims import Claim, Judgement, Verdict
from comc_utils.notebooks.figures.palette import ACCENT, MAIN, MUTED

_VERDICT_COLOURS = {Verdict.HOLDS: MAIN, Verdict.FAILS: ACCENT, Verdict.WITHIN_NOISE: MUTED}


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


def forest_plot(judgements: Mapping[Claim, Judgement]) -> tuple[Figure, pd.DataFrame]:
    """Draw the differences behind the claims with their intervals, under each claim's statement.

    Parameters
    ----------
    judgements : mapping of Claim to Judgement

    Returns
    -------
    figure : matplotlib.figure.Figure
        Linear between -1 and 1, logarithmic beyond; coloured by what a difference says for its claim.
    data : pandas.DataFrame
        Columns claim, comparison, verdict, difference, low, high.
    """
    figure, axis = plt.subplots()
    axis.axvline(0, color="black", linewidth=0.8)
    rows, names, place = [], {}, 0
    for claim, judgement in judgements.items():
        differences = [f for f in judgement.findings if f.comparison is not None]
        if not differences:
            continue
        text = axis.annotate(
            claim.statement,
            (0.005, place + 0.12),
            xycoords=("figure fraction", "data"),
            annotation_clip=False,
            va="center",
            fontsize=7.5,
            fontweight="bold",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )
        text.set_in_layout(False)
        for finding in differences:
            place += 1
            c, colour = finding.comparison, _VERDICT_COLOURS[finding.verdict]
            axis.plot([c["low"], c["high"]], [place, place], color=colour, linewidth=1.6)
            axis.plot(c["difference"], place, "o", color=colour, markersize=4)
            names[place] = finding.name
            numbers = (c["difference"], c["low"], c["high"])
            rows.append((claim.identifier, finding.name, finding.verdict.value, *numbers))
        place += 1
    data = pd.DataFrame(rows, columns=["claim", "comparison", "verdict", "difference", "low", "high"])
    if data.empty:
        axis.set_title("no difference to show")
    left, right = (1.3 * min(-1, data.low.min()), 1.3 * max(1, data.high.max())) if rows else (-1, 1)
    ticks = [t for t in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if left <= t <= right]
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks], fontsize=8)
    axis.set_xlim(left, right)
    axis.set_xlabel("difference in points (centroid distance: in its own unit)", fontsize=9)
    axis.set_ylim(max(place, 1) - 0.4, -0.6)
    axis.set_yticks(list(names), list(names.values()), fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    figure.set_size_inches(6.4, 0.7 + 0.16 * max(place, 4))
    return figure, data
