"""What a data set gives: class names, a 0/1 label matrix, and images or their embeddings."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from comc_utils.datasets.image_files import FoundFiles, name_some
from comc_utils.datasets.photos import tell_passed_over
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import check_label_names
from comc_utils.store.rgb import image_errors, to_rgb

UNIT_TOLERANCE = 1e-3
"""Largest distance of a unit vector's norm from 1; half-precision files stay below 1e-3."""


@dataclass(frozen=True, eq=False)
class MultiLabelImages:
    """Images on demand with the classes that each shows.

    Attributes
    ----------
    name : str
        Of the data set.
    split : str
        "test", "val2014", ...
    class_names : tuple of str
        N display names, in the order of the label columns.
    labels : ndarray of uint8 [n, N]
        1 where image i shows class j, else 0.
    ids : tuple of str
        n names of images, none twice.
    load_image : callable
        Index to PIL image.
    fingerprint : str
        Stands for the pixels of all images in their order, e.g. a SHA-256: the key under which their
        embeddings are cached.
    difficult : ndarray of uint8 [n, N], optional
        1 where image i shows class j in objects alone that are marked as difficult to recognise. The label
        is 0; by VOC's own protocol the pair is left out of the class's ranking
        (`metrics.mean_average_precision`).
    stated : mapping of str to int or float
        What is published of the data set, under `describe`'s own names.
    missing : tuple of str
        Files that the data set lists and that were passed over because they are not there.
    unreadable : tuple of str
        Names of images that were left out by `readable` because they do not open.
    passed_over : mapping of str to tuple of str
        What a folder holds beside the images: names by kind, as `photos.find_photos` gives them.
    test_set : str
        Which images these are, where a data set has several lists of test images; '' elsewhere.

    Raises
    ------
    CoMCError
        Shapes that do not fit, labels other than 0 and 1, names or ids that repeat, a difficult pair that
        is labelled 1.
    """

    name: str
    split: str
    class_names: tuple[str, ...]
    labels: UInt8[np.ndarray, "n N"] = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    load_image: Callable[[int], Image.Image] = field(repr=False)
    fingerprint: str = field(repr=False)
    difficult: UInt8[np.ndarray, "n N"] | None = field(default=None, repr=False)
    stated: Mapping[str, int | float] = field(default_factory=dict, repr=False)
    missing: tuple[str, ...] = field(default=(), repr=False)
    unreadable: tuple[str, ...] = field(default=(), repr=False)
    passed_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    test_set: str = ""

    def __post_init__(self) -> None:
        place = f"data set {self.name}, split {self.split}"
        check_label_names(self.class_names)
        _check_ids(self.ids, place)
        shape = (len(self.ids), len(self.class_names))
        _check_labels(self.labels, shape, f"labels of {place}")
        if self.difficult is not None:
            _check_labels(self.difficult, shape, f"difficult pairs of {place}")
            if (self.difficult & self.labels).any():
                raise CoMCError(f"A difficult pair of {place} is labelled 1; it can be only one of both.")
        if not self.fingerprint:
            raise CoMCError(f"The fingerprint of {place} is empty; give a hash of its images.")

    @classmethod
    def of_files(cls, files: FoundFiles, **attributes: Any) -> MultiLabelImages:
        """Make a data set of files that were found: `attributes` are those that they do not give."""
        return cls(
            **{"ids": files.names, "missing": files.missing} | attributes,
            load_image=files.open,
            fingerprint=files.fingerprint,
        )

    def __len__(self) -> int:
        """Number of images, n."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Image.Image:
        """Open an image.

        Parameters
        ----------
        index : int
            0 to n-1.

        Returns
        -------
        PIL.Image.Image
            In RGB, its pixels loaded.

        Raises
        ------
        IndexError
            There is no such image; so that a loop over the data set ends.
        CoMCError
            It does not open.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Data set {self.name} has images 0 to {len(self) - 1}, not {index}.")
        what = f"Image {self.ids[index]} (number {index}) of data set {self.name}, split {self.split},"
        with image_errors(what), self.load_image(index) as image:
            return to_rgb(image)

    def subset(self, rows: Sequence[int]) -> MultiLabelImages:
        """Take some of the images.

        Parameters
        ----------
        rows : sequence of int
            Each 0 to n-1, none twice.

        Returns
        -------
        MultiLabelImages
            In the order of `rows`, with a fingerprint of its own unless they are all, in order. What is
            stated of the whole is left out.
        """
        rows = [int(row) for row in rows]
        if rows == list(range(len(self))):
            return self
        chosen = hashlib.sha256(f"{self.fingerprint} {rows}".encode())
        return replace(
            self,
            labels=self.labels[rows],
            ids=tuple(self.ids[row] for row in rows),
            load_image=lambda index: self.load_image(rows[index]),
            fingerprint=chosen.hexdigest(),
            difficult=None if self.difficult is None else self.difficult[rows],
            stated={},
        )

    def of_classes(self, class_names: Sequence[str]) -> MultiLabelImages:
        """The same images, with the same fingerprint, and labels of some of the classes alone."""
        columns = [self.class_names.index(name) for name in class_names]
        return replace(
            self,
            class_names=tuple(class_names),
            labels=self.labels[:, columns],
            difficult=None if self.difficult is None else self.difficult[:, columns],
            stated={},
        )

    def rows_of(self, ids: Sequence[str]) -> list[int]:
        """Find images by their names, which are all there."""
        place = {name: row for row, name in enumerate(self.ids)}
        return [place[name] for name in ids]

    def readable(self, *, progress: bool = False) -> MultiLabelImages:
        """Leave out the images that do not open, with their labels.

        Each is opened once, in threads.

        Parameters
        ----------
        progress : bool

        Returns
        -------
        MultiLabelImages
            Those that open, in their order; the others' names as `unreadable`.

        Raises
        ------
        CoMCError
            None opens.
        """

        def opens(index: int) -> bool:
            try:
                self[index]
            except CoMCError:
                return False
            return True

        opened = thread_map(
            opens, range(len(self)), tqdm_class=tqdm, desc="images opened", disable=not progress
        )
        if not any(opened):
            self[0]  # says what is wrong with it
        unreadable = tuple(name for name, good in zip(self.ids, opened, strict=True) if not good)
        return replace(self.subset(np.flatnonzero(opened)), unreadable=unreadable)

    def describe(self) -> dict[str, str | int | float]:
        """Sum up the data set.

        Returns
        -------
        dict
            Data set, split, images, classes, positives, mean labels per image, and the classes without
            a positive, by name; what is stated of each beside it, as "images (stated)". Where there are
            any: the number of difficult pairs, the first of the missing files, how many images did not open,
            with the names of the first, and what was passed over, by kind with numbers.
        """
        described: dict[str, str | int | float] = {"data set": self.name, "split": self.split}
        for key, value in describe_labels(self.labels, self.class_names).items():
            described[key] = value
            if key in self.stated:
                described[f"{key} (stated)"] = self.stated[key]
        if self.test_set:
            described["test set"] = self.test_set
        if self.difficult is not None:
            described["difficult pairs"] = int(self.difficult.sum())
        if self.missing:
            described["missing"] = name_some(self.missing)
        if self.unreadable:
            described["unreadable"] = f"{len(self.unreadable)}: {name_some(self.unreadable)}"
        if self.passed_over:
            described["passed over"] = tell_passed_over(self.passed_over)
        return described


