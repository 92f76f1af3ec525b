"""VOC2007 from its official lists: synthetic ones small enough to read, and the real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comc_utils.datasets import voc2007
from comc_utils.datasets.voc2007 import load_voc2007
from comc_utils.errors import CoMCError
from comc_utils.evaluation.metrics import average_precision_per_class
from comc_utils.sentences.labels import VOC2007
from comc_utils.sources import load_experiment

IDS = ("000001", "000002", "000004", "000007")
DOG, PERSON = VOC2007.class_names.index("dog"), VOC2007.class_names.index("person")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give four images: dog; person with a difficult dog; nothing; dog and person."""
    monkeypatch.setitem(voc2007.N_IMAGES, "test", len(IDS))
    home = tmp_path / "VOCdevkit" / "VOC2007"
    lists = home / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    states = {"dog": (1, 0, -1, 1), "person": (-1, 1, -1, 1)}
    for name in VOC2007.official_names:
        rows = zip(IDS, states.get(name, (-1,) * 4), strict=True)
        text = "".join(f"{image} {state:2}\n" for image, state in rows)
        (lists / f"{name}_test.txt").write_text(text)
    (lists / "test.txt").write_text("".join(f"{image}\n" for image in IDS))
    (home / "JPEGImages").mkdir()
    for number, image in enumerate(IDS):
        colour = (50 * number, 0, 0)
        Image.new("RGB", (8, 6), colour).save(home / "JPEGImages" / f"{image}.jpg")
    return tmp_path


def lists_of(root: Path) -> Path:
    return root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"


def test_labels_and_images(root: Path) -> None:
    images = load_voc2007(root)
    assert images.ids == IDS
    assert images.class_names == VOC2007.class_names
    assert images.labels[:, [DOG, PERSON]].tolist() == [[1, 0], [0, 1], [0, 0], [1, 1]]
    assert images.labels.sum() == 4
    assert images[3].size == (8, 6)
    assert abs(images[3].getpixel((4, 3))[0] - 150) < 6
    described = images.describe()
    assert (described["images"], described["images (stated)"]) == (4, 4)
    assert (described["classes"], described["classes (stated)"]) == (20, 20)
    assert "missing" not in described


def test_difficult_pairs(root: Path) -> None:
    images = load_voc2007(root)
    assert images.difficult is not None
    assert np.argwhere(images.difficult).tolist() == [[1, DOG]]
    assert images.labels[1, DOG] == 0
    assert images.describe()["difficult pairs"] == 1
    # The difficult dog ranks second of four: as a negative it costs precision, left out it does not.
    scores = np.zeros((4, 20))
    scores[:, DOG] = [4, 3, 1, 2]
    with_it = average_precision_per_class(scores, images.labels)[DOG]
    without = average_precision_per_class(scores, images.labels, left_out=images.difficult)[DOG]
    assert (with_it, without) == (pytest.approx((1 + 2 / 3) / 2), 1.0)


def test_difficult_pairs_must_fit_the_labels(root: Path) -> None:
    images = load_voc2007(root)
    with pytest.raises(CoMCError, match="difficult pair of data set VOC2007.*is labelled 1"):
        replace(images, difficult=images.labels)
    with pytest.raises(CoMCError, match=r"difficult pairs of .* shape \[3, 20\], expected \[4, 20\]"):
        replace(images, difficult=images.labels[:3])


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_folder_at_any_level(root: Path, below: str) -> None:
    assert load_voc2007(root / below).ids == IDS


def test_line_ends_and_blank_lines_of_other_systems(root: Path) -> None:
    expected = load_voc2007(root).labels
    for path in lists_of(root).iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    np.testing.assert_array_equal(load_voc2007(root).labels, expected)


def test_order_of_lines_does_not_matter(root: Path) -> None:
    path = lists_of(root) / "person_test.txt"
    expected = load_voc2007(root).labels
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    np.testing.assert_array_equal(load_voc2007(root).labels, expected)


def test_drafts_as_small_as_the_backbone_looks(root: Path) -> None:
    for photo in (root / "VOCdevkit" / "VOC2007" / "JPEGImages").iterdir():
        Image.new("RGB", (1000, 600)).save(photo)
    options = {"backbone": "miniworld-RN-small", "data": root}  # of 96 pixels a side
    assert load_experiment("voc2007", **options).images[0].size == (1000, 600)
    assert load_experiment("voc2007", **options, draft=True).images[0].size == (250, 150)


def test_missing_images(root: Path) -> None:
    (root / "VOCdevkit/VOC2007/JPEGImages/000002.jpg").unlink()
    with pytest.raises(
        CoMCError, match=r"holds 3 of the 4 images of VOC2007 test; missing: 000002.jpg.*limit=N"
    ):
        load_voc2007(root)
    trial = load_voc2007(root, limit=2)
    assert trial.ids == ("000001", "000004")
    assert trial.labels[:, [DOG, PERSON]].tolist() == [[1, 0], [0, 0]]
    assert trial.describe()["missing"] == "000002.jpg"


