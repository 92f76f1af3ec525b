"""Photos' embeddings as taggers read them, and what they depend on beside the photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.store.fingerprint import hash_texts
from comc_utils.tagging.photos import Photos

PHOTOS_A_CHUNK = 512
"""That are read, and scored, at a time."""


@dataclass(frozen=True)
class Towers:
    """What photos' embeddings depend on beside the photos.

    Attributes
    ----------
    model : str
        Of open_clip, as the user gave it.
    weights : str
        SHA-256 over them.
    preprocessing : str
        Mean, deviation and interpolation.
    image_size : int
        Side of the square input, in pixels.
    regions : bool
        Whether regions are embedded, too.
    runtime : str
        Precision or library, where that is not torch in float32.
    resize : str
        As `Clip.encode_images` takes it.
    """

    model: str
    weights: str
    preprocessing: str
    image_size: int
    regions: bool
    runtime: str = ""
    resize: str = "crop"

    @property
    def fingerprint(self) -> str:
        """Stands for all of it."""
        return hash_texts(f"{name} {value}" for name, value in sorted(vars(self).items()))

    @property
    def draft_size(self) -> int:
        """Sides in pixels that a JPEG decoder must keep: twice the tower's own."""
        return 2 * self.image_size


@dataclass(frozen=True)
class Changes:
    """What has happened to photos since they were looked at last.

    Attributes
    ----------
    new, changed, moved : int
        By content: a file that is elsewhere now is moved, not new.
    deleted : int
        In the folders that were given.
    """

    new: int
    changed: int
    moved: int
    deleted: int

    def __str__(self) -> str:
        """Name what has happened; 'nothing new' for nothing."""
        words = [f"{n:,} {name}" for name, n in vars(self).items() if n]
        return ", ".join(words) or "nothing new"


@dataclass(frozen=True, eq=False)
class PhotoEmbeddings:
    """Embeddings of photos, read from disk some at a time.

    Attributes
    ----------
    photos : Photos
        n photos, those that open.
    towers : Towers
    unreadable : tuple of str
        Names of the photos that were left out because they do not open.
    changes : Changes
        Since the photos were looked at last.
    parts, rows : tuple
        Where each photo's embedding lies.
    read : callable
        Gives the tensors of a part.
    """

    photos: Photos
    towers: Towers
    unreadable: tuple[str, ...]
    changes: Changes
    parts: tuple[str, ...] = field(repr=False)
    rows: tuple[int, ...] = field(repr=False)
    read: Callable[[Towers, str], dict[str, Tensor]] = field(repr=False)

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.photos)

    def in_chunks(self) -> Iterator[tuple[slice, ImageEmbeddings]]:
        """Read some photos at a time, in order: their rows, and their embeddings in single precision."""
        size = PHOTOS_A_CHUNK
        kept: dict[str, dict[str, Tensor]] = {}
        for first in range(0, len(self), size):
            wanted = list(zip(self.parts[first : first + size], self.rows[first : first + size], strict=True))
            parts = dict.fromkeys(part for part, _ in wanted)
            kept = {part: kept.get(part) or self.read(self.towers, part) for part in parts}
            names = kept[wanted[0][0]]
            stacked = {name: torch.stack([kept[p][name][row] for p, row in wanted]).float() for name in names}
            yield slice(first, first + len(wanted)), ImageEmbeddings(**{"local": None, **stacked})