@dataclass(frozen=True, eq=False)
class MultiLabelEmbeddings:
    """Images and their captions as embeddings of one CLIP model, row i of each belonging together.

    Attributes
    ----------
    name : str
        Of the data set.
    class_names : tuple of str
        N display names, in the order of the label columns.
    labels : ndarray of uint8 [n, N]
        1 where image i shows class j, else 0.
    ids : tuple of str
        n names of images, none twice.
    image_embeddings : Tensor [n, d]
        Global embeddings v^g, float32 unit vectors.
    captions : tuple of str
        n sentences.
    caption_embeddings : Tensor [n, d]
        Float32 unit vectors.
    caption_labels : ndarray of uint8 [n, N]
        1 where the words of caption i name class j, else 0.
    label_embeddings : Tensor [N, d]
        Label-specific text embeddings s_j, float32 unit vectors.

    Raises
    ------
    CoMCError
        Shapes that do not fit, labels other than 0 and 1, names or ids that repeat, embeddings that are
        not unit vectors.
    """

    name: str
    class_names: tuple[str, ...]
    labels: UInt8[np.ndarray, "n N"] = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    image_embeddings: Float[Tensor, "n d"] = field(repr=False)
    captions: tuple[str, ...] = field(repr=False)
    caption_embeddings: Float[Tensor, "n d"] = field(repr=False)
    caption_labels: UInt8[np.ndarray, "n N"] = field(repr=False)
    label_embeddings: Float[Tensor, "N d"] = field(repr=False)

    def __post_init__(self) -> None:
        place = f"data set {self.name}"
        check_label_names(self.class_names)
        _check_ids(self.ids, place)
        n, n_classes, dim = len(self.ids), len(self.class_names), self.image_embeddings.shape[-1]
        _check_labels(self.labels, (n, n_classes), f"labels of {place}")
        _check_labels(self.caption_labels, (n, n_classes), f"caption_labels of {place}")
        if len(self.captions) != n:
            raise CoMCError(f"{place} has {n} ids and {len(self.captions)} captions; give one for each.")
        for attribute, rows in (
            ("image_embeddings", n),
            ("caption_embeddings", n),
            ("label_embeddings", n_classes),
        ):
            _check_unit(getattr(self, attribute), (rows, dim), f"{attribute} of {place}")

    def __len__(self) -> int:
        """Number of images, n."""
        return len(self.ids)

    def describe(self) -> dict[str, str | int | float]:
        """Sum up the data set.

        Returns
        -------
        dict
            Data set, images, classes, positives, mean labels per image, the classes without a positive,
            by name, and the number of captions that name no class.
        """
        return (
            {"data set": self.name}
            | describe_labels(self.labels, self.class_names)
            | {"captions without a class": int((self.caption_labels.sum(axis=1) == 0).sum())}
        )


