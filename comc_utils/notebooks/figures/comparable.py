"""Scores before and after they can be compared between images, and what that is worth to each method."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from comc_utils.notebooks.figures.palette import ACCENT, MAIN, MUTED

_LOOKS = {
    "as it is": {"color": MUTED, "marker": "o", "mfc": "white"},
    "centred": {"color": MAIN, "marker": "o"},
    "standardised": {"color": "#009E73", "marker": "o"},
    "softmax": {"color": ACCENT, "marker": "o"},
}
"""Of what was done to the scores of one image."""
_OTHERS = {"color": "black", "marker": "D"}
"""Of a method that looks at the other images, too."""


def shift_of_images(frame: pd.DataFrame, name: str, precision: tuple[float, float]) -> Figure:
    """Draw a class's score of each image over the image's mean score of all classes, before and after.

    Parameters
    ----------
    frame : pandas.DataFrame
        A row an image: "mean", its mean over classes; "as it is" and "centred", its score of the class;
        "there", whether it shows the class.
    name : str
        Of the class.
    precision : (float, float)
        Average precision of both scores, in percent.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharex=True)
    titles = ("as it is", "minus the image's mean")
    for axis, column, title, ap in zip(axes, ("as it is", "centred"), titles, precision, strict=True):
        for there, colour, label in ((False, MUTED, f"without {name}"), (True, ACCENT, f"with {name}")):
            rows = frame[frame.there == there]
            size, opacity = (14, 0.9) if there else (6, 0.35)
            axis.scatter(rows["mean"], rows[column], s=size, color=colour, alpha=opacity, lw=0, label=label)
        axis.set_title(f"{title}: AP {ap:.1f} %", fontsize=9)
        axis.set_xlabel("the image's mean over all classes", fontsize=9)
    axes[0].set_ylabel(f"{name}: cosine / temperature", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def by_normalisation(table: pd.DataFrame) -> Figure:
    """Draw each method's mAP by what was done to its scores, with the interval over images.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns method, scores (a name of `Normalisation`), mAP, low, high (in percent). A method with one row
        looks at all images.

    Returns
    -------
    matplotlib.figure.Figure
    """
    methods = list(dict.fromkeys(table.method))
    figure, axis = plt.subplots(figsize=(6.4, 1.0 + 0.55 * len(methods)))
    for place, method in enumerate(methods):
        rows = table[table.method == method]
        for row in rows.itertuples():
            alone = len(rows) > 1
            looks = _LOOKS[row.scores] if alone else _OTHERS
            height = -place + (0.27 - 0.18 * list(_LOOKS).index(row.scores) if alone else 0)
            axis.hlines(height, row.low, row.high, color=looks["color"], lw=1.2, alpha=0.6)
            axis.plot(row.mAP, height, ms=5, ls="", **looks)
            axis.annotate(
                f"{row.mAP:.1f}",
                (row.high, height),
                (4, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
            )
    for place in range(1, len(methods)):
        axis.axhline(0.5 - place, color="black", lw=0.3)
    axis.set_yticks([-place for place in range(len(methods))], methods, fontsize=8)
    axis.set(xlabel="mAP (%)", ylim=(0.5 - len(methods), 0.5))
    axis.margins(x=0.08)
    axis.grid(axis="y", visible=False)
    handles = [Line2D([], [], ls="", ms=5, label=label, **looks) for label, looks in _LOOKS.items()]
    handles.append(Line2D([], [], ls="", ms=5, label="looks at all images", **_OTHERS))
    handles.append(Line2D([], [], color=MUTED, lw=1.2, label="95 % interval over images"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5, handletextpad=0.2)
    return figure


def settings_without_labels(frame: pd.DataFrame) -> Figure:
    """Draw what settings' two halves agree on, over which no label has a say, beside their mAP.

    Parameters
    ----------
    frame : pandas.DataFrame
        A row a setting: "specific" (agreement), "mAP" (percent), "regions" (whether they count), "nearness"
        (whether prototypes count).

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    for (regions, nearness), rows in frame.groupby(["regions", "nearness"]):
        looks = {"color": ACCENT if regions else MUTED, "marker": "o" if nearness else "s", "lw": 0}
        words = (
            "with regions" if regions else "whole image",
            "with prototypes" if nearness else "without prototypes",
        )
        axis.scatter(rows["specific"], rows["mAP"], s=18, alpha=0.7, label=", ".join(words), **looks)
    chosen, best = frame.loc[frame["specific"].idxmax()], frame.loc[frame["mAP"].idxmax()]
    for row, word, looks in ((chosen, "chosen without a label", MAIN), (best, "best by the labels", "black")):
        axis.scatter(row["specific"], row["mAP"], s=110, facecolor="none", edgecolor=looks, lw=1.6, label=word)
    axis.set(xlabel="specific agreement of two halves of the embedding", ylabel="mAP (%)")
    figure.legend(loc="outside lower center", ncols=3, fontsize=7.5, handletextpad=0.2)
    return figure
