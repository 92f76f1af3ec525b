"""Any folder of images, with or without labels in a CSV file."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import find_files, name_some
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import LabelSet, check_label_names

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Endings, in any case, of the files that are taken for images; what they hold decides later."""

LABELS_FILE = "labels.csv"


def load_folder(
    root: str | os.PathLike[str],
    label_set: LabelSet | None = None,
    *,
    labels: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load all images of a folder and the folders below it, sorted by path.

    Hidden files and folders are passed over. Photos are turned as their EXIF data say, unlike those of
    the benchmarks.

    Parameters
    ----------
    root : str or PathLike
        The folder.
    label_set : LabelSet, optional
        The classes. By default those of the CSV file, in its order; where both are given they must be
        the same, in any order.
    labels : str or PathLike, optional
        A CSV file in UTF-8 with the header ``file,<class>,<class>,...`` and for each image its path
        below the folder ("/" between folders), then a 0 or 1 for each class. By default the folder's
        ``labels.csv``, where there is one; without one all labels are 0, for scoring alone.
    limit : int, optional
        For a trial: the first so many images. Images without a row of the CSV file are passed over
        then, and named as missing; by default each must have one.
    draft_size : int, optional
        For JPEG files, see `image_files.open_image`.

    Returns
    -------
    MultiLabelImages
        n images; ids are paths below the folder.

    Raises
    ------
    CoMCError
        A folder that does not exist or holds no image; neither a CSV file nor a label set; a CSV file
        whose header, classes or values are wrong, that names images that are not there, or, without a
        limit, lacks one.
    """
    root = Path(root)
    if not root.is_dir():
        raise CoMCError(f"The folder of images {root} does not exist; check its path.")
    names = _image_names(root)
    if not names:
        raise CoMCError(f"{root} holds no image; known endings: {', '.join(sorted(SUFFIXES))}.")
    if labels is None and (root / LABELS_FILE).is_file():
        labels = root / LABELS_FILE
    without_row: list[str] = []
    if labels is not None:
        class_names, row_of = _read_labels(Path(labels), label_set)
        names, without_row = _match(names, row_of, Path(labels), root, limit)
        matrix = np.array([row_of[name] for name in names], dtype=np.uint8)
    elif label_set is not None:
        class_names = label_set.class_names
        matrix = np.zeros((len(names), len(class_names)), dtype=np.uint8)
    else:
        raise CoMCError(
            f"The classes of {root} are not known: write a {LABELS_FILE} into it, or give a label set."
        )
    files = find_files(
        root, names, limit=limit, place=f"folder {root}", exif_rotation=True, draft_size=draft_size
    )
    return MultiLabelImages.of_files(
        files,
        name="folder",
        split=root.resolve().name,
        class_names=class_names,
        labels=matrix[files.rows],
        missing=tuple(without_row),
    )


def _image_names(root: Path) -> list[str]:
    names = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        # macOS puts a "._photo.jpg" beside each photo on foreign disks, which is none.
        names += [
            (Path(folder) / name).relative_to(root).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(names)


def _read_labels(
    path: Path, label_set: LabelSet | None
) -> tuple[tuple[str, ...], dict[str, UInt8[np.ndarray, " N"]]]:
    """Class names in their order, and the labels of each file."""
    if not path.is_file():
        raise CoMCError(f"The file of labels {path} does not exist; check its path.")
    try:
        # Spreadsheet programs begin a UTF-8 file with a mark, which is no part of the header.
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CoMCError(f"{path} is no CSV file in UTF-8 ({error}); save it as one.") from None
    header = [name.strip() for name in lines[0][1]] if lines else []
    _check_header(header, path)
    class_names = tuple(header[1:])
    row_of: dict[str, UInt8[np.ndarray, " N"]] = {}
    for line, row in lines[1:]:
        name, values = _parse_row(row, header, f"{path}, line {line}")
        if name in row_of:
            raise CoMCError(f"{path}, line {line} is a second row for {name}; remove one of them.")
        row_of[name] = values
    if label_set is None:
        return class_names, row_of
    for names, what in (
        ([name for name in class_names if name not in label_set.class_names], "has columns for"),
        ([name for name in label_set.class_names if name not in class_names], "has no column for"),
    ):
        if names:
            raise CoMCError(
                f"{path} {what} {name_some(names)}, unlike label set {label_set.name!r}; correct the "
                "header, or give the label set of the file."
            )
    order = [class_names.index(name) for name in label_set.class_names]
    return label_set.class_names, {name: row[order] for name, row in row_of.items()}


def _check_header(header: list[str], path: Path) -> None:
    if not header or header[0] != "file":
        raise CoMCError(
            f"{path} begins with {','.join(header)[:60]!r}; its first line must be file,<class>,<class>,..."
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise CoMCError(f"{path} has several columns {repeated[0]!r}; give each class one.")
    try:
        check_label_names(header[1:])
    except CoMCError as error:
        raise CoMCError(f"The header of {path} is wrong: {error}") from None


def _parse_row(row: list[str], header: list[str], place: str) -> tuple[str, UInt8[np.ndarray, " N"]]:
    if len(row) != len(header):
        raise CoMCError(f"{place} has {len(row)} columns, but the header {len(header)}; correct the line.")
    name, *values = (value.strip() for value in row)
    for column, value in zip(header[1:], values, strict=True):
        if value not in ("0", "1"):
            raise CoMCError(f"{place} says {value!r} of class {column!r}; it must be 0 or 1.")
    return name, np.array([value == "1" for value in values], dtype=np.uint8)


def _match(
    names: list[str], row_of: dict[str, UInt8[np.ndarray, " N"]], path: Path, root: Path, limit: int | None
) -> tuple[list[str], list[str]]:
    """Images with a row, and those without."""
    there = set(names)
    absent = [name for name in row_of if name not in there]
    if absent:
        raise CoMCError(
            f"{path} has rows for images that are not in {root}: {name_some(absent)}. Remove the rows, or "
            "put the images there."
        )
    without = [name for name in names if name not in row_of]
    if without and (limit is None or not row_of):
        raise CoMCError(
            f"{path} has no row for {name_some(without)} in {root}; add the rows, take the images away, or "
            "give limit=N (command line: --limit N) for a trial on those with a row."
        )
    return [name for name in names if name in row_of], without
