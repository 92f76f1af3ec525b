"""The photos of a shard, opened one by one."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass, field

from PIL import Image

from comc_utils.datasets.photos import is_photo_name
from comc_utils.errors import CoMCError, printable
from comc_utils.store.rgb import ImageError
from comc_utils.tagging.engine.shards import Shard
from comc_utils.tagging.opening import open_content
from comc_utils.tagging.photos import Photos


@dataclass(frozen=True)
class TarPhotos:
    """Photos in a tar file that is not compressed, as webdataset writes them.

    Attributes
    ----------
    source : str
    members : tuple of (str, int, int)
        Of each photo name, first byte and number of bytes.
    others : int
        Members that are no photos: labels, captions.
    draft_size : int, optional
        See `image_files.open_image`.
    broken : str
        What is wrong with the file where its end is missing; '' for nothing.
    """

    source: str
    members: tuple[tuple[str, int, int], ...] = field(repr=False)
    others: int
    draft_size: int | None
    broken: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the photos: the tar file's, and theirs in it."""
        return tuple(printable(f"{os.path.basename(self.source)}/{name}") for name, _, _ in self.members)

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.members)

    def __getitem__(self, index: int) -> Image.Image:
        """Open a photo, in RGB, turned as its EXIF data say; an `ImageError` where it does not open."""
        name, first, size = self.members[index]
        what = f"Photo {name} in {self.source}"
        if size == 0:
            raise ImageError(f"{printable(what)} does not open: it is empty. Leave it out.", "empty")
        # Opened anew, for processes that read side by side have one position in a file they share.
        with open(self.source, "rb") as file:
            file.seek(first)
            return open_content(what, file.read(size), self.draft_size)


def open_shard(shard: Shard, draft_size: int | None) -> tuple[Photos | TarPhotos, tuple[str, ...]]:
    """Get at the photos of a shard, and their names.

    Parameters
    ----------
    shard : Shard
        Of photos, or a tar file.
    draft_size : int, optional
        See `image_files.open_image`.

    Returns
    -------
    photos : Photos or TarPhotos
    names : tuple of str
        To show: paths as they were given.

    Raises
    ------
    CoMCError
        A tar file that cannot be read.
    """
    if shard.kind == "photos":
        paths = tuple(os.path.join(shard.folder, path) for path in shard.paths)
        return Photos(paths, ("",) * len(paths), draft_size=draft_size), tuple(map(printable, shard.paths))
    members, others, broken = {}, 0, ""
    try:
        with tarfile.open(shard.source, "r:") as tar:
            try:
                for member in tar:
                    if member.isreg() and is_photo_name(member.name):
                        others += member.name in members  # of two of a name the last counts, as tar has it
                        members[member.name] = (member.name, member.offset_data, member.size)
                    else:
                        others += not member.isdir()
                broken = _lacks_end(shard.source, tar.offset)
            except tarfile.ReadError as error:
                broken = str(error)
    except (OSError, tarfile.ReadError) as error:
        raise CoMCError(
            f"The shard {printable(shard.source)} cannot be read ({error}); it must be a tar file that is not "
            "compressed. Replace it, or leave it out."
        ) from None
    photos = TarPhotos(shard.source, tuple(members.values()), others, draft_size, broken)
    return photos, photos.names


def _lacks_end(path: str, offset: int) -> str:
    """Say what is wrong where Python's reader has come to an end without a word; '' for nothing."""
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            return f"from byte {offset:,} on there is neither a member nor the end"
        while piece := file.read(2**20):
            if piece.strip(b"\0"):
                return f"more follows after the end at byte {offset:,}"
    return ""
