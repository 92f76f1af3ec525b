"""Figures of notebook 00: the embedded world and the models that learned in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from comc_utils.miniworld import MODEL_NAMES
from comc_utils.miniworld.drawings import glyph
from comc_utils.notebooks.figures.palette import ACCENT, BACKBONES, MAIN, MUTED
from comc_utils.notebooks.figures.shared import dots_with_intervals, spread_labels

_WIDTH = 6.4
_STAGES = {
    "plain": "one object, plain ground",
    "objects": "one object",
    "icons": "one object, or icon",
    "nouns": "full scenes",
    "contrast": "full scenes, contrast",
}
_OF_DRAWINGS = {"training": MUTED, "test": MAIN}


def scene_rows(rows: Mapping[str, Sequence[Image.Image]]) -> Figure:
    """Draw images in rows, each row under its name.

    Parameters
    ----------
    rows : mapping of str to sequence of PIL.Image.Image
        As many images in each.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shape = (len(rows), len(next(iter(rows.values()))))
    figure, axes = plt.subplots(*shape, figsize=(_WIDTH, 0.95 * shape[0]), squeeze=False)
    for of_row, (name, images) in zip(axes, rows.items(), strict=True):
        of_row[0].set_title(name, fontsize=9, loc="left")
        for axis, image in zip(of_row, images, strict=True):
            axis.axis("off")
            axis.imshow(image)
    return figure


def drawings(frame: pd.DataFrame) -> Figure:
    """Draw every drawing of some classes, a row a class.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns class, font, code point, held out.

    Returns
    -------
    matplotlib.figure.Figure
        Drawings that are held out are orange, which is said below.
    """
    classes = frame.groupby("class", sort=False)
    shape = (len(classes), classes.size().max())
    figure, axes = plt.subplots(*shape, figsize=(_WIDTH, 0.42 * shape[0] + 0.3), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, (name, of_class) in zip(axes, classes, strict=True):
        row[0].text(-0.3, 0.5, name, ha="right", va="center", fontsize=8, transform=row[0].transAxes)
        for axis, (_, drawing) in zip(row, of_class.iterrows(), strict=False):
            ink = np.asarray(glyph((drawing["font"], drawing["code point"]))[0]) / 255
            colour = to_rgb(ACCENT if drawing["held out"] else "black")
            axis.imshow(1 - ink[..., None] * (1 - np.array(colour)))
    figure.supxlabel("orange: held out, in the test split alone", fontsize=8, color=ACCENT)
    return figure


def losses(curves: pd.DataFrame) -> Figure:
    """Draw the models' losses along training, a panel a stage.

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns stage, samples, loss, model.

    Returns
    -------
    matplotlib.figure.Figure
        The point at the end of a line is where the stage ended.
    """
    colours = dict(zip(MODEL_NAMES, BACKBONES, strict=False))
    figure, axes = plt.subplots(2, 3, figsize=(_WIDTH, 3.8), sharey=True)
    for axis, (stage, title) in zip(axes.flat, _STAGES.items(), strict=False):
        ends = {}
        for name, curve in curves[curves.stage == stage].groupby("model", sort=False):
            axis.plot(curve.samples / 1000, curve.loss, color=colours[name], markevery=[-1], marker=".")
            ends[name] = curve.loss.iloc[-1]
        for name, height in spread_labels(ends, gap=0.6).items():
            at = {"xy": (1.02, height), "xycoords": ("axes fraction", "data")}
            axis.annotate(name.split("-", 1)[1], **at, va="center", color=colours[name], fontsize=8)
        axis.set_ylim(0, 7)
        axis.set_title(title, fontsize=9)
    axes[1, 2].axis("off")
    axes[1, 2].text(
        0, 0.5, "a stage that a model\ndoes not go through\nhas no line of it", fontsize=8, va="center"
    )
    for axis in axes[:, 0]:
        axis.set_ylabel("loss (nats)")
    figure.supxlabel("thousand samples", fontsize=10)
    figure.get_layout_engine().set(hspace=0.1)
    return figure


def zero_shot(frame: pd.DataFrame) -> Figure:
    """Draw zero-shot CLIP's mAP by model, on drawings that the models know and on new ones.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns model, drawings ("training" or "test"), mAP, low, high, random, in percent.

    Returns
    -------
    matplotlib.figure.Figure
        Colours, intervals and the dotted line are explained below the axis.
    """
    figure, axis = plt.subplots(figsize=(_WIDTH, 0.36 * len(frame) + 0.9))
    names = [f"{row.model.split('-', 1)[1]}, {row.drawings} drawings" for row in frame.itertuples()]
    colours = [_OF_DRAWINGS[kind] for kind in frame.drawings]
    dots_with_intervals(axis, names, frame["mAP"], frame.low, frame.high, colours=colours)
    axis.axvline(frame.random.mean(), color="black", lw=1, ls=":")
    axis.set(xlim=(0, 100), xlabel="zero-shot mAP (%) with its 95 % interval over images")
    figure.supxlabel("grey: drawings seen in training; blue: new ones; dotted: a random order", fontsize=8)
    return figure
