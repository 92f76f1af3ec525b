"""Sidecars that other programs read and write: what is theirs stays, what is ours comes and goes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from tagging import own_cache  # noqa: F401

from comc_utils.errors import CoMCError
from comc_utils.tagging import sidecars
from comc_utils.tagging.library import PhotoLibrary
from comc_utils.tagging.photos import Photos, gather_photos
from comc_utils.tagging.sidecars import Outcome, SidecarRecord, write_sidecars

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2024:05:01 10:11:12.345"
   xmp:Rating="3"
   darktable:xmp_version="5"
   darktable:auto_presets_applied="1">
   <dc:subject>
    <rdf:Seq>
     <rdf:li>holiday</rdf:li>
     <rdf:li>darktable|format|jpg</rdf:li>
    </rdf:Seq>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Seq>
     <rdf:li>places|Norway</rdf:li>
    </rdf:Seq>
   </lr:hierarchicalSubject>
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:num="0" darktable:operation="exposure" darktable:enabled="1"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
   crs:Exposure2012="+0.35"
   dc:format="image/jpeg">
   <!-- keywords -->
   <dc:subject>
    <!-- of the catalogue -->
    <rdf:Bag>
     <rdf:li>dog</rdf:li>
     <rdf:li>Anna &amp; Bob</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <dc:title>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">A walk</rdf:li>
    </rdf:Alt>
   </dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:digiKam="http://www.digikam.org/ns/1.0/" digiKam:PickLabel="0">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>family/Anna</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Anna</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
ROOTED = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">
 <rdf:Description rdf:about=""><dc:subject>alone</dc:subject></rdf:Description>
</rdf:RDF>
"""
ATTRIBUTE = ROOTED.replace(
    'about=""><dc:subject>alone</dc:subject></rdf:Description>', 'about="" dc:subject="alone"/>'
)
FOREIGN = {
    "darktable": (DARKTABLE, ["holiday", "darktable|format|jpg"]),
    "Lightroom": (LIGHTROOM, ["dog", "Anna & Bob"]),
    "digiKam": (DIGIKAM, ["Anna"]),
    "rooted at rdf:RDF": (ROOTED, ["alone"]),
    "an attribute": (ATTRIBUTE, ["alone"]),
}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a b.jpg"
    path.parent.mkdir()
    Image.new("RGB", (8, 8)).save(path)
    return path


def photos_of(path: Path) -> Photos:
    return gather_photos(path.parent)


def exiftool(path: Path) -> dict[str, object]:
    """Read a sidecar as a program that is not ours."""
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not on this machine (Debian: libimage-exiftool-perl)")
    done = subprocess.run(["exiftool", "-j", "-struct", "-a", str(path)], capture_output=True, check=True)
    (found,) = json.loads(done.stdout)
    assert "Error" not in found
    assert "Warning" not in found
    own = ("SourceFile", "FileName", "Directory", "FileSize", "FileModifyDate", "FileAccessDate")
    changing = (*own, "FileInodeChangeDate", "FilePermissions", "ExifToolVersion")
    return {name: value for name, value in found.items() if name not in changing}


def as_list(value: object) -> list[str]:
    return value if isinstance(value, list) else [value] if value is not None else []


def test_a_new_sidecar_is_read_by_exiftool_and_removed_whole(photo: Path) -> None:
    photos, place = photos_of(photo), photo.with_name("a b.jpg.xmp")
    outcome = write_sidecars(photos, [["dog", "犬", "<b>&"]], prefix="AI")
    assert str(outcome) == "sidecars: 1 written"
    found = exiftool(place)
    assert found["Subject"] == ["dog", "犬", "<b>&"]
    assert found["HierarchicalSubject"] == ["AI|dog", "AI|犬", "AI|<b>&"]
    before = place.read_bytes()
    again = write_sidecars(photos, [["dog", "犬", "<b>&"]], prefix="AI")
    assert (again.counts, place.read_bytes()) == ({"unchanged": 1}, before)
    assert write_sidecars(photos, [[]], prefix="AI").counts == {"removed": 1}
    assert not place.exists()


@pytest.mark.parametrize("program", FOREIGN)
def test_foreign_keywords_stay_through_write_write_remove(photo: Path, program: str) -> None:
    text, theirs = FOREIGN[program]
    place = photo.with_name("a b.jpg.xmp")
    place.write_text(text, encoding="utf-8")
    before, photos = exiftool(place), photos_of(photo)
    for tags in (["dog", "car"], ["car", "bus"]):
        assert write_sidecars(photos, [tags], prefix="AI").counts == {"written": 1}
        after = exiftool(place)
        ours = [tag for tag in tags if tag not in theirs]
        assert as_list(after["Subject"]) == [*theirs, *ours]
        hierarchy = as_list(after["HierarchicalSubject"])
        assert hierarchy == [*as_list(before.get("HierarchicalSubject")), *(f"AI|{tag}" for tag in tags)]
        mtime = place.stat().st_mtime_ns
        assert write_sidecars(photos, [tags], prefix="AI").counts == {"unchanged": 1}
        assert place.stat().st_mtime_ns == mtime
    assert write_sidecars(photos, [[]], prefix="AI").counts == {"removed": 1}
    after = exiftool(place)
    assert as_list(after.pop("Subject")) == as_list(before.pop("Subject")) == theirs
    assert after == before


def test_the_photo_is_not_touched(photo: Path) -> None:
    before = (photo.read_bytes(), photo.stat().st_mtime_ns)
    write_sidecars(photos_of(photo), [["dog"]])
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == before


