"""Figures of the text and of the towers: its size (Figure 2), its writer (Table 5), the backbone (Table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from comc_utils.notebooks.figures.palette import ACCENT, MAIN, METHODS, MUTED
from comc_utils.notebooks.figures.shared import dots_with_intervals

_TICK_GAP = 0.08
"""Smallest distance between two labelled sizes, as a share of the axis."""
_DODGE = (0.005, 0.013)
"""How far from a size the two trainings' means and single seeds stand, to the left and right, as a share of
the axis."""
_POINT = Line2D([], [], color=MUTED, marker="o", ls="", ms=5, label="mean over seeds")
_INTERVAL = Line2D([], [], color=MUTED, lw=2, label="95 % interval over images, mean over seeds")


def sizes(means: pd.DataFrame, zero_shot: float) -> Figure:
    """Recognition by number of sentences, a line a training, as in Figure 2.

    Parameters
    ----------
    means : pandas.DataFrame
        A row for each training and share, in the order of share: columns training (two of them), share
        (in percent), sentences, mAP, low, high, and one that begins with "seed" for each seed's mAP.
    zero_shot : float
        mAP of zero-shot CLIP, in percent.

    Returns
    -------
    matplotlib.figure.Figure
        The trainings stand a little beside each other, so that neither covers the other.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    of_seeds = [column for column in means if column.startswith("seed")]
    lines = dict(list(means.groupby("training", sort=False)))
    width = np.log(means.sentences.max() / means.sentences.min())
    for (training, line), colour, side in zip(lines.items(), (ACCENT, MAIN), (-1, 1), strict=False):
        x, beside = (line.sentences * np.exp(side * far * width) for far in _DODGE)
        axis.vlines(x, line.low, line.high, color=colour, lw=1.2)
        axis.plot(x, line["mAP"], "o-", color=colour, ms=4, lw=1.4)
        axis.plot(beside, line[of_seeds], "o", color=colour, ms=2.2, alpha=0.6)
        _name_line(axis, training, lines, colour)
    axis.axhline(zero_shot, color=METHODS["Zero-shot CLIP"], ls="--", lw=1)
    axis.set(xscale="log", xlabel="sentences, and their share", ylabel="mAP (%)")
    axis.margins(y=0.14)
    _label_sizes(axis, line)
    marks = [
        Line2D([], [], color=MUTED, marker="o", ms=4, lw=1.4, label="mean over seeds"),
        Line2D([], [], color=MUTED, marker="o", ls="", ms=2.2, label="a seed, beside it"),
        Line2D([], [], color=MUTED, marker="|", ls="", ms=10, mew=1.2, label=_INTERVAL.get_label()),
        Line2D([], [], color=MUTED, ls="--", lw=1, label="zero-shot CLIP, which needs no sentence"),
    ]
    _explain(figure, marks, columns=2)
    return figure


