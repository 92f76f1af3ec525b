"""What every profile is made of: texts and images, and what embeds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.cached import CachedClip
from comc_utils.datasets.base import MultiLabelEmbeddings, MultiLabelImages
from comc_utils.errors import CoMCError
from comc_utils.method.labelled import LabelledPool
from comc_utils.method.presets import Preset
from comc_utils.method.protocol import Method, Need
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import Profile
from comc_utils.sentences import Record
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.paths import cache_dir

SMOKE_EPOCHS = 10
"""A smoke run takes one in so many epochs, where they take long."""


@dataclass(frozen=True, eq=False)
class SeenAndUnseen:
    """What zero-shot learning from images goes by.

    Attributes
    ----------
    seen : MultiLabelImages
        Images to learn from, in which S seen classes are labelled.
    all_labels : ndarray [n, N + S]
        Of the experiment's test images: the N unseen classes, then the seen ones.
    """

    seen: MultiLabelImages
    all_labels: UInt8[np.ndarray, "n n_classes"]


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """Where the texts and the images of an experiment come from.

    Attributes
    ----------
    profile : Profile
    preset : Preset
        Its settings of the text and of the images.
    seed : int
        Of the corpus.
    smoke : bool
        A small share of text and images, for a run of seconds.
    data : Path or None
        Folder of the profile's data, where it is not fetched or drawn.
    options : ExperimentOptions
    cache : EmbeddingCache
    """

    profile: Profile
    preset: Preset
    seed: int
    smoke: bool
    data: Path | None
    options: ExperimentOptions
    cache: EmbeddingCache = field(
        default_factory=lambda: EmbeddingCache(cache_dir() / "embeddings")
    )

    @property
    def towers(self) -> CachedClip | None:
        """The frozen towers; None where only their embeddings are there."""
        return None

    @property
    def offers(self) -> frozenset[Need]:
        """What methods may need and find here."""
        return frozenset()

    @property
    @abstractmethod
    def images(self) -> MultiLabelImages | MultiLabelEmbeddings:
        """The test images."""

    @property
    @abstractmethod
    def image_embeddings(self) -> ImageEmbeddings:
        """Of the test images."""

    @property
    @abstractmethod
    def corpus(self) -> list[Record]:
        """The sentences to train on, with their labels."""

    @property
    @abstractmethod
    def text_embeddings(self) -> Float[Tensor, "m d"]:
        """Unit vectors t_i of the sentences (eq. 1)."""

    @property
    @abstractmethod
    def text_fingerprint(self) -> str:
        """Stands for sentences, labels and embeddings."""

    @property
    @abstractmethod
    def label_embeddings(self) -> Float[Tensor, "n_labels d"]:
        """Unit vectors s_i of the prompts "a photo of a/an [c]." (section 3.3)."""

    @property
    @abstractmethod
    def tau(self) -> float:
        """Temperature of eq. 4 and 5."""

    @property
    def folds(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Pairs of text rows to train on and image rows to score with that classifier."""
        return [(range(len(self.corpus)), range(len(self.images)))]

    @abstractmethod
    def image(self, index: int) -> Image.Image | None:
        """A test image to look at; None where only embeddings are there."""

    @abstractmethod
    def pairs(
        self, n_pairs: int, *, seed: int
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Embed images and one caption each: see `Experiment.image_text_pairs`."""

    @property
    def pairs_left_out(self) -> UInt8[np.ndarray, "n N"] | None:
        """1 where VOC2007's own protocol takes an image out of a class's ranking; elsewhere None."""
        return None

    @property
    def labelled(self) -> LabelledPool:
        """Labelled images to learn from; a `CoMCError` where there are none."""
        raise CoMCError(
            f"All labelled images of {self.profile.name} are its test images: none are left to learn from."
        )

    def seen_and_unseen(self) -> SeenAndUnseen | None:
        """Images with labels of other classes than the profile's: see `Experiment.seen_and_unseen`."""
        return None

    def with_preset(self, preset: Preset) -> Source:
        """The same under another preset; images and towers that are loaded already are not loaded again."""
        return self._with("towers", "images", preset=preset)

    def with_sentences(self, sentences: Sequence[Record]) -> Source:
        """The same with other sentences; no image is loaded or embedded again."""
        options = replace(self.options, sentences=tuple(sentences))
        kept = ("towers", "images", "image_embeddings", "label_embeddings")
        return self._with(*kept, options=options)

    def _with(self, *kept: str, **changes: object) -> Source:
        other = replace(self, **changes)
        vars(other).update({name: vars(self)[name] for name in kept if name in vars(self)})
        return other

    def as_published(self, method: type[Method]) -> Method:
        """A method with its authors' settings for this data set, or the nearest that they know."""
        return method()


def draw_pairs(name: str, n_images: int, n_pairs: int, seed: int) -> np.ndarray:
    """Draw rows of different images; a `CoMCError` where a data set has fewer."""
    if n_pairs > n_images:
        raise CoMCError(
            f"Data set {name} has {n_images} image-text pairs, not {n_pairs}; ask for fewer."
        )
    return np.random.default_rng(seed).choice(n_images, n_pairs, replace=False)
