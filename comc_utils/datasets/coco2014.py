"""MS-COCO 2014 in its official layout: 80 classes, read from the annotations of its objects."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import check_count, check_split, find_files, name_some
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import COCO

N_IMAGES = {"val2014": 40_504, "train2014": 82_783}
"""Images of each split."""

N_LABELLED = {"val2014": 40_137, "train2014": 82_081}
"""Those with at least one object of the 80 classes."""

UNSEEN = (
    "airplane", "bus", "cat", "dog", "cow", "elephant", "umbrella", "tie", "snowboard", "skateboard", "cup",
    "knife", "cake", "couch", "keyboard", "sink", "scissors",
)  # fmt: skip
SEEN = (
    "person", "bicycle", "car", "motorcycle", "train", "truck", "boat", "bench", "bird", "horse", "sheep",
    "bear", "zebra", "giraffe", "backpack", "handbag", "suitcase", "frisbee", "skis", "kite", "surfboard",
    "bottle", "fork", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot",
    "pizza", "donut", "chair", "bed", "toilet", "tv", "laptop", "mouse", "remote", "microwave", "oven",
    "toaster", "refrigerator", "book", "clock", "vase", "toothbrush",
)  # fmt: skip
"""Classes of zero-shot learning, by Bansal et al., Zero-Shot Object Detection, ECCV 2018; 15 are neither."""

_LABELS_PER_IMAGE = {"val2014": 2.9}
_OUTLINE = b'"segmentation"'
_DAMAGED = "unpack annotations_trainval2014.zip again"
_OWN = (
    "write a labels.csv (header file,<class>,<class>,..., then for each image its path and a 0 or 1 a class) "
    "into its folder and load that in Python with comc_utils.datasets.load_folder(folder)"
)


def load_coco2014(
    root: str | os.PathLike[str],
    split: str = "val2014",
    *,
    unlabelled: bool = True,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load a split of MS-COCO 2014; an image shows each class that one of its objects is of.

    Objects marked as a crowd count, as in the authors' code.

    Parameters
    ----------
    root : str or PathLike
        The folder with ``annotations/instances_<split>.json`` and the images in ``<split>/``.
    split : {"val2014", "train2014"}
        The paper's is val2014.
    unlabelled : bool
        Whether the images without an object are kept, as in the paper; there they are negatives of
        every class.
    limit : int, optional
        For a trial: the first so many images of the file's list that are there. By default the split
        must be complete.
    draft_size : int, optional
        For JPEG files, see `image_files.open_image`.

    Returns
    -------
    MultiLabelImages
        n = 40,504 for val2014, N = 80, in the order of the file's list; ids are file names.

    Raises
    ------
    CoMCError
        An unknown split, an annotation file that is missing, damaged, not to be read, or has other classes,
        images or numbers than the split, images that are missing.

    References
    ----------
    Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
    """
    check_split(split, N_IMAGES, "COCO 2014")
    place = f"COCO {split}"
    root = Path(root)
    path = root / "annotations" / f"instances_{split}.json"
    content = _read(path, "category_id", ("images", "annotations", "categories"))
    name_of = _file_names(content["images"], path, split)
    column_of = _columns(content["categories"], path)
    labels = _labels(content, list(name_of), column_of, path)
    names = list(name_of.values())
    if not unlabelled:
        kept = labels.any(axis=1)
        names, labels = list(compress(names, kept)), labels[kept]
    n_stated = (N_IMAGES if unlabelled else N_LABELLED)[split]
    if limit is None:
        check_count(len(name_of), N_IMAGES[split], str(path), place)
        if not unlabelled:
            check_count(len(labels), n_stated, str(path), f"{place} with labels")
    files = find_files(root / split, names, limit=limit, place=place, draft_size=draft_size)
    stated: dict[str, int | float] = {"images": n_stated, "classes": 80}
    if split in _LABELS_PER_IMAGE and unlabelled:
        stated["labels per image"] = _LABELS_PER_IMAGE[split]
    return MultiLabelImages.of_files(
        files, name="COCO", split=split, class_names=COCO.class_names, labels=labels[files.rows], stated=stated
    )


