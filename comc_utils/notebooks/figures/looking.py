"""Figures of notebook 12: where systems look, and what more seen classes do."""

from __future__ import annotations

import math
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from comc_utils.notebooks.figures.palette import MUTED
from comc_utils.notebooks.figures.shared import spread_labels

_SIDE = 72


def where_they_look(image: Image.Image, shares: pd.DataFrame, *, resize: Literal["crop", "plain"]) -> Figure:
    """Draw on one picture, a row a class and a column a method, which regions the method's score comes from.

    Parameters
    ----------
    image : PIL.Image.Image
    shares : pandas.DataFrame
        Columns method, class, kind ("seen" or "unseen"), region (row by row from the top left), share.
    resize : {"crop", "plain"}
        How the image was made square.

    Returns
    -------
    matplotlib.figure.Figure
        The brighter a region, the larger its share; each panel from nothing to its largest.
    """
    size = (_SIDE, _SIDE)
    square = np.asarray(ImageOps.fit(image, size) if resize == "crop" else image.resize(size))
    methods, classes = shares.method.unique(), shares[["class", "kind"]].drop_duplicates()
    shape = (len(classes), 1 + len(methods))
    figure, axes = plt.subplots(*shape, figsize=(1.05 * shape[1], 1.08 * shape[0] + 0.3), squeeze=False)
    for row, (name, kind) in zip(axes, classes.itertuples(index=False), strict=True):
        for axis in row:
            axis.set(xticks=[], yticks=[])
        row[0].imshow(square, interpolation="bilinear")
        row[0].set_ylabel(f"{name}\n({kind})", fontsize=8)
        for axis, method in zip(row[1:], methods, strict=True):
            share = shares.share[(shares.method == method) & (shares["class"] == name)].to_numpy()
            side = math.isqrt(len(share))
            cell = np.arange(_SIDE) * side // _SIDE  # of each pixel, along either side
            bright = (share / share.max()).reshape(side, side)[np.ix_(cell, cell)]
            shaded = square * (0.15 + 0.85 * bright[:, :, None])
            axis.imshow(shaded.astype(np.uint8), interpolation="bilinear")
    for axis, method in zip(axes[0, 1:], methods, strict=True):
        axis.set_title(method.replace(" (", "\n("), fontsize=7)
    return figure


def by_number_of_classes(table: pd.DataFrame) -> Figure:
    """Draw mAP of unseen classes against what was labelled in the images learned from, a line a method.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns method, labelled (in words, from the fewest classes to the most), mAP.

    Returns
    -------
    matplotlib.figure.Figure
    """
    words = list(table.labelled.unique())
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    ends = {}
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        places = [words.index(word) for word in rows.labelled]
        line = axis.plot(places, rows["mAP"], marker="o", ms=4, color=plt.get_cmap("tab10")(number))[0]
        ends[method] = (places[-1], rows["mAP"].iloc[-1], line.get_color())
    gap = 0.05 * np.ptp(axis.get_ylim())
    for method, at in spread_labels({name: height for name, (_, height, _) in ends.items()}, gap=gap).items():
        place, height, colour = ends[method]
        axis.plot([place, len(words) - 0.85], [height, at], color=MUTED, lw=0.4)
        axis.text(len(words) - 0.82, at, method, color=colour, fontsize=7, va="center")
    axis.set_xticks(range(len(words)), words, fontsize=8)
    axis.set(xlim=(-0.2, len(words) + 0.75), xlabel="labelled in the images")
    axis.set_ylabel("mAP of unseen classes (%)")
    return figure
