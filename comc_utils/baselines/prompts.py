"""Prompts with learned context vectors: what CoOp, TaI-DPT and DualCoOp train (Zhou et al., IJCV 2022).

A prompt is "[v_1] ... [v_M] <class name>." The vectors v stand where words' embeddings would; they are the same
for every class, and all that is learned. Text and image towers stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.clip import Clip
from comc_utils.clip.text import embed_tokens, features_after, is_causal, text_lengths
from comc_utils.errors import CoMCError
from comc_utils.method.protocol import Learned, Task

ALL = slice(None)
"""Every class."""


class PromptTower:
    """The frozen text tower on prompts of learned context vectors.

    Parameters
    ----------
    clip : Clip
        With CLIP's own text transformer.
    class_names : sequence of str

    Raises
    ------
    CoMCError
        The text tower takes no input vectors.
    """

    def __init__(self, clip: Clip, class_names: Sequence[str]) -> None:
        if not is_causal(clip.model):
            raise CoMCError(
                f"The text tower of {clip.name} takes no learned vectors; use a model with CLIP's "
                "own text transformer."
            )
        self.clip = clip
        tokens, lengths = self._tokenize([f"{name}." for name in class_names])
        self._lengths = lengths
        self._embedded = embed_tokens(clip.model, tokens[:, : int(lengths.max())])

    @property
    def width(self) -> int:
        """Length of a context vector."""
        return self._embedded.shape[-1]

    @property
    def room(self) -> int:
        """Most context vectors that fit before the longest class name."""
        return self.clip.model.context_length - self._embedded.shape[1]

    def words(self, context: str) -> Float[Tensor, "1 n_vectors width"]:
        """The vectors of words, as a context to start from."""
        tokens, lengths = self._tokenize([context])
        return embed_tokens(self.clip.model, tokens[:, 1 : int(lengths[0]) - 1]).cpu()

    def embed(
        self,
        contexts: Float[Tensor, "n_contexts n_vectors width"],
        classes: Int[Tensor, " n_chosen"] | slice = ALL,
    ) -> Float[Tensor, "n_contexts n_chosen d"]:
        """Embed the prompts of classes with every context, with a gradient to the contexts.

        Parameters
        ----------
        contexts : Tensor [C, M, width]
        classes : Tensor [N] or slice
            Which of the classes; all by default.

        Returns
        -------
        Tensor [C, N, d]
            Unit vectors, on the CPU as all cached embeddings, wherever the tower is.

        Raises
        ------
        CoMCError
            The context is too long.
        """
        n_vectors = contexts.shape[1]
        if n_vectors > self.room:
            raise CoMCError(
                f"{n_vectors} context vectors and the longest class name are more than the "
                f"{self.clip.model.context_length} tokens of {self.clip.name}; use at most {self.room}."
            )
        start = self._embedded[:1, :1].expand(len(contexts), -1, -1)
        prefix = torch.cat([start, contexts.to(start.device)], dim=1)  # (C, 1 + M, width)
        names, lengths = self._embedded[classes, 1:], self._lengths[classes] - 1
        return normalize(features_after(self.clip.model, prefix, names, lengths), dim=-1).cpu()

    def _tokenize(self, texts: list[str]) -> tuple[Int[Tensor, "n context"], Int[Tensor, " n"]]:
        model = self.clip.model
        tokens = self.clip.tokenizer(texts, model.context_length).to(self.clip.device)
        return tokens, text_lengths(model, tokens)


def random_contexts(
    n_contexts: int, n_vectors: int, width: int, *, seed: int
) -> Float[Tensor, "n_contexts n_vectors width"]:
    """Draw contexts to start from: normal, with a standard deviation of 0.02, as in CoOp's code."""
    generator = torch.Generator().manual_seed(seed)
    return 0.02 * torch.randn(n_contexts, n_vectors, width, generator=generator)


def embed_learned(learned: Learned, task: Task, method: str) -> Float[Tensor, "n_contexts n_labels d"]:
    """Embed a task's classes behind learned ``contexts``, without a gradient."""
    tower = PromptTower(task.need_clip(method), task.class_names)
    with torch.no_grad():
        return tower.embed(learned.tensors["contexts"])


def pool_regions(cosines: Float[Tensor, "n k n_labels"], sharpness: float) -> Float[Tensor, "n n_labels"]:
    """Average cosines over an image's regions, each class looking where it matches best.

    Parameters
    ----------
    cosines : Tensor [n, K, N]
    sharpness : float
        Of the softmax over the K regions, which gives the weights.

    Returns
    -------
    Tensor [n, N]
        Cosines.
    """
    return ((sharpness * cosines).softmax(dim=1) * cosines).sum(dim=1)


def pool_tokens(
    cosines: Float[Tensor, "n_tokens n_labels"],
    sentence: Int[Tensor, " n_tokens"],
    n_sentences: int,
    sharpness: float,
) -> Float[Tensor, "n_sentences n_labels"]:
    """Average cosines over the tokens of each sentence as `pool_regions` does over regions.

    Parameters
    ----------
    cosines : Tensor [T, N]
        Of the tokens of all sentences.
    sentence : Tensor [T]
        Which of them a token belongs to; each has one at least.
    n_sentences : int
    sharpness : float

    Returns
    -------
    Tensor [n_sentences, N]
    """
    empty = cosines.new_zeros(n_sentences, cosines.shape[1])
    index = sentence[:, None].expand_as(cosines)
    highest = empty.scatter_reduce(0, index, cosines.detach(), "amax", include_self=False)
    weights = (sharpness * (cosines - highest[sentence])).exp()
    total = empty.index_add(0, sentence, weights)
    return empty.index_add(0, sentence, weights * cosines) / total
