"""Any image as RGB, and whatever is wrong with it in one clear line."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from comc_utils.errors import CoMCError, printable

try:
    from pillow_heif import register_heif_opener
except ImportError:
    HEIC_OPENS = False
    """Whether the extra heic is installed, with which Pillow opens photos in HEIC."""
else:
    HEIC_OPENS = True
    register_heif_opener()

HEIC_REMEDY = (
    "Pillow opens HEIC only with the extra of that name: pip install -e '.[heic]' in the checkout, or pip "
    "install pillow-heif; or convert to JPEG"
)
"""What to do about photos in HEIC without the extra."""

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_MAX_16_BIT = 65535
_TOO_MANY = "too many pixels"
_OF_SYSTEM = {errno.ENOENT: "missing", errno.ENOTDIR: "missing", errno.EACCES: "may not be read"}
IMAGE_REMEDY = "Replace the file, or leave the image out of the data set."


class ImageError(CoMCError):
    """An image that does not open.

    Parameters
    ----------
    message : str
    kind : str
        In few words what is wrong with it: "missing", "may not be read", "not readable", "empty", "no image",
        "damaged", "too many pixels", "HEIC without the extra". Images are counted by it.
    """

    def __init__(self, message: str = "", kind: str = "damaged") -> None:
        super().__init__(message)
        self.kind = kind


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB, its pixels loaded.

    Transparency is dropped, as Pillow's ``convert("RGB")`` does it. Grey values of 16 bits are scaled to
    8 bits, where Pillow would turn all above 255 white.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ValueError
        Pixels of no known range: floating-point numbers, or integers outside 0 to 65535.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no fixed range")
    if image.mode == "I" or image.mode.startswith("I;"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > _MAX_16_BIT:
            raise ValueError(
                f"its pixels go from {grey.min()} to {grey.max()}, more than the 16 bits that can be scaled"
            )
        image = Image.fromarray((grey * 255 / _MAX_16_BIT).round().astype(np.uint8))
    return image.convert("RGB")


def is_heic(path: str | os.PathLike[str]) -> bool:
    """Tell by the first bytes of a file whether it holds a photo in HEIC.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    bool

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as file:
        return begins_as_heic(file.read(12))


def begins_as_heic(head: bytes) -> bool:
    """Tell by the first 12 bytes of a file, or more, whether it holds a photo in HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def heic_error(what: str) -> ImageError:
    """Make the error of a photo in HEIC that does not open because the extra is not there."""
    return ImageError(f"{what} does not open: {HEIC_REMEDY}.", "HEIC without the extra")


@contextmanager
def image_errors(what: str) -> Iterator[None]:
    """Turn whatever Pillow raises on a bad image into one clear line.

    Parameters
    ----------
    what : str
        The image, as the message is to begin.

    Raises
    ------
    ImageError
        In place of Pillow's own exceptions. A `CoMCError` that comes from inside is passed on as it is.
    """
    what = printable(what)
    try:
        yield
    except CoMCError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(
            f"{what} does not open: it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit "
            "against files that fill the memory. Scale it down, leave it out of the data set, or in Python "
            "raise PIL.Image.MAX_IMAGE_PIXELS.",
            _TOO_MANY,
        ) from None
    except MemoryError:
        raise ImageError(
            f"{what} does not open: the memory does not suffice for its pixels. Scale it down, or leave it out "
            "of the data set.",
            _TOO_MANY,
        ) from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{what} does not open: its content is no image of a known format. {IMAGE_REMEDY}", "no image"
        ) from None
    except OSError as error:
        # What Pillow itself says is wrong has no number of the system's.
        kind = "damaged" if error.errno is None else _OF_SYSTEM.get(error.errno, "not readable")
        raise ImageError(f"{what} does not open: {error.strerror or error}. {IMAGE_REMEDY}", kind) from None
    # What the decoders let through on damaged files.
    except (SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error) as error:
        raise ImageError(f"{what} does not open: {error}. {IMAGE_REMEDY}", "damaged") from error