def load_captions(
    root: str | os.PathLike[str], images: MultiLabelImages, split: str = "val2014"
) -> tuple[str | None, ...]:
    """Load one caption for each image: the first that the file holds.

    Parameters
    ----------
    root : str or PathLike
        The folder with ``annotations/captions_<split>.json``.
    images : MultiLabelImages
        Of `load_coco2014`.
    split : {"val2014", "train2014"}
        That of the images.

    Returns
    -------
    tuple of (str or None)
        n captions in the order of the images, without surrounding space; None where there is none.

    Raises
    ------
    CoMCError
        An unknown split, a file that is missing or damaged, or that knows none of the images.
    """
    check_split(split, N_IMAGES, "COCO 2014")
    path = Path(root) / "annotations" / f"captions_{split}.json"
    content = _read(path, "caption", ("images", "annotations"))
    name_of = _file_names(content["images"], path, split)
    first: dict[str, str] = {}
    for image_id, caption, place in _annotations(content, "caption", path):
        if not isinstance(caption, str):
            raise CoMCError(f"{place} has the caption {_shown(caption)}, which is no text; {_DAMAGED}.")
        if image_id in name_of:
            first.setdefault(name_of[image_id], caption.strip())
    captions = tuple(first.get(name) for name in images.ids)
    if not any(captions):
        raise CoMCError(
            f"{path} has no caption for any of the {len(images)} images, {images.ids[0]} for one; give the "
            "split that they are from."
        )
    return captions


