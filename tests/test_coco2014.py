"""MS-COCO 2014 from files in its layout: small synthetic ones, and real photos with their labels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comc_utils.datasets import coco2014
from comc_utils.datasets.coco2014 import load_captions, load_coco2014
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import COCO

# The ids that COCO gives no category.
CATEGORY_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
ID_OF = dict(zip(COCO.class_names, CATEGORY_IDS, strict=True))
PERSON, DOG, TOOTHBRUSH = (COCO.class_names.index(n) for n in ("person", "dog", "toothbrush"))
OUTLINE = [[12.5, 3.25, 40, 41.125], [1, 2, 3, 4.5]]
CROWD = {"counts": [3, 5, 7], "size": [6, 8]}


def instances(classes_of: dict[int, list[str]]) -> dict:
    """Give an annotation file's content; images by their numbers, in the order given."""
    annotations = [
        {"segmentation": OUTLINE, "iscrowd": 0, "image_id": number, "category_id": ID_OF[name]}
        for number, names in classes_of.items()
        for name in names
    ]
    return {
        "info": {"description": "segmentation", "version": "1"},
        "images": [{"id": i, "file_name": file_name(i)} for i in classes_of],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for name, i in reversed(ID_OF.items())],
    }


def file_name(number: int) -> str:
    return f"COCO_val2014_{number:012d}.jpg"


def write(root: Path, content: object, kind: str = "instances") -> Path:
    path = root / "annotations" / f"{kind}_val2014.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


