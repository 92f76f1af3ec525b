"""NUS-WIDE in its official layout: 81 concepts in photos from Flickr, many of them without any."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import FoundFiles, check_count, check_split, find_files
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import NUSWIDE

ADDRESS = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
"""Where lists and labels are, and how to ask for the images."""

N_IMAGES = {"test": 107_859, "train": 161_789}
"""Images of each split, by the official lists and the paper."""

THE_PAPERS = "all official test images, the paper's"
OTHER_TEST_SETS = {
    83_898: "83,898 images: of the official test images those that show a concept",
    60_260: "60,260 images, the list of some later benchmarks",
}
"""Numbers of images in other lists of test images that are in use, and what to call them."""

RANDOM_THIRD = range(64_000, 68_001)
"""As many are a random 30 % of the 220,000 images that are still to be had: another 30 % for everyone."""

N_TAGS = 925
"""Seen classes of zero-shot learning, in the paper and its predecessors."""

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
        The paper's is test, all 107,859 images of it. Lists of other test images in use are loaded, too, and
        named (`describe`'s "test set"): their scores cannot be compared with the paper's.
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
    root = Path(root)
    ids = _read_ids(root, split, limit)
    labels_folder = _first_folder(root, "TrainTestLabels", "Groundtruth/TrainTestLabels")
    labels = np.stack(
        [
            _read_labels(labels_folder / f"Labels_{concept}_{split.capitalize()}.txt", len(ids))
            for concept in NUSWIDE.official_names
        ],
        axis=1,
    )
    files = _find_images(root, ids, split, limit, draft_size)
    test_set = name_test_set(len(ids)) if split == "test" else ""
    stated: dict[str, int | float] = {"classes": 81}
    if test_set in ("", THE_PAPERS):
        stated["images"] = N_IMAGES[split]
    if split in _LABELS_PER_IMAGE and test_set == THE_PAPERS:
        stated["labels per image"] = _LABELS_PER_IMAGE[split]
    return MultiLabelImages.of_files(
        files,
        name="NUS-WIDE",
        split=split,
        class_names=NUSWIDE.class_names,
        labels=labels[files.rows],
        stated=stated,
        test_set=test_set,
    )


def load_nuswide_tags(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load a split of NUS-WIDE with Flickr's tags as labels: the seen classes of zero-shot learning.

    Of the 1,000 most frequent tags the 925 that are none of the 81 concepts are labels.

    Parameters
    ----------
    root : str or PathLike
        As `load_nuswide` takes it, with ``NUS_WID_Tags/TagList1k.txt`` and
        ``NUS_WID_Tags/Train_Tags1k.dat`` (or ``Test_Tags1k.dat``), too.
    split : {"train", "test"}
    limit, draft_size : int, optional
        As for `load_nuswide`.

    Returns
    -------
    MultiLabelImages
        N = 925.

    Raises
    ------
    CoMCError
        As `load_nuswide`; and for tags that are missing or damaged, or leave another number of classes.

    References
    ----------
    The split of Zhang et al., Fast Zero-Shot Image Tagging, CVPR 2016, which Table 2 of the paper uses.
    """
    root = Path(root)
    ids = _read_ids(root, split, limit)
    folder = root / "NUS_WID_Tags"
    tags = [line.decode("utf-8", "replace") for line in _read_lines(folder / "TagList1k.txt")]
    kept = [column for column, tag in enumerate(tags) if tag not in NUSWIDE.official_names]
    if len(kept) != N_TAGS:
        raise CoMCError(
            f"{folder / 'TagList1k.txt'} has {len(kept)} tags beside the concepts, expected {N_TAGS}; get "
            f"it anew from {ADDRESS}."
        )
    path = folder / f"{split.capitalize()}_Tags1k.dat"
    rows = _read_lines(path, len(ids))
    files = _find_images(root, ids, split, limit, draft_size)
    return MultiLabelImages.of_files(
        files,
        name="NUS-WIDE, Flickr's tags",
        split=split,
        class_names=tuple(tags[column] for column in kept),
        labels=np.stack([_read_tags(rows[row], len(tags), path, row)[kept] for row in files.rows]),
        stated={"images": N_IMAGES[split], "classes": N_TAGS},
    )


def name_test_set(n_images: int) -> str:
    """Name the test set of NUS-WIDE that has so many images; '' for an unknown one."""
    if n_images == N_IMAGES["test"]:
        return THE_PAPERS
    if n_images in RANDOM_THIRD:
        return f"{n_images:,} images, by their number somebody's random 30 % of those that are still to be had"
    return OTHER_TEST_SETS.get(n_images, "")


def find_test_set(root: str | os.PathLike[str]) -> str:
    """Name the test set that a folder holds by its list of images, see `name_test_set`; '' without a list."""
    path = _list_of(Path(root), "test")
    return name_test_set(len(_read_lines(path))) if path.is_file() else ""


def _list_of(root: Path, split: str) -> Path:
    return root / "ImageList" / f"{split.capitalize()}Imagelist.txt"


def _read_ids(root: Path, split: str, limit: int | None) -> tuple[str, ...]:
    check_split(split, N_IMAGES, "NUS-WIDE")
    path = _list_of(root, split)
    ids = tuple(line.decode("utf-8", "surrogateescape").replace("\\", "/") for line in _read_lines(path))
    if limit is None and not (split == "test" and name_test_set(len(ids))):
        check_count(len(ids), N_IMAGES[split], str(path), f"NUS-WIDE {split}")
    return ids


def _find_images(
    root: Path, ids: tuple[str, ...], split: str, limit: int | None, draft_size: int | None
) -> FoundFiles:
    folder = _first_folder(root, "Flickr", "images")
    return find_files(folder, ids, limit=limit, place=f"NUS-WIDE {split}", draft_size=draft_size)


def _read_tags(line: bytes, n_tags: int, path: Path, row: int) -> UInt8[np.ndarray, " n_tags"]:
    values = line.split()
    if len(values) != n_tags or not set(values) <= {b"0", b"1"}:
        raise CoMCError(
            f"{path}, line {row + 1} is not {n_tags:,} times 0 or 1; get the file anew from {ADDRESS}."
        )
    return np.array([value == b"1" for value in values], dtype=np.uint8)


def _first_folder(root: Path, *names: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise CoMCError(
        f"{root} has no folder {' or '.join(names)}; put NUS-WIDE together as {ADDRESS} describes it."
    )


def _read_lines(path: Path, n_images: int | None = None) -> list[bytes]:
    """Lines without line ends of any system and without surrounding space; none empty at the end."""
    if not path.is_file():
        raise CoMCError(f"{path} is missing; get it from {ADDRESS}.")
    lines = [line.strip() for line in path.read_bytes().rstrip().splitlines()]
    if n_images is not None and len(lines) != n_images:
        raise CoMCError(
            f"{path} has {len(lines):,} lines, but the list of images {n_images:,}; get it anew from {ADDRESS}."
        )
    return lines


def _read_labels(path: Path, n_images: int) -> UInt8[np.ndarray, " n"]:
    lines = _read_lines(path, n_images)
    column = np.array(lines)
    wrong = np.flatnonzero((column != b"0") & (column != b"1"))
    if wrong.size:
        raise CoMCError(
            f"{path}, line {wrong[0] + 1} says {lines[wrong[0]].decode('utf-8', 'replace')!r}; it must be "
            f"0 or 1. Get the file anew from {ADDRESS}."
        )
    return (column == b"1").astype(np.uint8)
