"""A tagger: labels of a user, learned from text alone, for photos of a user."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelHubMixin, snapshot_download
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.cached import CachedClip
from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError
from comc_utils.method.comc import CoMC
from comc_utils.method.presets import RELEASED
from comc_utils.sentences import Record, read_corpus
from comc_utils.sentences.labels import PROMPT_TEMPLATE
from comc_utils.sentences.nouns import with_article
from comc_utils.tagging.about import About
from comc_utils.tagging.embeddings import PhotoEmbeddings
from comc_utils.tagging.labels import Label, as_labels
from comc_utils.tagging.learning import (
    SENTENCES_A_LABEL,
    background_words,
    check_templates,
    embed_phrases,
    learn_comc,
)
from comc_utils.tagging.library import PhotoLibrary
from comc_utils.tagging.models import (
    DEFAULT_MODEL,
    check_same,
    describe_towers,
    load_again,
    load_towers,
    name_of_weights,
)
from comc_utils.tagging.opening import Opened
from comc_utils.tagging.photos import Photos, gather_photos
from comc_utils.tagging.saved import load_tagger, save_tagger
from comc_utils.tagging.scoring import Scorer, Tag
from comc_utils.tagging.thresholds import (
    OWN_SCORES,
    Threshold,
    calibrate,
    places_of_answers,
    threshold_at_first,
)

METHODS = ("zero-shot", "comc")
Photo = str | os.PathLike[str] | Image.Image


class Tagger(ModelHubMixin):
    """Labels, what was learned of them, and the threshold from which a score is a tag.

    Made by `learn`, `load` or `from_pretrained`. A photo's scores depend on that photo, the label and the fixed
    background vocabulary: neither on other photos nor on the other labels.

    Parameters
    ----------
    about : About
    tensors : mapping of str to Tensor
        See `Scorer`.
    towers : CachedClip, optional
        Loaded when they are first needed, where not given.
    """

    def __init__(
        self, about: About, tensors: Mapping[str, Tensor], towers: Callable[[], CachedClip] | None = None
    ) -> None:
        self.about = about
        self._tensors = dict(tensors)
        self.scorer = Scorer(about, self._tensors)
        self.load_towers = towers or partial(load_again, about.towers.model, about.weights)
        self._others: tuple[tuple[Label, ...], Tagger] | None = None

    @classmethod
    def learn(
        cls,
        labels: str | os.PathLike[str] | Sequence[str],
        *,
        model: str = DEFAULT_MODEL,
        weights: str | os.PathLike[str] | None = None,
        tag: str | None = None,
        method: str = "zero-shot",
        templates: Sequence[str] = (PROMPT_TEMPLATE,),
        background: str | Sequence[str] = "common",
        corpus: str | os.PathLike[str] | Sequence[Record] | None = None,
        n_sentences: int = SENTENCES_A_LABEL,
        device: str | None = None,
        progress: bool = False,
    ) -> Tagger:
        """Learn labels from text alone.

        Parameters
        ----------
        labels : path, str or sequence of str
            See `labels.as_labels`.
        model, weights : str
            Of CLIP, as open_clip names them; by default OpenAI's ViT-B/16, fetched once. Weights may be a file.
        tag : str, optional
            open_clip's, of weights in a file that does not say how it was trained.
        method : {"zero-shot", "comc"}
            CLIP's prompts, or CoMC's linear layer. Both are read against the background. The first is the
            default because it is the better one where that could be measured: docs/own_photos.md.
        templates : sequence of str
            Of prompts, each with "{}" for the label; several are averaged.
        background : {"common", "none"} or sequence of str
            The vocabulary that labels are scored against; "none" for the method's own scores as the notebooks
            have them, which cannot be compared between labels, and of which CoMC needs two labels or more.
        corpus : path or sequence of Record, optional
            Sentences for CoMC in place of the grammar's, such as `write-sentences` leaves.
        n_sentences : int
            That the grammar writes about each label for CoMC.
        device : str, optional
            Such as "cpu" or "cuda"; by default a GPU where there is one.
        progress : bool

        Returns
        -------
        Tagger

        Raises
        ------
        CoMCError
            Labels that cannot be told apart, an unknown method, a corpus of other labels, or weights that are
            not there.
        """
        load = partial(load_towers, model, None if weights is None else os.fspath(weights), device, tag)
        return cls._learn(
            as_labels(labels),
            load,
            weights=name_of_weights(model, weights),
            method=method,
            templates=tuple(templates),
            background=background,
            corpus=read_corpus(corpus) if isinstance(corpus, str | os.PathLike) else corpus,
            n_sentences=n_sentences,
            progress=progress,
        )

    @classmethod
    def _learn(
        cls,
        labels: tuple[Label, ...],
        load: Callable[[], CachedClip],
        *,
        weights: str,
        method: str,
        templates: tuple[str, ...],
        background: str | Sequence[str],
        corpus: Sequence[Record] | None = None,
        n_sentences: int = SENTENCES_A_LABEL,
        progress: bool = False,
    ) -> Tagger:
        if method not in METHODS:
            raise CoMCError(f"There is no method {method!r}; known: {', '.join(METHODS)}.")
        if corpus is not None and method != "comc":
            raise CoMCError(f"A corpus is for the method comc; {method} learns from no sentences.")
        check_templates(templates)
        words = background_words(background)
        towers = load()
        tensors = {"labels": embed_phrases([label.phrase for label in labels], templates, towers)}
        if words:
            tensors["background"] = embed_phrases(list(map(with_article, words)), templates, towers)
        about = About(
            labels=labels,
            towers=describe_towers(towers),
            weights=weights,
            tau=towers.clip.temperature,
            method=method,
            templates=templates,
            background=words,
            threshold=threshold_at_first(method) if words else OWN_SCORES,
        )
        if method == "comc":
            comc = CoMC(RELEASED)
            learned, what = learn_comc(
                labels, words, tensors, towers, comc, n_sentences=n_sentences, corpus=corpus, progress=progress
            )
            tensors |= learned
            about = replace(about, preset=comc.preset.name, alpha=comc.alpha, sentences=what)
        return cls(about, tensors, load)

    def __repr__(self) -> str:
        """Name the labels and the model."""
        return f"Tagger of {len(self.labels):,} labels with {self.about.towers.model}: {name_some(self.labels)}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels as they are shown."""
        return self.about.names

    @property
    def threshold(self) -> Threshold:
        """From what score a label is a tag."""
        return self.about.threshold

    @cached_property
    def towers(self) -> CachedClip:
        """The CLIP model, loaded now; a `CoMCError` where it is not the one that was learned with."""
        towers = self.load_towers()
        check_same(describe_towers(towers), self.about.towers, "The model is that")
        return towers

    def with_weights(
        self, weights: str | os.PathLike[str] | None, device: str | None = None, tag: str | None = None
    ) -> Tagger:
        """Say where the weights of the CLIP model are, or where it is to run, for a tagger that was loaded."""
        given = self.about.weights if weights is None else os.fspath(weights)
        return Tagger(
            self.about, self._tensors, partial(load_towers, self.about.towers.model, given, device, tag)
        )

    def scores(self, images: PhotoEmbeddings | ImageEmbeddings) -> Float[np.ndarray, "n n_labels"]:
        """Score photos that are embedded by the tagger's own model, [n, N]: `Scorer.scores`."""
        return self.scorer.scores(images)

    def tag(
        self,
        photos: PhotoEmbeddings | ImageEmbeddings,
        *,
        threshold: float | str | Threshold | None = "auto",
        top_k: int | None = None,
    ) -> list[list[Tag]]:
        """Choose each photo's tags; none of the labels is an answer, an empty list.

        Parameters
        ----------
        photos : PhotoEmbeddings or ImageEmbeddings
        threshold : float, Threshold, "auto" or None
            From what score a label is a tag; "auto" for the tagger's own, "all" or None for every label.
        top_k : int, optional
            At most so many, the highest.

        Returns
        -------
        list of list of dict
            For each photo its tags, ``{"label": ..., "score": ...}``, the highest first.

        Raises
        ------
        CoMCError
            Embeddings of another model, no own threshold, or ``top_k`` below 1.
        """
        return self.scorer.choose(self.scores(photos), threshold, top_k)

    def __call__(
        self,
        images: Photo | Sequence[Photo],
        candidate_labels: str | Sequence[str] | None = None,
        *,
        threshold: float | str | Threshold | None = None,
        top_k: int | None = None,
        fetch: bool = False,
    ) -> list[Tag] | list[list[Tag]]:
        """Score one photo or several.

        Parameters
        ----------
        images : path, address, PIL image, or sequence of these
            Photos on disk are turned as their EXIF data say, and PIL images, too.
        candidate_labels : str or sequence of str, optional
            Other labels for this call, by the same method; kept until others are given.
        threshold, top_k
            See `tag`; every label by default.
        fetch : bool
            Whether addresses (http, https) may be fetched, of 50 MB at most.

        Returns
        -------
        list of dict, or list of these lists
            ``{"label": ..., "score": ...}``, the highest first; for a sequence a list for each photo.

        Raises
        ------
        CoMCError
            A photo does not open, or an address without ``fetch``.
        """
        tagger = self if candidate_labels is None else self._for(as_labels(candidate_labels))
        one = isinstance(images, str | os.PathLike | Image.Image)
        opened = Opened([images] if one else list(images), fetch)
        clip = self.towers.clip
        embedded = clip.encode_images(
            opened, local=self.about.towers.regions, resize=self.about.towers.resize, num_workers=0
        )
        tagged = tagger.scorer.choose(tagger.scores(embedded), threshold, top_k)
        return tagged[0] if one else tagged

    def _for(self, labels: tuple[Label, ...]) -> Tagger:
        if self._others is None or self._others[0] != labels:
            self._others = (labels, self.with_labels(labels))
        return self._others[1]

    def with_labels(self, labels: str | os.PathLike[str] | Sequence[str | Label]) -> Tagger:
        """Learn other labels by the same method, model, templates and background."""
        about = self.about
        return self._learn(
            as_labels(labels),
            lambda: self.towers,
            weights=about.weights,
            method=about.method,
            templates=about.templates,
            background=about.background or "none",
        )

    def embed(
        self,
        photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Photos,
        *,
        skip_unreadable: bool = False,
        progress: bool = False,
    ) -> PhotoEmbeddings:
        """Embed photos that are not there yet, and find the others: no photo is opened twice.

        Parameters
        ----------
        photos : path, sequence of paths or Photos
            See `photos.gather_photos`.
        skip_unreadable, progress : bool
            Leave out photos that do not open, and name them, where they are an error otherwise; show a bar.
        """
        return PhotoLibrary().embed(
            photos if isinstance(photos, Photos) else gather_photos(photos),
            self.about.towers,
            lambda: self.towers.clip,
            skip_unreadable=skip_unreadable,
            progress=progress,
        )

    def choose_threshold(self, photos: PhotoEmbeddings, name: str) -> Tagger:
        """Choose the threshold on photos without labels, such as those that are to be tagged.

        Parameters
        ----------
        photos : PhotoEmbeddings
            Some hundred at least, of the kind that is to be tagged; see `Scorer.least_on`.
        name : str
            Of the photos, as their owner calls them.

        Returns
        -------
        Tagger
            The same with that threshold, of the same value for all labels.

        Raises
        ------
        CoMCError
            Embeddings of another model, or a tagger without a background.
        """
        if not self.about.background:
            raise CoMCError("The method's own scores have no background to choose a threshold by; give one.")
        value = float(self.scorer.as_scores(np.array(self.scorer.least_on(photos))))
        origin = f"the background's words on {len(photos):,} photos of {name}, without labels"
        return Tagger(self.about.with_threshold(Threshold(value, origin)), self._tensors, lambda: self.towers)

    def calibrate(
        self,
        photos: PhotoEmbeddings | ImageEmbeddings,
        answers: Mapping[tuple[str, str], bool],
        name: str,
        files: Sequence[str] = (),
    ) -> Tagger:
        """Make scores probabilities, by answers of the user for some photos and labels.

        Parameters
        ----------
        photos : PhotoEmbeddings or ImageEmbeddings
        answers : mapping of (str, str) to bool
            By the photo's path as it was given, and the label; see `thresholds.read_answers`.
        name : str
            Where the answers come from.
        files : sequence of str
            The photos' names; by default the paths in `photos`.

        Returns
        -------
        Tagger
            With probabilities for scores; tags change where their label was answered about.

        Raises
        ------
        CoMCError
            Fewer than ten answers, one is about a photo that is not there, or a tagger without a background.
        """
        about = self.about
        if not about.background:
            raise CoMCError("The method's own scores are not calibrated; learn the tagger with the background.")
        rows, columns = places_of_answers(answers, files or photos.photos.names, self.labels, name)
        odds, labels = self.scorer.log_odds(photos)[rows, columns], [self.labels[column] for column in columns]
        found = calibrate(odds, labels, np.array(list(answers.values())), name, about.method)
        least = float(found.probabilities(about.reading.log_odds(self.threshold.value)))
        kept = Threshold(least, f"{self.threshold.origin}; as a probability by {name}")
        return Tagger(replace(about, calibration=found, threshold=kept), self._tensors, lambda: self.towers)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the tagger to a folder: safetensors, a JSON file, a model card.

        Parameters
        ----------
        folder : path
            Made where it is missing. A tagger that lies there is replaced, anything else is not.

        Raises
        ------
        CoMCError
            The folder holds something else, or cannot be written.
        """
        save_tagger(Path(folder), self.about, self._tensors)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Tagger:
        """Read a tagger that `save` wrote; its CLIP model is loaded when it is first needed.

        Parameters
        ----------
        folder : path

        Returns
        -------
        Tagger

        Raises
        ------
        CoMCError
            There is no such folder, it holds no tagger, one of a newer version, or one that is damaged.
        """
        return cls(*load_tagger(Path(folder)))

    def _save_pretrained(self, save_directory: Path) -> None:
        save_tagger(save_directory, self.about, self._tensors)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **given: Any) -> Tagger:
        if os.path.isdir(model_id):
            return cls.load(model_id)
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        return cls.load(snapshot_download(model_id, **{name: given.get(name) for name in known}))