CLASSES_OF = {42: ["person", "dog", "person"], 7: [], 300: ["toothbrush"]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(coco2014.N_IMAGES, "val2014", 3)
    monkeypatch.setitem(coco2014.N_LABELLED, "val2014", 2)
    write(tmp_path, instances(CLASSES_OF))
    (tmp_path / "val2014").mkdir()
    for number in CLASSES_OF:
        Image.new("RGB", (8, 6), (number % 256, 0, 0)).save(tmp_path / "val2014" / file_name(number))
    return tmp_path


def test_labels_and_images_in_the_order_of_the_file(root: Path) -> None:
    images = load_coco2014(root)
    assert images.ids == tuple(file_name(i) for i in (42, 7, 300))
    assert images.class_names == COCO.class_names
    positives = [[0, PERSON], [0, DOG], [2, TOOTHBRUSH]]
    assert np.argwhere(images.labels).tolist() == positives
    assert abs(images[1].getpixel((4, 3))[0] - 7) < 6
    described = images.describe()
    assert (described["images (stated)"], described["classes (stated)"]) == (3, 80)
    assert (described["labels per image"], described["labels per image (stated)"]) == (1.0, 2.9)


def test_without_unlabelled_images(root: Path) -> None:
    images = load_coco2014(root, unlabelled=False)
    assert images.ids == (file_name(42), file_name(300))
    assert images.labels[1].nonzero()[0].tolist() == [TOOTHBRUSH]
    assert images.describe()["images (stated)"] == 2
    assert load_coco2014(root, unlabelled=False, limit=1).ids == (file_name(42),)


def test_crowds_count(root: Path) -> None:
    content = instances(CLASSES_OF)
    content["annotations"].insert(
        1, {"segmentation": CROWD, "iscrowd": 1, "image_id": 7, "category_id": ID_OF["dog"]}
    )
    write(root, content)
    assert load_coco2014(root).labels[1].nonzero()[0].tolist() == [DOG]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("outline", [OUTLINE, CROWD, [], None, "none"])
@pytest.mark.parametrize("indent", [None, 1])
def test_outlines_of_any_form(root: Path, outline: object, last: bool, indent: int | None) -> None:
    expected = load_coco2014(root).labels
    content = instances(CLASSES_OF)
    for entry in content["annotations"]:
        box = {"bbox": [1.5, 2, 3, 4]}
        parts = [box, {"segmentation": outline}]
        del entry["segmentation"]
        for part in parts if last else reversed(parts):
            entry |= part
    path = write(root, content)
    path.write_text(json.dumps(content, indent=indent))
    np.testing.assert_array_equal(load_coco2014(root).labels, expected)


def test_missing_images(root: Path) -> None:
    (root / "val2014" / file_name(42)).unlink()
    with pytest.raises(CoMCError, match=f"2 of the 3 images of COCO val2014.*{file_name(42)}"):
        load_coco2014(root)
    trial = load_coco2014(root, limit=2)
    assert trial.ids == (file_name(7), file_name(300))
    assert trial.missing == (file_name(42),)
    assert load_coco2014(root, limit=2, draft_size=224).fingerprint != trial.fingerprint
    assert trial.labels.sum(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"].append({"image_id": 5, "category_id": 1}),
            r"objects of images that are not in its list of images, ids 5;",
        ),
        (lambda c: c["annotations"].append({"image_id": 7, "category_id": 12}), "unknown category 12;"),
        (lambda c: c["annotations"].append({"image_id": 7}), "annotation without a category_id"),
        *(
            (lambda c, a=annotation: c["annotations"].insert(1, a), f"Entry 1 .* the annotations in .*{reason}")
            for annotation, reason in (
                ({"image_id": None, "category_id": 1}, "has the image_id null, which is no whole number"),
                ({"image_id": [7], "category_id": 1}, r"has the image_id \[7\], which is no whole number"),
                ({"image_id": True, "category_id": 1}, "has the image_id true, which is no whole number"),
                ({"category_id": 1}, "has the image_id null"),
                ({"image_id": 7, "category_id": None}, "unknown category null;"),
                ({"image_id": 7, "category_id": [1]}, r"unknown category \[1\];"),
                ({"image_id": 7, "category_id": {"a": 1}}, "unknown category {.a.: 1};"),
                (None, "annotation without a category_id"),
                ([7, 1], "annotation without a category_id"),
                ({"image_id": 5, "category_id": 1}, "is the first. Unpack"),
            )
        ),
        *(
            (lambda c, i=image: c["images"].insert(1, i), f"Entry 1 .* the images in .*{reason}")
            for image, reason in (
                ({"id": 43, "file_name": None}, "has the file_name null, which is no name of a file"),
                ({"id": 43, "file_name": 43}, "has the file_name 43, which is no name of a file"),
                ({"id": 43, "file_name": ""}, 'has the file_name "", which is no name of a file'),
                ({"id": None, "file_name": "x.jpg"}, "has the id null, which is no whole number"),
                (
                    {"id": [43] * 99, "file_name": "x.jpg"},
                    r"has the id \[43, 43.*\.\.\., which is no whole number",
                ),
                ({"id": "43", "file_name": "x.jpg"}, 'has the id "43", which is no whole number'),
                (None, "no file_name"),
            )
        ),
        *(
            (lambda c, e=entry: c["categories"].insert(1, e), f"Entry 1 .* the categories in .*{reason}")
            for entry, reason in (
                ({"id": None, "name": "cat"}, "has the id null and the name .cat.; these must"),
                ({"id": 12, "name": ["cat"]}, r"has the id 12 and the name \[.cat.\]; these must"),
                ({"id": 90, "name": "dog"}, "repeats the id 90 or the name .dog. of another"),
                (3, "a category without a name or an id"),
            )
        ),
        (
            lambda c: c["images"].append({"id": 43, "file_name": file_name(42)}),
            f"several times: {file_name(42)};",
        ),
        (
            lambda c: c["images"].append({"id": 43, "file_name": "000000000043.jpg"}),
            "lists images such as 000000000043.jpg, but those of COCO val2014 are named COCO_val.*load_folder",
        ),
        (lambda c: c["images"].append({"id": 42, "file_name": "x.jpg"}), "id 42 appears twice"),
        (lambda c: c["images"].append({"id": 43}), "Entry 3 .* of the images .* no file_name"),
        (
            lambda c: c["categories"].append({"id": 12, "name": "street sign"}),
            "categories that are no classes of COCO: street sign; .* own: write a labels.csv .*load_folder",
        ),
        (lambda c: c["categories"].pop(), "categories too few, without: person;"),
        (lambda c: c["categories"].append({"id": 12}), "a category without a name or an id"),
        (lambda c: c.pop("images"), "holds no list of images;"),
        (lambda c: c["images"].pop(1), "has 2 images, but COCO val2014 has 3.*limit=N"),
    ],
)
def test_damaged_annotations(root: Path, change: Callable[[dict], object], message: str) -> None:
    content = instances(CLASSES_OF)
    change(content)
    path = write(root, content)
    with pytest.raises(CoMCError, match=message) as caught:
        load_coco2014(root)
    assert str(path) in str(caught.value)


def test_other_number_of_labelled_images(root: Path) -> None:
    write(root, instances(CLASSES_OF | {7: ["cat"]}))
    with pytest.raises(CoMCError, match="has 3 images, but COCO val2014 with labels has 2"):
        load_coco2014(root, unlabelled=False)


def test_boxes_are_not_needed(root: Path) -> None:
    content = instances(CLASSES_OF)
    content["annotations"][0] |= {"bbox": None, "segmentation": None}
    content["annotations"][1] |= {"bbox": [1, 2]}
    write(root, content)
    assert load_coco2014(root).labels.sum() == 3


