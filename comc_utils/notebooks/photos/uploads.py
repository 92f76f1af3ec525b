"""Photos that a browser sends: kept in memory, never written to disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from comc_utils.clip import Clip, ImageEmbeddings
from comc_utils.errors import CoMCError, printable
from comc_utils.tagging.embeddings import Towers
from comc_utils.tagging.gallery.cards import Thumbnail, thumbnail
from comc_utils.tagging.opening import open_content

MOST_BYTES = 200 * 2**20
"""Of all photos of one visitor: they are kept in memory."""


class Uploads:
    """Photos that were dropped, those that open.

    Attributes
    ----------
    names : list of str
        As the browser gives them, without folders, none twice.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._thumbnails: list[Thumbnail] = []
        self._content: list[bytes] = []
        self._embedded: list[ImageEmbeddings] = []

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.names)

    def add(self, name: str, content: bytes) -> str:
        """Take a photo.

        Parameters
        ----------
        name : str
            Of its file.
        content : bytes

        Returns
        -------
        str
            The name that it is kept under; of one that is there already, that one's.

        Raises
        ------
        CoMCError
            It does not open, or all together have more than 200 MB.
        """
        if content in self._content:
            return self.names[self._content.index(content)]  # dropped twice
        name = printable(os.path.basename(name.replace("\\", "/"))) or "photo"
        if len(content) + self.n_bytes > MOST_BYTES:
            raise CoMCError(
                f"{name} is one too many: {MOST_BYTES >> 20} MB of photos can be dropped here. For more, name "
                "their folder in JupyterLab, or take the command: python -m comc_utils tag --help."
            )
        stem, ending = os.path.splitext(name)
        number = 2
        while name in self.names:
            name, number = f"{stem} ({number}){ending}", number + 1
        small = thumbnail(open_content(name, content))
        self.names.append(name)
        self._thumbnails.append(small)
        self._content.append(content)
        return name

    @property
    def n_bytes(self) -> int:
        """Of all photos."""
        return sum(map(len, self._content))

    def thumbnail(self, row: int) -> Thumbnail:
        """Small picture of a photo."""
        return self._thumbnails[row]

    @property
    def n_waiting(self) -> int:
        """How many are not embedded yet."""
        return len(self.names) - sum(map(len, self._embedded))

    def embed_some(self, clip: Clip, towers: Towers, n: int) -> None:
        """Embed the next photos, n at most."""
        first = len(self.names) - self.n_waiting
        photos = _Opened(self.names[first : first + n], self._content[first : first + n], towers.draft_size)
        found = clip.encode_images(photos, local=towers.regions, resize=towers.resize, num_workers=0)
        self._embedded.append(found)

    @property
    def embeddings(self) -> ImageEmbeddings:
        """Of all that are embedded."""
        return ImageEmbeddings.concatenate(self._embedded)


class _Opened(Sequence):
    def __init__(self, names: Sequence[str], content: Sequence[bytes], draft_size: int) -> None:
        self._given = list(zip(names, content, strict=True))
        self._draft_size = draft_size

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, index: int) -> Image.Image:
        return open_content(*self._given[index], self._draft_size)
