"""Figures of notebooks 01 to 03: the text, what a classifier learns from it, and what it sees in images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from comc_utils.evaluation.tables import FOUND, MISSED, WRONG
from comc_utils.notebooks.figures.palette import ACCENT, MAIN, METHODS, MUTED, preset_colour
from comc_utils.notebooks.figures.shared import dots_with_intervals

MOST_CLASSES = 30
"""So many can be named one by one; of more, the ends of their order are shown."""
N_ENDS = 12
_MOST_MISSED = 3
_MARKS = {FOUND: ("\N{CHECK MARK}", MAIN), WRONG: ("\N{MULTIPLICATION SIGN}", MUTED), MISSED: ("?", MAIN)}


def corpus(sizes: Mapping[int, int], frequency: pd.DataFrame) -> Figure:
    """Draw how many labels sentences have, and in how many sentences each class stands.

    Parameters
    ----------
    sizes : mapping of int to int
        Number of labels: sentences.
    frequency : pandas.DataFrame
        Columns class and sentences, the most frequent first. Of more than `MOST_CLASSES`, the first and the
        last `N_ENDS` are drawn, and the axis says so.

    Returns
    -------
    matplotlib.figure.Figure
    """
    many = len(frequency) > MOST_CLASSES
    shown = pd.concat([frequency[:N_ENDS], frequency[-N_ENDS:]]) if many else frequency
    places = np.arange(len(shown)) + many * (np.arange(len(shown)) >= N_ENDS)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.9), width_ratios=(1, 2.4))
    left.bar(list(sizes), [100 * n / sum(sizes.values()) for n in sizes.values()], color=MAIN)
    left.set(xlabel="labels in a sentence", ylabel="sentences (%)", xticks=sorted(sizes))
    right.bar(places, shown["sentences"], color=MAIN)
    right.set_xticks(places, shown["class"], rotation=90, fontsize=7)
    right.set_ylabel("sentences that name it")
    if many:
        right.set_xlabel(f"the {N_ENDS} most and the {N_ENDS} least frequent of {len(frequency)}", fontsize=8)
    return figure


def training(histories: pd.DataFrame) -> Figure:
    """Draw loss and learning rate along training, a line a preset.

    Parameters
    ----------
    histories : pandas.DataFrame
        Columns epoch, loss, learning_rate, preset.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.6))
    for name, history in histories.groupby("preset", sort=False):
        left.plot(history.epoch, history.loss, color=preset_colour(name), label=name)
        right.plot(history.epoch, history.learning_rate, color=preset_colour(name))
    left.set(xlabel="epoch", ylabel="ranking loss a sentence", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="learning rate", yscale="log")
    left.legend(title="preset", title_fontsize=9, alignment="left")
    return figure


