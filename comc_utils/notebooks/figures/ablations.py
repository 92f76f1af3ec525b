"""Figures of notebooks 04 and 05: parts, switches, and the mixture along alpha and tau."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from comc_utils.evaluation import groups
from comc_utils.notebooks.figures.palette import ACCENT, MUTED, PRESETS, SCORES, preset_colour
from comc_utils.notebooks.figures.shared import spread_labels

_PARTS = {
    (groups.LOCAL_ADDS, "without mapping"): "regions, without the mapping",
    (groups.LOCAL_ADDS, "with mapping"): "regions, with the mapping",
    (groups.MAPPING_ADDS, "without local"): "mapping, without regions",
    (groups.MAPPING_ADDS, "with local"): "mapping, with regions",
}
_OFFSET = 0.15
_SHADES_BELOW_BEST = 6.0
"""Points of mAP that the map of alpha and tau shows in shades; what is lower has the darkest."""
_LINES_BELOW_BEST = {0.5: "-", 1.0: "--", 2.0: ":"}
"""Points of mAP, and how their line is drawn."""
_HALO = [withStroke(linewidth=2.5, foreground="white")]


def parts(table: pd.DataFrame, own: str) -> Figure:
    """Draw what regions and the mapping add, a line a part, a colour a preset.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns what (a group's name, with the ending of another preset), where, difference, low, high.
    own : str
        The profile's own preset, which has no ending.

    Returns
    -------
    matplotlib.figure.Figure
    """
    split = table.what.str.partition(", ")
    table = table.assign(group=split[0], preset=split[2].where(split[2] != "", own))
    names = [key for key in _PARTS if ((table.group == key[0]) & (table["where"] == key[1])).any()]
    presets = list(dict.fromkeys(table.preset))
    figure, axis = plt.subplots(figsize=(6.4, 0.45 * len(names) + 1.2))
    for row in table.itertuples():
        shift = _OFFSET * (len(presets) - 1 - 2 * presets.index(row.preset)) if len(presets) > 1 else 0.0
        place = len(names) - 1 - names.index((row.group, row.where)) + shift
        colour = preset_colour(row.preset)
        axis.hlines(place, row.low, row.high, color=colour, lw=2)
        axis.plot(row.difference, place, "o", color=colour)
    for preset in presets:
        axis.plot([], [], "o-", color=preset_colour(preset), label=f"preset {preset}")
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(range(len(names)), [_PARTS[name] for name in names[::-1]])
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_xlabel("what it adds, in points of mAP\nline: 95 % interval over images", fontsize=9)
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    return figure


def switches(table: pd.DataFrame) -> Figure:
    """Draw what each choice of the released code is worth, switched on in one preset and off in the other.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns switch, how, worth, low, high; low and high may be NaN.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(dict.fromkeys(table.switch))
    ways = list(dict.fromkeys(table.how))
    figure, axis = plt.subplots(figsize=(6.4, 0.42 * len(names) + 1.3))
    for row in table.itertuples():
        shift = _OFFSET * (1 - 2 * ways.index(row.how)) if len(ways) > 1 else 0.0
        place = len(names) - 1 - names.index(row.switch) + shift
        colour = PRESETS["paper"] if "paper" in row.how else PRESETS["released"]
        axis.hlines(place, row.low, row.high, color=colour, lw=2)
        axis.plot(row.worth, place, "o", color=colour)
    for how in ways:
        axis.plot([], [], "o-", color=PRESETS["paper" if "paper" in how else "released"], label=how)
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(range(len(names)), names[::-1])
    axis.set_ylim(-0.6, len(names) - 0.4)
    worth = "worth of the released code's choice, in points of mAP"
    axis.set_xlabel(f"{worth}\nline: 95 % interval over seeds", fontsize=9)
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    return figure


def alpha_by_preset(curves: pd.DataFrame, alpha: float) -> Figure:
    """Draw mAP along alpha, a panel a preset, a line a kind of score (Figure 3).

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns preset, score, alpha, mAP.
    alpha : float
        The profile's.

    Returns
    -------
    matplotlib.figure.Figure
    """
    presets, kinds = list(dict.fromkeys(curves.preset)), list(dict.fromkeys(curves.score))
    figure, axes = plt.subplots(1, len(presets), figsize=(6.4, 2.9), sharey=True, squeeze=False)
    gap = 0.085 * (curves["mAP"].max() - curves["mAP"].min())
    for axis, preset in zip(axes[0], presets, strict=True):
        ends = {}
        for kind in kinds:
            curve = curves[(curves.preset == preset) & (curves.score == kind)]
            best = curve.loc[curve["mAP"].idxmax()]
            axis.plot(curve.alpha, curve["mAP"], color=SCORES[kind])
            axis.plot(best.alpha, best["mAP"], "o", color=SCORES[kind], ms=5)
            ends[kind] = curve["mAP"].iloc[-1]
        for kind, height in spread_labels(ends, gap=gap).items():
            axis.text(1.03, height, kind, color=SCORES[kind], va="center", fontsize=8)
        axis.axvline(alpha, color=MUTED, lw=1, ls=":")
        axis.set(xlabel="alpha: weight of the original", title=f"preset {preset}", xlim=(0, 1.27))
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes[0][0].set_ylabel("mAP (%)")
    figure.supxlabel(
        f"dot: the best alpha; dotted: the profile's, {alpha:g}; means over seeds", fontsize=8, color=MUTED
    )
    return figure


def alpha_and_tau(
    heat: Float[np.ndarray, "n_taus n_alphas"],
    alphas: Sequence[float],
    taus: Sequence[float],
    points: Mapping[str, tuple[float, float]],
) -> Figure:
    """Draw mAP by alpha and tau, in shades of the best few points, with lines of equal mAP.

    Parameters
    ----------
    heat : array of shape (taus, alphas)
        mAP in percent.
    alphas, taus : sequence of float
        Rising.
    points : mapping of str to (float, float)
        Name: alpha and tau of what is to be marked.

    Returns
    -------
    matplotlib.figure.Figure
    """
    best = heat.max()
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    low = max(heat.min(), best - _SHADES_BELOW_BEST)
    shades = axis.pcolormesh(alphas, taus, heat, shading="nearest", cmap="cividis", vmin=low, vmax=best)
    # In a legend rather than on the lines, where they would lie under the marks.
    for below, style in _LINES_BELOW_BEST.items():
        if best - below > heat.min():
            axis.contour(
                alphas, taus, heat, levels=[best - below], colors="black", linewidths=0.8, linestyles=style
            )
            axis.plot([], [], color="black", lw=0.8, ls=style, label=f"{below:g}")
    axis.set(yscale="log", xlabel="alpha: weight of the original embedding", ylabel="tau")
    axis.grid(False)
    upper = max(points, key=lambda name: points[name][1])
    for (name, point), marker in zip(points.items(), "o*", strict=True):
        axis.plot(*point, marker, mfc="white", mec="black", ms=9, clip_on=False, zorder=4)
        # Apart from each other, and within the map.
        height = (11 if point[1] < taus[-1] else -9) if name == upper else (-11 if point[1] > taus[0] else 9)
        away, ha = (-8, "right") if point[0] > 0.5 else (8, "left")
        axis.annotate(
            name, point, (away, height), textcoords="offset points", fontsize=9, ha=ha, va="center",
            color=ACCENT, path_effects=_HALO,
        )  # fmt: skip
    figure.colorbar(shades, label="mAP (%)", extend="min" if low > heat.min() else "neither")
    if axis.get_legend_handles_labels()[0]:
        title = {"title": "points below the best", "title_fontsize": 8}
        figure.legend(loc="outside upper right", ncols=3, fontsize=8, **title)
    return figure
