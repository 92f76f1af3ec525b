"""Figures of notebook 06: images and captions in the plane, and measures of the gap along alpha."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from comc_utils.notebooks.figures.palette import MAIN, MODALITIES, MUTED
from comc_utils.notebooks.figures.shared import spread_labels

Run = tuple[int, int, str]
"""Perplexity, seed and state of a layout."""
Layouts = Mapping[Run, tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]]
"""Points of images and of captions in the plane."""

_PAIRS_JOINED = 30
_PANELS = {
    "distance of centroids": {"centroid distance": MAIN},
    "probe accuracy (%)": {"probe accuracy": MAIN},
    "recall at 1 (%)": {
        "recall, image to text": MODALITIES["image"],
        "recall, text to image": MODALITIES["caption"],
    },
    "mean cosine of pairs": {"cosine of pairs": MAIN},
}


def layout_points(layouts: Layouts) -> pd.DataFrame:
    """Lay out every point of some layouts as a table.

    Returns
    -------
    pandas.DataFrame
        Columns image x, image y, caption x, caption y, perplexity, seed, state.
    """
    columns = ["image x", "image y", "caption x", "caption y"]
    return pd.concat(
        pd.DataFrame(np.hstack(points), columns=columns).round(3).assign(perplexity=p, seed=s, state=state)
        for (p, s, state), points in layouts.items()
    )


def before_and_after(layouts: Layouts, own: Mapping[Run, float], titles: Mapping[str, str]) -> Figure:
    """Draw images and captions in the plane, a panel a state (Figure 4).

    Parameters
    ----------
    layouts : mapping of (perplexity, seed, state) to (array, array)
        One layout a state.
    own : mapping of (perplexity, seed, state) to float
        Percent of a point's neighbours that are of its own modality.
    titles : mapping of str to str
        Of the states.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = plt.subplots(1, len(layouts), figsize=(6.4, 2.8))
    for axis, (run, points) in zip(axes, layouts.items(), strict=True):
        for pair in list(zip(*points, strict=True))[:_PAIRS_JOINED]:
            axis.plot(*np.transpose(pair), color=MUTED, lw=0.4, zorder=0)
        _scatter(axis, points, size=6)
        axis.set_title(titles[run[-1]], fontsize=10)
        axis.set_xlabel(f"{own[run]:.0f} % own neighbours", fontsize=8)
    _legend(figure, f"; lines join the first {_PAIRS_JOINED} pairs")
    return figure


def layout_grid(layouts: Layouts, own: Mapping[Run, float]) -> Figure:
    """Draw layouts from several starts and with several perplexities, a row a perplexity.

    Parameters
    ----------
    layouts : mapping of (perplexity, seed, state) to (array, array)
    own : mapping of (perplexity, seed, state) to float
        Percent of a point's neighbours that are of its own modality.

    Returns
    -------
    matplotlib.figure.Figure
    """
    perplexities, seeds, states = (list(dict.fromkeys(kinds)) for kinds in zip(*layouts, strict=True))
    columns = [(state, seed) for state in states for seed in seeds]
    size = (6.4, 0.95 * len(perplexities) + 0.9)
    figure, axes = plt.subplots(len(perplexities), len(columns), figsize=size, squeeze=False)
    for row, perplexity in zip(axes, perplexities, strict=True):
        for axis, (state, seed) in zip(row, columns, strict=True):
            run = (perplexity, seed, state)
            _scatter(axis, layouts[run], size=0.8)
            axis.set_title(f"{own[run]:.0f} %", fontsize=7, pad=2)
        row[0].set_ylabel(f"perplexity {perplexity}", fontsize=7)
    for axis, (state, seed) in zip(axes[-1], columns, strict=True):
        axis.set_xlabel(f"seed {seed}\n{state if seed == seeds[len(seeds) // 2] else ''}", fontsize=7)
    _legend(figure, "; percent: neighbours of the own modality")
    return figure


def gap_along_alpha(sweep: pd.DataFrame, alpha: float, n_pairs: int) -> Figure:
    """Draw measures of the gap along alpha, with their intervals.

    Parameters
    ----------
    sweep : pandas.DataFrame
        Columns alpha, measure, value, low, high.
    alpha : float
        The profile's.
    n_pairs : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    chance = {"probe accuracy (%)": 50, "recall at 1 (%)": 100 / n_pairs}
    figure, axes = plt.subplots(2, 2, figsize=(6.4, 4.6), sharex=True)
    for axis, (panel, lines) in zip(axes.flat, _PANELS.items(), strict=True):
        ends = {}
        for name, colour in lines.items():
            line = sweep[sweep.measure == name]
            axis.plot(line.alpha, line.value, color=colour)
            axis.fill_between(line.alpha, line.low, line.high, color=colour, alpha=0.2, lw=0)
            ends[name] = line.value.iloc[-1]
        top = 1.15 * sweep[sweep.measure.isin(lines)].high.max()
        if len(lines) > 1:
            for name, height in spread_labels(ends, gap=0.19 * top).items():
                words = name.removeprefix("recall, ").replace(" to ", "\nto ")
                axis.text(1.03, height, words, color=lines[name], va="center", fontsize=7)
        if panel in chance:
            axis.axhline(chance[panel], color="black", lw=1, ls="--")
        axis.axvline(alpha, color=MUTED, lw=1, ls=":")
        axis.set_title(panel)
        axis.set(
            ylim=(0, 104 if panel.startswith("probe") else top), xlim=(0, 1.32 if len(lines) > 1 else 1.02)
        )
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    figure.supxlabel(
        "alpha: weight of the original embedding\n"
        f"band: 95 % interval over pairs; dotted: the profile's alpha, {alpha:g}; dashed: chance",
        fontsize=8,
    )
    return figure


def _scatter(axis: Axes, points: tuple[np.ndarray, np.ndarray], size: float) -> None:
    for of_modality, colour in zip(points, MODALITIES.values(), strict=True):
        axis.scatter(*of_modality.T, s=size, color=colour, linewidths=0)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(True)


def _legend(figure: Figure, words: str) -> None:
    handles = [plt.Line2D([], [], marker="o", ls="", color=colour) for colour in MODALITIES.values()]
    figure.legend(handles, ["images", "captions"], loc="outside upper right", ncols=2, fontsize=8)
    figure.supxlabel(f"t-SNE, axes without a unit{words}", fontsize=8, color=MUTED)
