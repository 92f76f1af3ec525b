"""Real CLIP embeddings of real photos: 500 images of MS-COCO val2017, their captions, 80 classes.

Five public files give them, made by OpenAI's CLIP ViT-B/16. They hold no pixels and no local embeddings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.datasets.base import MultiLabelEmbeddings
from comc_utils.datasets.fetch import fetch
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import COCO
from comc_utils.store.checksum import sha256_of
from comc_utils.store.paths import cache_dir

BASE_URL = "https://raw.githubusercontent.com"

N_ROWS = 500
_N_STUFF_NAMES = 171


@dataclass(frozen=True)
class PublicFile:
    """A file of a public repository, at one commit.

    Attributes
    ----------
    repository : str
        owner/name on GitHub.
    commit : str
        40 hexadecimal digits.
    path : str
        Inside the repository.
    sha256 : str
        Of its content.
    name : str
        Under which it is kept.
    """

    repository: str
    commit: str
    path: str
    sha256: str
    name: str

    def url(self, base_url: str = BASE_URL) -> str:
        """Address of the file's raw content."""
        return f"{base_url}/{self.repository}/{self.commit}/{self.path}"


FEATURES = PublicFile(
    "Weixin-Liang/Modality-Gap",
    "8e20cb24efa4c5f89aad694f2f65eb43ffc46d10",
    "Figure_1_Modality_Gap/features_clip.npy",
    "7227280ace0f145d2c45afa8ab507a1cb280e9460aa271fe9052d08e35342adb",
    "features_clip.npy",
)
"""Embeddings of 500 images (row 0) and of one caption each (row 1), not normalised. MIT."""

CAPTIONS = PublicFile(
    "lborke/COCO_Dataset",
    "71e935371c3d5aaebd936c3eb6369b69d18e0bc6",
    "annotations/captions_val2017.json",
    "afe3b30e403dd7f228e2373023abbd60042a6e10ec6874d3652df034d289ebb9",
    "captions_val2017.json",
)
"""COCO's captions of val2017. CC BY 4.0."""

_ZEGCLIP = ("ZiqinZhou66/ZegCLIP", "9ba4bb5c9b621c04005fb9cef7254e79bb9c9991")
_ZEGCLIP_FOLDER = "configs/_base_/datasets/text_embedding"

LABEL_EMBEDDINGS = {
    "single": PublicFile(
        *_ZEGCLIP,
        f"{_ZEGCLIP_FOLDER}/coco_single.npy",
        "dd32beda49a5573e17533f1cab656d748d4a17b0cef8fc42a875bbae91efb2f2",
        "coco_single.npy",
    ),
    "multi": PublicFile(
        *_ZEGCLIP,
        f"{_ZEGCLIP_FOLDER}/coco_multi.npy",
        "49190f380a10e8b0df5c006b7f0a9d14aedba5ae7382d43a606d7fb8b39e7798",
        "coco_multi.npy",
    ),
}
"""Text embeddings of COCO-Stuff's 171 names, COCO's 80 classes first, by the prompts used: one, or the
mean over many. MIT."""

CLASSES_OF_IMAGES = PublicFile(
    "linyq2117/TagCLIP",
    "c32b640f3a1cf840e23e4ca8b55aa2b35d086fc5",
    "imageset/coco2017/val.txt",
    "e319bffc3bd75ba8897ca74e6b7d08ce5cb42507dc24dd5f08ce5d162f8d5726",
    "tagclip_coco2017_val.txt",
)
"""A line an image of val2017 with at least one object: its id, then its classes' indices. MIT."""

FILES = (FEATURES, CAPTIONS, *LABEL_EMBEDDINGS.values(), CLASSES_OF_IMAGES)


