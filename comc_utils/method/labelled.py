"""Labelled images to learn from: drawn by the shot, set apart for choices, embedded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int, UInt8

from comc_utils.clip import ImageEmbeddings
from comc_utils.datasets.base import MultiLabelImages
from comc_utils.method.few_shot import draw_few_shot
from comc_utils.method.protocol import LabelledImages


@dataclass(frozen=True, eq=False)
class LabelledPool:
    """Images of a split with labels, in parts that are kept apart.

    Attributes
    ----------
    images : MultiLabelImages
    parts : mapping of str to ndarray
        Rows: a ``pool`` to draw shots from, images for the ``choice`` of settings, and perhaps others.
    embed : callable
        From images to `ImageEmbeddings`.
    few : bool
        Whether all of them are embedded at once, whichever are asked for.
    """

    images: MultiLabelImages
    parts: Mapping[str, Int[np.ndarray, " m"]]
    embed: Callable[[MultiLabelImages], ImageEmbeddings] = field(repr=False)
    few: bool
    _embedded: dict[str, object] = field(default_factory=dict, repr=False)

    def most_shots(self, choices: Sequence[int]) -> list[int]:
        """Those numbers of images a class that the pool has of every class."""
        rarest = int(self.images.labels[self.parts["pool"]].sum(axis=0).min())
        return [k for k in choices if k <= rarest]

    def draw(self, shots: int, *, seed: int) -> Int[np.ndarray, " m"]:
        """Draw rows of the pool such that each class is on `shots` images at least: `draw_few_shot`."""
        pool = self.parts["pool"]
        return pool[draw_few_shot(self.images.labels[pool], shots, seed=seed)]

    def prepare(self, *rows: Int[np.ndarray, " m"]) -> None:
        """Embed what will be asked for, each image once, however often it is drawn."""
        needed = np.arange(len(self.images)) if self.few else np.unique(np.concatenate(rows))
        self._embedded["rows"] = needed
        self._embedded["embeddings"] = self.embed(self.images.subset(needed)).in_memory()

    def take(self, rows: str | Int[np.ndarray, " m"]) -> LabelledImages:
        """Give some of the prepared images with their embeddings and labels.

        Parameters
        ----------
        rows : str or ndarray
            Name of a part, or rows.

        Returns
        -------
        LabelledImages
        """
        rows = self.parts[rows] if isinstance(rows, str) else rows
        places = np.searchsorted(self._embedded["rows"], rows)
        return LabelledImages(
            self.images.class_names,
            self._embedded["embeddings"][places],
            torch.from_numpy(self.images.labels[rows]),
        )


@dataclass(frozen=True, eq=False)
class SeenAndUnseen:
    """What zero-shot learning from images goes by.

    Attributes
    ----------
    seen : MultiLabelImages
        Images to learn from, in which S seen classes are labelled.
    unseen : tuple of str
        The U unseen classes: those of the experiment, or some of these.
    all_labels : ndarray [n, U + S]
        Of the experiment's test images: the unseen classes, then the seen ones.
    """

    seen: MultiLabelImages
    unseen: tuple[str, ...]
    all_labels: UInt8[np.ndarray, "n n_classes"]

    @property
    def all_names(self) -> tuple[str, ...]:
        """The unseen classes, then the seen ones."""
        return (*self.unseen, *self.seen.class_names)

    @property
    def unseen_labels(self) -> UInt8[np.ndarray, "n n_unseen"]:
        """Of the experiment's test images, the unseen classes alone."""
        return self.all_labels[:, : len(self.unseen)]
