"""Photos' embeddings on disk: embedded once, known by content, whatever happens to the files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tagging import learn, own_cache, scene, write_scenes  # noqa: F401

from comc_utils.clip import Clip
from comc_utils.errors import CoMCError
from comc_utils.tagging import embeddings, library
from comc_utils.tagging.library import PhotoLibrary
from comc_utils.tagging.photos import gather_photos


@pytest.fixture(autouse=True)
def few_a_part(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(library, "PHOTOS_A_PART", 4)
    monkeypatch.setattr(library, "BATCH", 2)
    monkeypatch.setattr(embeddings, "PHOTOS_A_CHUNK", 5)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the photos of each call of the image tower."""
    counts: list[int] = []
    original = Clip.encode_in_batches

    def counted(self: Clip, images: object, **options: object) -> object:
        counts.append(len(images))
        return original(self, images, **options)

    monkeypatch.setattr(Clip, "encode_in_batches", counted)
    return counts


def test_embeddings_are_the_model_s_own(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "scenes", 11)
    found = learn().embed(folder)
    own = learn().towers.clip.encode_images([scene(i) for i in range(11)])
    rows = 0
    for where, part in found.in_chunks():
        for name, tensor in vars(part).items():
            torch.testing.assert_close(tensor, vars(own)[name][where], atol=1e-5, rtol=0)
        rows += len(part)
    assert rows == len(found) == 11


def test_what_was_embedded_is_not_opened_again(tmp_path: Path, embedded: list[int]) -> None:
    folder = write_scenes(tmp_path / "scenes", 6)
    scores = learn().scores(learn().embed(folder))
    for path in folder.iterdir():  # what is not opened may be anything
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = learn().embed(folder)
    assert str(again.changes) == "nothing new"
    assert embedded == [6]
    np.testing.assert_array_equal(learn().scores(again), scores)
    assert learn(["bus", "boat"]).scores(again).shape == (6, 2)


def test_new_changed_moved_and_deleted_photos_are_noticed(tmp_path: Path, embedded: list[int]) -> None:
    folder = write_scenes(tmp_path / "scenes", 6)
    learn().embed(folder)
    (folder / "moved").mkdir()
    shutil.move(folder / "test-00000.png", folder / "moved" / "first.png")
    scene(8).save(folder / "test-00001.png")
    (folder / "test-00002.png").unlink()
    scene(7).save(folder / "new.png")
    found = learn().embed(folder)
    assert vars(found.changes) == {"new": 1, "changed": 1, "moved": 1, "deleted": 1}
    assert str(found.changes) == "1 new, 1 changed, 1 moved, 1 deleted"
    assert embedded == [6, 2]
    own = learn().towers.clip.encode_images([scene(7)]).global_
    at = found.photos.names.index(str(folder / "new.png"))
    whole = torch.cat([part.global_ for _, part in found.in_chunks()])
    torch.testing.assert_close(whole[[at]], own, atol=1e-5, rtol=0)


def test_the_same_photo_twice_is_embedded_once(tmp_path: Path, embedded: list[int]) -> None:
    folder = write_scenes(tmp_path / "scenes", 2)
    shutil.copy(folder / "test-00000.png", folder / "copy.png")
    found = learn().embed(folder)
    assert len(found) == 3
    assert embedded == [2]


def test_a_touched_file_is_looked_at_and_not_embedded(tmp_path: Path, embedded: list[int]) -> None:
    folder = write_scenes(tmp_path / "scenes", 2)
    learn().embed(folder)
    os.utime(folder / "test-00000.png", ns=(1, 1))
    assert str(learn().embed(folder).changes) == "nothing new"
    assert embedded == [2]


def test_photos_that_do_not_open_are_named_or_left_out(tmp_path: Path, embedded: list[int]) -> None:
    folder = write_scenes(tmp_path / "scenes", 9)
    for name in ("test-00001.png", "test-00006.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:200])
    with pytest.raises(CoMCError, match=r"1 photo does not open: .*test-00001.png. Repair or remove it"):
        learn().embed(folder)
    found = learn().embed(folder, skip_unreadable=True)
    assert [Path(name).name for name in found.unreadable] == ["test-00001.png", "test-00006.png"]
    assert len(found) == 7
    with pytest.raises(CoMCError, match=r"2 photos do not open: .*test-00001.png.*test-00006.png"):
        learn().embed(folder)
    scene(1).save(folder / "test-00001.png")
    assert len(learn().embed(folder, skip_unreadable=True)) == 8
    for path in folder.iterdir():
        path.write_bytes(b"no image " + path.name.encode())
    with pytest.raises(CoMCError, match="None of the 9 photos opens"):
        learn().embed(folder, skip_unreadable=True)


def test_what_is_left_out_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "scenes", 9)
    (folder / "broken.png").write_bytes(b"no image")
    with_broken = learn().scores(learn().embed(folder, skip_unreadable=True))
    shutil.rmtree(os.environ["COMC_CACHE_DIR"])
    (folder / "broken.png").unlink()
    np.testing.assert_array_equal(with_broken, learn().scores(learn().embed(folder)))