def _read(path: Path, key: str, parts: tuple[str, ...]) -> dict[str, list[Any]]:
    if not path.is_file():
        raise CoMCError(
            f"{path} is missing; give the folder above annotations/, or get it by: "
            "python -m comc_utils download coco2014 --to DIR"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CoMCError(
            f"{path} cannot be read ({error.strerror}); give yourself the right to read it."
        ) from None
    try:
        content = json.loads(_without_outlines(content), object_hook=_slim(key))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too many brackets
        raise CoMCError(f"{path} is damaged ({error}); {_DAMAGED}.") from None
    for part in parts:
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise CoMCError(f"{path} holds no list of {part}; {_DAMAGED}.")
    return content


def _without_outlines(content: bytes) -> bytes:
    """Replace the objects' outlines, three quarters of the file, by a 0: they would take most of the time.

    What is not plainly ``"segmentation": <numbers>,`` is left as it is, for the parser to judge.
    """
    first, *rest = content.split(_OUTLINE)
    pieces = [first]
    for piece in rest:
        end = piece.find(b'"')
        outline = piece[:end].strip()
        if outline[:1] == b":" and outline[-1:] == b"," and b"{" not in outline and b"}" not in outline:
            piece = b":0," + piece[end:]
        pieces.append(piece)
    return _OUTLINE.join(pieces)


def _slim(key: str) -> Callable[[dict[str, Any]], Any]:
    """Reduce each annotation, while the file is parsed, to its image's id and the entry of a key.

    Whole, 290,000 of them take half a gigabyte.
    """
    return lambda entry: (entry.get("image_id"), entry[key]) if key in entry else entry


def _file_names(entries: Iterable[Any], path: Path, split: str) -> dict[int, str]:
    """File name of each image by its id, in the file's order."""
    name_of: dict[int, str] = {}
    other = []
    for number, entry in enumerate(entries):
        place = f"Entry {number} (counted from 0) of the images in {path}"
        if not isinstance(entry, dict) or not {"id", "file_name"} <= entry.keys():
            raise CoMCError(f"{place} has no id or no file_name; {_DAMAGED}.")
        image_id, name = entry["id"], entry["file_name"]
        if not _is_id(image_id):
            raise CoMCError(f"{place} has the id {_shown(image_id)}, which is no whole number; {_DAMAGED}.")
        if not isinstance(name, str) or not name:
            raise CoMCError(
                f"{place} has the file_name {_shown(name)}, which is no name of a file; {_DAMAGED}."
            )
        if image_id in name_of:
            raise CoMCError(f"Image id {image_id} appears twice in {path}; {_DAMAGED}.")
        name_of[image_id] = name
        if not name.startswith(f"COCO_{split}_"):
            other.append(name)
    if other:
        raise CoMCError(
            f"{path} lists images such as {name_some(other)}, but those of COCO {split} are named "
            f"COCO_{split}_000000000042.jpg and so on: it is of another data set or split. Put the file of "
            f"{split} there; for photos of your own, {_OWN}."
        )
    repeated = [name for name, count in Counter(name_of.values()).items() if count > 1]
    if repeated:
        raise CoMCError(f"{path} lists images several times: {name_some(repeated)}; {_DAMAGED}.")
    return name_of


def _columns(categories: Iterable[Any], path: Path) -> dict[int, int]:
    """Column of each category's id: ids go up to 90, with gaps."""
    id_of: dict[str, int] = {}
    for number, entry in enumerate(categories):
        place = f"Entry {number} (counted from 0) of the categories in {path}"
        if not isinstance(entry, dict) or not {"id", "name"} <= entry.keys():
            raise CoMCError(f"{place} is a category without a name or an id; {_DAMAGED}.")
        if not _is_id(entry["id"]) or not isinstance(entry["name"], str):
            raise CoMCError(
                f"{place} has the id {_shown(entry['id'])} and the name {_shown(entry['name'])}; these must be "
                f"a whole number and a text. {_DAMAGED.capitalize()}."
            )
        if entry["name"] in id_of or entry["id"] in id_of.values():
            raise CoMCError(
                f"{place} repeats the id {entry['id']} or the name {_shown(entry['name'])} of another; "
                f"{_DAMAGED}."
            )
        id_of[entry["name"]] = entry["id"]
    own = sorted(id_of.keys() - set(COCO.class_names))
    if own:
        raise CoMCError(
            f"{path} has categories that are no classes of COCO: {name_some(own)}; a file in COCO's format "
            f"with categories of its own is a data set of one's own: {_OWN}."
        )
    absent = [name for name in COCO.class_names if name not in id_of]
    if absent:
        raise CoMCError(f"{path} has categories too few, without: {name_some(absent)}; {_DAMAGED}.")
    return {id_of[name]: column for column, name in enumerate(COCO.class_names)}


def _annotations(content: dict[str, list[Any]], key: str, path: Path) -> Iterator[tuple[int, Any, str]]:
    """Image's id, entry of the key, and place in the file of each annotation."""
    for number, annotation in enumerate(content["annotations"]):
        place = f"Entry {number} (counted from 0) of the annotations in {path}"
        if not isinstance(annotation, tuple):
            raise CoMCError(f"{place} is an annotation without a {key}; {_DAMAGED}.")
        image_id, value = annotation
        if not _is_id(image_id):
            raise CoMCError(
                f"{place} has the image_id {_shown(image_id)}, which is no whole number; {_DAMAGED}."
            )
        yield image_id, value, place


def _labels(
    content: dict[str, list[Any]], image_ids: list[int], column_of: dict[int, int], path: Path
) -> UInt8[np.ndarray, "n N"]:
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    labels = np.zeros((len(image_ids), len(column_of)), dtype=np.uint8)
    unknown: dict[str, None] = {}
    first = ""
    for image_id, category_id, place in _annotations(content, "category_id", path):
        if not _is_id(category_id) or category_id not in column_of:
            raise CoMCError(f"{place} is an object of the unknown category {_shown(category_id)}; {_DAMAGED}.")
        if image_id in row_of:
            labels[row_of[image_id], column_of[category_id]] = 1
        else:
            first = first or place
            unknown[str(image_id)] = None
    if unknown:
        raise CoMCError(
            f"{path} has objects of images that are not in its list of images, ids "
            f"{name_some(list(unknown))}; {first} is the first. {_DAMAGED.capitalize()}."
        )
    return labels


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """Write a value as the file has it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
