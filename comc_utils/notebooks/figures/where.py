"""Figures of where labels are seen: regions' scores on photos, and what corrections are worth."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from PIL import Image

from comc_utils.evaluation.where import Box, RegionScores, Resize
from comc_utils.notebooks.figures.palette import ACCENT, MAIN, MUTED

_HEAT = LinearSegmentedColormap.from_list("heat", [(*to_rgba(ACCENT)[:3], 0.0), (*to_rgba(ACCENT)[:3], 0.8)])


def regions_on(
    photos: Sequence[tuple[Image.Image, str, RegionScores | Float[ArrayLike, " k"]]],
    *,
    resize: Resize = "crop",
    grid: bool = False,
    boxes: Sequence[Box] = (),
    columns: int = 4,
) -> Figure:
    """Draw the scores of regions over photos, and frame the highest.

    Parameters
    ----------
    photos : sequence of (PIL.Image.Image, str, RegionScores or array [K])
        With a title for each, such as the label; scores as `tagging.where.where` gives them, or of K regions
        row by row from the top left.
    resize : {"crop", "plain"}
        How the tower was shown the photos, for scores that do not say which part of a photo they are of.
    grid : bool
        Also draw the regions' borders and write their scores.
    boxes : sequence of tuple of float, optional
        Where the object is, for each photo: left, top, right, bottom, in pixels; dashed.
    columns : int
        Photos a row.

    Returns
    -------
    matplotlib.figure.Figure
        The stronger the colour, the higher the score, from the lowest of the photo's regions to the highest,
        smoothly between their middles; dark is what the tower does not look at.
    """
    columns = min(columns, len(photos))
    rows = -(-len(photos) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.6 * columns, 1.85 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (photo, title, scores) in zip(axes.flat, photos, strict=False):
        axis.imshow(photo)
        axis.set_title(title, fontsize=8)
        if not isinstance(scores, RegionScores):
            scores = RegionScores.of(scores, photo.size, resize)
        _overlay(axis, photo.size, scores, grid)
    for axis, (left, top, right, bottom) in zip(axes.flat, boxes, strict=False):
        width, height = right - left, bottom - top
        axis.add_patch(Rectangle((left, top), width, height, fill=False, color="black", lw=1, ls="--"))
    return figure


def _overlay(axis: Axes, size: tuple[int, int], scores: RegionScores, grid: bool) -> None:
    width, height = size
    left, top, right, bottom = scores.seen
    dark = np.zeros((height, width, 4))
    dark[..., 3] = 0.55
    dark[round(top) : round(bottom), round(left) : round(right), 3] = 0
    axis.imshow(dark)
    axis.imshow(scores.scores, cmap=_HEAT, extent=(left, right, bottom, top), interpolation="bicubic")
    side = len(scores.scores)
    for row in range(side if grid else 0):
        for column in range(side):
            x, y, end, low = scores.box(row, column)
            axis.add_patch(Rectangle((x, y), end - x, low - y, fill=False, color="white", lw=0.5))
            value = f"{scores.scores[row, column]:.2g}"
            middle = {"ha": "center", "va": "center", "fontsize": 5, "color": "white"}
            axis.text((x + end) / 2, (y + low) / 2, value, **middle)
    x, y, end, low = scores.box(*scores.highest)
    for colour, line in (("black", 2.5), ("white", 1.2)):
        axis.add_patch(Rectangle((x, y), end - x, low - y, fill=False, color=colour, lw=line))
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def on_objects(shares: pd.DataFrame) -> Figure:
    """Draw how often the highest region lies on the object, by method and by the object's size.

    Parameters
    ----------
    shares : pandas.DataFrame
        Columns objects (such as "largest"), method, overlaps, middle inside: percent. The last method is what
        the others are measured against.

    Returns
    -------
    matplotlib.figure.Figure
    """
    methods = list(shares["method"].unique())
    groups = list(shares["objects"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.6), sharey=True)
    colours = dict(zip(methods, (MAIN, ACCENT, MUTED), strict=False))
    titles = {
        "overlaps": "the region overlaps the object",
        "middle inside": "its middle lies on the object's box",
    }
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        for i, method in enumerate(methods):
            of = shares[shares["method"] == method].set_index("objects")[measure]
            places = np.arange(len(groups)) + 0.27 * (i - (len(methods) - 1) / 2)
            bars = axis.bar(places, of[groups], width=0.25, color=colours[method], label=method)
            axis.bar_label(bars, fmt="%.0f", fontsize=7)
        axis.set_xticks(range(len(groups)), groups)
        axis.set_title(title, fontsize=8)
    axes[0].set(ylabel="labels of photos (%)", ylim=(0, 108))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(methods))
    return figure


def after_corrections(frame: pd.DataFrame) -> Figure:
    """Draw what answers do to tags and scores.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `tagging.corrections.after_corrections` gives it, means over draws. Dotted is the error of what is
        expected of scores before any answer, which the answers start from.

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = {
        "F1 where looked": "F1 of photos looked through (%)",
        "F1 elsewhere": "F1 of all other photos (%)",
        "calibration error": "calibration error there (%)",
    }
    figure, axes = plt.subplots(1, 3, figsize=(6.4, 2.6))
    numbers = sorted(frame["answers"].unique())
    for axis, (column, title) in zip(axes, panels.items(), strict=True):
        for (choice, of), colour in zip(frame.groupby("chosen", sort=False), (MUTED, ACCENT), strict=True):
            places = [numbers.index(n) for n in of["answers"]]
            axis.plot(places, of[column], "o-", color=colour, label=choice)
        axis.set_xticks(range(len(numbers)), [f"{n:,}" for n in numbers])
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("answers about tags")
    low = min(frame["F1 where looked"].min(), frame["F1 elsewhere"].min())
    high = max(frame["F1 where looked"].max(), frame["F1 elsewhere"].max())
    for axis in axes[:2]:
        axis.set_ylim(low - 1, high + 1)
    axes[2].set_ylim(0, None)
    axes[2].axhline(frame["expected before"].mean(), color="black", lw=1, ls=":")
    place = {"transform": axes[2].get_yaxis_transform(), "ha": "right", "va": "bottom", "fontsize": 6}
    axes[2].text(1.0, frame["expected before"].mean(), "expected before any answer", **place)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
