"""NUS-WIDE from files in its official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comc_utils.datasets import nuswide
from comc_utils.datasets.nuswide import N_TAGS, find_test_set, load_nuswide, load_nuswide_tags, name_test_set
from comc_utils.errors import CoMCError
from comc_utils.notebooks.begin import begin
from comc_utils.notebooks.report import write_report
from comc_utils.sentences.labels import NUSWIDE

LISTED = ("actor\\0001_2124494179.jpg", "zoo\\0002_17.jpg", "zoo\\0004_9.jpg")
IDS = ("actor/0001_2124494179.jpg", "zoo/0002_17.jpg", "zoo/0004_9.jpg")
ANIMAL, ZEBRA = NUSWIDE.class_names.index("animal"), NUSWIDE.class_names.index("zebra")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give three images: none of the concepts; animal; animal and zebra."""
    monkeypatch.setitem(nuswide.N_IMAGES, "test", 3)
    write_lines(tmp_path / "ImageList" / "TestImagelist.txt", LISTED)
    columns = {"animal": "011", "zebra": "001"}
    for concept in NUSWIDE.official_names:
        path = tmp_path / "TrainTestLabels" / f"Labels_{concept}_Test.txt"
        write_lines(path, columns.get(concept, "000"))
    for number, name in enumerate(IDS):
        path = tmp_path / "Flickr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (60 * number, 0, 0)).save(path)
    return tmp_path


def write_lines(path: Path, lines: tuple[str, ...] | str, end: bytes = b"\n") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(line.encode() + end for line in lines))


def test_labels_and_images(root: Path) -> None:
    images = load_nuswide(root)
    assert images.ids == IDS
    assert images.class_names == NUSWIDE.class_names
    assert np.argwhere(images.labels).tolist() == [[1, ANIMAL], [2, ANIMAL], [2, ZEBRA]]
    assert abs(images[2].getpixel((4, 3))[0] - 120) < 6
    described = images.describe()
    assert (described["images (stated)"], described["classes (stated)"]) == (3, 81)
    assert (described["labels per image"], described["labels per image (stated)"]) == (1.0, 1.88)


def test_other_places_of_the_same_files(root: Path) -> None:
    expected = load_nuswide(root)
    (root / "Flickr").rename(root / "images")
    (root / "Groundtruth").mkdir()
    (root / "TrainTestLabels").rename(root / "Groundtruth" / "TrainTestLabels")
    found = load_nuswide(root)
    assert found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_line_ends_and_blank_lines_of_other_systems(root: Path) -> None:
    expected = load_nuswide(root).labels
    for path in (root / "TrainTestLabels").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b" \r\n") + b"\r\n\r\n")
    write_lines(root / "ImageList" / "TestImagelist.txt", (*LISTED, ""), b"\r\n")
    images = load_nuswide(root)
    assert images.ids == IDS
    np.testing.assert_array_equal(images.labels, expected)


def test_training_split(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nuswide.N_IMAGES, "train", 1)
    write_lines(root / "ImageList" / "TrainImagelist.txt", LISTED[1:2])
    for concept in NUSWIDE.official_names:
        write_lines(root / "TrainTestLabels" / f"Labels_{concept}_Train.txt", "1")
    images = load_nuswide(root, "train")
    assert images.ids == IDS[1:2]
    assert images.labels.all()
    assert "labels per image (stated)" not in images.describe()


def test_missing_images_are_counted_and_named(root: Path) -> None:
    (root / "Flickr" / IDS[1]).unlink()
    with pytest.raises(CoMCError, match=f"2 of the 3 images of NUS-WIDE test; missing: {IDS[1]}"):
        load_nuswide(root)
    trial = load_nuswide(root, limit=2)
    assert trial.ids == (IDS[0], IDS[2])
    assert trial.labels[:, ZEBRA].tolist() == [0, 1]
    assert trial.missing == (IDS[1],)
    assert load_nuswide(root, limit=2, draft_size=224).fingerprint != trial.fingerprint


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("TrainTestLabels/Labels_sky_Test.txt", "01", "sky_Test.txt has 2 lines, but the list .* 3"),
        ("TrainTestLabels/Labels_sky_Test.txt", "0100", "has 4 lines"),
        ("TrainTestLabels/Labels_sky_Test.txt", "012", "sky_Test.txt, line 3 says '2'"),
        ("TrainTestLabels/Labels_sky_Test.txt", ("0", "1 0", "0"), "line 2 says '1 0'"),
        ("TrainTestLabels/Labels_sky_Test.txt", ("0", "", "0"), "line 2 says ''"),
        ("ImageList/TestImagelist.txt", LISTED[:2], "has 2 images, but NUS-WIDE test has 3"),
        ("ImageList/TestImagelist.txt", LISTED[:2] + LISTED[1:2], "1 ids of .* repeat"),
    ],
)
def test_damaged_files(root: Path, name: str, lines: tuple[str, ...] | str, message: str) -> None:
    write_lines(root / name, lines)
    with pytest.raises(CoMCError, match=message):
        load_nuswide(root)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TrainTestLabels/Labels_sky_Test.txt", "Labels_sky_Test.txt is missing; get it from http"),
        ("ImageList/TestImagelist.txt", "TestImagelist.txt is missing; get it from http"),
        ("TrainTestLabels", "no folder TrainTestLabels or Groundtruth/TrainTestLabels"),
        ("Flickr", "no folder Flickr or images"),
    ],
)
def test_missing_parts(root: Path, name: str, message: str) -> None:
    (root / name).rename(root / "elsewhere")
    with pytest.raises(CoMCError, match=message):
        load_nuswide(root)


