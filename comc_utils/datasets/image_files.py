"""Image files on disk: opening one in RGB whatever it is, and finding those that a data set lists."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm.auto import tqdm

from comc_utils.errors import CoMCError, printable
from comc_utils.store.rgb import IMAGE_REMEDY, ImageError, heic_error, image_errors, is_heic, to_rgb

N_NAMED = 5
"""Missing files, ids or classes that a message or a description names."""

TRIAL = "give limit=N (command line: --limit N) for a trial on what is there"
"""What to do where a benchmark is incomplete."""


@dataclass(frozen=True)
class FoundFiles:
    """Which of the files of a list are there.

    Attributes
    ----------
    rows : list of int
        Positions in the list of the files that are used, ascending.
    names : tuple of str
        Their names in the list, as `errors.printable` writes them.
    paths : tuple of str
        Where they are.
    missing : tuple of str
        Names of the files passed over because they are not there.
    fingerprint : str
        SHA-256 over names, sizes in bytes and modification times of the used files in their order, and
        how they are opened. It stands for the pixels without reading them: a file that is replaced
        changes it, the folder's own name and place do not.
    open : callable
        From 0, 1, ... to that used file's image, as `open_image` reads it.
    """

    rows: list[int]
    names: tuple[str, ...]
    paths: tuple[str, ...]
    missing: tuple[str, ...]
    fingerprint: str
    open: Callable[[int], Image.Image]


def open_image(
    path: str | os.PathLike[str], *, exif_rotation: bool = False, draft_size: int | None = None
) -> Image.Image:
    """Read an image file of any kind as RGB.

    The content decides on the format, not the name. Of an animation the first frame is taken, and
    transparency is dropped, as Pillow's ``convert("RGB")`` does it. Grey values of 16 bits are scaled to
    8 bits, where Pillow would turn all above 255 white.

    Parameters
    ----------
    path : str or PathLike
        The file.
    exif_rotation : bool
        Turn the image as its EXIF data say. Off by default: the authors' code, like most that reports
        numbers on VOC2007, MS-COCO and NUS-WIDE, does not, and scores are to be comparable.
    draft_size : int, optional
        Let the JPEG decoder halve a large photo, up to three times, as long as both its sides keep this many
        pixels. Faster the larger the photo; its details differ from those of the whole one resized. Files
        of other kinds are read whole.

    Returns
    -------
    PIL.Image.Image
        In RGB, its pixels loaded, the file closed.

    Raises
    ------
    CoMCError
        The file is missing, empty, cut short, damaged, no image, or in HEIC without the extra, has more than
        twice ``PIL.Image.MAX_IMAGE_PIXELS`` pixels, or pixels of no known range: floating-point numbers, or
        integers outside 0 to 65535.
    """
    with image_errors(f"Image {path}"):
        if os.path.getsize(path) == 0:
            raise ImageError(
                f"Image {printable(os.fspath(path))} does not open: the file is empty. {IMAGE_REMEDY}", "empty"
            )
        try:
            return decode_image(path, exif_rotation=exif_rotation, draft_size=draft_size)
        except UnidentifiedImageError:
            if is_heic(path):
                raise heic_error(f"Image {path}") from None
            raise


def decode_image(
    source: str | os.PathLike[str] | BinaryIO, *, exif_rotation: bool = False, draft_size: int | None = None
) -> Image.Image:
    """Read an image from a file or a stream; what Pillow raises is the caller's to put into words.

    Parameters
    ----------
    source : str, PathLike or binary stream
    exif_rotation, draft_size
        As `open_image` takes them.

    Returns
    -------
    PIL.Image.Image
        As `open_image` gives it.
    """
    # Pillow warns of many pixels, of odd EXIF data, of palettes with transparency; it reads them all.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(source) as image:
            if draft_size is not None:
                image.draft(None, (draft_size, draft_size))
            return to_rgb(ImageOps.exif_transpose(image) if exif_rotation else image)


def find_files(
    folder: str | os.PathLike[str],
    names: Sequence[str],
    *,
    limit: int | None,
    place: str,
    exif_rotation: bool = False,
    draft_size: int | None = None,
) -> FoundFiles:
    """Look for the files of a list in a folder.

    Parameters
    ----------
    folder : str or PathLike
        Where they should be.
    names : sequence of str
        Their names below the folder, with "/" between folders.
    limit : int or None
        None asks for all; a number for the first so many of those that are there.
    place : str
        Data set and split, for messages.
    exif_rotation : bool
        Whether the images are to be turned as their EXIF data say.
    draft_size : int, optional
        As `open_image` takes it.

    Returns
    -------
    FoundFiles

    Raises
    ------
    CoMCError
        No file is there, or one is missing where all are asked for, or may not be looked at, or has a name that
        no file can have, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise CoMCError(f"The limit is {limit} images; give 1 or more, or none for all.")
    rows, paths, missing = [], [], []
    digest = hashlib.sha256(b"rotated\n" if exif_rotation else b"as stored\n")
    if draft_size is not None:
        digest.update(f"drafts of {draft_size} pixels\n".encode())
    place = printable(place)
    # On a local disk this takes a second for a hundred thousand files, on a shared one a minute.
    for row, name in enumerate(tqdm(names, desc=f"files of {place}", delay=2, leave=False)):
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            missing.append(printable(name))
            continue
        except (OSError, ValueError) as error:
            raise CoMCError(
                f"Image {printable(name)!r} of {place} cannot be looked for in {folder} "
                f"({getattr(error, 'strerror', None) or error}); correct its name in the list, or give "
                "yourself the right to read its folder."
            ) from None
        used = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(used.encode("utf-8", "surrogateescape"))
        rows.append(row)
        paths.append(path)
        if len(rows) == limit:
            break
    if not rows:
        raise CoMCError(
            f"{folder} holds none of the {len(names):,} images of {place}: {name_some(missing)}. Give the "
            "folder that the data set was unpacked in."
        )
    if missing and limit is None:
        raise CoMCError(
            f"{folder} holds {len(rows):,} of the {len(names):,} images of {place}; missing: "
            f"{name_some(missing)}. Complete it, or {TRIAL}."
        )
    return FoundFiles(
        rows=rows,
        names=tuple(printable(names[row]) for row in rows),
        paths=tuple(paths),
        missing=tuple(missing),
        fingerprint=digest.hexdigest(),
        open=lambda index: open_image(paths[index], exif_rotation=exif_rotation, draft_size=draft_size),
    )


def check_split(split: str, known: Iterable[str], data_set: str) -> None:
    """Refuse a split that a data set does not have.

    Parameters
    ----------
    split : str
    known : iterable of str
        The splits that it has.
    data_set : str
        Its name, for the message.

    Raises
    ------
    CoMCError
        It is none of them.
    """
    if split not in known:
        raise CoMCError(f"{data_set} has no split {split!r}; its splits: {', '.join(known)}.")


def check_count(found: int, stated: int, what: str, place: str) -> None:
    """Refuse a benchmark of another size than the published one.

    Parameters
    ----------
    found, stated : int
        Numbers of images.
    what : str
        What holds them.
    place : str
        Data set and split.

    Raises
    ------
    CoMCError
        The numbers differ.
    """
    if found != stated:
        raise CoMCError(
            f"{what} has {found:,} images, but {place} has {stated:,}, and other numbers of images give "
            f"scores that cannot be compared. Replace it by the published one, or {TRIAL}."
        )


def name_some(names: Sequence[str]) -> str:
    """Name the first few of many, and say how many there are."""
    named = ", ".join(names[:N_NAMED])
    return f"{named}, ... ({len(names):,} in all)" if len(names) > N_NAMED else named
