"""The differences behind the claims in one figure, a row a claim."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from comc_utils.evaluation.claims import Claim, Judgement, Verdict
from comc_utils.evaluation.rules import POINTS, Finding
from comc_utils.notebooks.figures.palette import ACCENT, MAIN, MUTED

# From the weakest on, as which a row's are sorted: its look and what it says for its claim.
_LOOKS = {
    Verdict.FAILS: ("against the claim", {"color": ACCENT, "marker": "s"}),
    Verdict.WITHIN_NOISE: ("within noise", {"color": MUTED, "marker": "o", "markerfacecolor": "white"}),
    Verdict.HOLDS: ("for the claim", {"color": MAIN, "marker": "o"}),
}
_ROW, _FRAME = 0.36, 1.3
"""Inches that a claim takes, and what stands around them."""
_TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)


def forest_plot(judgements: Mapping[Claim, Judgement]) -> tuple[Figure, pd.DataFrame]:
    """Draw the differences behind the claims with their intervals, those of one claim in one row.

    Numbers in other units than points of mAP are left out, and named below the figure.

    Parameters
    ----------
    judgements : mapping of Claim to Judgement

    Returns
    -------
    figure : matplotlib.figure.Figure
        Linear between -1 and 1, logarithmic beyond; coloured by what a difference says for its claim. Beside a
        row stands the weakest of its comparisons.
    data : pandas.DataFrame
        Columns claim, comparison, verdict, difference, low, high.
    """
    compared = {claim: [f for f in j.findings if f.comparison is not None] for claim, j in judgements.items()}
    in_points = {claim: [f for f in found if f.unit == POINTS] for claim, found in compared.items()}
    rows = {claim: sorted(found, key=_strength) for claim, found in in_points.items() if found}
    others = dict.fromkeys(f.name for found in compared.values() for f in found if f.unit != POINTS)
    data = pd.DataFrame(
        [
            (claim.identifier, f.name, f.verdict.value, *_numbers(f))
            for claim, found in rows.items()
            for f in found
        ],
        columns=["claim", "comparison", "verdict", "difference", "low", "high"],
    )
    figure, axis = plt.subplots(figsize=(8.6, _FRAME + _ROW * max(len(rows), 3)))
    axis.axvline(0, color="black", linewidth=0.8)
    for place, found in enumerate(rows.values()):
        _draw_row(axis, place, found)
    if data.empty:
        axis.set_title("no difference to show")
    _lay_out(axis, data, len(rows))
    axis.set_yticks(range(len(rows)), [_in_lines(c.statement, 50) for c in rows], fontsize=7.5)
    beside = axis.secondary_yaxis("right")
    weakest = [f"weakest of {len(f)}: {f[0].name}" if len(f) > 1 else "" for f in rows.values()]
    beside.set_yticks(range(len(rows)), [_in_lines(words, 34) for words in weakest], fontsize=7)
    for side in (axis, beside):
        side.tick_params(axis="y", length=0)
    beside.spines["right"].set_visible(False)
    left_out = f"\nleft out, since in other units: {', '.join(others)}" if others else ""
    axis.set_xlabel(
        f"difference in {POINTS}; linear between -1 and 1, logarithmic beyond\n"
        f"line: 95 % interval over images; in a row of several the weakest stands lowest{left_out}",
        fontsize=8,
    )
    handles = [Line2D([], [], label=words, markersize=4, **look) for words, look in reversed(_LOOKS.values())]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8)
    return figure, data


def _numbers(finding: Finding) -> tuple[float, float, float]:
    c = finding.comparison
    return c["difference"], c["low"], c["high"]


def _strength(finding: Finding) -> tuple[int, float]:
    return list(_LOOKS).index(finding.verdict), _numbers(finding)[1]


def _in_lines(text: str, width: int) -> str:
    """Break a text into lines of about one length."""
    n_lines = max(1, -(-len(text) // width))
    return textwrap.fill(text, min(width, len(text) // n_lines + 6), break_on_hyphens=False)


def _draw_row(axis: Axes, place: int, found: list[Finding]) -> None:
    """Draw a claim's comparisons a little below one another, the weakest lowest."""
    offsets = np.linspace(0.3, -0.3, len(found)) if len(found) > 1 else [0.0]
    for y, finding in zip(place + np.asarray(offsets), found, strict=True):
        difference, low, high = _numbers(finding)
        look = _LOOKS[finding.verdict][1]
        axis.plot([low, high], [y, y], color=look["color"], linewidth=1.1)
        axis.plot(difference, y, markersize=3.2, linestyle="", **look)


def _lay_out(axis: Axes, data: pd.DataFrame, n_rows: int) -> None:
    left, right = (1.0, 1.0) if data.empty else (max(1.0, -data.low.min()), max(1.0, data.high.max()))
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(-1.3 * left, 1.3 * right)
    ticks = [t for t in _TICKS if -1.3 * left <= t <= 1.3 * right]
    axis.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks], fontsize=8)
    axis.set_ylim(max(n_rows, 1) - 0.5, -0.5)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    for place in range(1, n_rows, 2):
        axis.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", zorder=0, linewidth=0)
