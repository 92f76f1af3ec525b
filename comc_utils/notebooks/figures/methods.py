"""Methods against each other: a line each with what learning took, and by the number of labelled images."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from comc_utils.notebooks.figures.palette import LEARNS_FROM, METHODS

_MARKS = {
    "default": {"marker": "o", "mfc": "white", "label": "at the default rate"},
    "searched": {"marker": "o", "label": "at the rate searched for it"},
    "none": {"marker": "D", "label": "learns nothing, has no rate"},
}
"""Of a rate: how its points look, and what the legend says."""
_APART = 0.19
"""A method's two rates stand this far above and below its line."""
_COLUMNS = {"mAP": 28, "seconds": 70, "parameters": 122}
"""Written beside the points: where they end, in points of length to the right of the axis."""
_HEADS = {"seconds": "seconds of\nlearning", "parameters": "parameters\nlearned"}
_SHOTS = (0, 1, 2, 4, 8, 16)
_BAND = "± 1 standard\ndeviation over draws"


def methods_by_source(table: pd.DataFrame, quantity: str = "mAP (%)") -> Figure:
    """Draw a line a method, by what it learns from: mAP with its interval at each rate, what learning took.

    With one backbone each point's mAP and seconds, and the number of parameters, are written beside it; several
    backbones stand side by side without these.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns backbone, method, learns_from (a key of `palette.LEARNS_FROM`), rate ("searched" or another),
        mAP, low, high (in percent), seconds, parameters (0 where nothing is learned).
    quantity : str
        What to call mAP on the axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sources = [name for name in LEARNS_FROM if name in set(table.learns_from)]
    table = table.sort_values("learns_from", key=lambda column: column.map(sources.index), kind="stable")
    marks = np.where(table.parameters == 0, "none", np.where(table.rate == "searched", "searched", "default"))
    table = table.assign(mark=marks)
    lines = table.drop_duplicates("method")
    places = {method: -place for place, method in enumerate(lines.method)}
    n_panels = table.backbone.nunique()
    size = (6.4, 1.4 + 0.33 * len(lines))
    figure, axes = plt.subplots(1, n_panels, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, (backbone, rows) in zip(axes[0], table.groupby("backbone", sort=False), strict=True):
        _draw_points(axis, rows, places)
        for n_above in lines.learns_from.value_counts(sort=False).cumsum()[:-1]:
            axis.axhline(0.5 - n_above, color="black", linewidth=0.6)
        axis.set_xlabel(quantity, fontsize=9)
        if n_panels == 1:
            _write_columns(axis, rows, places)
        else:
            axis.set_title(backbone, fontsize=8)
    axes[0, 0].set_yticks([*places.values()], [*places], fontsize=8)
    axes[0, 0].set_ylim(0.5 - len(lines), 0.5)
    _explain(figure, sources, [mark for mark in _MARKS if mark in set(marks)])
    return figure


def _points(rows: pd.DataFrame, places: dict[str, int]) -> list[tuple[float, tuple]]:
    """Rows with their heights: those of a method at two rates stand apart."""
    twice = set(rows.method[rows.method.duplicated()])
    shift = {"default": _APART, "searched": -_APART, "none": 0.0}
    return [(places[row.method] + shift[row.mark] * (row.method in twice), row) for row in rows.itertuples()]


def _draw_points(axis: Axes, rows: pd.DataFrame, places: dict[str, int]) -> None:
    for height, row in _points(rows, places):
        colour = LEARNS_FROM[row.learns_from]
        axis.hlines(height, row.low, row.high, color=colour, linewidth=1.2)
        axis.plot(row.mAP, height, color=colour, ms=4.5, **_MARKS[row.mark])
    axis.margins(x=0.04)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="y", visible=False)


def _write_columns(axis: Axes, rows: pd.DataFrame, places: dict[str, int]) -> None:
    """Write to the right of the axis what each point stands for, and what learning took."""

    def write(column: str, height: float, text: str) -> None:
        place = (1.0, height), (_COLUMNS[column], 0)
        axis.annotate(
            text, *place, axis.get_yaxis_transform(), "offset points", fontsize=7, ha="right", va="center"
        )

    for column in _COLUMNS:
        write(column, 0.9, _HEADS.get(column, column))
    for height, row in _points(rows, places):
        write("mAP", height, f"{row.mAP:.1f}")
        if row.parameters:
            write("seconds", height, f"{row.seconds:.1g}" if row.seconds < 1 else f"{row.seconds:.0f}")
    for row in rows[rows.parameters > 0].drop_duplicates("method").itertuples():
        write("parameters", places[row.method], f"{row.parameters:,}")


def _explain(figure: Figure, sources: list[str], marks: list[str]) -> None:
    """Say above what colours mean, below what symbols and lines do."""
    style = {"fontsize": 7.5, "title_fontsize": 7.5, "handlelength": 1.2, "columnspacing": 1.2}
    colours = [Patch(color=LEARNS_FROM[name], label=name) for name in sources]
    place = "outside upper center"
    figure.legend(handles=colours, title="learns from", loc=place, ncols=len(colours), **style)
    symbols = [Line2D([], [], linestyle="", color="black", ms=4.5, **_MARKS[mark]) for mark in marks]
    interval = Line2D([], [], color="black", linewidth=1.2, label="95 % interval over images")
    n_columns = 3 if len(symbols) < 3 else 2
    place = "outside lower center"
    figure.legend(handles=[*symbols, interval], loc=place, ncols=n_columns, **style)


def by_shots(table: pd.DataFrame) -> Figure:
    """Draw mAP by labelled images a class, a panel for each set of test images, all on one scale.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns images (the panel's title), method (a key of `palette.METHODS`), shots (0, 1, 2, 4, 8 or 16),
        mean and std over draws (in percent; std NaN for a single draw).

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = list(table.groupby("images", sort=False))
    methods = [name for name in METHODS if name in set(table.method)]
    figure, axes = plt.subplots(1, len(panels), figsize=(6.4, 3.4), sharey=True, squeeze=False)
    for axis, (images, panel) in zip(axes[0], panels, strict=True):
        for method in methods:
            line = panel[panel.method == method].sort_values("shots")
            x, colour = line.shots.map(_SHOTS.index), METHODS[method]
            axis.plot(x, line["mean"], "o-", ms=3.5, color=colour)
            low, high = line["mean"] - line["std"], line["mean"] + line["std"]
            axis.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
        axis.set_title(images, fontsize=9)
        axis.set_xlabel("labelled images a class", fontsize=9)
        axis.set_xticks(range(len(_SHOTS)), _SHOTS, fontsize=8)
    axes[0, 0].set_ylabel("mAP (%), one scale for all", fontsize=9)
    single = [images for images, panel in panels if panel["std"].isna().all()]
    point = "\n".join(["mean over draws", *(f"({images}: one draw)" for images in single)])
    explained = [Line2D([], [], color=METHODS[name], marker="o", ms=3.5, label=name) for name in methods]
    explained.append(Line2D([], [], linestyle="", marker="o", ms=3.5, color="black", label=point))
    explained.append(Patch(color="black", alpha=0.25, linewidth=0, label=_BAND))
    # To the right and below nothing is drawn: with more images, methods end high.
    axes[0, -1].legend(handles=explained, loc="lower right", fontsize=7, handlelength=1.6)
    return figure
