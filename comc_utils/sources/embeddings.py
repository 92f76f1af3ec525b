"""Embeddings that somebody else computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from sklearn.model_selection import KFold
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.datasets.base import MultiLabelEmbeddings, draw_pairs
from comc_utils.datasets.coco500 import load_coco500
from comc_utils.experiment import Experiment
from comc_utils.sentences import Record
from comc_utils.sentences.templates import PLAIN_COPIES, plain_prompt_records
from comc_utils.store.fingerprint import hash_tensors, hash_texts

N_FOLDS = 5
SMOKE_EPOCHS = 50
"""Most that a smoke run takes: the text is small as it is; its many epochs are what takes time."""


@dataclass(frozen=True, eq=False)
class EmbeddingsExperiment(Experiment):
    """Embeddings that somebody else computed: no towers, no pixels, no local embeddings.

    The text is the images' own captions and, as in the released code, copies of the plain prompt for each
    class, whose embedding is there: it is the label embedding. In five folds, a classifier that scores an
    image has seen the captions of the other folds alone.
    """

    def __post_init__(self) -> None:
        if self.smoke:
            fewer = replace(self.preset, epochs=min(self.preset.epochs, SMOKE_EPOCHS))
            object.__setattr__(self, "preset", fewer)

    @cached_property
    def images(self) -> MultiLabelEmbeddings:
        return load_coco500(self.data)

    @cached_property
    def image_embeddings(self) -> ImageEmbeddings:
        whole = self.images.image_embeddings
        return ImageEmbeddings(whole, None, whole)

    @cached_property
    def corpus(self) -> list[Record]:
        names = self.profile.label_set.class_names
        captions = [
            Record(
                text=self.images.captions[row],
                labels=tuple(names[j] for j in np.flatnonzero(self.images.caption_labels[row])),
                generator="human captions of MS-COCO",
                prompt="",
                seed=0,
            )
            for row in self._caption_rows
        ]
        return captions + plain_prompt_records(names)

    @cached_property
    def text_embeddings(self) -> Tensor:
        prompts = self.label_embeddings.repeat_interleave(PLAIN_COPIES, dim=0)
        return torch.cat([self.images.caption_embeddings[self._caption_rows], prompts])

    @cached_property
    def text_fingerprint(self) -> str:
        labels = (f"{record.labels}" for record in self.corpus)
        return hash_texts([hash_tensors({"text": self.text_embeddings}), *labels])

    @property
    def label_embeddings(self) -> Tensor:
        return self.images.label_embeddings

    @property
    def tau(self) -> float:
        return self.profile.tau

    @cached_property
    def folds(self) -> list[tuple[Sequence[int], Sequence[int]]]:
        position = {row: i for i, row in enumerate(self._caption_rows)}
        prompts = list(range(len(position), len(self.corpus)))
        split = KFold(N_FOLDS, shuffle=True, random_state=self.seed).split(range(len(self.images)))
        return [
            ([position[row] for row in others if row in position] + prompts, fold.tolist())
            for others, fold in split
        ]

    def image(self, index: int) -> None:
        return None

    def image_text_pairs(self, n_pairs: int, *, seed: int) -> tuple[Tensor, Tensor]:
        rows = draw_pairs(self.profile.name, len(self.images), n_pairs, seed=seed)
        return self.images.image_embeddings[rows], self.images.caption_embeddings[rows]

    @cached_property
    def _caption_rows(self) -> list[int]:
        """Rows whose caption names a class; the others cannot be trained on."""
        return np.flatnonzero(self.images.caption_labels.any(axis=1)).tolist()
