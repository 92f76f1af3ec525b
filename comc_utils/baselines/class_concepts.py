"""Class concepts: a class is the mean of all sentences that name it, and images are mapped over sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, pad

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import LogitChunks
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Recogniser, Task

_AT_ONCE = 2**25
"""Similarities to sentences that are held at a time: 128 MB in single precision."""


@dataclass(frozen=True)
class ClassConcepts(Method):
    """Concepts from sentences, training-free.

    Its authors take captions of MS-COCO that people wrote; here they are the sentences that CoMC learns from.
    The temperature of the mapping is CLIP's own, and regions are pooled as by TaI-DPT: of both the source at
    hand says nothing.

    Parameters
    ----------
    n_mapped : int, optional
        Sentences to map over, taken evenly from all of them; all by default. Each image and each region meets
        each of these, which takes long for tens of thousands of both. Concepts are means of all sentences.

    References
    ----------
    Class Concept Representation from Contextual Texts for Training-Free Multi-Label Recognition, 2024,
    openreview.net/forum?id=up0qqbdeQu.
    """

    n_mapped: int | None = None
    name: ClassVar[str] = "Class concepts"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SENTENCES
    random: ClassVar[bool] = False

    @property
    def learning_settings(self) -> str:
        """Nothing: concepts are the same whatever images are mapped over."""
        return ""

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Average the sentences of each class.

        Raises
        ------
        CoMCError
            No sentence names one of the classes.
        """
        text = task.need_text(self.name)
        named = text.labels.to(text.embeddings)  # (M, N)
        without = [name for name, n in zip(task.class_names, named.sum(dim=0), strict=True) if n == 0]
        if without:
            raise CoMCError(
                f"{self.name} are means of the sentences that name a class, and none names "
                f"{', '.join(without[:3])}{', ...' if len(without) > 3 else ''}; give more sentences."
            )
        return Learned({"concepts": normalize(named.T @ text.embeddings, dim=1)})

    def recogniser(self, learned: Learned, task: Task) -> ConceptPrompts:
        """Map images over the same sentences, or some of them."""
        sentences = task.need_text(self.name).embeddings
        if self.n_mapped is not None and self.n_mapped < len(sentences):
            sentences = sentences[torch.linspace(0, len(sentences) - 1, self.n_mapped).long()]
        return ConceptPrompts(learned.tensors["concepts"], sentences, 1 / task.tau)


@dataclass(frozen=True, eq=False)
class ConceptPrompts(Recogniser):
    """Concepts of the classes, and the sentences to map over.

    Attributes
    ----------
    concepts : Tensor [N, d]
        Unit vectors.
    sentences : Tensor [M, d]
        Unit vectors.
    scale : float
        One over CLIP's temperature.
    """

    concepts: Float[Tensor, "n_labels d"]
    sentences: Float[Tensor, "m d"]
    scale: float

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Mean of the mapped image's logit and of its mapped regions', each label where it matches best."""
        scores = []
        for _, whole, regions in self.logits(images):
            pooled = whole if regions is None else (regions.softmax(dim=1) * regions).sum(dim=1)
            scores.append((whole + pooled) / 2)
        return torch.cat(scores)

    def logits(self, images: ImageEmbeddings) -> LogitChunks:
        """Map images and regions over the sentences, and compare them with the concepts."""
        for rows in self._chunks(images):
            whole = self._compare(images.with_position[rows])
            yield rows, whole, None if images.local is None else self._compare(images.local[rows].to(whole))

    def _compare(self, embeddings: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch n_labels"]:
        mapped = map_over_sentences(embeddings.flatten(0, -2), self.sentences, scale=self.scale)
        return (self.scale * normalize(mapped, dim=1) @ self.concepts.T).unflatten(0, embeddings.shape[:-1])

    def _chunks(self, images: ImageEmbeddings) -> Iterator[slice]:
        of_an_image = len(self.sentences) * (1 if images.local is None else images.local.shape[1])
        step = max(1, _AT_ONCE // of_an_image)
        return (slice(first, first + step) for first in range(0, len(images), step))


def map_over_sentences(
    embeddings: Float[Tensor, "q d"], sentences: Float[Tensor, "m d"], *, scale: float
) -> Float[Tensor, "q d"]:
    """Map embeddings to weighted sums of sentences, by attention in three steps.

    The M sentences fill a cube, row by row. An embedding v attends to the sentences of each row, with the
    softmax of scale times its similarity to them; then to the attended rows of each layer; then to these.

    Parameters
    ----------
    embeddings : Tensor [q, d]
        Unit vectors.
    sentences : Tensor [M, d]
        Unit vectors.
    scale : float

    Returns
    -------
    Tensor [q, d]
        Not of unit length.
    """
    side = math.ceil(round(len(sentences) ** (1 / 3), 6))
    similarity = scale * embeddings @ sentences.T
    # Far below any similarity, and finite: a row of places without a sentence has a softmax, too.
    nothing = torch.finfo(similarity.dtype).min / 4
    similarity = pad(similarity, (0, side**3 - len(sentences)), value=nothing).unflatten(1, (side,) * 3)
    weights = torch.ones_like(similarity)
    for left in range(3):
        step = similarity.softmax(dim=-1)
        weights *= step.reshape(*step.shape, *(1,) * left)
        similarity = (step * similarity).sum(dim=-1)
    return weights.flatten(1)[:, : len(sentences)] @ sentences