def test_without_our_record_the_prefix_finds_ours(photo: Path) -> None:
    place, photos = photo.with_name("a b.jpg.xmp"), photos_of(photo)
    place.write_text(DARKTABLE)
    write_sidecars(photos, [["dog"]], prefix="AI")
    # As a program that keeps no namespaces that it does not know would write it.
    lost, n_lists = re.subn(r"<comc:(\w+).*?</comc:\1>", "", place.read_text(), flags=re.DOTALL)
    assert n_lists == 2
    place.write_text(lost)
    write_sidecars(photos, [[]], prefix="AI")
    assert as_list(exiftool(place)["HierarchicalSubject"]) == ["places|Norway"]


def test_both_naming_habits(photo: Path) -> None:
    photos, full, short = photos_of(photo), photo.with_name("a b.jpg.xmp"), photo.with_name("a b.xmp")
    write_sidecars(photos, [["dog"]], names="stem")
    assert short.exists()
    assert not full.exists()
    write_sidecars(photos, [["cat"]])  # the one that is there
    assert not full.exists()
    assert exiftool(short)["Subject"] in ("cat", ["cat"])
    write_sidecars(photos, [["cat"]], names="full")
    assert full.exists()


def test_a_name_that_photos_share_is_left_alone(photo: Path) -> None:
    Image.new("RGB", (8, 8)).save(photo.with_suffix(".png"))
    photos = photos_of(photo)
    outcome = write_sidecars(photos, [["dog"], ["cat"]], names="stem")
    assert outcome.counts == {}
    assert list(outcome.left_alone.values()) == ["several photos would share it; take --sidecar-names full"]
    assert write_sidecars(photos, [["dog"], ["cat"]]).counts == {"written": 2}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<x:xmpmeta", "it is damaged"),
        ("", "it is damaged"),
        ("<html/>", "it is no XMP"),
        ("dear", "it is damaged"),
    ],
)
def test_what_is_no_xmp_is_left_alone_and_named(photo: Path, text: str, why: str) -> None:
    place = photo.with_name("a b.jpg.xmp")
    place.write_text(text)
    outcome = write_sidecars(photos_of(photo), [["dog"]])
    assert place.read_text() == text
    assert why in str(outcome)
    assert "sidecars: none written; left alone:" in str(outcome)


def test_entities_are_not_read_from_elsewhere(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    place = photo.with_name("a b.jpg.xmp")
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    place.write_text(entity + ROOTED.replace("alone", "alone &e;"))
    write_sidecars(photos_of(photo), [["dog"]])
    assert "secret<" not in place.read_text()


def test_sidecars_stay_in_the_folder_that_was_given(tmp_path: Path) -> None:
    for name in ("given", "outside"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "outside" / "a.png")
    (tmp_path / "given" / "link").symlink_to(tmp_path / "outside")
    outcome = write_sidecars(gather_photos(tmp_path / "given"), [["dog"]])
    assert list(outcome.left_alone.values()) == ["the photo lies outside the folder that was given"]
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["a.png"]
    target = tmp_path / "target.xmp"
    target.write_text("theirs")
    Image.new("RGB", (8, 8)).save(tmp_path / "given" / "b.png")
    (tmp_path / "given" / "b.png.xmp").symlink_to(target)
    (tmp_path / "given" / "link").unlink()
    outcome = write_sidecars(gather_photos(tmp_path / "given"), [["dog"]])
    assert list(outcome.left_alone.values()) == ["it is a link"]
    assert target.read_text() == "theirs"


def test_a_dry_run_writes_nothing(photo: Path) -> None:
    before = sorted(photo.parent.iterdir())
    outcome = write_sidecars(photos_of(photo), [["dog"]], dry_run=True)
    assert outcome.counts == {"written": 1}
    assert sorted(photo.parent.iterdir()) == before


def test_text_files_of_others_are_left_alone(photo: Path, own_cache: Path) -> None:  # noqa: F811
    record, photos = SidecarRecord(PhotoLibrary()), photos_of(photo)
    place = photo.with_name("a b.jpg.txt")

    def write(*tags: str) -> Outcome:
        return write_sidecars(photos, [tags], kind="txt", record=record)

    assert write("dog", "Washington, D.C.").counts == {"written": 1}
    assert place.read_text() == "dog\nWashington, D.C.\n"
    assert write("dog", "Washington, D.C.").counts == {"unchanged": 1}
    assert write("car").counts == {"written": 1}
    place.write_text("my own words\n")
    assert list(write("dog").left_alone.values()) == ["it is a text file of somebody else"]
    assert list(write().left_alone.values()) == ["it is a text file of somebody else"]
    assert place.read_text() == "my own words\n"
    place.write_text("car\n")
    assert write().counts == {"removed": 1}
    assert not place.exists()
    assert write().counts == {"unchanged": 1}


def test_a_stop_before_a_text_file_is_replaced_makes_it_no_stranger(
    photo: Path,
    own_cache: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record, photos = SidecarRecord(PhotoLibrary()), photos_of(photo)
    write_sidecars(photos, [["dog"]], kind="txt", record=record)
    with monkeypatch.context() as patch:
        patch.setattr(sidecars, "atomic_path", lambda place: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises((KeyboardInterrupt, AttributeError, TypeError)):
            write_sidecars(photos, [["car"]], kind="txt", record=record)
    assert write_sidecars(photos, [["car"]], kind="txt", record=record).counts == {"written": 1}


def test_a_sidecar_that_cannot_be_written_is_said(photo: Path) -> None:
    os.mkdir(photo.with_name("a b.jpg.xmp"))
    with pytest.raises(CoMCError, match=r"a b.jpg.xmp cannot be written .*; 0 before it are"):
        write_sidecars(photos_of(photo), [["dog"]])