def test_annotations_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "annotations" / "instances_val2014.json"

    def refused(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(CoMCError, match=f"{path} cannot be read .Permission denied.; give yourself"):
        load_coco2014(root)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"images": [', b"\xff\xfe", b"", b"[]", b"3"])
def test_file_that_is_no_annotation_file(root: Path, content: bytes) -> None:
    (root / "annotations" / "instances_val2014.json").write_bytes(content)
    with pytest.raises(CoMCError, match="instances_val2014.json (is damaged|holds no list)"):
        load_coco2014(root)


def test_no_annotations_and_no_such_split(tmp_path: Path) -> None:
    with pytest.raises(CoMCError, match="instances_val2014.json is missing.*download coco2014"):
        load_coco2014(tmp_path)
    with pytest.raises(CoMCError, match="no split 'val2017'; its splits: val2014, train2014"):
        load_coco2014(tmp_path, "val2017")


MEASURE = """
import re, sys
from comc_utils.datasets.coco2014 import load_coco2014
images = load_coco2014(sys.argv[1])
# Not getrusage, whose peak begins with that of the process that started this one.
(kilobytes,) = re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(len(images), int(images.labels.sum()), kilobytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told elsewhere")
def test_a_file_of_full_size_is_read_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n, n_labelled, n_annotations = 40_504, 40_137, 290_000
    shown = np.concatenate([np.arange(n_labelled), rng.integers(n_labelled, size=n_annotations - n_labelled)])
    categories = rng.choice(CATEGORY_IDS, size=n_annotations)
    outline = [rng.uniform(0, 640, 60).round(2).tolist()]  # as long as MS-COCO's are on average
    content = {
        "images": [{"id": i, "file_name": file_name(i)} for i in range(n)],
        "annotations": [
            {"segmentation": outline, "iscrowd": 0, "image_id": image, "category_id": category}
            for image, category in zip(shown.tolist(), categories.tolist(), strict=True)
        ],
        "categories": [{"id": i, "name": name} for name, i in ID_OF.items()],
    }
    (tmp_path / "annotations").mkdir()
    path = write(tmp_path, content)
    assert path.stat().st_size > 120e6
    (tmp_path / "val2014").mkdir()
    for i in range(n):
        (tmp_path / "val2014" / file_name(i)).touch()
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    n_images, n_positives, kilobytes = map(int, told.split())
    assert n_images == n
    assert n_positives == len(set(zip(shown.tolist(), categories.tolist(), strict=True)))
    assert kilobytes * 1024 < 1e9


def test_first_caption_of_each_image(root: Path) -> None:
    images = load_coco2014(root)
    content = {
        "images": [{"id": i, "file_name": file_name(i)} for i in (300, 42)],
        "annotations": [
            {"image_id": 300, "id": 1, "caption": "A toothbrush.\n"},
            {"image_id": 42, "id": 2, "caption": "A man walks a dog."},
            {"image_id": 300, "id": 3, "caption": "Another."},
            {"image_id": 5, "id": 4, "caption": "Of an image elsewhere."},
        ],
    }
    write(root, content, "captions")
    assert load_captions(root, images) == ("A man walks a dog.", None, "A toothbrush.")
    for wrong, reason in (
        ({"image_id": 42, "caption": None}, "the caption null, which is no text"),
        ({"image_id": None, "caption": "A dog."}, "the image_id null"),
        ({"image_id": 42}, "an annotation without a caption"),
    ):
        write(root, content | {"annotations": [wrong]}, "captions")
        with pytest.raises(CoMCError, match=f"Entry 0 .* annotations in .*captions_val2014.json .*{reason}"):
            load_captions(root, images)
    write(root, content | {"annotations": []}, "captions")
    with pytest.raises(CoMCError, match="no caption for any of the 3 images"):
        load_captions(root, images)
    (root / "annotations" / "captions_val2014.json").unlink()
    with pytest.raises(CoMCError, match="captions_val2014.json is missing"):
        load_captions(root, images)


def test_real_photos(real_data: Path, tmp_path: Path) -> None:
    photos = real_data / "coco_photos"
    columns_of = {}
    for line in (photos / "labels.txt").read_text().splitlines():
        name, *columns = line.split()
        columns_of[name] = [int(column) for column in columns]
    names_of = {
        int(name[-16:-4]): [COCO.class_names[column] for column in columns]
        for name, columns in columns_of.items()
    }
    write(tmp_path, instances(names_of | {581_000: ["dog"]}))
    (tmp_path / "val2014").symlink_to(photos / "val2014")
    with pytest.raises(CoMCError, match="has 301 images, but COCO val2014 has 40,504"):
        load_coco2014(tmp_path)
    images = load_coco2014(tmp_path, limit=500)
    assert images.ids == tuple(columns_of)
    for row, name in enumerate(images.ids):
        assert images.labels[row].nonzero()[0].tolist() == sorted(columns_of[name])
    assert images.missing == (file_name(581_000),)
    assert {images[i].mode for i in range(0, 300, 30)} == {"RGB"}
