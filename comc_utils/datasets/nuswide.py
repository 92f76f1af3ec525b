"""NUS-WIDE in its official layout: 81 concepts in photos from Flickr, many of them without any."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import check_count, find_files
from comc_utils.errors import CoMCError
from comc_utils.labels import NUSWIDE

ADDRESS = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
"""Where lists and labels are, and how to ask for the images."""

N_IMAGES = {"test": 107_859, "train": 161_789}
"""Images of each split, by the official lists and the paper."""

_LABELS_PER_IMAGE = {"test": 1.88}
"""3 P/R of the top 3 in the paper's Table 2, where it can only be the mean over all test images."""


def load_nuswide(
    root: str | os.PathLike[str],
    split: str = "test",
    *,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load a split of NUS-WIDE.

    Parameters
    ----------
    root : str or PathLike
        The folder with ``ImageList/``, ``TrainTestLabels/`` (or ``Groundtruth/TrainTestLabels/``) and
        the images in ``Flickr/`` (or ``images/``).
    split : {"test", "train"}
        The paper's is test, all 107,859 images of it. Other test sets of NUS-WIDE, of 5,000 to 83,000
        images, give other scores.
    limit : int, optional
        For a trial: the first so many images of the list whose files are there. By default the split
        must be complete.
    draft_size : int, optional
        For JPEG files, see `image_files.open_image`.

    Returns
    -------
    MultiLabelImages
        n = 107,859 for test, N = 81; ids such as "actor/0001_2124494179.jpg".

    Raises
    ------
    CoMCError
        An unknown split, a list or labels that are missing or damaged or of another length than the
        split, images that are missing.

    References
    ----------
    Chua et al., NUS-WIDE: A Real-World Web Image Database from National University of Singapore,
    CIVR 2009.
    """
    if split not in N_IMAGES:
        raise CoMCError(f"NUS-WIDE has no split {split!r}; its splits: {', '.join(N_IMAGES)}.")
    place = f"NUS-WIDE {split}"
    root = Path(root)
    path = root / "ImageList" / f"{split.capitalize()}Imagelist.txt"
    ids = tuple(line.decode("utf-8", "replace").replace("\\", "/") for line in _read_lines(path))
    if limit is None:
        check_count(len(ids), N_IMAGES[split], str(path), place)
    labels_folder = _first_folder(root, "TrainTestLabels", "Groundtruth/TrainTestLabels")
    labels = np.stack(
        [
            _read_labels(labels_folder / f"Labels_{concept}_{split.capitalize()}.txt", len(ids))
            for concept in NUSWIDE.official_names
        ],
        axis=1,
    )
    files = find_files(
        _first_folder(root, "Flickr", "images"),
        ids,
        limit=limit,
        place=place,
        draft_size=draft_size,
    )
    stated: dict[str, int | float] = {"images": N_IMAGES[split], "classes": 81}
    if split in _LABELS_PER_IMAGE:
        stated["labels per image"] = _LABELS_PER_IMAGE[split]
    return MultiLabelImages(
        name="NUS-WIDE",
        split=split,
        class_names=NUSWIDE.class_names,
        labels=labels[list(files.rows)],
        ids=tuple(ids[row] for row in files.rows),
        load_image=files.open,
        fingerprint=files.fingerprint,
        stated=stated,
        missing=files.missing,
    )


def _first_folder(root: Path, *names: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise CoMCError(
        f"{root} has no folder {' or '.join(names)}; put NUS-WIDE together as {ADDRESS} describes it."
    )


def _read_lines(path: Path) -> list[bytes]:
    """Lines without line ends of any system and without surrounding space; none empty at the end."""
    if not path.is_file():
        raise CoMCError(f"{path} is missing; get it from {ADDRESS}.")
    return [line.strip() for line in path.read_bytes().rstrip().splitlines()]


def _read_labels(path: Path, n_images: int) -> UInt8[np.ndarray, " n"]:
    lines = _read_lines(path)
    if len(lines) != n_images:
        raise CoMCError(
            f"{path} has {len(lines):,} lines, but the list of images {n_images:,}; get it anew from "
            f"{ADDRESS}."
        )
    column = np.array(lines)
    wrong = np.flatnonzero((column != b"0") & (column != b"1"))
    if wrong.size:
        raise CoMCError(
            f"{path}, line {wrong[0] + 1} says {lines[wrong[0]].decode('utf-8', 'replace')!r}; it must be "
            f"0 or 1. Get the file anew from {ADDRESS}."
        )
    return (column == b"1").astype(np.uint8)
