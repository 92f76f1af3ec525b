"""What is a photo in a folder as people have them, and what is said of the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from comc_utils.datasets import load_folder
from comc_utils.datasets.photos import find_photos, tell_passed_over
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import LabelSet
from comc_utils.store.rgb import HEIC_OPENS

PETS = LabelSet("pets", ("cat", "dog"), {})
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
needs_links = pytest.mark.skipif(os.name != "posix", reason="links take rights elsewhere")
needs_bytes = pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")


def photo(path: Path, kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (200, 10, 10)).save(path, kind)
    return path


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Take away the right to read a folder; root, whom that does not stop, becomes another user for a while."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        if user == 0:
            os.seteuid(0)
        folder.chmod(mode)


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


KINDS = {
    "a.jfif": "JPEG",
    "b.jpe": "JPEG",
    "c.avif": "AVIF",
    "d.ppm": "PPM",
    "e.jp2": "JPEG2000",
    "f.mpo": "MPO",
    "g": "JPEG",
    "h.JPG": "JPEG",
    "i.TIFF": "TIFF",
    "j.jpg": "JPEG",
    "k.jpg~": "JPEG",
    "l.download": "PNG",
    "m.tga": "TGA",
    "n.webp": "WEBP",
}


def test_whatever_pillow_opens_is_a_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, kind in KINDS.items():
        photo(tmp_path / name, kind)
    images = load_folder(tmp_path, PETS)
    assert images.ids == tuple(KINDS)
    assert all(image.size == (8, 6) for image in images)
    assert "passed over" not in images.describe()
    assert capsys.readouterr().out == ""


@needs_links
def test_what_is_no_photo_is_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "a.jpg")
    for name in ("notes.txt", "film.mpg", "film.mov", "run.fit", "empty", "P1 is text"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"P1 \0\0\1\xb3 nothing")
    photo(tmp_path / "b.NEF", "TIFF")
    photo(tmp_path / "._a.jpg")
    photo(tmp_path / ".trash/c.jpg")
    for folder in ("@eaDir", "#recycle", ".thumbnails", "below/.@__thumb", "lost+found"):
        photo(tmp_path / folder / "a.jpg")
    for name in (".DS_Store", "Thumbs.db", "below/Desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.jpg")
    images = load_folder(tmp_path, PETS)
    assert images.ids == ("a.jpg",)
    assert dict(images.passed_over) == {
        "hidden": ("._a.jpg", ".trash/"),
        "no image that Pillow opens": ("P1 is text", "empty", "film.mov", "film.mpg", "notes.txt", "run.fit"),
        "no ordinary files": ("pipe.jpg",),
        "raw files of cameras (develop them first)": ("b.NEF",),
        "thumbnails and files of systems": (
            "#recycle/",
            ".DS_Store",
            ".thumbnails/",
            "@eaDir/",
            "Thumbs.db",
            "below/.@__thumb/",
            "below/Desktop.ini",
            "lost+found/",
        ),
    }
    told = images.describe()["passed over"]
    assert told.startswith("2 hidden (._a.jpg, .trash/); 6 no image that Pillow opens (P1 is text, empty, ")
    assert capsys.readouterr().out == f"{tmp_path} holds 1 images; passed over: {told}\n"
    assert images.subset([0]).describe()["passed over"] == told


def test_labels_that_are_used_are_not_passed_over(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    for name in ("labels.csv", "mine.csv"):
        (tmp_path / name).write_text("file,dog\na.jpg,1\n")
    assert load_folder(tmp_path).passed_over == {"no image that Pillow opens": ("mine.csv",)}
    mine = load_folder(tmp_path, labels=tmp_path / "mine.csv")
    assert mine.passed_over == {"no image that Pillow opens": ("labels.csv",)}


def test_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "film.mov").write_bytes(b"moving")
    with pytest.raises(
        CoMCError, match=r"opens, but 1 no image that Pillow opens \(film.mov\); give the folder"
    ):
        load_folder(tmp_path, PETS)


def test_long_lists_are_shortened() -> None:
    told = tell_passed_over({"hidden": tuple(f".{i}" for i in range(2000)), "raw": ("a.nef",)})
    assert told == "2,000 hidden (.0, .1, .2, ...); 1 raw (a.nef)"


def test_a_damaged_photo_stays_a_photo(tmp_path: Path) -> None:
    (tmp_path / "a.jp2").write_bytes(b"damaged")
    images = load_folder(tmp_path, PETS)
    with pytest.raises(CoMCError, match="a.jp2 does not open"):
        images[0]


def test_a_photo_without_ending_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (60, 50)).save(tmp_path / "huge", "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    images = load_folder(tmp_path, PETS)
    with pytest.raises(CoMCError, match="huge does not open: it has more than 2,000 pixels"):
        images[0]


@needs_links
def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    photo(root / "a.jpg")
    for number in range(5):
        photo(tmp_path / "elsewhere" / f"{number}.jpg")
    (root / "album").symlink_to(tmp_path / "elsewhere")
    images = load_folder(root, PETS)
    assert images.ids == ("a.jpg", *(f"album/{number}.jpg" for number in range(5)))
    # Named so that it comes before what it leads to.
    (root / "again").symlink_to(tmp_path / "elsewhere")
    photo(root / "own" / "b.jpg")
    (root / "aaa").symlink_to(root / "own")
    images = load_folder(root, PETS)
    assert images.ids == ("a.jpg", *(f"again/{number}.jpg" for number in range(5)), "own/b.jpg")
    assert images.passed_over == {"links to folders that are read already": ("aaa/", "album/")}


@needs_links
@pytest.mark.parametrize("target", [".", "..", "../..", "loop"])
def test_links_that_lead_back(tmp_path: Path, target: str) -> None:
    root = tmp_path / "above" / "photos"
    photo(root / "below" / "a.jpg")
    (root / "below" / "loop").symlink_to(target)
    with pytest.raises(CoMCError, match="below/loop.* (leads back to a folder|leads to itself).*; remove"):
        load_folder(root, PETS)


@needs_links
@pytest.mark.parametrize("name", ["album", "a.jpg"])
def test_a_link_to_nothing(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "b.jpg")
    (tmp_path / name).symlink_to(tmp_path / "absent")
    with pytest.raises(
        CoMCError, match=f"{tmp_path / name} is a link to what is not there; remove it, or bring"
    ):
        load_folder(tmp_path, PETS)


@needs_links
@pytest.mark.parametrize("below", ["below", ""])
def test_a_folder_that_may_not_be_read(readable_by_all: Path, below: str) -> None:
    photo(readable_by_all / "a.jpg")
    photo(readable_by_all / "below" / "b.jpg")
    with (
        without_rights(readable_by_all / below),
        pytest.raises(
            CoMCError, match=f"{readable_by_all / below} cannot be read .Permission denied.*the right"
        ),
    ):
        load_folder(readable_by_all, PETS)
    assert len(load_folder(readable_by_all, PETS)) == 2


@needs_links
def test_a_file_that_may_not_be_read(readable_by_all: Path) -> None:
    photo(readable_by_all / "a.jpg")
    unknown = photo(readable_by_all / "unknown", "JPEG")
    with (
        without_rights(unknown),
        pytest.raises(CoMCError, match=f"{unknown} cannot be read .Permission denied"),
    ):
        load_folder(readable_by_all, PETS)


@needs_bytes
def test_names_that_are_no_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = os.fsdecode(b"caf\xe9")
    photo(tmp_path / "d" / "a.jpg").rename(tmp_path / "d" / f"{strange}.jpg")
    (tmp_path / f"{strange}.txt").write_text("no image")
    (tmp_path / "d").rename(tmp_path / strange)
    images = load_folder(tmp_path, PETS)
    assert images.ids == (r"caf\udce9/caf\udce9.jpg",)
    assert images[0].size == (8, 6)
    print(images.ids, images.describe(), images)
    assert r"(caf\udce9.txt)" in capsys.readouterr().out
    (tmp_path / "labels.csv").write_text("file,dog\n" + images.ids[0] + ",1\n")
    assert load_folder(tmp_path).labels.tolist() == [[1]]
    (tmp_path / strange / f"{strange}.jpg").write_bytes(b"")
    with pytest.raises(CoMCError, match="does not open: the file is empty") as caught:
        load_folder(tmp_path)[0]
    print(caught.value)
    inside = load_folder(tmp_path / strange, PETS)
    assert inside.split == r"caf\udce9"
    (tmp_path / "labels.csv").write_text("file,dog\n")
    with pytest.raises(CoMCError, match=r"no row for caf.udce9/caf.udce9.jpg in"):
        load_folder(tmp_path)


@pytest.mark.skipif(HEIC_OPENS, reason="the extra heic is installed")
def test_heic_without_the_extra(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "really_a_jpeg.heic", "JPEG")
    assert load_folder(tmp_path, PETS).ids == ("a.jpg", "really_a_jpeg.heic")
    for name in ("b.HEIC", "c.heif", "d"):
        (tmp_path / name).write_bytes(HEIC)
    with pytest.raises(CoMCError, match=r"holds 3 photos in HEIC, b.HEIC, c.heif, d the first; .*\[heic\]"):
        find_photos(tmp_path)
    for name in ("b.HEIC", "c.heif", "d"):
        (tmp_path / name).unlink()
    (tmp_path / "a.jpg").write_bytes(HEIC)
    with pytest.raises(CoMCError, match=r"a.jpg does not open: Pillow opens HEIC only .*\[heic\]"):
        load_folder(tmp_path, PETS)[0]


STAND_IN = """
from PIL import Image, ImageFile

