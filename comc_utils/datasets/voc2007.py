"""PASCAL VOC2007 in its official layout: 20 classes, of which a photo shows one or more."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Int

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import check_count, check_split, find_files, name_some
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import VOC2007

N_IMAGES = {"test": 4952, "trainval": 5011, "train": 2501, "val": 2510}
"""Images of each split, by the official lists."""

_STATES = {"1": 1, "0": 0, "-1": -1}
"""Of a class in an image: there, there but difficult to recognise, not there."""


def load_voc2007(
    root: str | os.PathLike[str],
    split: str = "test",
    *,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load a split of VOC2007.

    An image that shows a class in difficult objects alone is labelled 0, as in the authors' code, and marked
    in `difficult`: by VOC's own protocol it is neither positive nor negative.

    Parameters
    ----------
    root : str or PathLike
        The folder ``VOC2007``, or ``VOCdevkit`` above it, or the one above that.
    split : {"test", "trainval", "train", "val"}
        The paper's is test.
    limit : int, optional
        For a trial: the first so many images of the list whose files are there. By default the split
        must be complete.
    draft_size : int, optional
        For JPEG files, see `image_files.open_image`.

    Returns
    -------
    MultiLabelImages
        n = 4,952 for test, N = 20; ids such as "000001".

    Raises
    ------
    CoMCError
        An unknown split, a folder without VOC2007, a list that is missing, damaged, of another year or of
        other images than the split's, images that are missing.

    References
    ----------
    Everingham et al., The PASCAL Visual Object Classes (VOC) Challenge, IJCV 88, 2010.
    """
    check_split(split, N_IMAGES, "VOC2007")
    place = f"VOC2007 {split}"
    home = _home(Path(root))
    lists = home / "ImageSets" / "Main"
    ids = tuple(fields[0] for fields in _read_rows(lists / f"{split}.txt", 1))
    _check_ids(ids, lists / f"{split}.txt")
    if limit is None:
        check_count(len(ids), N_IMAGES[split], str(lists / f"{split}.txt"), place)
    states = np.stack(
        [_read_states(lists / f"{name}_{split}.txt", ids, split) for name in VOC2007.official_names], axis=1
    )
    files = find_files(
        home / "JPEGImages", [f"{name}.jpg" for name in ids], limit=limit, place=place, draft_size=draft_size
    )
    used = states[files.rows]
    return MultiLabelImages.of_files(
        files,
        name="VOC2007",
        split=split,
        class_names=VOC2007.class_names,
        labels=(used == 1).astype(np.uint8),
        ids=tuple(ids[row] for row in files.rows),
        difficult=(used == 0).astype(np.uint8),
        stated={"images": N_IMAGES[split], "classes": 20},
    )


def _home(root: Path) -> Path:
    candidates = (root / "VOCdevkit" / "VOC2007", root / "VOC2007", root)
    for folder in candidates:
        if (folder / "ImageSets" / "Main").is_dir():
            return folder
    others = sorted(
        {path.name for folder in (root, root / "VOCdevkit") for path in folder.glob("VOC20[0-9][0-9]")}
    )
    held = f" It holds {', '.join(others)}, which is another data set." if others else ""
    raise CoMCError(
        f"VOC2007 is not in {root}: there is no folder ImageSets/Main in it, in VOC2007 or in "
        f"VOCdevkit/VOC2007 below it.{held} Give the folder that the archive was unpacked in, or get it by: "
        "python -m comc_utils download voc2007 --to DIR"
    )


def _check_ids(ids: tuple[str, ...], path: Path) -> None:
    """Refuse the lists of other years: from 2008 on a year stands before each number, 2008_000001."""
    other = [name for name in ids if not re.fullmatch("[0-9]{6}", name)]
    if other:
        years = sorted({name[:4] for name in other if re.fullmatch("20[0-9]{2}_[0-9]{6}", name)})
        what = (
            f"the lists of a later VOC, with photos of {years[0]} to {years[-1]},"
            if years
            else "lists of other photos,"
        )
        raise CoMCError(
            f"{path} names {name_some(other)}, but VOC2007's images are named 000001 and so on: these are "
            f"{what} and scores on them are not VOC2007's. Give the folder of VOC2007, or get it by: "
            "python -m comc_utils download voc2007 --to DIR"
        )


def _read_rows(path: Path, n_fields: int) -> list[list[str]]:
    """Read the fields of each line; line ends of any system, and empty lines at the end."""
    if not path.is_file():
        raise CoMCError(f"{path} is missing; unpack the official archive again.")
    rows = [line.split() for line in path.read_text("utf-8", "replace").rstrip().splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) != n_fields:
            raise CoMCError(
                f"{path}, line {number} has {len(row)} fields, expected {n_fields}; unpack the official "
                "archive again."
            )
    return rows


def _read_states(path: Path, ids: tuple[str, ...], split: str) -> Int[np.ndarray, " n"]:
    state_of = {}
    for number, (name, state) in enumerate(_read_rows(path, 2), start=1):
        if state not in _STATES:
            raise CoMCError(
                f"{path}, line {number} says {state!r} of image {name}; it must be 1 (there), 0 "
                "(difficult) or -1 (not there). Unpack the official archive again."
            )
        if name in state_of:
            raise CoMCError(
                f"{path}, line {number} names image {name} again; unpack the official archive again."
            )
        state_of[name] = _STATES[state]
    without = [name for name in ids if name not in state_of]
    unknown = sorted(state_of.keys() - set(ids))
    for names, what in ((without, "has no line for"), (unknown, "has lines for unknown")):
        if names:
            raise CoMCError(
                f"{path} {what} images, by the list {split}.txt: {name_some(names)}. Unpack the official "
                "archive again."
            )
    return np.array([state_of[name] for name in ids], dtype=np.int8)
