"""One photo for a look, from wherever it is."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

import requests
from PIL import Image, ImageOps, UnidentifiedImageError

from comc_utils.datasets.image_files import decode_image, open_image
from comc_utils.errors import CoMCError, printable
from comc_utils.store.rgb import begins_as_heic, heic_error, image_errors, to_rgb

MOST_BYTES = 50 * 2**20
"""Of a photo that is fetched."""
_SECONDS = 30


@dataclass(frozen=True)
class Opened:
    """Photos that are opened one by one, when they are looked at: see `open_photo`."""

    photos: Sequence[str | os.PathLike[str] | Image.Image]
    fetch: bool

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.photos)

    def __getitem__(self, index: int) -> Image.Image:
        """Open a photo."""
        return open_photo(self.photos[index], fetch=self.fetch)


def open_photo(photo: str | os.PathLike[str] | Image.Image, *, fetch: bool = False) -> Image.Image:
    """Open a photo, in RGB, turned as its EXIF data say.

    Parameters
    ----------
    photo : path, address or PIL image
    fetch : bool
        Whether an address (http, https) may be fetched.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    CoMCError
        It does not open; an address without ``fetch``, that cannot be fetched, or with more than 50 MB;
        something else than a photo.
    """
    if isinstance(photo, Image.Image):
        with image_errors("The image"):
            return to_rgb(ImageOps.exif_transpose(photo))
    if not isinstance(photo, str | os.PathLike):
        raise CoMCError(f"A photo is of type {type(photo).__name__}; give a path, an address or a PIL image.")
    place = os.fspath(photo)
    if not place.startswith(("http://", "https://")):
        if not os.path.isfile(place):
            raise CoMCError(
                f"There is no photo {printable(place)}; check its path. A folder is for tagger.embed."
            )
        return open_image(place, exif_rotation=True)
    if not fetch:
        raise CoMCError(f"{place} is an address, and nothing is fetched unasked; say so with fetch=True.")
    return open_content(f"What lies at {place}", _fetch(place))


def open_content(what: str, content: bytes, draft_size: int | None = None) -> Image.Image:
    """Open a photo of which a file's bytes are at hand, in RGB, turned as its EXIF data say.

    Parameters
    ----------
    what : str
        The photo, as a message is to begin.
    content : bytes
    draft_size : int, optional
        See `image_files.open_image`.

    Raises
    ------
    CoMCError
        It does not open.
    """
    with image_errors(what):
        try:
            return decode_image(io.BytesIO(content), exif_rotation=True, draft_size=draft_size)
        except UnidentifiedImageError:
            if begins_as_heic(content):
                raise heic_error(what) from None
            raise


def _fetch(address: str) -> bytes:
    try:
        with requests.get(address, stream=True, timeout=_SECONDS) as answer:
            answer.raise_for_status()
            content = bytearray()
            for piece in answer.iter_content(2**16):
                content += piece
                if len(content) > MOST_BYTES:
                    raise CoMCError(f"{address} holds more than {MOST_BYTES >> 20} MB; fetch it yourself.")
    except requests.RequestException as error:
        raise CoMCError(
            f"{address} could not be fetched ({type(error).__name__}: {error}); check the address and the "
            "network."
        ) from None
    return bytes(content)
