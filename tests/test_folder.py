"""A folder of one's own images, with a CSV file of labels or none."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comc_utils.datasets.folder import load_folder
from comc_utils.errors import CoMCError
from comc_utils.evaluation.metrics import mean_average_precision
from comc_utils.sentences.labels import LabelSet

PETS = LabelSet("pets", ("cat", "dog"), {})
NAMES = ("a.jpg", "b.PNG", "holiday/c.webp")
HEADER = "file,dog,cat\n"
ROWS = ("a.jpg,1,0\n", "b.PNG,0,0\n", "holiday/c.webp,1,1\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*NAMES, "._a.jpg", ".trash/d.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def write_csv(root: Path, text: str) -> None:
    (root / "labels.csv").write_text(text, encoding="utf-8")


def test_labels_of_a_csv_file(root: Path) -> None:
    write_csv(root, HEADER + "".join(reversed(ROWS)))
    images = load_folder(root)
    assert images.ids == NAMES
    assert images.class_names == ("dog", "cat")
    assert images.labels.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert images[2].size == (8, 6)
    assert (images.name, images.split) == ("folder", "photos")
    assert load_folder(root, limit=2).ids == NAMES[:2]
    assert load_folder(root, draft_size=224).fingerprint != images.fingerprint


def test_label_set_orders_the_columns(root: Path) -> None:
    write_csv(root, HEADER + "".join(ROWS))
    images = load_folder(root, PETS)
    assert images.class_names == ("cat", "dog")
    assert images.labels.tolist() == [[0, 1], [0, 0], [1, 1]]


def test_csv_file_elsewhere_as_spreadsheets_write_it(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    text = "\ufefffile, dog,cat\r\n" + "".join(f"{row.strip()} \r\n" for row in ROWS) + "\r\n"
    path.write_bytes(text.encode())
    images = load_folder(root, labels=path)
    assert images.class_names == ("dog", "cat")
    assert images.labels.sum() == 3


def test_scoring_alone_needs_a_label_set(root: Path) -> None:
    images = load_folder(root, PETS)
    assert images.ids == NAMES
    assert images.labels.shape == (3, 2)
    assert not images.labels.any()
    with pytest.raises(CoMCError, match=f"classes of {root} are not known: write a labels.csv"):
        load_folder(root)


def test_one_class(root: Path) -> None:
    write_csv(root, "file,dog\na.jpg,1\nb.PNG,0\nholiday/c.webp,1\n")
    images = load_folder(root)
    assert images.labels.tolist() == [[1], [0], [1]]
    mean = mean_average_precision(np.array([[3.0], [2.0], [1.0]]), images.labels)
    assert (mean.value, mean.n_classes) == (pytest.approx((1 + 2 / 3) / 2), 1)


def test_photos_are_turned_upright(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 6)).save(root / "a.jpg", exif=exif)
    assert load_folder(root, PETS)[0].size == (6, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "".join(ROWS) + "x.jpg,0,0\n", "rows for images that are not in .*: x.jpg."),
        (HEADER + ROWS[0] + ROWS[2], "no row for b.PNG in .*limit=N"),
        (HEADER + "a.jpg,1,0,1\n", "line 2 has 4 columns, but the header 3"),
        (HEADER + "a.jpg,1\n", "line 2 has 2 columns"),
        (HEADER + ROWS[0] + "b.PNG,2,0\n", "line 3 says '2' of class 'dog'; it must be 0 or 1"),
        (HEADER + "a.jpg,1,\n", "line 2 says '' of class 'cat'"),
        (HEADER + ROWS[0] + ROWS[0], "line 3 is a second row for a.jpg"),
        ("file,dog,dog\n", "several columns 'dog'"),
        ("file,dog,Dog\n", "The header of .*'Dog' stands at positions 0 and 1"),
        ("file,dog,\n", "The header of .*empty"),
        ("file\na.jpg\n", "The header of .*label set is empty"),
        (HEADER + " ,0,1\n", "line 2 names no image"),
        (HEADER + ROWS[0] + " a.jpg ,0,1\n", "line 3 is a second row for a.jpg"),
        (HEADER + ROWS[0] + "./a.jpg,0,1\n", "line 3 is a second row for a.jpg"),
        (HEADER + ROWS[0] + ",,\n", "line 3 says '' of class|line 3 names no image"),
        (HEADER + '"a.jpg,1,0\n', "labels.csv is no CSV file"),
        ("file;dog;dog\n", "several columns 'dog'"),
        ("file,\u00fc,u\u0308\n", "several columns '\u00fc'"),
        ("name;dog;cat\n", "begins with 'name;dog;cat'; its first line must be file,<class>"),
        ("", "begins with ''"),
        (HEADER, "no row for a.jpg, b.PNG, holiday/c.webp"),
        ("file,dog,cat,cow\n", "has columns for cow, unlike label set 'pets'"),
        ("file,dog\n", "has no column for cat, unlike label set 'pets'"),
    ],
)
def test_wrong_csv_file(root: Path, text: str, message: str) -> None:
    write_csv(root, text)
    with pytest.raises(CoMCError, match=message) as caught:
        load_folder(root, PETS if "pets" in message else None)
    assert str(root / "labels.csv") in str(caught.value)


def test_csv_file_of_another_encoding(root: Path) -> None:
    (root / "labels.csv").write_bytes("file,Bär\n".encode("latin-1"))
    with pytest.raises(CoMCError, match="labels.csv is no CSV file in UTF-8"):
        load_folder(root)


def test_trial_passes_over_images_without_a_row(root: Path) -> None:
    write_csv(root, HEADER + ROWS[0] + ROWS[2])
    images = load_folder(root, limit=2)
    assert images.ids == (NAMES[0], NAMES[2])
    assert images.labels.tolist() == [[1, 0], [1, 1]]
    assert images.missing == (NAMES[1],)
    write_csv(root, HEADER)
    with pytest.raises(CoMCError, match="no row for a.jpg"):
        load_folder(root, limit=2)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(CoMCError, match=f"{tmp_path} holds no image that Pillow opens; give"):
        load_folder(tmp_path, PETS)
    with pytest.raises(CoMCError, match="absent does not exist"):
        load_folder(tmp_path / "absent", PETS)
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    with pytest.raises(CoMCError, match="mine.csv does not exist"):
        load_folder(tmp_path, PETS, labels=tmp_path / "mine.csv")


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("quoted", [False, True])
def test_other_separators_of_spreadsheets(root: Path, separator: str, quoted: bool) -> None:
    text = (HEADER + "".join(ROWS)).replace(",", separator)
    write_csv(root, text.replace("file", '"file"', 1) if quoted else text)
    images = load_folder(root)
    assert images.class_names == ("dog", "cat")
    assert images.labels.tolist() == [[1, 0], [0, 0], [1, 1]]


def test_labels_that_are_a_link_to_nothing(root: Path) -> None:
    (root / "labels.csv").symlink_to(root / "moved.csv")
    with pytest.raises(CoMCError, match="labels.csv is a link to what is not there; remove it"):
        load_folder(root, PETS)
    (root / "labels.csv").unlink()
    (root / "labels.csv").mkdir()
    with pytest.raises(CoMCError, match="labels.csv does not exist, or is no file"):
        load_folder(root, PETS)


@pytest.mark.parametrize(("on_disk", "in_file"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_composed_otherwise_than_on_disk(tmp_path: Path, on_disk: str, in_file: str) -> None:
    name = unicodedata.normalize(on_disk, "Bär im Café.jpg")
    Image.new("RGB", (8, 6)).save(tmp_path / name)
    write_csv(tmp_path, unicodedata.normalize(in_file, f"file,Bär\n{name},1\n"))
    images = load_folder(tmp_path, LabelSet("animals", (unicodedata.normalize(on_disk, "Bär"),), {}))
    assert images.ids == (name,)
    assert images.labels.tolist() == [[1]]


def test_two_names_that_differ_in_composition_alone(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "ậ.jpg") for form in ("NFC", "NFD")]
    for name in names:
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    write_csv(tmp_path, "file,dog\n" + "".join(f"{name},{row}\n" for row, name in enumerate(names)))
    images = load_folder(tmp_path)
    assert dict(zip(images.ids, images.labels[:, 0].tolist(), strict=True)) == {names[0]: 0, names[1]: 1}
    write_csv(tmp_path, "file,dog\n\u00e2\u0323.jpg,1\n")  # a third composition
    with pytest.raises(CoMCError, match="line 2 says .*, which 2 images are called"):
        load_folder(tmp_path)


def test_names_that_begin_with_a_space(tmp_path: Path) -> None:
    for name in (" a.jpg", "a.jpg", " b.jpg"):
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    write_csv(tmp_path, "file,dog\n a.jpg,1\na.jpg,0\n b.jpg,1\n")
    images = load_folder(tmp_path)
    assert images.ids == (" a.jpg", " b.jpg", "a.jpg")
    assert images.labels[:, 0].tolist() == [1, 1, 0]
