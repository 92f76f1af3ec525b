"""A profile made ready: its text, its images, and the embeddings of both.

Notebooks ask an experiment for arrays and apply the method to them. Each array is computed when it is
first asked for; embeddings come from the cache where they have been computed before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from comc_utils.baselines import clip_dpt_scores, zero_shot_scores
from comc_utils.clip import Clip
from comc_utils.clip.tokens import TokenEmbeddings
from comc_utils.datasets.base import MultiLabelEmbeddings, MultiLabelImages
from comc_utils.datasets.benchmarks import load_benchmark
from comc_utils.datasets.coco500 import folds, load_coco500
from comc_utils.datasets.image_files import name_some
from comc_utils.datasets.voc2007 import load_voc2007
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier, train_classifier
from comc_utils.method.presets import Preset
from comc_utils.method.scores import ScoreComponents, score_components
from comc_utils.miniworld import load_miniworld
from comc_utils.profiles import Profile, get_profile
from comc_utils.sentences import Record, draw_label_sets, label_matrix, read_corpus
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import label_prompt
from comc_utils.sentences.templates import (
    PLAIN_COPIES,
    plain_prompt_records,
    template_records,
)
from comc_utils.sources import load_backbone
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.fingerprint import hash_texts
from comc_utils.store.paths import cache_dir
from comc_utils.store.shards import ShardedEmbeddings, store_in_shards

N_FOLDS = 5
SMOKE_SENTENCES = 500
SMOKE_IMAGES = 200
SMOKE_PROMPTS = 8
"""A smoke run takes one in so many of the prompts that a preset adds to the sentences."""
SMOKE_EPOCHS = 10
"""A smoke run on fixed text takes one in so many epochs."""
LARGE_BYTES = 2**31
"""Local embeddings that take more, in single precision, are kept in shards."""
FEW_IMAGES = 1_000
"""Fewer never do, at 224 pixels, and are embedded in a minute or two."""
TEXTS_A_PART = 2_000
"""Distinct texts that are embedded, and kept, together."""


@dataclass(frozen=True, eq=False)
class Experiment(ABC):
    """What the method needs of a profile.

    Attributes
    ----------
    profile : Profile
    preset : Preset
        Settings of training and inference; the profile's own unless told otherwise.
    seed : int
        Of the corpus and of the classifier.
    smoke : bool
        A small share of text and images, for a run of seconds.
    data : Path or None
        Folder of the profile's data, where it is not fetched or drawn.
    limit : int or None
        A trial on this many test images at most; None for all.
    """

    profile: Profile
    preset: Preset
    seed: int = 0
    smoke: bool = False
    data: Path | None = None
    limit: int | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The N labels."""
        return self.profile.label_set.class_names

    @property
    @abstractmethod
    def corpus(self) -> list[Record]:
        """The sentences that the classifier is trained on, with their labels."""

    @property
    @abstractmethod
    def text_embeddings(self) -> Float[Tensor, "M d"]:
        """Unit vectors t_i of the sentences (eq. 1)."""

    @property
    @abstractmethod
    def label_embeddings(self) -> Float[Tensor, "N d"]:
        """Unit vectors s_i of the prompts "a photo of a/an [c]." (section 3.3)."""

    @property
    @abstractmethod
    def image_ids(self) -> tuple[str, ...]:
        """Names of the n test images."""

    @property
    @abstractmethod
    def image_labels(self) -> UInt8[np.ndarray, "n N"]:
        """Labels of the test images, for evaluation alone."""

    @property
    @abstractmethod
    def zero_shot_embeddings(self) -> Float[Tensor, "n d"]:
        """Global unit vectors as CLIP's own `encode_image` gives them."""

    @property
    def pairs_left_out(self) -> UInt8[np.ndarray, "n N"] | None:
        """1 where VOC2007's own protocol takes an image out of a class's ranking; elsewhere None."""
        return None

    @property
    @abstractmethod
    def global_embeddings(self) -> Float[Tensor, "n d"]:
        """Global unit vectors v^g as the preset wants them."""

    @property
    @abstractmethod
    def local_embeddings(self) -> Float[Tensor, "n K d"] | None:
        """Local unit vectors v_j^l, None where the profile has none."""

    @property
    @abstractmethod
    def tau(self) -> float:
        """Temperature of eq. 4 and 5."""

    @property
    @abstractmethod
    def folds(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Pairs of text rows to train on and image rows to score with that classifier."""

    @abstractmethod
    def image(self, index: int) -> Image.Image | None:
        """A test image to look at; None where only embeddings are there."""

    @cached_property
    def text_labels(self) -> UInt8[np.ndarray, "M N"]:
        """Labels of the sentences."""
        return label_matrix(self.corpus, self.class_names)

    def train(
        self,
        rows: Sequence[int] | None = None,
        *,
        seed: int | None = None,
        progress: bool = False,
    ) -> tuple[LinearClassifier, list[dict]]:
        """Train the classifier on sentences (section 3.2, Algorithm 1).

        Parameters
        ----------
        rows : sequence of int, optional
            Sentences to use; all by default.
        seed : int, optional
            Of the classifier alone: its initial weights, the order of sentences, the noise.
        progress : bool

        Returns
        -------
        classifier : LinearClassifier
        history : list of dict
            Loss and learning rate of each epoch.
        """
        keep = slice(None) if rows is None else list(rows)
        labels = torch.from_numpy(self.text_labels[keep])
        classifier, history = train_classifier(
            self.text_embeddings[keep].to(self.device),
            labels,
            self.preset,
            seed=self.seed if seed is None else seed,
            progress=progress,
        )
        bias = None if classifier.bias is None else classifier.bias.cpu()
        return LinearClassifier(classifier.weight.cpu(), bias), history

    @property
    def device(self) -> torch.device:
        """Where the classifier is trained, with all of the text on it."""
        return torch.device("cpu")

    def classifiers(
        self,
        rows: Collection[int] | None = None,
        *,
        seed: int | None = None,
        progress: bool = False,
    ) -> list[LinearClassifier]:
        """Train one classifier for each of `folds`.

        Parameters
        ----------
        rows : collection of int, optional
            Sentences to use, each fold only its own; all by default.
        seed : int, optional
            Of the classifier alone.
        progress : bool

        Returns
        -------
        list of LinearClassifier
        """
        kept = range(len(self.corpus)) if rows is None else set(rows)
        return [
            self.train([row for row in of_fold if row in kept], seed=seed, progress=progress)[0]
            for of_fold, _ in self.folds
        ]

    def score(
        self, classifiers: Sequence[LinearClassifier], *, tau: float | None = None
    ) -> ScoreComponents:
        """Score every test image before the fusion (section 3.3).

        Parameters
        ----------
        classifiers : sequence of LinearClassifier
            As `classifiers` gives them, or those of another experiment on the same text.
        tau : float, optional
            In place of the experiment's own temperature.

        Returns
        -------
        ScoreComponents
            Call its `at(alpha)`. With several folds each image is scored by the one classifier that has
            not seen its own text.
        """
        parts, order = [], []
        local = self.local_embeddings
        for classifier, (_, image_rows) in zip(classifiers, self.folds, strict=True):
            # A slice, where that is all, for embeddings in shards give nothing else.
            rows = list(image_rows) if len(self.folds) > 1 else slice(None)
            parts.append(
                score_components(
                    classifier,
                    self.global_embeddings[rows],
                    local if local is None or len(self.folds) == 1 else local[rows],
                    self.label_embeddings,
                    tau=self.tau if tau is None else tau,
                    renormalise=self.preset.renormalise_mapped,
                )
            )
            order += image_rows
        return parts[0] if len(parts) == 1 else ScoreComponents.concatenate(parts, order)

    def components(self, *, seed: int | None = None, progress: bool = False) -> ScoreComponents:
        """Train, then score: `score` of `classifiers`.

        Parameters
        ----------
        seed : int, optional
            Of the classifier alone.
        progress : bool

        Returns
        -------
        ScoreComponents
        """
        return self.score(self.classifiers(seed=seed, progress=progress))

    def baseline_scores(self) -> dict[str, Float[np.ndarray, "n N"]]:
        """Score every test image by the methods that need no training (section 4.2.1).

        Returns
        -------
        dict of str to ndarray
            "Zero-shot CLIP" and, where there are local embeddings, "CLIP-DPT".
        """
        scale, whole, local = 1 / self.tau, self.zero_shot_embeddings, self.local_embeddings
        scores = {"Zero-shot CLIP": zero_shot_scores(whole, self.label_embeddings, scale=scale)}
        if local is not None:
            scores["CLIP-DPT"] = clip_dpt_scores(whole, local, self.label_embeddings, scale=scale)
        return {name: values.numpy() for name, values in scores.items()}


@dataclass(frozen=True, eq=False)
class EncodedExperiment(Experiment):
    """Images and sentences that a CLIP model embeds.

    Attributes
    ----------
    backbone : str
        As `backbones.load_backbone` takes it.
    weights : str or Path or None
        Likewise.
    sentences : tuple of Record or None
        What was written for training, the preset's prompts not counted; None for the profile's own: the
        grammar's, in full richness.
    n_sentences : int or None
        How many the grammar writes; None for the profile's own number.
    draft : bool
        Whether large JPEG files are read at a half, a quarter or an eighth of their size, no smaller than
        the backbone's input.
    skip_unreadable : bool
        Whether images that do not open are left out, and counted in what `images.describe()` gives; they
        are an error otherwise.
    openvino : bool
        Whether OpenVINO embeds the images.
    """

    backbone: str = ""
    weights: str | Path | None = None
    sentences: tuple[Record, ...] | None = None
    n_sentences: int | None = None
    draft: bool = False
    skip_unreadable: bool = False
    openvino: bool = False
    cache: EmbeddingCache = field(
        default_factory=lambda: EmbeddingCache(cache_dir() / "embeddings")
    )

    @cached_property
    def clip(self) -> Clip:
        """The frozen towers."""
        clip = load_backbone(self.backbone, self.weights)
        return clip.with_openvino() if self.openvino else clip

    @property
    def device(self) -> torch.device:
        """Where the towers are."""
        return self.clip.device

    @cached_property
    def images(self) -> MultiLabelImages:
        """The test split."""
        limit = self._limit
        if self.profile.images == "drawn":
            return load_miniworld(
                "test", min(limit or self.profile.n_images, self.profile.n_images)
            )
        return self.usable(
            load_benchmark(self.profile.name, self.data, limit=limit, draft_size=self.draft_size)
        )

    @cached_property
    def labelled_images(self) -> MultiLabelImages:
        """The training split, for few-shot learning; in a trial a share of it, more than of the test split."""
        if self.profile.images == "drawn":
            return load_miniworld(self.profile.training_split, 600 if self.smoke else 4000)
        # Rare classes have to be among them.
        limit = None if self.limit is None else 20 * self.limit
        loaded = load_benchmark(
            self.profile.name,
            self.data,
            self.profile.training_split,
            limit=limit,
            draft_size=self.draft_size,
        )
        return self.usable(loaded)

    def usable(self, images: MultiLabelImages) -> MultiLabelImages:
        """Leave out images that do not open, where that is asked for, and say how many."""
        if not self.skip_unreadable:
            return images
        kept = images.readable(progress=True)
        if kept.unreadable:
            print(
                f"{len(kept.unreadable)} of {len(images)} images of {images.name}, split {images.split}, "
                f"do not open and are left out: {name_some(kept.unreadable)}"
            )
        return kept

    @cached_property
    def labelled_parts(self) -> dict[str, Int[np.ndarray, " m"]]:
        """Rows of the labelled images: a ``pool`` to draw shots from and images for the ``choice`` of settings.

        On the embedded world the split shows the drawings that the CLIP model was trained on, and there is a
        third part to test on, ``known drawings``.
        """
        n = len(self.labelled_images)
        if self.profile.images == "drawn":
            pool, known = (400, 100) if self.smoke else (1000, 2000)
            parts = np.split(np.arange(n), [pool, pool + known])
            return dict(zip(("pool", "known drawings", "choice"), parts, strict=True))
        order = np.random.default_rng(self.seed).permutation(n)
        n_choice = min(500, n // 5)
        return {"pool": order[n_choice:], "choice": order[:n_choice]}

    @cached_property
    def corpus(self) -> list[Record]:
        n_sentences = self.n_sentences or self.profile.n_sentences
        if self.smoke:
            n_sentences = min(n_sentences, SMOKE_SENTENCES)
        written = self.sentences or _grammar_sentences(
            self.profile.name, n_sentences, self.seed, self.preset.max_labels
        )
        prompts = (
            template_records(self.class_names) if self.preset.templates_in_training_text else []
        )[:: SMOKE_PROMPTS if self.smoke else 1]
        return [*written[:n_sentences], *prompts]

    @cached_property
    def text_embeddings(self) -> Tensor:
        return self.embed_texts([record.text for record in self.corpus])

    @cached_property
    def token_embeddings(self) -> TokenEmbeddings:
        """Unit vectors of the sentences' tokens."""
        texts = [record.text for record in self.corpus]

        def compute() -> dict[str, Tensor]:
            tokens = self.clip.encode_tokens(texts, progress=True)
            return {"values": tokens.values, "lengths": tokens.lengths}

        return TokenEmbeddings(
            **self.cache.get(self.cache_key("tokens") | {"texts": hash_texts(texts)}, compute)
        )

    @cached_property
    def label_embeddings(self) -> Tensor:
        return self.embed_texts([label_prompt(name) for name in self.class_names])

    @property
    def image_ids(self) -> tuple[str, ...]:
        return self.images.ids

    @property
    def image_labels(self) -> np.ndarray:
        return self.images.labels

    @cached_property
    def pairs_left_out(self) -> np.ndarray | None:
        if self.profile.name != "voc2007":
            return None
        looked_at = load_voc2007(self.data, difficult="left out", limit=self._limit)
        return looked_at.left_out[looked_at.rows_of(self.images.ids)]

    @property
    def zero_shot_embeddings(self) -> Tensor:
        return self._image_embeddings["with position"]

    @property
    def global_embeddings(self) -> Tensor:
        kind = "with position" if self.preset.positional_embedding else "without position"
        return self._image_embeddings[kind]

    @property
    def local_embeddings(self) -> Tensor | ShardedEmbeddings:
        return self._image_embeddings["local"]

    @property
    def tau(self) -> float:
        return self.clip.temperature if self.profile.tau is None else self.profile.tau

    @property
    def folds(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        return [(range(len(self.corpus)), range(len(self.images)))]

    def image(self, index: int) -> Image.Image:
        return self.images[index]

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
        key = self.cache_key("text") | {"texts": hash_texts(texts)}
        compute = lambda: {"text": self.clip.encode_text(texts, progress=progress)}  # noqa: E731
        return self.cache.get(key, compute)["text"]

    def embed_images(self, images: MultiLabelImages) -> dict[str, Tensor | ShardedEmbeddings]:
        """Unit vectors of images, from the cache where they are there.

        Many are embedded and kept in shards: a stop loses one. Where local embeddings would fill memory they
        are kept in half precision and read a few rows at a time; a cosine moves by less than 1e-4 by that.

        Returns
        -------
        dict of str to Tensor or ShardedEmbeddings
            ``with position`` and ``without position`` [n, d], ``local`` [n, K, d].
        """
        key = self.cache_key("images") | {
            "images": images.fingerprint,
            "resize": self.preset.resize,
        }

        def compute(rows: range) -> dict[str, Tensor]:
            part = images.subset(rows)
            embedded = self.clip.encode_images(part, resize=self.preset.resize, progress=True)
            return {
                "with position": embedded.global_embeddings,
                "without position": embedded.global_without_position,
                "local": embedded.local_embeddings,
            }

        def compute_half(rows: range) -> dict[str, Tensor]:
            computed = compute(rows)
            return computed | {"local": computed["local"].half()}

        if len(images) < FEW_IMAGES:
            return self.cache.get(key, lambda: compute(range(len(images))))
        n_numbers = self.clip.encode_images(images.subset([0])).local_embeddings.numel()
        if 4 * n_numbers * len(images) < LARGE_BYTES:
            stored = store_in_shards(self.cache, key, len(images), 4 * n_numbers, compute)
            return {name: sharded[:] for name, sharded in stored.items()}
        half = key | {"local": "float16"}
        stored = store_in_shards(self.cache, half, len(images), 2 * n_numbers, compute_half)
        return {
            name: sharded if name == "local" else sharded[:] for name, sharded in stored.items()
        }

    @property
    def _limit(self) -> int | None:
        return min(self.limit or SMOKE_IMAGES, SMOKE_IMAGES) if self.smoke else self.limit

    @property
    def draft_size(self) -> int | None:
        """Side in pixels below which no JPEG draft goes; None for whole images."""
        return self.clip.image_size if self.draft else None

    @cached_property
    def _image_embeddings(self) -> dict[str, Tensor | ShardedEmbeddings]:
        return self.embed_images(self.images)

    def cache_key(self, what: str) -> dict[str, str]:
        """Begin the key of what the towers give: kind of thing, model, weights, precision."""
        key = {"what": what, "model": self.backbone, "weights": self.clip.fingerprint}
        # A GPU embeds images in half precision: not to be mistaken for a CPU's embeddings.
        on_gpu = self.clip.device.type == "cuda"
        key |= {"precision": "float16"} if on_gpu else {}
        return key | {"runtime": "OpenVINO"} if self.openvino else key


@dataclass(frozen=True, eq=False)
class EmbeddingsExperiment(Experiment):
    """Embeddings that somebody else computed: no towers, no pixels, no local embeddings.

    The text is the images' own captions and, as in the released code, copies of the plain prompt for each
    class, whose embedding is there: it is the label embedding. In five folds, a classifier that scores an
    image has seen the captions of the other folds alone.
    """

    @cached_property
    def dataset(self) -> MultiLabelEmbeddings:
        """Embeddings of photos, captions and class names."""
        return load_coco500(self.data)

    @cached_property
    def corpus(self) -> list[Record]:
        names = self.class_names
        captions = [
            Record(
                text=self.dataset.captions[row],
                labels=tuple(names[j] for j in np.flatnonzero(self.dataset.caption_labels[row])),
                generator="human captions of MS-COCO",
                prompt="",
                seed=0,
            )
            for row in self._caption_rows
        ]
        return captions + plain_prompt_records(names)

    @property
    def text_embeddings(self) -> Tensor:
        prompts = self.label_embeddings.repeat_interleave(PLAIN_COPIES, dim=0)
        return torch.cat([self.dataset.caption_embeddings[self._caption_rows], prompts])

    @property
    def label_embeddings(self) -> Tensor:
        return self.dataset.label_embeddings

    @property
    def image_ids(self) -> tuple[str, ...]:
        return self.dataset.ids

    @property
    def image_labels(self) -> np.ndarray:
        return self.dataset.labels

    @property
    def zero_shot_embeddings(self) -> Tensor:
        return self.dataset.image_embeddings

    @property
    def global_embeddings(self) -> Tensor:
        return self.dataset.image_embeddings

    @property
    def local_embeddings(self) -> None:
        return None

    @property
    def tau(self) -> float:
        return self.profile.tau

    @cached_property
    def folds(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        position = {row: i for i, row in enumerate(self._caption_rows)}
        prompts = list(range(len(position), len(self.corpus)))
        return [
            ([position[row] for row in others if row in position] + prompts, fold)
            for others, fold in folds(len(self.dataset), N_FOLDS, seed=self.seed)
        ]

    def image(self, index: int) -> None:
        return None

    @cached_property
    def _caption_rows(self) -> list[int]:
        """Rows whose caption names a class; the others cannot be trained on."""
        return np.flatnonzero(self.dataset.caption_labels.any(axis=1)).tolist()


def load_experiment(
    profile: str,
    *,
    preset: Preset | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    smoke: bool = False,
    data: str | Path | None = None,
    limit: int | None = None,
    sentences: Sequence[Record] | str | Path | None = None,
    n_sentences: int | None = None,
    draft: bool = False,
    skip_unreadable: bool = False,
    openvino: bool = False,
) -> Experiment:
    """Make a profile ready.

    Parameters
    ----------
    profile : str
        A key of `profiles.PROFILES`.
    preset : Preset, optional
        In place of the profile's own.
    backbone : str, optional
        The profile's first by default. Where images are files, any name that `backbones.load_backbone`
        takes; elsewhere one of the profile's.
    weights : str or Path, optional
        In place of the profile's own, where images are files: a tag of open_clip's, a file, or a folder
        with a file for each backbone.
    seed : int
    smoke : bool
    data : str or Path, optional
        Folder of the profile's data.
    limit : int, optional
        A trial on this many test images at most: those that come first.
    sentences : sequence of Record or path of a corpus, optional
        Training text in place of the profile's own, where the profile has a text tower.
    n_sentences : int, optional
        Number of sentences in place of the profile's own, where it has a writer.
    draft : bool
        Read large JPEG files smaller, where images are files: see `EncodedExperiment`.
    skip_unreadable : bool
        Leave out images that do not open, where images are files.
    openvino : bool
        Embed images with OpenVINO, where there is an image tower: see `Clip.with_openvino`.

    Returns
    -------
    Experiment

    Raises
    ------
    CoMCError
        For an unknown profile, a backbone that the profile does not have, a limit below 1, or sentences,
        weights, a limit or anything about image files for a profile that cannot use them.
    """
    chosen = get_profile(profile)
    backbone = backbone or chosen.backbones[0]
    if chosen.images != "files":
        if backbone not in chosen.backbones:
            known = ", ".join(chosen.backbones)
            raise CoMCError(f"Profile {profile!r} has no backbone {backbone!r}; it has {known}.")
        if weights is not None:
            raise CoMCError(f"Profile {profile!r} has its own weights; leave `weights` out.")
        if draft:
            raise CoMCError(f"Profile {profile!r} reads no JPEG files; leave `draft` out.")
        if skip_unreadable:
            raise CoMCError(f"Profile {profile!r} reads no files; leave `skip_unreadable` out.")
    if openvino and not chosen.has_towers:
        raise CoMCError(f"Profile {profile!r} has no image tower; leave `openvino` out.")
    if limit is not None and limit < 1:
        raise CoMCError(f"The limit is {limit} images; give 1 or more, or leave it out for all.")
    common = {
        "profile": chosen,
        "preset": preset or chosen.preset,
        "seed": seed,
        "smoke": smoke,
        "data": Path(data) if data else None,
        "limit": limit,
    }
    if not chosen.has_towers:
        return _embeddings_experiment(common, sentences, n_sentences)
    if isinstance(sentences, str | Path):
        sentences = read_corpus(sentences)
    return EncodedExperiment(
        **common,
        backbone=backbone,
        weights=weights or chosen.weights,
        sentences=None if sentences is None else tuple(sentences),
        n_sentences=n_sentences or (None if sentences is None else len(sentences)),
        draft=draft,
        skip_unreadable=skip_unreadable,
        openvino=openvino,
    )


def _embeddings_experiment(
    common: dict[str, Any], sentences: object, n_sentences: int | None
) -> EmbeddingsExperiment:
    name, preset = common["profile"].name, common["preset"]
    if sentences is not None or n_sentences is not None:
        raise CoMCError(
            f"Profile {name!r} has no text tower, so that its text cannot be exchanged; use its own."
        )
    if common["limit"] is not None:
        raise CoMCError(f"Profile {name!r} is small and has no trials; leave the limit out.")
    if common["smoke"]:  # the text is small as it is; its many epochs are what takes time
        fewer = max(preset.warmup_epochs + 1, preset.epochs // SMOKE_EPOCHS)
        common["preset"] = replace(preset, epochs=fewer)
    return EmbeddingsExperiment(**common)


@lru_cache(maxsize=8)
def _grammar_sentences(
    profile: str, n_sentences: int, seed: int, max_labels: int
) -> tuple[Record, ...]:
    """Kept, since every preset and backbone of a notebook asks for the same ones."""
    label_set = get_profile(profile).label_set
    label_sets = draw_label_sets(
        label_set.class_names, n_sentences, seed=seed, max_labels=max_labels
    )
    written = Grammar(label_set).generate(label_sets, seed=seed)
    return tuple(tqdm(written, total=n_sentences, desc="sentences written", leave=False))