def weight_cosines(frame: pd.DataFrame) -> Figure:
    """Draw the cosines of classifier rows and label embeddings as a map.

    Parameters
    ----------
    frame : pandas.DataFrame
        Square: a row for each row of the classifier, a column named by each label; others are not looked at.

    Returns
    -------
    matplotlib.figure.Figure
        Of more than `MOST_CLASSES`, some are named.
    """
    names = list(frame.columns[: len(frame)])
    cosines = frame[names].to_numpy(float)
    ticks = range(0, len(names), 1 + len(names) // (MOST_CLASSES + 1) * 3)
    named = [names[i] for i in ticks]
    figure, axis = plt.subplots(figsize=(6.4, 4.9))
    most = np.abs(cosines).max()
    image = axis.imshow(cosines, vmin=-most, vmax=most, cmap="RdBu_r")
    some = "" if len(named) == len(names) else f", {len(named)} of {len(names)} named"
    axis.set(xlabel=f"label embedding{some}", ylabel=f"classifier row{some}")
    axis.set_xticks(ticks, named, rotation=90, fontsize=7)
    axis.set_yticks(ticks, named, fontsize=7)
    axis.grid(False)
    figure.colorbar(image, label="cosine")
    return figure


def top_weights(weights: pd.DataFrame, labels: np.ndarray, *, n_shown: int = 5) -> Figure:
    """Draw the highest label weights of some images (eq. 4), a panel an image.

    Parameters
    ----------
    weights : pandas.DataFrame
        A row an image, a column a class.
    labels : ndarray of shape (images, classes)
        1 for the labels of the images.
    n_shown : int
        Weights an image.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = plt.subplots(1, len(weights), figsize=(6.4, 1.9), sharex=True)
    for i, (axis, of_image) in enumerate(zip(axes, weights.to_numpy(), strict=True)):
        top = np.argsort(of_image)[::-1][:n_shown]
        places = np.arange(len(top))[::-1]
        axis.barh(places, of_image[top], color=[MAIN if labels[i, j] else MUTED for j in top])
        axis.set_yticks(places, weights.columns[top], fontsize=7)
        axis.set_title(f"image {i + 1}", fontsize=9)
    figure.supxlabel("weight; blue: a label of the image, grey: none", fontsize=9)
    return figure


def methods_beside_paper(table: pd.DataFrame, paper: str) -> Figure:
    """Draw methods' mAP with intervals, and the paper's numbers beside them.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns method, mAP, low, high, and one with the paper's numbers, in percent.
    paper : str
        Name of that column.

    Returns
    -------
    matplotlib.figure.Figure
        The legend explains points, lines and diamonds.
    """
    figure, axis = plt.subplots(figsize=(6.4, 0.45 * len(table) + 1.2))
    colours = [METHODS[name] for name in table.method]
    dots_with_intervals(axis, table.method, table["mAP"], table.low, table.high, colours=colours)
    axis.scatter(table[paper], range(len(table))[::-1], marker="D", s=26, facecolors="none", edgecolors=colours)
    axis.plot([], [], "o-", color="black", ms=5, lw=2, label="here, with 95 % interval over images")
    axis.plot([], [], "D", color="black", ms=5, mfc="none", label=paper)
    axis.set_xlabel("mAP (%)")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def along_alpha(sweep: pd.DataFrame, alpha: float) -> Figure:
    """Draw mAP along alpha, with the profile's alpha and the best one.

    Parameters
    ----------
    sweep : pandas.DataFrame
        Columns alpha and mAP (in percent).
    alpha : float
        The profile's.

    Returns
    -------
    matplotlib.figure.Figure
    """
    best = sweep.loc[sweep["mAP"].idxmax()]
    own = np.interp(alpha, sweep.alpha, sweep["mAP"])
    bottom = sweep["mAP"].min()
    figure, axis = plt.subplots(figsize=(6.4, 2.6))
    axis.vlines(alpha, bottom, own, color=MUTED, lw=1, ls=":")
    axis.annotate(
        "the profile's alpha", (alpha, bottom), (-4, 0), textcoords="offset points", ha="right", fontsize=8
    )
    axis.plot(sweep.alpha, sweep["mAP"], color=ACCENT, marker="o", ms=3)
    axis.plot(best.alpha, best["mAP"], "o", color=ACCENT, ms=7)
    text = f"best: {best['mAP']:.1f} at {best.alpha:.2f}"
    axis.annotate(text, (best.alpha, best["mAP"]), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    axis.set(xlabel="alpha: weight of the original embedding", ylabel="mAP (%)")
    axis.margins(y=0.18)
    return figure


def average_precisions(frame: pd.DataFrame) -> Figure:
    """Draw classes' AP by method, a line a class.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns class, positives (images), and one a method, with AP in percent. Of more than `MOST_CLASSES`,
        those with CoMC's largest gains over zero-shot CLIP and its largest losses are drawn, `N_ENDS` of each
        at most.

    Returns
    -------
    matplotlib.figure.Figure
        The legend names the methods; the axis says what is left out.
    """
    methods, note = [name for name in METHODS if name in frame], ""
    if len(frame) > MOST_CLASSES:
        methods = ["Zero-shot CLIP", "CoMC"]
        gains = (frame["CoMC"] - frame["Zero-shot CLIP"]).sort_values(ascending=False)
        above, below = gains[gains > 0], gains[gains < 0]
        shown = [*above.index[:N_ENDS], *below.index[-N_ENDS:]]
        note = (
            f"\nof {len(frame)} classes CoMC is above in {len(above)}, below in {len(below)}; shown: "
            f"its {len(above[:N_ENDS])} largest gains and {len(below[-N_ENDS:])} largest losses"
        )
        frame = frame.loc[shown]
    figure, axis = plt.subplots(figsize=(6.4, 0.24 * len(frame) + 1.1))
    places = np.arange(len(frame))[::-1]
    values = frame[methods]
    axis.hlines(places, values.min(axis=1), values.max(axis=1), color="#d0d0d0", lw=1)
    for name, shift in zip(methods, np.linspace(0.24, -0.24, len(methods)), strict=True):
        # Beside each other, so that none hides another.
        axis.plot(frame[name], places + shift * (not note), "o", ms=4, color=METHODS[name], label=name)
    names = [f"{row['class']} ({row['positives']})" for _, row in frame.iterrows()]
    axis.set_yticks(places, names, fontsize=8)
    axis.set(xlim=(-2, 102), ylim=(-0.7, len(frame) - 0.3))
    axis.set_xlabel(f"AP (%); in brackets: images with the class{note}", fontsize=8)
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(methods))
    return figure


def found_and_missed(images: Sequence[Image.Image], found: pd.DataFrame, *, columns: int = 6) -> Figure:
    """Draw images with the labels that are found, wrong and missed below each.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
    found : pandas.DataFrame
        As `labels_found` gives it, whose images are numbered as these.
    columns : int
        Images a row.

    Returns
    -------
    matplotlib.figure.Figure
        The line at the bottom explains the marks.
    """
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(6.4, 1.65 * rows + 0.3), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
        axis.set_anchor("N")
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image)
        of_image = found[found.image == i]
        missed = of_image[of_image.outcome == MISSED]
        lines = [
            (row["class"], *_MARKS[row.outcome])
            for _, row in of_image.drop(missed.index[_MOST_MISSED:]).iterrows()
        ]
        if len(missed) > _MOST_MISSED:
            lines.append((f"{len(missed) - _MOST_MISSED} more", *_MARKS[MISSED]))
        for place, (name, mark, colour) in enumerate(lines):
            at = {"xy": (0, 0), "xycoords": "axes fraction", "textcoords": "offset points"}
            axis.annotate(
                f"{mark} {name}", xytext=(0, -3 - 8.5 * place), **at, va="top", fontsize=7, color=colour
            )
    explained = {
        FOUND: "found",
        WRONG: "wrong: no label of the image",
        MISSED: "missed: a label, not among them",
    }
    text = "   ".join(f"{_MARKS[outcome][0]} {words}" for outcome, words in explained.items())
    figure.supxlabel(f"the three highest scores: {text}", fontsize=8)
    return figure
