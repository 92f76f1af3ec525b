"""Where a label is seen: the scores of an image's regions, and whether the highest lies on the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from comc_utils.clip.image import seen_part
from comc_utils.errors import CoMCError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""
Resize = Literal["crop", "plain"]


@dataclass(frozen=True, eq=False)
class RegionScores:
    """Scores of an image's regions for one label.

    Attributes
    ----------
    scores : ndarray [side, side]
        Row by row from the top left; of any range, the higher the surer.
    seen : tuple of float
        The part of the image that the regions divide: left, top, right, bottom, in pixels.
    """

    scores: Float[np.ndarray, "side side"]
    seen: Box

    @classmethod
    def of(cls, scores: Float[ArrayLike, " k"], size: tuple[int, int], resize: Resize = "crop") -> RegionScores:
        """Lay the scores of K regions out on an image.

        Parameters
        ----------
        scores : array [K]
        size : tuple of int
            Width and height of the image.
        resize : {"crop", "plain"}
            How the tower was shown the image.

        Returns
        -------
        RegionScores

        Raises
        ------
        CoMCError
            K is no square number.
        """
        scores = np.asarray(scores, dtype=float)
        side = grid_side(len(scores))
        return cls(scores.reshape(side, side), seen_part(size, resize))

    @property
    def highest(self) -> tuple[int, int]:
        """Row and column of the region that gives the maximum of eq. 10."""
        row, column = np.unravel_index(self.scores.argmax(), self.scores.shape)
        return int(row), int(column)

    def box(self, row: int, column: int) -> Box:
        """A region's place in the image, in pixels."""
        left, top, right, bottom = self.seen
        width, height = ((end - start) / len(self.scores) for start, end in ((left, right), (top, bottom)))
        return (
            left + column * width,
            top + row * height,
            left + (column + 1) * width,
            top + (row + 1) * height,
        )


def grid_side(n_regions: int) -> int:
    """How many regions stand in a row; a `CoMCError` where they are no square."""
    side = isqrt(n_regions)
    if side * side != n_regions or not side:
        raise CoMCError(f"{n_regions} regions do not make a square; give all of an image's, row by row.")
    return side


@dataclass(frozen=True)
class OnObject:
    """How often the highest region is on the object, and how often one would be that is drawn by lot.

    Attributes
    ----------
    n_labels : int
        Labels of images that were looked at.
    overlaps, overlaps_by_chance : float
        Percent of these whose highest region, or one region of the image by lot, overlaps the object's box.
    middle, middle_by_chance : float
        The same for the region's middle being inside the box: the pointing game.

    References
    ----------
    The pointing game: Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018.
    """

    n_labels: int
    overlaps: float
    overlaps_by_chance: float
    middle: float
    middle_by_chance: float


def on_object(
    highest: Int[np.ndarray, "n n_labels"],
    boxes: Float[np.ndarray, "n n_labels 4"],
    sizes: Sequence[tuple[int, int]],
    n_regions: int,
    resize: Resize = "crop",
) -> OnObject:
    """Measure whether the highest region of each label that an image shows lies on the object.

    Parameters
    ----------
    highest : ndarray of int [n, N]
        Number of each label's highest region, from 0 at the top left row by row.
    boxes : ndarray [n, N, 4]
        Where the label is shown: left, top, right, bottom, in pixels; NaN where it is not.
    sizes : sequence of tuple of int
        Width and height of the n images.
    n_regions : int
        K.
    resize : {"crop", "plain"}

    Returns
    -------
    OnObject

    Raises
    ------
    CoMCError
        No image shows a label.
    """
    there = ~np.isnan(boxes[:, :, 0])
    if not there.any():
        raise CoMCError("No image shows any of the labels; give images with boxes of objects.")
    rows, columns = np.nonzero(there)
    side = grid_side(n_regions)
    seen = np.array([seen_part(sizes[row], resize) for row in rows])  # (labels, 4)
    # Whole pixels times whole numbers: a box that ends where a region begins does not overlap it by rounding.
    start, length = seen[:, :2], seen[:, 2:] - seen[:, :2]  # (labels, 2): x, y
    low, high = (boxes[rows, columns, part] - start for part in (slice(0, 2), slice(2, 4)))
    low, high, length = (part.T[..., None] for part in (low, high, length))  # (2, labels, 1)
    first = np.arange(side)
    (in_columns, in_rows) = (low * side < (first + 1) * length) & (high * side > first * length)
    middle = (2 * first + 1) * length
    (mid_columns, mid_rows) = (low * 2 * side <= middle) & (middle <= high * 2 * side)
    shares = []
    for by_row, by_column in ((in_rows, in_columns), (mid_rows, mid_columns)):
        on = (by_row[:, :, None] & by_column[:, None, :]).reshape(len(rows), n_regions)
        shares += [on[np.arange(len(rows)), highest[rows, columns]].mean(), on.mean()]
    return OnObject(len(rows), *(100 * float(share) for share in shares))