@pytest.mark.parametrize(
    ("n_images", "name"),
    [
        (107_859, "the paper's"),
        (83_898, "show a concept"),
        (60_260, "later benchmarks"),
        (66_013, "random 30 %"),
    ],
)
def test_test_sets_are_named(n_images: int, name: str) -> None:
    assert name in name_test_set(n_images)
    assert name_test_set(n_images + 1) == "" or n_images == 66_013


def test_another_test_set_is_loaded_and_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_nuswide(root).describe()["test set"] == nuswide.THE_PAPERS == find_test_set(root)
    monkeypatch.setitem(nuswide.N_IMAGES, "test", 4)
    assert find_test_set(root) == ""
    with pytest.raises(CoMCError, match="has 3 images, but NUS-WIDE test has 4"):
        load_nuswide(root)
    monkeypatch.setitem(nuswide.OTHER_TEST_SETS, 3, "three images of somebody's")
    described = load_nuswide(root).describe()
    assert described["test set"] == find_test_set(root) == "three images of somebody's"
    assert not {"images (stated)", "labels per image (stated)"} & set(described)
    monkeypatch.setattr(nuswide, "RANDOM_THIRD", range(3, 4))
    described = load_nuswide(root).describe()
    assert "random 30 %" in described["test set"] and "images (stated)" not in described
    assert find_test_set(root / "elsewhere") == ""


def test_numbers_of_two_test_sets_never_share_a_folder_or_a_table(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMC_RESULTS_DIR", str(root / "results"))
    settings = {"PROFILE": "nuswide", "DATA": str(root)}
    table = pd.DataFrame({"method": ["CoMC"], "mAP": [50.0]})
    begin("12_seen_and_unseen", settings).table(table, "table2", "our own", paper_table=2)
    assert (
        "our own" in write_report(root / "results" / "nuswide", "nuswide").read_text().split('id="tables"')[1]
    )
    monkeypatch.setitem(nuswide.N_IMAGES, "test", 4)
    monkeypatch.setitem(nuswide.OTHER_TEST_SETS, 3, "three images of somebody's")
    with pytest.raises(
        CoMCError, match="12_seen_and_unseen on another test set .* Give this run another folder"
    ):
        begin("03_inference", settings | {"RESULTS": str(root / "results" / "nuswide")})
    begin("03_inference", {"PROFILE": "nuswide", "RESULTS": str(root / "results" / "nuswide")})  # text alone
    other = begin("12_seen_and_unseen", settings)
    assert other.folder.name == "nuswide-trial-test-set-three-images-of-somebody-s"
    assert "A trial, since this is not as the notebook has it" in capsys.readouterr().out
    other.table(table, "table2", "our own", paper_table=2)
    assert "The paper has none for NUS-WIDE." in write_report(other.folder, "nuswide").read_text()
    tables = write_report(other.folder, "nuswide").read_text().split('id="tables"')[1]
    assert "our own" not in tables
    assert "These results are of another test set: three images of somebody" in tables


def test_unknown_split(root: Path) -> None:
    with pytest.raises(CoMCError, match="no split 'val'; its splits: test, train"):
        load_nuswide(root, "val")


@pytest.fixture
def tagged(root: Path) -> Path:
    """Give Flickr's tags to the three images: none; the concept "animal" and the last tag; the first tag."""
    tags = ("animal", *(f"tag{i}" for i in range(N_TAGS)))
    write_lines(root / "NUS_WID_Tags" / "TagList1k.txt", tags)
    rows = [["0"] * len(tags) for _ in IDS]
    rows[1][0] = rows[1][-1] = rows[2][1] = "1"
    lines = tuple(" ".join(row) + " " for row in rows)
    write_lines(root / "NUS_WID_Tags" / "Test_Tags1k.dat", lines, b" \r\n")
    return root


def test_tags_are_the_seen_classes_and_no_concept_is_among_them(tagged: Path) -> None:
    images = load_nuswide_tags(tagged, "test")
    assert len(images.class_names) == N_TAGS == 925
    assert not set(images.class_names) & set(NUSWIDE.official_names)
    assert np.argwhere(images.labels).tolist() == [[1, N_TAGS - 1], [2, 0]]
    assert images.ids == IDS
    assert load_nuswide_tags(tagged, "test", limit=2).labels.sum() == 1


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("TagList1k.txt", ("animal", "tag"), "has 1 tags beside the concepts, expected 925"),
        ("Test_Tags1k.dat", ("0", "1"), "Test_Tags1k.dat has 2 lines, but the list of images 3"),
        ("Test_Tags1k.dat", ("0 1",) * 3, "dat, line 1 is not 926 times 0 or 1"),
        ("Test_Tags1k.dat", ("2 " * 926,) * 3, "dat, line 1 is not 926 times 0 or 1"),
    ],
)
def test_damaged_tags(tagged: Path, name: str, lines: tuple[str, ...], message: str) -> None:
    write_lines(tagged / "NUS_WID_Tags" / name, lines)
    with pytest.raises(CoMCError, match=message):
        load_nuswide_tags(tagged, "test")


def test_missing_tags(root: Path) -> None:
    with pytest.raises(CoMCError, match="TagList1k.txt is missing; get it from http"):
        load_nuswide_tags(root, "test")