class Heif(ImageFile.ImageFile):
    format = "HEIF"
    def _open(self):
        self._size, self._mode, self.tile = (8, 6), "RGB", []
    def load(self):
        self.im = Image.new("RGB", (8, 6)).im

def register_heif_opener():
    Image.register_open("HEIF", Heif, lambda head: head[4:12] == b"ftypheic")
    Image.register_extensions("HEIF", [".heic"])
"""
OPEN_ALL = """
import sys
from comc_utils.datasets import load_folder
from comc_utils.sentences.labels import LabelSet
images = load_folder(sys.argv[1], LabelSet("pets", ("dog",), {}))
print([(name, image.size) for name, image in zip(images.ids, images)])
"""


def test_heic_with_the_extra(tmp_path: Path) -> None:
    """A stand-in registers an opener as pillow-heif does; the extra itself is not among the tests' packages."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pillow_heif.py").write_text(STAND_IN)
    (tmp_path / "photos").mkdir()
    for name in ("a.HEIC", "b"):
        (tmp_path / "photos" / name).write_bytes(HEIC)
    path = os.pathsep.join([str(tmp_path / "modules"), str(Path(__file__).parents[1])])
    command = [sys.executable, "-c", OPEN_ALL, str(tmp_path / "photos")]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert told.stdout == "[('a.HEIC', (8, 6)), ('b', (8, 6))]\n"
