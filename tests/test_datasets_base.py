"""What every data set must hold, and how it says that it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from comc_utils.datasets import MultiLabelEmbeddings, MultiLabelImages
from comc_utils.errors import CoMCError

LABELS = np.array([[1, 0, 1], [1, 0, 0]], dtype=np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> MultiLabelImages:
    Image.new("L", (8, 6), 200).save(tmp_path / "grey.png")
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    paths = (tmp_path / "grey.png", tmp_path / "cut.png")
    return MultiLabelImages(
        name="two",
        split="test",
        class_names=("dog", "cat", "car"),
        labels=LABELS,
        ids=("grey", "cut"),
        load_image=lambda index: Image.open(paths[index]),
        fingerprint="f",
    )


@pytest.fixture
def embeddings() -> MultiLabelEmbeddings:
    unit = torch.eye(3, 4)
    return MultiLabelEmbeddings(
        name="two",
        class_names=("dog", "cat", "car"),
        labels=LABELS,
        ids=("a", "b"),
        image_embeddings=unit[:2],
        captions=("a dog by a car", "nothing"),
        caption_embeddings=unit[1:],
        caption_labels=np.array([[1, 0, 1], [0, 0, 0]], dtype=np.uint8),
        label_embeddings=unit,
    )


def test_image_comes_in_rgb(images: MultiLabelImages) -> None:
    assert len(images) == 2
    assert images[0].mode == "RGB"
    assert images[0].size == (8, 6)
    assert images[0].getpixel((3, 3)) == (200, 200, 200)


def test_image_that_does_not_open(images: MultiLabelImages, tmp_path: Path) -> None:
    with pytest.raises(CoMCError, match=r"Image cut \(number 1\) of data set two.*does not open"):
        images[1]
    (tmp_path / "cut.png").write_text("no image")
    with pytest.raises(CoMCError, match="does not open"):
        images[1]
    (tmp_path / "cut.png").unlink()
    with pytest.raises(CoMCError, match="does not open"):
        images[1]


def test_images_that_do_not_open_are_left_out_and_counted(images, tmp_path):
    kept = images.readable()
    assert (kept.ids, kept.unreadable) == (("grey",), ("cut",))
    assert kept.labels.tolist() == LABELS[:1].tolist()
    assert kept.fingerprint != images.fingerprint
    assert kept.describe()["unreadable"] == "1: cut"
    assert "unreadable" not in images.describe()
    (tmp_path / "grey.png").write_text("no image")
    with pytest.raises(CoMCError, match="Image grey .* does not open"):
        images.readable()


def test_image_that_does_not_exist(images: MultiLabelImages) -> None:
    for index in (-1, 2):
        with pytest.raises(IndexError, match="images 0 to 1"):
            images[index]


def test_description(images: MultiLabelImages, embeddings: MultiLabelEmbeddings) -> None:
    counts = {
        "images": 2,
        "classes": 3,
        "positives": 3,
        "labels per image": 1.5,
        "classes without a positive": "cat",
    }
    assert images.describe() == {"data set": "two", "split": "test"} | counts
    assert embeddings.describe() == {"data set": "two"} | counts | {"captions without a class": 1}
    assert len(embeddings) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:1]}, r"labels of data set two.* shape \[1, 3\], expected \[2, 3\]"),
        ({"labels": LABELS.T}, r"shape \[3, 2\], expected \[2, 3\]"),
        ({"labels": LABELS * 2}, "must be 0 or 1"),
        ({"labels": LABELS.astype(int)}, "uint8, not int64"),
        ({"ids": ("grey", "grey")}, "'grey'"),
        ({"class_names": ("dog", "dog", "car")}, "'dog'"),
        ({"class_names": ("dog", "", "car")}, "empty"),
        ({"fingerprint": ""}, "fingerprint"),
    ],
)
def test_images_that_do_not_fit(images: MultiLabelImages, changes: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        replace(images, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:, :2]}, r"labels of data set two have shape \[2, 2\]"),
        ({"caption_labels": LABELS * 3}, "caption_labels of data set two must be 0 or 1"),
        ({"captions": ("one",)}, "2 ids and 1 captions"),
        ({"ids": ("a", "a")}, "'a'"),
        ({"class_names": ("dog", "dog", "car")}, "'dog'"),
        ({"label_embeddings": torch.eye(2, 4)}, r"label_embeddings.*\[2, 4\], expected \[3, 4\]"),
        ({"caption_embeddings": torch.eye(2, 5)}, r"caption_embeddings.*\[2, 5\], expected \[2, 4\]"),
        ({"image_embeddings": torch.eye(2, 4).double()}, "image_embeddings.*float64"),
        ({"image_embeddings": 2 * torch.eye(2, 4)}, "Row 0 of the image_embeddings.*unit vector"),
        (
            {"image_embeddings": torch.tensor([[1.0, 0, 0, 0], [torch.nan, 0, 0, 0]])},
            "Row 1 of the image_embeddings",
        ),
    ],
)
def test_embeddings_that_do_not_fit(embeddings: MultiLabelEmbeddings, changes: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        replace(embeddings, **changes)
