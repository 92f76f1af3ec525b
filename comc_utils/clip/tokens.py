"""Embeddings of every token of a sentence: what stands for an image's regions where only text is there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TokenEmbeddings:
    """Unit vectors of all tokens of M sentences, from the start-of-text to the end-of-text token.

    Attributes
    ----------
    values : Tensor [T, d]
        The tokens of one sentence after those of the one before.
    lengths : Tensor [M]
        Tokens of each sentence.
    """

    values: Float[Tensor, "n_tokens d"]
    lengths: Int[Tensor, " m"]

    def __len__(self) -> int:
        """Number of sentences, M."""
        return len(self.lengths)

    @cached_property
    def _starts(self) -> Int[Tensor, " m"]:
        return self.lengths.cumsum(0) - self.lengths

    def of(self, rows: Int[Tensor, " b"]) -> tuple[Float[Tensor, "n_tokens d"], Int[Tensor, " n_tokens"]]:
        """Take the tokens of some sentences.

        Parameters
        ----------
        rows : Tensor [b]
            Which ones.

        Returns
        -------
        values : Tensor [T, d]
            In single precision.
        sentence : Tensor [T]
            Place in ``rows`` of each token's sentence.
        """
        lengths = self.lengths[rows]
        sentence = torch.arange(len(rows)).repeat_interleave(lengths)
        first = (lengths.cumsum(0) - lengths)[sentence]
        index = self._starts[rows][sentence] + torch.arange(len(sentence)) - first
        return self.values[index].float(), sentence
