"""Any image as RGB, and whatever is wrong with it in one clear line."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from comc_utils.errors import CoMCError

_MAX_16_BIT = 65535
_REMEDY = "Replace the file, or leave the image out of the data set."


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


@contextmanager
def image_errors(what: str) -> Iterator[None]:
    """Turn whatever Pillow raises on a bad image into one clear line.

    Parameters
    ----------
    what : str
        The image, as the message is to begin.

    Raises
    ------
    CoMCError
        In place of Pillow's own exceptions. One that comes from inside is passed on as it is.
    """
    try:
        yield
    except CoMCError:
        raise
    except Image.DecompressionBombError:
        raise CoMCError(
            f"{what} does not open: it has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit "
            "against files that fill the memory. Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from None
    except UnidentifiedImageError:
        raise CoMCError(f"{what} does not open: its content is no image of a known format. {_REMEDY}") from None
    except OSError as error:
        raise CoMCError(f"{what} does not open: {error.strerror or error}. {_REMEDY}") from None
    # What the decoders let through on damaged files.
    except (SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error) as error:
        raise CoMCError(f"{what} does not open: {error}. {_REMEDY}") from error
