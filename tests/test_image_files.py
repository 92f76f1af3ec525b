"""Images as they come: cut short, of odd kinds, with the wrong name, or not there at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comc_utils.datasets.image_files import find_files, name_some, open_image
from comc_utils.errors import CoMCError

RED, BLUE = (200, 10, 10), (10, 10, 200)
ORIENTATION, ROTATED_BY_90 = 0x0112, 6


def save(image: Image.Image, path: Path, *args: object, **options: object) -> Path:
    image.save(path, *args, **options)
    return path


def noise(path: Path) -> bytes:
    return save(Image.effect_noise((64, 64), 60).convert("RGB"), path).read_bytes()


def two_halves(size: tuple[int, int] = (40, 20)) -> Image.Image:
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def near(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= 6 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    image = open_image(save(Image.new("RGB", (8, 6), RED), tmp_path / f"red.{suffix}"))
    assert (image.mode, image.size) == ("RGB", (8, 6))
    assert near(image.getpixel((4, 3)), RED)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (8, 8), RED), tmp_path / "photo.png", "JPEG")
    assert near(open_image(path).getpixel((4, 4)), RED)


def test_cmyk(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "print.jpg")
    assert near(open_image(path).getpixel((4, 4)), (255, 0, 0))


@pytest.mark.parametrize("transparency", [0, b"\x00\x80"], ids=["colour", "bytes"])
def test_palette_with_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    path = save(two_halves().quantize(2), tmp_path / "palette.png", transparency=transparency)
    image = open_image(path)
    assert {image.getpixel((5, 5)), image.getpixel((35, 5))} == {RED, BLUE}


def test_alpha_is_dropped_as_pillow_drops_it(tmp_path: Path) -> None:
    path = save(Image.new("RGBA", (8, 8), (*RED, 0)), tmp_path / "clear.png")
    assert open_image(path).getpixel((4, 4)) == RED


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = open_image(save(Image.fromarray(values), tmp_path / f"deep.{suffix}"))
    np.testing.assert_array_equal(np.asarray(image)[..., 1], np.arange(256).reshape(16, 16))


def test_32_bit_integers_within_16_bits_are_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 32768, 65535]], dtype=np.int32)
    image = open_image(save(Image.fromarray(values), tmp_path / "deep.tif"))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 70_000]], dtype=np.int32), "pixels go from 0 to 70000"),
        (np.array([[-1, 5]], dtype=np.int32), "pixels go from -1 to 5"),
        (np.array([[0.5, 1.0]], dtype=np.float32), "floating-point"),
    ],
)
def test_pixels_without_a_known_range(tmp_path: Path, values: np.ndarray, message: str) -> None:
    path = save(Image.fromarray(values), tmp_path / "odd.tif")
    with pytest.raises(CoMCError, match=f"odd.tif does not open: .*{message}.*Replace the file"):
        open_image(path)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    path = save(frames[0], tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert near(open_image(path).getpixel((4, 4)), RED)


def test_exif_rotation_only_where_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED_BY_90
    path = save(two_halves(), tmp_path / "photo.jpg", exif=exif)
    assert open_image(path).size == (40, 20)
    upright = open_image(path, exif_rotation=True)
    assert upright.size == (20, 40)
    assert near(upright.getpixel((10, 5)), RED)
    assert near(upright.getpixel((10, 35)), BLUE)


@pytest.mark.parametrize(
    ("draft_size", "opened"),
    [(None, (900, 640)), (80, (113, 80)), (160, (225, 160)), (161, (450, 320)), (321, (900, 640))],
)
def test_drafts_are_halved_and_never_too_small(
    tmp_path: Path, draft_size: int | None, opened: tuple[int, int]
) -> None:
    photo = two_halves((900, 640))
    image = open_image(save(photo, tmp_path / "photo.jpg"), draft_size=draft_size)
    assert (image.mode, image.size) == ("RGB", opened)
    assert near(image.getpixel((opened[0] // 4, 5)), RED)
    assert near(image.getpixel((3 * opened[0] // 4, 5)), BLUE)
    assert open_image(save(photo, tmp_path / "photo.png"), draft_size=draft_size).size == (900, 640)


def test_draft_of_a_rotated_cmyk_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED_BY_90
    path = save(Image.new("CMYK", (400, 200), (0, 255, 255, 0)), tmp_path / "a.jpg", exif=exif)
    image = open_image(path, exif_rotation=True, draft_size=50)
    assert image.size == (50, 100)
    assert near(image.getpixel((25, 50)), (255, 0, 0))


def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x20\0garbage"
    path = save(two_halves(), tmp_path / "photo.jpg", exif=damaged)
    assert open_image(path, exif_rotation=True).size == (40, 20)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp"])
def test_image_cut_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    whole = noise(path)
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CoMCError, match=f"Image {path} does not open: .*Replace the file"):
            open_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_damage_anywhere_is_survived(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"damaged.{suffix}"
    whole = noise(path)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(whole, dtype=np.uint8).copy()
        damaged[rng.integers(min(200, len(damaged)), size=4)] = rng.integers(256, size=4)
        path.write_bytes(damaged.tobytes())
        try:
            assert open_image(path, exif_rotation=True).mode == "RGB"
        except CoMCError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b"<html>404</html>", "no image of a known format")]
)
def test_no_image(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(CoMCError, match=f"Image {path} does not open: .*{reason}. Replace"):
        open_image(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CoMCError, match="absent.jpg does not open: No such file"):
        open_image(tmp_path / "absent.jpg")
    with pytest.raises(CoMCError, match="does not open: Is a directory"):
        open_image(tmp_path)


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("L", (60, 50)), tmp_path / "huge.png")
    # Beyond half of what Pillow allows it warns, which is an error in these tests.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert open_image(path).size == (60, 50)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(CoMCError, match="huge.png does not open: .* 2,000 pixels.*Scale it down"):
        open_image(path)


def test_memory_that_does_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("L", (60, 50)), tmp_path / "huge.png")

    def exhausted(self: Image.Image, mode: str) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", exhausted)
    with pytest.raises(CoMCError, match="huge.png does not open: the memory does not suffice.*Scale it down"):
        open_image(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "d"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    return tmp_path


NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_limit_counts_the_files_that_are_there(folder: Path) -> None:
    files = find_files(folder, NAMES, limit=3, place="P")
    assert files.rows == [0, 1, 3]
    assert files.names == ("a.jpg", "b.jpg", "d.jpg")
    assert files.paths == tuple(str(folder / f"{name}.jpg") for name in "abd")
    assert files.missing == ("c.jpg",)
    assert find_files(folder, NAMES, limit=2, place="P").missing == ()
    assert find_files(folder, NAMES, limit=9, place="P").rows == [0, 1, 3]


def test_all_files_must_be_there_without_a_limit(folder: Path) -> None:
    with pytest.raises(CoMCError, match=r"holds 3 of the 4 images of P; missing: c.jpg.*--limit N"):
        find_files(folder, NAMES, limit=None, place="P")
    assert find_files(folder, ["a.jpg", "d.jpg"], limit=None, place="P").rows == [0, 1]


@pytest.mark.parametrize("name", ["b\0.jpg", "\ud800.jpg", "b" * 300])
def test_names_that_no_file_can_have(folder: Path, name: str) -> None:
    with pytest.raises(
        CoMCError, match=f"of P cannot be looked for in {folder} .*; correct its name"
    ) as caught:
        find_files(folder, ["a.jpg", name], limit=None, place="P")
    print(caught.value)


@pytest.mark.parametrize("limit", [None, 2])
def test_no_file_at_all(folder: Path, limit: int | None) -> None:
    with pytest.raises(CoMCError, match="holds none of the 2 images of P: x.jpg, y.jpg. Give"):
        find_files(folder, ["x.jpg", "y.jpg"], limit=limit, place="P")
    with pytest.raises(CoMCError, match="holds none of the 1 images"):
        find_files(folder, ["a.jpg/x.jpg"], limit=limit, place="P")


def test_limit_below_one(folder: Path) -> None:
    with pytest.raises(CoMCError, match="limit is 0"):
        find_files(folder, NAMES, limit=0, place="P")


def test_fingerprint_follows_the_files(folder: Path) -> None:
    def fingerprint(where: Path = folder, **options: object) -> str:
        return find_files(where, NAMES, **{"limit": 3, "place": "P"} | options).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(limit=2) != first
    assert fingerprint(exif_rotation=True) != first
    assert len({first, fingerprint(draft_size=224), fingerprint(draft_size=448)}) == 3
    moved = folder.rename(folder.with_name("moved"))
    assert fingerprint(moved) == first
    status = (moved / "a.jpg").stat()
    (moved / "a.jpg").write_bytes(b"another size")
    os.utime(moved / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    larger = fingerprint(moved)
    assert larger != first
    os.utime(moved / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert fingerprint(moved) not in (first, larger)


def test_few_names_are_all_said() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some([str(i) for i in range(2000)]) == "0, 1, 2, 3, 4, ... (2,000 in all)"