def load_coco500(
    folder: str | os.PathLike[str] | None = None,
    *,
    prompt: Literal["single", "multi"] = "single",
    base_url: str = BASE_URL,
    progress: bool = False,
) -> MultiLabelEmbeddings:
    """Load the 497 of the 500 images that show a class of COCO, their captions, and the classes.

    Parameters
    ----------
    folder : str or PathLike, optional
        Where the five files are, under their own names; nothing is fetched then. Without it they are
        fetched once (6 MB) into the folder ``coco500`` of `cache_dir`.
    prompt : {"single", "multi"}
        Label embeddings from one prompt, or from an ensemble of prompts.
    base_url : str
        What stands before repository, commit and path in the files' addresses.
    progress : bool
        Show progress bars of what is fetched.

    Returns
    -------
    MultiLabelEmbeddings
        n = 497, N = 80, d = 512; 1,643 positives. Captions' labels are read from their words
        (`labels.COCO.find`).

    Raises
    ------
    CoMCError
        An unknown prompt, a file that is missing, cannot be fetched, or has another SHA-256.

    References
    ----------
    Liang et al., "Mind the gap" (NeurIPS 2022), whose Figure 1 the embeddings are of.
    """
    if prompt not in LABEL_EMBEDDINGS:
        raise CoMCError(f"Unknown prompt {prompt!r} of coco500; known: {', '.join(LABEL_EMBEDDINGS)}.")
    if folder is None:
        folder = cache_dir() / "coco500"
        for file in FILES:
            fetch(file.url(base_url), folder / file.name, sha256=file.sha256, progress=progress)
    else:
        folder = Path(folder)
        for file in FILES:
            _verify(folder / file.name, file)
    ids, captions = _rows(folder / CAPTIONS.name)
    labels = _labels(folder / CLASSES_OF_IMAGES.name, ids)
    # The list has no line for an image without an object of the 80 classes: 3 of the 500.
    kept = labels.any(axis=1)
    features = load_array(folder / FEATURES.name, (2, N_ROWS, 512))
    label_features = load_array(folder / LABEL_EMBEDDINGS[prompt].name, (_N_STUFF_NAMES, 512))
    captions = tuple(caption for caption, keep in zip(captions, kept, strict=True) if keep)
    return MultiLabelEmbeddings(
        name="coco500",
        class_names=COCO.class_names,
        labels=labels[kept],
        ids=tuple(name for name, keep in zip(ids, kept, strict=True) if keep),
        image_embeddings=_unit(features[0, kept]),
        captions=captions,
        caption_embeddings=_unit(features[1, kept]),
        caption_labels=_matrix([COCO.find(caption) for caption in captions]),
        label_embeddings=_unit(label_features[: len(COCO.class_names)]),
    )


def load_array(path: str | os.PathLike[str], shape: tuple[int, ...]) -> np.ndarray:
    """Read an array of numbers from an .npy file; one that holds pickled objects is refused.

    Parameters
    ----------
    path : str or PathLike
        The file.
    shape : tuple of int
        The expected shape.

    Returns
    -------
    ndarray
        Of this shape.

    Raises
    ------
    CoMCError
        The file is no .npy file, would have to be unpickled, or holds another shape.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CoMCError(
            f"{path} does not hold a plain array ({error}); replace it by the published file."
        ) from None
    if array.shape != shape:
        raise CoMCError(
            f"{path} holds an array of shape {list(array.shape)}, expected {list(shape)}; replace it by "
            "the published file."
        )
    return array


def _verify(path: Path, file: PublicFile) -> None:
    if not path.is_file():
        raise CoMCError(f"{path} is missing; get it from {file.url()}, or give no folder to have it fetched.")
    actual = sha256_of(path)
    if actual != file.sha256:
        raise CoMCError(
            f"{path} is damaged or another file: its SHA-256 is {actual}, expected {file.sha256}. "
            f"Replace it by {file.url()}."
        )


def _rows(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and captions of the embeddings' rows.

    The repository of the embeddings does not list them. They are the first 500 images to appear in the
    annotations, each with its last caption there: so paired, the class whose embedding lies nearest to a
    caption's is named in it for 88 % of the captions; with each image's first caption for 77 %.
    """
    annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]
    last_caption = {entry["image_id"]: entry["caption"] for entry in annotations}
    image_ids = list(last_caption)[:N_ROWS]
    return tuple(f"{i:012d}" for i in image_ids), tuple(last_caption[i] for i in image_ids)


def _labels(path: Path, ids: tuple[str, ...]) -> UInt8[np.ndarray, "n N"]:
    classes_of = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, *indices = line.split()
        classes_of[name] = [int(i) for i in indices]
    return _matrix([classes_of.get(name, []) for name in ids])


def _matrix(classes: Sequence[Iterable[int]]) -> UInt8[np.ndarray, "n N"]:
    labels = np.zeros((len(classes), len(COCO.class_names)), dtype=np.uint8)
    for row, columns in enumerate(classes):
        labels[row, list(columns)] = 1
    return labels


def _unit(features: np.ndarray) -> Float[Tensor, "n d"]:
    return normalize(torch.from_numpy(features.astype(np.float32)), dim=1)