def writers(table: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Recognition by writer of the text, here and in the paper's Table 5.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns writer, texts, mAP, low, high; the first row is zero-shot CLIP, without texts.
    paper : pandas.DataFrame
        Columns method, writer, value: the paper's, in percent, zero-shot CLIP first.

    Returns
    -------
    matplotlib.figure.Figure
    """
    heights = len(table), len(paper)
    figure, (here, there) = plt.subplots(
        2, 1, figsize=(6.4, 0.34 * sum(heights) + 1.7), height_ratios=[h + 0.4 for h in heights]
    )
    names = [f"{r.writer}, {r.texts:,} texts" if r.texts else r.writer for r in table.itertuples()]
    with_text = [METHODS["CoMC" if texts else "Zero-shot CLIP"] for texts in table.texts]
    dots_with_intervals(here, names, table["mAP"], table.low, table.high, colours=with_text)
    here.set_title("here", fontsize=9)
    colours = [METHODS[method] for method in paper.method]
    names = [r.method if r.method != "CoMC" else f"{r.writer}, 40,000 texts" for r in paper.itertuples()]
    dots_with_intervals(there, names, paper.value, paper.value, paper.value, colours=colours)
    there.set(xlabel="mAP (%), each part on its own scale")
    there.set_title("in the paper, Table 5, without intervals", fontsize=9)
    for axis, height, value in zip((here, there), heights, (table["mAP"], paper.value), strict=True):
        axis.vlines(value.iloc[0], -0.6, height - 1, color=METHODS["Zero-shot CLIP"], ls=":", lw=1)
        axis.margins(x=0.08)
        axis.tick_params(axis="y", labelsize=8)
    dotted = Line2D([], [], color=MUTED, ls=":", lw=1, label="zero-shot CLIP")
    _explain(figure, [_POINT, _INTERVAL, dotted], columns=3)
    return figure


def backbones(table: pd.DataFrame) -> Figure:
    """Four methods on each backbone, the smallest on top, beside the paper's Table 6.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each backbone and method, in the order to draw: columns backbone, image parameters (M),
        method, mAP, low, high, paper (the paper's mAP, NaN for none), paper's backbone ('' for none), and
        paper's (M), its image parameters.

    Returns
    -------
    matplotlib.figure.Figure
        Each backbone has its own limits, all of the same width: a difference is as long in one as in
        another. Without any of the paper's values its half is left out.
    """
    parts = list(table.groupby("backbone", sort=False))
    in_paper = table.dropna(subset="paper")
    figure, axes = plt.subplots(
        len(parts), 2 - in_paper.empty, figsize=(6.4, 1.3 * len(parts) + 1.1), squeeze=False
    )
    width = 1.25 * max(part.high.max() - part.low.min() for _, part in parts)
    for (backbone, part), (here, *there) in zip(parts, axes, strict=True):
        colours = [METHODS[method] for method in part.method]
        dots_with_intervals(here, part.method, part["mAP"], part.low, part.high, colours=colours)
        middle = (part.low.min() + part.high.max()) / 2
        here.set(xlim=(middle - width / 2, middle + width / 2))
        here.set_title(_with_size(backbone, part["image parameters (M)"].iloc[0]), fontsize=8)
        here.tick_params(axis="y", labelsize=8)
        here.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axis in there:
            _paper_beside(axis, part)
            axis.set_xlim(in_paper.paper.min() - 2, in_paper.paper.max() + 2)
    axes[-1, 0].set_xlabel("mAP (%) here" + ", ranges of one length" * (len(parts) > 1))
    if not in_paper.empty:
        axes[-1, 1].set_xlabel("mAP (%) in the paper")
    _explain(figure, [_POINT, _INTERVAL], columns=2)
    return figure


def _name_line(axis: Axes, training: str, lines: Mapping[str, pd.DataFrame], colour: str) -> None:
    """Write a line's name where the lines are farthest apart, on the side away from the others."""
    heights = pd.concat([line.set_index("sentences")["mAP"].rename(t) for t, line in lines.items()], axis=1)
    at = (heights.max(axis=1) - heights.min(axis=1)).idxmax()
    line = lines[training].set_index("sentences")
    marks = line.filter(regex="^(low|high|seed)").loc[at]
    highest = heights.loc[at].idxmax() == training
    end, offset, va = (marks.max(), 4, "bottom") if highest else (marks.min(), -4, "top")
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    axis.annotate(
        training, (at, end), (-6, offset), textcoords="offset points", va=va, color=colour, fontsize=9, bbox=box
    )


def _label_sizes(axis: Axes, line: pd.DataFrame) -> None:
    """Label the sizes from the largest down, leaving out what stands too close to the one before."""
    places = np.log(line.sentences.to_numpy(dtype=float))
    gap, above, labels = _TICK_GAP * np.ptp(places), np.inf, []
    for place, size, share in zip(places[::-1], line.sentences[::-1], line.share[::-1], strict=True):
        fits = above - place >= gap
        labels.append(f"{size:,}\n{share} %" if fits else "")
        above = place if fits else above
    axis.set_xticks(line.sentences, labels[::-1], fontsize=7)
    axis.minorticks_off()


def _with_size(backbone: str, parameters: float) -> str:
    return f"{backbone}: {parameters:.3g} M image parameters"


def _paper_beside(axis: Axes, part: pd.DataFrame) -> None:
    """Draw the paper's values of one backbone, in the lines of the methods here."""
    if part.paper.isna().all():
        axis.axis("off")
        return
    axis.set_title(_with_size(part["paper's backbone"].iloc[0], part["paper's (M)"].iloc[0]), fontsize=8)
    places = range(len(part))[::-1]
    for place, method, value in zip(places, part.method, part.paper, strict=True):
        if np.isnan(value):
            text = "not in its Table 6"
            axis.annotate(text, (0.03, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
            continue
        axis.plot(value, place, "o", color=METHODS[method], ms=5.5)
        axis.annotate(
            f"{value:.1f}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    axis.set(yticks=list(places), yticklabels=[], ylim=(-0.6, len(part) - 0.3))
    axis.tick_params(axis="y", length=0)


def _explain(figure: Figure, marks: Sequence[Line2D], *, columns: int) -> None:
    """Say what the marks are, below the figure."""
    figure.legend(handles=list(marks), loc="outside lower center", ncols=columns, fontsize=8)