def test_bad_image_is_named_when_it_is_opened(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/JPEGImages/000002.jpg"
    path.write_bytes(b"")
    images = load_voc2007(root)
    assert images[0].mode == "RGB"
    with pytest.raises(CoMCError, match=f"{path} does not open: the file is empty"):
        images[1]


def test_bad_images_are_skipped_only_where_asked(root: Path, capsys) -> None:
    (root / "VOCdevkit/VOC2007/JPEGImages/000001.jpg").write_bytes(b"")
    settings = {"data": root, "backbone": "miniworld-RN-small"}
    with pytest.raises(CoMCError, match="000001.jpg does not open"):
        _ = load_experiment("voc2007", **settings).global_embeddings
    experiment = load_experiment("voc2007", **settings, skip_unreadable=True)
    assert experiment.images.ids == IDS[1:]
    assert "1 of 4 images of VOC2007, split test, do not open" in capsys.readouterr().out
    assert len(experiment.global_embeddings) == len(experiment.image_labels) == 3
    assert np.argwhere(experiment.pairs_left_out).tolist() == [[0, DOG]]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("dog_test.txt", ("000002  0\n", ""), "dog_test.txt has no line for.*: 000002. Un"),
        ("dog_test.txt", ("000004 -1", "000004 -1 5"), "line 3 has 3 fields, expected 2"),
        ("dog_test.txt", ("000004 -1", "000004"), "line 3 has 1 fields, expected 2"),
        ("dog_test.txt", ("000004 -1", "000004  2"), "line 3 says '2' of image 000004"),
        ("dog_test.txt", ("000007", "000004"), "line 4 names image 000004 again"),
        ("dog_test.txt", ("000007", "000007  1\n000009"), "unknown images.*: 000009. Un"),
        ("test.txt", ("000007\n", ""), "has 3 images, but VOC2007 test has 4.*limit=N"),
        (
            "test.txt",
            ("000007", "2008_000007"),
            "names 2008_000007, but .*a later VOC, with photos of 2008 to 2008",
        ),
        (
            "test.txt",
            ("000007", "abc"),
            "names abc, but VOC2007's images are named 000001.*lists of other photos",
        ),
        ("test.txt", ("000007", "000007 x"), "line 4 has 2 fields, expected 1"),
        ("cat_test.txt", None, "cat_test.txt is missing"),
        ("test.txt", None, "/test.txt is missing"),
    ],
)
def test_damaged_lists(root: Path, name: str, change: tuple[str, str] | None, message: str) -> None:
    path = lists_of(root) / name
    if change is None:
        path.unlink()
    else:
        before = path.read_text()
        path.write_text(before.replace(*change))
        assert path.read_text() != before
    with pytest.raises(CoMCError, match=message):
        load_voc2007(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "val2014"}, "no split 'val2014'; its splits: test, trainval, train, val"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_wrong_options(root: Path, options: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        load_voc2007(root, **options)


@pytest.mark.parametrize("limit", [None, 2])
def test_lists_of_another_year(root: Path, limit: int | None) -> None:
    for path in (*lists_of(root).iterdir(), *(root / "VOCdevkit/VOC2007/JPEGImages").iterdir()):
        if path.suffix == ".txt":
            path.write_text(path.read_text().replace("0000", "2011_0000"))
        else:
            path.rename(path.with_name(f"2011_{path.name}"))
    with pytest.raises(
        CoMCError, match="test.txt names 2011_000001, .* photos of 2011 to 2011.*download voc2007"
    ):
        load_voc2007(root, limit=limit)
    devkit = root / "VOCdevkit"
    (devkit / "VOC2007").rename(devkit / "VOC2012")
    for folder in (root, devkit):
        with pytest.raises(
            CoMCError, match=f"VOC2007 is not in {folder}: .* It holds VOC2012, which is another"
        ):
            load_voc2007(folder, limit=limit)


def test_folder_without_voc(tmp_path: Path) -> None:
    with pytest.raises(CoMCError, match=f"VOC2007 is not in {tmp_path}.*download voc2007"):
        load_voc2007(tmp_path)


def test_official_lists(real_data: Path, tmp_path: Path) -> None:
    """All 4,952 names of the official test list, each standing for one and the same photo."""
    sample = real_data / "voc2007_sample" / "VOCdevkit" / "VOC2007"
    (tmp_path / "ImageSets").symlink_to(sample / "ImageSets")
    (tmp_path / "JPEGImages").mkdir()
    photo = sample / "JPEGImages" / "000001.jpg"
    for name in (sample / "ImageSets/Main/test.txt").read_text().split():
        (tmp_path / "JPEGImages" / f"{name}.jpg").symlink_to(photo)
    images = load_voc2007(tmp_path)
    assert (len(images), images.ids[0], images.ids[-1]) == (4952, "000001", "009963")
    assert images.labels.sum() == 7013
    assert images.difficult is not None
    assert images.difficult.sum() == 619
    assert images.labels[:, PERSON].sum() == 2007


@pytest.mark.parametrize(("split", "n"), [("test", 100), ("trainval", 176)])
def test_real_sample(real_data: Path, split: str, n: int) -> None:
    root = real_data / "voc2007_sample"
    with pytest.raises(CoMCError, match=f"holds {n} of the .* images of VOC2007 {split}"):
        load_voc2007(root, split)
    images = load_voc2007(root, split, limit=5000)
    assert len(images) == n
    assert len(images.missing) == voc2007.N_IMAGES[split] - n
    assert images[n - 1].mode == "RGB"
    assert load_voc2007(root, split, limit=20).ids == images.ids[:20]
