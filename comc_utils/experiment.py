"""A profile made ready: its text, its images, the embeddings of both, and what methods learn from them.

Notebooks ask an experiment for arrays and let methods learn on it. Each array is computed when it is first
asked for; what has been embedded or learned before comes from the cache. Where texts and images come from is
said in `sources`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from comc_utils.baselines.run import Trained, learn
from comc_utils.clip import Clip, ImageEmbeddings
from comc_utils.clip.cached import CachedClip
from comc_utils.datasets.base import MultiLabelEmbeddings, MultiLabelImages
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.comc import CoMC, FusedClassifier
from comc_utils.method.labelled import LabelledPool, SeenAndUnseen
from comc_utils.method.presets import Preset
from comc_utils.method.protocol import LabelledImages, LabelledText, LearnsFrom, Method, Need, Task
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import Profile
from comc_utils.sentences import Record, label_matrix
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.fingerprint import hash_texts
from comc_utils.store.paths import cache_dir

SMOKE_EPOCHS = 10
"""A smoke run takes one in so many epochs, where they take long."""


@dataclass(frozen=True, eq=False)
class Experiment(ABC):
    """What methods need of a profile. Made by `sources.load_experiment`.

    Attributes
    ----------
    profile : Profile
    preset : Preset
        Settings of training and inference; the profile's own unless told otherwise.
    seed : int
        Of the corpus and, unless told otherwise, of what learns.
    smoke : bool
        A small share of text and images, for a run of seconds.
    data : Path or None
        Folder of the profile's data, where it is not fetched or drawn.
    options : ExperimentOptions
    cache : EmbeddingCache
        Of embeddings and of what was learned.
    """

    profile: Profile
    preset: Preset
    seed: int
    smoke: bool
    data: Path | None
    options: ExperimentOptions
    cache: EmbeddingCache = field(default_factory=lambda: EmbeddingCache(cache_dir() / "embeddings"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The N labels."""
        return self.profile.label_set.class_names

    @property
    def alpha(self) -> float:
        """The profile's share of the original embeddings (eq. 6 and 7), fixed before any score was seen."""
        return self.profile.alpha

    @property
    @abstractmethod
    def tau(self) -> float:
        """Temperature of eq. 4 and 5."""

    @property
    def towers(self) -> CachedClip | None:
        """The frozen towers with the cache; None where only their embeddings are there."""
        return None

    @property
    def clip(self) -> Clip | None:
        """The frozen towers; None where only embeddings are there."""
        return None if self.towers is None else self.towers.clip

    @property
    def backbones(self) -> list[str]:
        """Names of the backbones at hand to compare."""
        return list(self.profile.backbones)

    @property
    def offers(self) -> frozenset[Need]:
        """What methods may need and find here."""
        return frozenset()

    @property
    @abstractmethod
    def corpus(self) -> list[Record]:
        """The M sentences to train on, with their labels."""

    @property
    @abstractmethod
    def text_embeddings(self) -> Float[Tensor, "M d"]:
        """Unit vectors t_i of the sentences (eq. 1)."""

    @property
    @abstractmethod
    def text_fingerprint(self) -> str:
        """Stands for sentences, labels and embeddings."""

    @cached_property
    def text_labels(self) -> UInt8[np.ndarray, "M N"]:
        """Labels of the sentences, 0 or 1."""
        return label_matrix(self.corpus, self.class_names)

    @property
    @abstractmethod
    def label_embeddings(self) -> Float[Tensor, "N d"]:
        """Unit vectors s_i of the prompts "a photo of a/an [c]." (section 3.3)."""

    @property
    @abstractmethod
    def images(self) -> MultiLabelImages | MultiLabelEmbeddings:
        """The n test images."""

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Names of the test images."""
        return self.images.ids

    @property
    def image_labels(self) -> UInt8[np.ndarray, "n N"]:
        """Labels of the test images, for evaluation alone."""
        return self.images.labels

    @property
    def pairs_left_out(self) -> UInt8[np.ndarray, "n N"] | None:
        """1 where VOC2007's own protocol takes an image out of a class's ranking; elsewhere None."""
        return None

    @property
    def object_boxes(self) -> Float[np.ndarray, "n N 4"] | None:
        """Where each class is: left, top, right, bottom in pixels, NaN where it is not; None if unknown."""
        return None

    @property
    @abstractmethod
    def image_embeddings(self) -> ImageEmbeddings:
        """Unit vectors of the test images, as wholes and by region."""

    @property
    def global_embeddings(self) -> Float[Tensor, "n d"]:
        """Global unit vectors v^g as the preset wants them."""
        return self.image_embeddings.whole(positional_embedding=self.preset.positional_embedding)

    @property
    def local_embeddings(self) -> Float[Tensor, "n K d"] | None:
        """Local unit vectors v_j^l, None where the profile has none; in shards where they are many."""
        return self.image_embeddings.local

    @property
    def folds(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Pairs of text rows to train on and image rows to score with what that trained."""
        return [(range(len(self.corpus)), range(len(self.images)))]

    @abstractmethod
    def image(self, index: int) -> Image.Image | None:
        """A test image to look at; None where only embeddings are there."""

    @property
    def labelled(self) -> LabelledPool:
        """Labelled images to learn from; a `CoMCError` that says why where there are none."""
        raise CoMCError(
            f"All labelled images of {self.profile.name} are its test images: none are left to learn from."
        )

    @cached_property
    def labelled_missing(self) -> str:
        """Why there are no labelled images to learn from, as a sentence; '' where there are some."""
        try:
            _ = self.labelled
        except CoMCError as missing:
            return str(missing)
        return ""

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit vectors of texts; a `CoMCError` without a text tower."""
        raise CoMCError(f"Profile {self.profile.name!r} needs a text tower, to embed other texts than its own.")

    def embed_images(self, images: MultiLabelImages) -> ImageEmbeddings:
        """Unit vectors of images, seen as the preset says; a `CoMCError` without an image tower."""
        raise CoMCError(f"Profile {self.profile.name!r} needs an image tower, to embed images.")

    def embed_labelled(self, images: MultiLabelImages) -> LabelledImages:
        """Images with their embeddings and labels, to learn from: see `embed_images`."""
        embeddings = self.embed_images(images)
        return LabelledImages(images.class_names, embeddings, torch.from_numpy(images.labels))

    @abstractmethod
    def image_text_pairs(self, n_pairs: int, *, seed: int) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Embed images and one caption each.

        Parameters
        ----------
        n_pairs : int
            n.
        seed : int
            Which pairs: other scenes of the embedded world, or another choice among the data set's photos.

        Returns
        -------
        images, texts : Tensor of shape (n, d)
            Unit vectors v^g, made as the preset says, and t.

        Raises
        ------
        CoMCError
            The data set has fewer pairs, or no captions.
        """

    def seen_and_unseen(self) -> SeenAndUnseen | None:
        """Find images with labels of other classes than the experiment's, which are the unseen ones.

        None of them is among those for the ``choice`` of settings.

        Returns
        -------
        SeenAndUnseen or None
            None where a profile has no such labels.

        Raises
        ------
        CoMCError
            NUS-WIDE's tags are damaged.
        """
        return None

    def more_and_more_seen(self, split: SeenAndUnseen) -> dict[str, LabelledImages]:
        """Show a quarter, half and all of the seen classes, in an order drawn from the seed.

        Parameters
        ----------
        split : SeenAndUnseen

        Returns
        -------
        dict of str to LabelledImages
            The same images each time, by what is labelled in them, from the fewest classes to the most.
        """
        shown = self.embed_labelled(split.seen)
        order = np.random.default_rng(self.seed).permutation(len(shown.class_names))
        numbers = sorted({max(2, len(order) // part) for part in (4, 2, 1)})
        return {
            f"{n} classes": shown.of_classes([shown.class_names[i] for i in sorted(order[:n])]) for n in numbers
        }

    def with_preset(self, preset: Preset) -> Experiment:
        """The same under another preset; images and towers that are loaded already are not loaded again."""
        return self._with("towers", "images", preset=preset)

    def with_sentences(self, sentences: Sequence[Record]) -> Experiment:
        """The same with other sentences, where there is a text tower; no image is embedded again."""
        options = replace(self.options, sentences=tuple(sentences))
        kept = ("towers", "images", "image_embeddings", "label_embeddings")
        return self._with(*kept, options=options)

    def _with(self, *kept: str, **changes: object) -> Experiment:
        other = replace(self, **changes)
        vars(other).update({name: vars(self)[name] for name in kept if name in vars(self)})
        return other

    def comc(self, **changes: Any) -> CoMC:
        """CoMC as the profile has it: its preset and alpha.

        Parameters
        ----------
        **changes
            Of the preset, for example ``loss="asymmetric"``; or of the method: ``name``, ``alpha``.

        Returns
        -------
        CoMC
        """
        own = {name: changes.pop(name) for name in ("name", "alpha") if name in changes}
        return CoMC(replace(self.preset, **changes), **{"alpha": self.alpha, **own})

    def recogniser_of(
        self, classifier: LinearClassifier, label_embeddings: Float[Tensor, "N d"] | None = None
    ) -> FusedClassifier:
        """Show images, as the profile has it, to a classifier from elsewhere, maybe with label embeddings."""
        s = self.label_embeddings if label_embeddings is None else label_embeddings
        return FusedClassifier(classifier, s, self.preset, self.alpha, self.tau)

    def as_published(self, method: type[Method]) -> Method:
        """A method with its authors' settings for this data set, or the nearest that they know."""
        return method()

    def lacks(self, method: Method | type[Method]) -> str:
        """Say what a method needs and does not find here, in words; '' where it can run."""
        missing = method.needs - self.offers
        return "; ".join(sorted(map(str, missing)))

    def task(
        self,
        method: Method,
        *,
        rows: Collection[int] | None = None,
        shown: LabelledImages | None = None,
        class_names: Sequence[str] | None = None,
    ) -> Task:
        """Put together what a method may see, and no more.

        Parameters
        ----------
        method : Method
        rows : collection of int, optional
            Sentences to learn from; all by default.
        shown : LabelledImages, optional
            To learn from.
        class_names : sequence of str, optional
            Classes to recognise in place of the experiment's own; the text is about its own.

        Returns
        -------
        Task
        """
        text = None
        if method.learns_from is LearnsFrom.SENTENCES:
            text = self._text(rows, with_tokens=Need.TOKENS in method.needs)
        return self._task_of(text, shown, class_names)

    def fit(
        self,
        method: Method | None = None,
        *,
        seed: int | None = None,
        rows: Collection[int] | None = None,
        shown: LabelledImages | None = None,
        class_names: Sequence[str] | None = None,
        by_fold: bool = True,
        progress: bool = False,
    ) -> Trained:
        """Let a method learn, once for each of `folds`, or take what it has learned from the cache.

        In a smoke run it learns for a part of its epochs, where these take long.

        Parameters
        ----------
        method : Method, optional
            `comc` by default.
        seed : int, optional
            Of the method; the experiment's own by default.
        rows, shown, class_names
            See `task`; each fold learns from its own among the rows.
        by_fold : bool
            False to learn once from all the rows, for a look at what is learned: it may have read about the
            test images.
        progress : bool

        Returns
        -------
        Trained

        Raises
        ------
        CoMCError
            The method needs or learns from what is not here.
        """
        method = method or self.comc()
        if lacks := self.lacks(method):
            raise CoMCError(f"{method.name} needs what {self.profile.title} does not have: {lacks}.")
        method = method.shortened(SMOKE_EPOCHS) if self.smoke else method
        everything = [(range(len(self.corpus)), range(len(self.image_ids)))]
        folds = self.folds if by_fold else everything
        if method.learns_from is LearnsFrom.NOTHING:
            folds = everything  # nothing that a fold could keep from it
        one = len(folds) == 1
        kept = range(len(self.corpus)) if rows is None else set(rows)
        learned, recognisers, seconds = [], [], 0.0
        for of_fold, _ in folds:
            chosen = rows if one else [row for row in of_fold if row in kept]
            task = self.task(method, rows=chosen, shown=shown, class_names=class_names)
            what, took = learn(
                method, task, seed=self.seed if seed is None else seed, cache=self.cache, progress=progress
            )
            learned.append(what)
            recognisers.append(method.recogniser(what, task))
            seconds += took
        image_rows = tuple(of_images for _, of_images in folds)
        return Trained(
            method, tuple(recognisers), tuple(learned), seconds, image_rows, lambda: self.image_embeddings
        )

    def _text(self, rows: Collection[int] | None, *, with_tokens: bool) -> LabelledText:
        labels, whole = torch.from_numpy(self.text_labels), self.text_fingerprint
        if rows is None:
            tokens = self.token_embeddings if with_tokens else None
            return LabelledText(self.text_embeddings, labels, whole, tokens)
        if with_tokens:
            raise CoMCError("Methods that look at tokens learn from all sentences; leave rows out.")
        chosen = list(rows)
        return LabelledText(self.text_embeddings[chosen], labels[chosen], hash_texts([whole, str(chosen)]))

    def _task_of(
        self, text: LabelledText | None, images: LabelledImages | None, class_names: Sequence[str] | None
    ) -> Task:
        towers = self.towers
        task = Task(
            class_names=self.class_names,
            class_embeddings=self.label_embeddings,
            tau=self.tau,
            text=text,
            images=images,
            clip=self.clip,
            embed_texts=None if towers is None else towers.embed_texts,
            towers="" if towers is None else towers.fingerprint,
        )
        if class_names is None or tuple(class_names) == self.class_names:
            return task
        embedded = task.embed_classes(class_names, "Recognising other classes")
        return replace(task, class_names=tuple(class_names), class_embeddings=embedded)
