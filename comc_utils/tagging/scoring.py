"""From embeddings of photos to scores and tags: all of a tagger that needs no CLIP model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from comc_utils.baselines import ClipDpt, ZeroShotClip
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.comc import FusedClassifier
from comc_utils.method.presets import RELEASED
from comc_utils.method.protocol import Learned, Recogniser, Task
from comc_utils.tagging.about import About
from comc_utils.tagging.against import AgainstBackground, twins
from comc_utils.tagging.embeddings import PhotoEmbeddings
from comc_utils.tagging.learning import COMC_SCALE
from comc_utils.tagging.models import check_same
from comc_utils.tagging.thresholds import Threshold, of_photos

Tag = dict[str, str | float]
_FEWEST = 64


@dataclass(frozen=True, eq=False)
class Scorer:
    """What was learned of labels, applied to embeddings.

    Attributes
    ----------
    about : About
    tensors : mapping of str to Tensor
        ``labels`` [N, d] and ``background`` [B, d], unit vectors of prompts; of CoMC ``weight``, ``bias``.
    """

    about: About
    tensors: Mapping[str, Tensor]

    @cached_property
    def _recogniser(self) -> Recogniser:
        both = torch.cat([self.tensors[name] for name in ("labels", "background") if name in self.tensors])
        if self.about.method == "comc":
            classifier = LinearClassifier(self.tensors["weight"], self.tensors.get("bias"))
            # Images are mapped to the background's words: those of the labels would tie them to each other.
            dictionary = self.tensors["background" if self.about.background else "labels"]
            return FusedClassifier(classifier, dictionary, RELEASED, self.about.alpha, self.about.tau)
        task = Task((), both, self.about.tau)
        return (ClipDpt() if self.about.towers.regions else ZeroShotClip()).recogniser(Learned(), task)

    @cached_property
    def _against(self) -> AgainstBackground:
        scale = COMC_SCALE if self.about.method == "comc" else 1.0
        return AgainstBackground(self._recogniser, twins(self.about.labels, self.about.background), scale)

    def log_odds(self, images: PhotoEmbeddings | ImageEmbeddings) -> Float[np.ndarray, "n n_labels"]:
        """Log-odds of each label against the background; of the method's own scores, these.

        Parameters
        ----------
        images : PhotoEmbeddings or ImageEmbeddings
            Of n photos, by the tagger's own model.

        Returns
        -------
        ndarray [n, N]

        Raises
        ------
        CoMCError
            Embeddings of another model.
        """
        score = self._against.log_odds if self.about.background else self._recogniser.score
        return self._in_chunks(score, images)

    def words(self, images: PhotoEmbeddings | ImageEmbeddings) -> Float[np.ndarray, "n n_words"]:
        """Log-odds of each background word against the others; otherwise as `log_odds`."""
        return self._in_chunks(self._against.words, images)

    def scores(self, images: PhotoEmbeddings | ImageEmbeddings) -> Float[np.ndarray, "n n_labels"]:
        """Score photos.

        Parameters
        ----------
        images : PhotoEmbeddings or ImageEmbeddings
            Of n photos, by the tagger's own model.

        Returns
        -------
        ndarray [n, N]
            In [0, 1]: a label's share of the softmax over itself and the background vocabulary, which is no
            probability; that a person would say yes, after `calibrate`. Without a background the method's own
            scores, of any size.

        Raises
        ------
        CoMCError
            Embeddings of another model.
        """
        odds = self.log_odds(images)
        if not self.about.background:
            return odds
        return self.as_scores(odds, self.about.names)

    def as_scores(
        self, odds: Float[np.ndarray, "*batch n"], names: Sequence[str] = ()
    ) -> Float[np.ndarray, "*batch n"]:
        """Turn log-odds into shares, or into probabilities after `Tagger.calibrate`, of labels by name."""
        return self.about.reading.probabilities(odds, names)

    def where(
        self, images: PhotoEmbeddings | ImageEmbeddings
    ) -> Iterator[tuple[slice, Float[np.ndarray, "m k n_labels"] | None]]:
        """Score each region by itself, some photos at a time.

        Parameters
        ----------
        images : PhotoEmbeddings or ImageEmbeddings
            Of n photos, by the tagger's own model.

        Yields
        ------
        slice
            m of the photos.
        ndarray [m, K, N] or None
            Scores of their K regions, row by row from the top left; None where the model looks at no regions.
            Against the background a photo's score lies, as log-odds, in the middle between the whole photo's
            and the highest of these.

        Raises
        ------
        CoMCError
            Embeddings of another model.
        """
        for part, embeddings in self._parts(images):
            logits = self._recogniser.logits(embeddings)
            for rows, whole, regions in self._against.each(logits) if self.about.background else logits:
                scores = None if regions is None else regions.numpy()
                if scores is not None and self.about.background:
                    scores = self.as_scores(scores, self.about.names)
                start = part.start + rows.start
                yield slice(start, start + len(whole)), scores

    def _in_chunks(
        self, score: Callable[[ImageEmbeddings], Tensor], images: PhotoEmbeddings | ImageEmbeddings
    ) -> Float[np.ndarray, "n columns"]:
        return np.concatenate([_score_filled(score, part) for _, part in self._parts(images)])

    def _parts(self, images: PhotoEmbeddings | ImageEmbeddings) -> Iterator[tuple[slice, ImageEmbeddings]]:
        if isinstance(images, PhotoEmbeddings):
            check_same(images.towers, self.about.towers, "These are embeddings")
            yield from images.in_chunks()
            return
        if not isinstance(images, ImageEmbeddings):
            raise CoMCError(
                f"Here are {type(images).__name__} in place of embeddings; give those of tagger.embed(PHOTOS), "
                "or call tagger(PHOTO) for single photos."
            )
        if images.global_.shape[1] != self.tensors["labels"].shape[1]:
            raise CoMCError(
                f"These embeddings have {images.global_.shape[1]} numbers each, and those of "
                f"{self.about.towers.model} have {self.tensors['labels'].shape[1]}; embed the photos with the "
                "tagger's own model."
            )
        yield slice(0, len(images)), images

    def least_on(self, images: PhotoEmbeddings | ImageEmbeddings) -> float:
        """Choose a threshold on photos without labels.

        By CLIP's prompts so many words of the background lie above it as a photo shows of them, on average.
        CoMC's rows of labels and of words are learned from different amounts of text: by its scores, as many
        labels lie above it as by the prompts.

        Parameters
        ----------
        images : PhotoEmbeddings or ImageEmbeddings

        Returns
        -------
        float
            Log-odds.
        """
        by_prompts = Scorer(replace(self.about, method="zero-shot", calibration=None), self.tensors)
        least = of_photos(by_prompts.words(images))
        if self.about.method == "zero-shot":
            return least
        odds = self.log_odds(images)
        n_tags = (by_prompts.log_odds(images) >= least).sum()
        return float(np.quantile(odds, 1 - n_tags / odds.size))

    def choose(
        self,
        scores: Float[np.ndarray, "n n_labels"],
        threshold: float | str | Threshold | None,
        top_k: int | None,
    ) -> list[list[Tag]]:
        """Choose tags by the scores of photos [n, N]: see `Tagger.tag`."""
        least = self.least(threshold)
        if top_k is not None and top_k < 1:
            raise CoMCError(f"top_k is {top_k}; give 1 or more tags a photo, or none for all.")
        return self.sort(scores, scores >= least, top_k)

    def sort(
        self,
        scores: Float[np.ndarray, "n n_labels"],
        is_tag: Bool[np.ndarray, "n n_labels"],
        top_k: int | None = None,
    ) -> list[list[Tag]]:
        """Give what is a tag, for each photo, the highest first and ``top_k`` at most."""
        tagged = []
        for row, of_row in zip(scores, is_tag, strict=True):
            order = np.argsort(-row, kind="stable")
            chosen = order[of_row[order]][:top_k]
            tagged.append([{"label": self.about.names[j], "score": float(row[j])} for j in chosen])
        return tagged

    def least(self, threshold: float | str | Threshold | None) -> Float[np.ndarray, " n_labels"]:
        """Give the score from which each label is a tag, [N]: see `tag`."""
        if threshold is None or threshold == "all":
            return np.full(len(self.about.names), -np.inf)
        if isinstance(threshold, str):
            if threshold != "auto":
                raise CoMCError(
                    f'The threshold is {threshold!r}; give a number, "auto", or "all" for all labels.'
                )
            threshold = self.about.threshold
        if not isinstance(threshold, Threshold):
            threshold = Threshold(float(threshold), "the value given")
        least = threshold.of(self.about.names)
        if self.about.background and not ((least >= 0) & (least <= 1)).all():
            raise CoMCError("Scores lie between 0 and 1, and a threshold is outside; give one such as 0.05.")
        if np.isnan(least).any():
            raise CoMCError(
                "The method's own scores have no threshold by themselves; give one (--threshold), or a number "
                "of tags (--top-k) with --threshold all."
            )
        return least


def _score_filled(score: Callable[[ImageEmbeddings], Tensor], part: ImageEmbeddings) -> np.ndarray:
    """Score photos, of which a few are repeated: products of small matrices have kernels of their own.

    So the score of a photo is the same, bit for bit, with whichever others it is scored.
    """
    n = len(part)
    if 0 < n < _FEWEST:
        part = part[np.arange(_FEWEST) % n]
    return score(part).numpy()[:n]
