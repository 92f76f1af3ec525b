"""The frozen towers with a cache: what has been embedded once is read from disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from comc_utils.clip.image import ImageEmbeddings
from comc_utils.clip.model import OPENAI_PREPROCESSING, Clip
from comc_utils.clip.tokens import TokenEmbeddings
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.fingerprint import hash_texts
from comc_utils.store.shards import store_in_shards

LARGE_BYTES = 2**31
"""Local embeddings that take more, in single precision, are kept in shards."""
FEW_IMAGES = 1_000
"""Fewer never do, at 224 pixels, and are embedded in a minute or two."""
TEXTS_A_PART = 2_000
"""Distinct texts that are embedded, and kept, together."""


class ImagesOnDemand(Protocol):
    """Images, with what stands for their pixels: `datasets.base.MultiLabelImages`, for one."""

    fingerprint: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...

    def subset(self, rows: Sequence[int]) -> ImagesOnDemand:
        """Take some of the images, with a fingerprint of their own."""


@dataclass(frozen=True, eq=False)
class CachedClip:
    """Towers whose embeddings are kept.

    Attributes
    ----------
    clip : Clip
    name : str
        Of the model, as the user gave it: "RN50-quickgelu@448" looks at larger images than "RN50-quickgelu".
    runtime : str
        What runs the image tower where that is not torch; '' for torch.
    cache : EmbeddingCache
    """

    clip: Clip
    name: str
    runtime: str
    cache: EmbeddingCache

    def key(self, what: str) -> dict[str, str]:
        """Begin the key of what the towers give: kind of thing, model, weights, precision."""
        key = {"what": what, "model": self.name, "weights": self.clip.fingerprint}
        if (preprocessing := self.clip.preprocessing) != OPENAI_PREPROCESSING:
            key["preprocessing"] = preprocessing
        if self.clip.half:
            key["precision"] = "float16"
        return key | ({"runtime": self.runtime} if self.runtime else {})

    @property
    def fingerprint(self) -> str:
        """Stands for the towers and how they are run."""
        return hash_texts(self.key("towers").values())

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts, from the cache where they are there.

        They are embedded and kept in parts: a stop loses one part, and where texts are added at the end, those
        before them are not embedded again.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        if len(rows) <= TEXTS_A_PART:
            return self._embed_part(texts, progress=len(texts) > 1000)
        distinct, embedded = list(rows), []
        with tqdm(total=len(distinct), desc="sentences", delay=1) as bar:
            for first in range(0, len(distinct), TEXTS_A_PART):
                embedded.append(self._embed_part(distinct[first : first + TEXTS_A_PART]))
                bar.update(len(embedded[-1]))
        return torch.cat(embedded)[[rows[text] for text in texts]]

    def _embed_part(self, texts: Sequence[str], *, progress: bool = False) -> Float[Tensor, "n d"]:
        key = self.key("text") | {"texts": hash_texts(texts)}
        compute = lambda: {"text": self.clip.encode_text(texts, progress=progress)}  # noqa: E731
        return self.cache.get(key, compute)["text"]

    def embed_tokens(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Unit vectors of the tokens of texts, from the cache where they are there."""

        def compute() -> dict[str, Tensor]:
            tokens = self.clip.encode_tokens(texts, progress=True)
            return {"values": tokens.values, "lengths": tokens.lengths}

        key = self.key("tokens") | {"texts": hash_texts(texts)}
        return TokenEmbeddings(**self.cache.get(key, compute))

    def embed_images(self, images: ImagesOnDemand, *, resize: Literal["crop", "plain"]) -> ImageEmbeddings:
        """Unit vectors of images, from the cache where they are there.

        Many are embedded and kept in shards: a stop loses one. Where local embeddings would fill memory they
        are kept in half precision and read a few rows at a time; a cosine moves by less than 1e-4 by that.

        Parameters
        ----------
        images : MultiLabelImages
        resize : {"crop", "plain"}
            As `Clip.encode_images` takes it.

        Returns
        -------
        ImageEmbeddings
            Of n images; local ones are `ShardedEmbeddings` where they are many, None where the tower has none.
        """
        key = self.key("images") | {"images": images.fingerprint, "resize": resize}
        local = not self.clip.why_no_regions
        # Not to be mistaken for embeddings without lengths, which other towers have.
        if self.clip.projected_positions is not None:
            key["local norms"] = "float32"

        def compute(rows: Iterable[int], *, half: bool = False) -> dict[str, Tensor]:
            part = images.subset(list(rows))
            embedded = self.clip.encode_images(part, local=local, resize=resize, progress=True)
            if half:
                embedded = replace(embedded, local=embedded.local.half())
            return {name: t for name, t in vars(embedded).items() if t is not None}

        if len(images) < FEW_IMAGES:
            stored = self.cache.get(key, lambda: compute(range(len(images))))
            return ImageEmbeddings(**{"local": None, **stored})
        first = self.clip.encode_images(images.subset([0]), local=local).local
        n_numbers = 1 if first is None else first.numel()
        if 4 * n_numbers * len(images) < LARGE_BYTES:
            stored = store_in_shards(self.cache, key, len(images), 4 * n_numbers, compute)
            return ImageEmbeddings(**{"local": None} | {k: part[:] for k, part in stored.items()})
        stored = store_in_shards(
            self.cache,
            key | {"local": "float16"},
            len(images),
            2 * n_numbers,
            lambda rows: compute(rows, half=True),
        )
        local = stored.pop("local")
        return ImageEmbeddings(local=local, **{k: part[:] for k, part in stored.items()})