def test_a_stop_between_parts_loses_none_and_changes_none(
    tmp_path: Path, embedded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_scenes(tmp_path / "scenes", 10)
    whole = learn().scores(learn().embed(folder))
    shutil.rmtree(os.environ["COMC_CACHE_DIR"])
    keep, kept = PhotoLibrary._keep, []

    def keep_one(self: PhotoLibrary, *given: object) -> None:
        if kept:
            raise KeyboardInterrupt
        kept.append(given)
        keep(self, *given)

    monkeypatch.setattr(PhotoLibrary, "_keep", keep_one)
    with pytest.raises(KeyboardInterrupt):
        learn().embed(folder)
    monkeypatch.setattr(PhotoLibrary, "_keep", keep)
    embedded.clear()
    np.testing.assert_array_equal(learn().scores(learn().embed(folder)), whole)
    assert embedded == [6]


def test_a_part_that_is_damaged_or_gone_is_embedded_anew(tmp_path: Path, embedded: list[int]) -> None:
    folder = write_scenes(tmp_path / "scenes", 8)
    found = learn().embed(folder)
    scores = learn().scores(found)
    stored = sorted((PhotoLibrary().folder / "embeddings").glob("*.safetensors"))
    assert len(stored) == 2
    stored[0].unlink()
    np.testing.assert_array_equal(learn().scores(learn().embed(folder)), scores)
    assert embedded == [8, 4]
    bits = bytearray(stored[1].read_bytes())
    bits[-5] ^= 255
    stored[1].write_bytes(bits)
    again = learn().embed(folder)
    with (
        pytest.warns(UserWarning, match="its checksum differs"),
        pytest.raises(CoMCError, match="are damaged; they are forgotten now. Run the same command again"),
    ):
        learn().scores(again)
    np.testing.assert_array_equal(learn().scores(learn().embed(folder)), scores)


def test_a_photo_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_scenes(tmp_path / "scenes", 3)
    look_at = PhotoLibrary.look_at

    def look_then_change(self: PhotoLibrary, *given: object, **options: object) -> object:
        seen = look_at(self, *given, **options)
        scene(9).save(folder / "test-00002.png")
        return seen

    monkeypatch.setattr(PhotoLibrary, "look_at", look_then_change)
    with pytest.raises(CoMCError, match="test-00002.png changed while it was read; run the same command again"):
        learn().embed(folder)


def test_local_embeddings_that_are_large_are_kept_in_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_scenes(tmp_path / "scenes", 4)
    exact = learn().scores(learn().embed(folder))
    shutil.rmtree(os.environ["COMC_CACHE_DIR"])
    monkeypatch.setattr(library, "FULL_PRECISION_BYTES", 1000)
    found = learn().embed(folder)
    half = learn().scores(found)
    assert not np.array_equal(half, exact)
    np.testing.assert_allclose(half, exact, atol=2e-3)


def test_an_index_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "scenes", 1)
    place = Path(os.environ["COMC_CACHE_DIR"]) / "photos"
    place.mkdir(parents=True)
    (place / "index.sqlite").write_text("no database " * 100)
    with pytest.raises(CoMCError, match=r"index.sqlite cannot be used .*if it is damaged, delete it"):
        learn().embed(folder)
    shutil.rmtree(place)
    place.write_text("a file")
    with pytest.raises(CoMCError, match="cannot be used"):
        learn().embed(folder)


def test_photos_are_found_by_folder_file_pattern_and_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(tmp_path / "my scenes", 3)
    (tmp_path / "my scenes" / "notes.txt").write_text("none of these")
    odd = tmp_path / "my scenes" / "a 'b\"\n犬.png"
    scene(0).save(odd)
    monkeypatch.chdir(tmp_path)
    of_folder = gather_photos("my scenes")
    assert len(of_folder) == 4
    assert of_folder.names[0] == "my scenes/a 'b\"\\n犬.png"
    assert "1 no image that Pillow opens (notes.txt)" in of_folder.passed_over
    assert len(gather_photos("my scenes/*.png")) == 4
    assert gather_photos(["my scenes/test-00001.png", "my scenes"]).paths[0].endswith("test-00001.png")
    assert len(gather_photos(["my scenes/test-00001.png", "my scenes"])) == 4
    Path("list.txt").write_text("my scenes/test-00002.png\n\nmy scenes/test-00000.png\n")
    assert [path[-5] for path in gather_photos((), listed="list.txt").paths] == ["2", "0"]
    assert len(gather_photos("my scenes", limit=2)) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), "No photos are given"),
        ("nowhere", "There is no photo, folder or pattern nowhere"),
        ("empty", "empty holds no photo"),
        ("https://example.org/a.jpg", "is an address; fetch the photo first"),
        ("texts", r"texts holds no photo; it holds 1 no image"),
    ],
)
def test_what_is_no_photo_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: object, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("a")
    with pytest.raises(CoMCError, match=expected):
        gather_photos(given)


def test_bad_lists_and_limits_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(CoMCError, match="The limit is 0 photos"):
        gather_photos(tmp_path, limit=0)
    with pytest.raises(CoMCError, match="cannot be read"):
        gather_photos((), listed=tmp_path / "nothing.txt")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\n")
    with pytest.raises(CoMCError, match="is not in UTF-8"):
        gather_photos((), listed=tmp_path / "list.txt")