def describe_labels(
    labels: UInt8[np.ndarray, "n N"], class_names: Sequence[str]
) -> dict[str, int | float | str]:
    """Sum up a label matrix.

    Parameters
    ----------
    labels : ndarray of uint8 [n, N]
        0 or 1.
    class_names : sequence of str
        N names.

    Returns
    -------
    dict
        Images, classes, positives, mean labels per image, and the classes without a positive, by name
        (they have no average precision).
    """
    n_positives = labels.sum(axis=0, dtype=int)
    without = [name for name, count in zip(class_names, n_positives, strict=True) if count == 0]
    return {
        "images": len(labels),
        "classes": len(class_names),
        "positives": int(n_positives.sum()),
        "labels per image": round(float(n_positives.sum()) / max(len(labels), 1), 2),
        "classes without a positive": ", ".join(without),
    }


def _check_ids(ids: tuple[str, ...], place: str) -> None:
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise CoMCError(
            f"{len(repeated)} ids of {place} repeat, {repeated[0]!r} among them; give each image its own."
        )


def _check_labels(labels: np.ndarray, shape: tuple[int, int], what: str) -> None:
    if labels.shape != shape:
        raise CoMCError(
            f"The {what} have shape {list(labels.shape)}, expected {list(shape)} (images, classes)."
        )
    if labels.dtype != np.uint8 or labels.max(initial=0) > 1:
        raise CoMCError(
            f"The {what} must be 0 or 1 in uint8, not {labels.dtype} up to {labels.max(initial=0)}."
        )


def _check_unit(embeddings: Tensor, shape: tuple[int, int], what: str) -> None:
    if tuple(embeddings.shape) != shape:
        raise CoMCError(
            f"The {what} have shape {list(embeddings.shape)}, expected {list(shape)} (rows, dimensions)."
        )
    if embeddings.dtype != torch.float32:
        raise CoMCError(f"The {what} are {embeddings.dtype}; convert them to float32.")
    # Written so that a NaN fails, too.
    wrong = ~((embeddings.norm(dim=1) - 1).abs() <= UNIT_TOLERANCE)
    if wrong.any():
        raise CoMCError(
            f"Row {int(wrong.nonzero()[0])} of the {what} is no unit vector; divide each row by its norm."
        )


def draw_pairs(name: str, n_images: int, n_pairs: int, *, seed: int) -> Int[np.ndarray, " n"]:
    """Draw rows of different images; a `CoMCError` where a data set has fewer."""
    if n_pairs > n_images:
        raise CoMCError(f"Data set {name} has {n_images} image-text pairs, not {n_pairs}; ask for fewer.")
    return np.random.default_rng(seed).choice(n_images, n_pairs, replace=False)
