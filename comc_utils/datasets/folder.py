"""Any folder of images, with or without labels in a CSV file."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import find_files, name_some
from comc_utils.datasets.photos import find_photos, tell_passed_over
from comc_utils.errors import CoMCError, printable
from comc_utils.sentences.labels import LabelSet, check_label_names

LABELS_FILE = "labels.csv"

_Row = tuple[int, str, UInt8[np.ndarray, " N"]]
"""Line of the CSV file, the image's name as it stands there, labels."""


def load_folder(
    root: str | os.PathLike[str],
    label_set: LabelSet | None = None,
    *,
    labels: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load all images of a folder and the folders below it, sorted by path.

    Whatever Pillow opens is an image, see `photos.find_photos`; what is passed over is printed, by kind.
    Photos are turned as their EXIF data say, unlike those of the benchmarks.

    Parameters
    ----------
    root : str or PathLike
        The folder.
    label_set : LabelSet, optional
        The classes. By default those of the CSV file, in its order; where both are given they must be
        the same, in any order.
    labels : str or PathLike, optional
        A CSV file in UTF-8 with the header ``file,<class>,<class>,...`` and for each image its path
        below the folder ("/" between folders), then a 0 or 1 for each class; between columns commas,
        semicolons or tabs. A name that no image has exactly is looked for without surrounding space and in
        other compositions of its accents. By default the folder's ``labels.csv``, where there is one;
        without one all labels are 0, for scoring alone.
    limit : int, optional
        For a trial: the first so many images. Images without a row of the CSV file are passed over
        then, and named as missing; by default each must have one.
    draft_size : int, optional
        For JPEG files, see `image_files.open_image`.

    Returns
    -------
    MultiLabelImages
        n images; ids are paths below the folder, as `errors.printable` writes them; what is not loaded
        stands in `passed_over`.

    Raises
    ------
    CoMCError
        A folder that does not exist or holds no image; one below it that may not be read, a link that leads
        back or to nothing, photos in HEIC without the extra; neither a CSV file nor a label set; a CSV file
        whose header, classes or values are wrong, that names images that are not there, or, without a
        limit, lacks one.
    """
    root = Path(root)
    if not root.is_dir():
        raise CoMCError(f"The folder of images {root} does not exist; check its path.")
    if labels is None and os.path.lexists(root / LABELS_FILE):
        labels = root / LABELS_FILE
    found = find_photos(root, known=labels)
    names = list(found.names)
    passed_over = tell_passed_over(found.passed_over)
    if not names:
        raise CoMCError(
            f"{root} holds no image that Pillow opens"
            + (f", but {passed_over}" if passed_over else "")
            + "; give the folder of the photos."
        )
    without_row: list[str] = []
    if labels is not None:
        class_names, rows = _read_labels(Path(labels), label_set)
        row_of = _match(names, rows, Path(labels), root)
        names, without_row = _with_row(names, row_of, Path(labels), root, limit)
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
    if passed_over:
        print(printable(f"{root} holds {len(found.names):,} images; passed over: {passed_over}"))
    return MultiLabelImages.of_files(
        files,
        name="folder",
        split=printable(root.resolve().name),
        class_names=class_names,
        labels=matrix[files.rows],
        missing=tuple(map(printable, without_row)),
        passed_over=found.passed_over,
    )


def _read_labels(path: Path, label_set: LabelSet | None) -> tuple[tuple[str, ...], list[_Row]]:
    """Class names in their order, and the rows."""
    if not path.is_file():
        raise CoMCError(f"The file of labels {path} does not exist, or is no file; check its path.")
    try:
        # Spreadsheet programs begin a UTF-8 file with a mark, which is no part of the header.
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
            # Where a comma stands in numbers, spreadsheet programs put semicolons between columns.
            other = re.match(r'\s*"?file"?\s*([;\t])', text)
            reader = csv.reader(
                io.StringIO(text, newline=""), delimiter=other[1] if other else ",", strict=True
            )
            lines = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CoMCError(f"{path} is no CSV file in UTF-8 ({error}); save it as one.") from None
    except OSError as error:
        raise CoMCError(
            f"{path} cannot be read ({error.strerror}); give yourself the right to read it."
        ) from None
    header = [_composed(name.strip()) for name in lines[0][1]] if lines else []
    _check_header(header, path)
    class_names = tuple(header[1:])
    rows = [(line, *_parse_row(row, header, f"{path}, line {line}")) for line, row in lines[1:]]
    if label_set is None:
        return class_names, rows
    wanted = [_composed(name) for name in label_set.class_names]
    for names, what in (
        ([name for name in class_names if name not in wanted], "has columns for"),
        ([name for name in wanted if name not in class_names], "has no column for"),
    ):
        if names:
            raise CoMCError(
                f"{path} {what} {name_some(names)}, unlike label set {label_set.name!r}; correct the "
                "header, or give the label set of the file."
            )
    order = [class_names.index(name) for name in wanted]
    return label_set.class_names, [(line, name, values[order]) for line, name, values in rows]


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
    name, *values = row[0], *(value.strip() for value in row[1:])
    if not name.strip():
        raise CoMCError(f"{place} names no image; give its path below the folder, or remove the line.")
    for column, value in zip(header[1:], values, strict=True):
        if value not in ("0", "1"):
            raise CoMCError(f"{place} says {value!r} of class {column!r}; it must be 0 or 1.")
    return name, np.array([value == "1" for value in values], dtype=np.uint8)


def _match(names: list[str], rows: list[_Row], path: Path, root: Path) -> dict[str, UInt8[np.ndarray, " N"]]:
    """Labels of each image by its name on disk."""
    exact = set(names)
    alike: dict[str, set[str]] = {}
    for name in names:
        for form in (_composed(name), _composed(printable(name))):
            alike.setdefault(form, set()).add(name)
    row_of: dict[str, UInt8[np.ndarray, " N"]] = {}
    absent = []
    for line, written, values in rows:
        name = _find(written, exact, alike, f"{path}, line {line}")
        if name is None:
            absent.append(printable(written.strip()))
        elif name in row_of:
            raise CoMCError(f"{path}, line {line} is a second row for {printable(name)}; remove one of them.")
        else:
            row_of[name] = values
    if absent:
        raise CoMCError(
            f"{path} has rows for images that are not in {root}: {name_some(absent)}. Remove the rows, or "
            "put the images there."
        )
    return row_of


def _find(written: str, exact: set[str], alike: dict[str, set[str]], place: str) -> str | None:
    """Name on disk of the image that a row means: as it is written if there is one, else what is alike."""
    forms = (written, written.strip(), posixpath.normpath(written.strip()))
    for form in forms:
        if form in exact:
            return form
    for form in forms:
        same = alike.get(_composed(form), set())
        if len(same) > 1:
            raise CoMCError(
                f"{place} says {printable(form)}, which {len(same)} images are called in other compositions of "
                "its accents; rename all but one."
            )
        if same:
            return next(iter(same))
    return None


def _composed(name: str) -> str:
    """Letters with accents as one character each: macOS writes two, most other systems one."""
    return unicodedata.normalize("NFC", name)


def _with_row(
    names: list[str], row_of: dict[str, UInt8[np.ndarray, " N"]], path: Path, root: Path, limit: int | None
) -> tuple[list[str], list[str]]:
    """Images with a row, and those without."""
    without = [name for name in names if name not in row_of]
    if without and (limit is None or not row_of):
        raise CoMCError(
            f"{path} has no row for {name_some([printable(name) for name in without])} in {root}; add the "
            "rows, take the images away, or give limit=N for a trial on those with a row."
        )
    return [name for name in names if name in row_of], without
