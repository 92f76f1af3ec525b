"""Labels scored against a fixed background vocabulary, each for itself.

A label's score depends on the image, the label and the background: not on the user's other labels, nor on other
images. One label alone has a score, and another one beside it moves none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.method.normalise import LogitChunks, pooled_scores
from comc_utils.method.protocol import Recogniser
from comc_utils.sentences.labels import forms
from comc_utils.tagging.labels import Label


@dataclass(frozen=True, eq=False)
class AgainstBackground:
    """A recogniser of labels and background words, read as odds of each label against the background.

    Attributes
    ----------
    recogniser : Recogniser
        Of the N labels, then the B background words.
    twins : Tensor [N, B]
        True where a background word is the label itself, which is not held against it.
    scale : float
        Factor of the logits, by which they are those of a softmax.
    """

    recogniser: Recogniser
    twins: Bool[Tensor, "n_labels n_words"]
    scale: float = 1.0

    def log_odds(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Log-odds of each label against all background words together, by a softmax over it and them.

        Parameters
        ----------
        images : ImageEmbeddings

        Returns
        -------
        Tensor [n, N]
            Where regions are looked at, the mean of the whole image's and of the highest of the regions'.
        """
        return pooled_scores(lambda: self.recogniser.logits(images), self._against_all)

    def each(self, logits: LogitChunks) -> LogitChunks:
        """Turn the recogniser's logits into log-odds of the labels, of whole images and of single regions."""
        for rows, whole, regions in logits:
            yield rows, self._against_all(whole), None if regions is None else self._against_all(regions)

    def words(self, images: ImageEmbeddings) -> Float[Tensor, "n n_words"]:
        """Log-odds of each background word against the others, [n, B]; otherwise as `log_odds`."""
        return pooled_scores(lambda: self.recogniser.logits(images), self._among_words)

    def _against_all(self, logits: Float[Tensor, "*batch n_both"]) -> Float[Tensor, "*batch n_labels"]:
        labels, words = (self.scale * logits).split([len(self.twins), self.twins.shape[1]], dim=-1)
        odds = labels - words.logsumexp(dim=-1, keepdim=True)
        for row in self.twins.any(dim=1).nonzero()[:, 0].tolist():
            odds[..., row] = labels[..., row] - words[..., ~self.twins[row]].logsumexp(dim=-1)
        return odds

    def _among_words(self, logits: Float[Tensor, "*batch n_both"]) -> Float[Tensor, "*batch n_words"]:
        words = self.scale * logits[..., len(self.twins) :]
        # log p - log(1 - p), where 1 - p keeps its digits however near 1 p is.
        p = words.log_softmax(dim=-1).double()
        return (p - torch.log(-torch.expm1(p.clamp_max(-1e-12)))).to(words)


def twins(labels: Sequence[Label], words: Sequence[str]) -> Bool[Tensor, "n_labels n_words"]:
    """Find the background words that are a label themselves: but for case, spaces and the plural.

    Parameters
    ----------
    labels : sequence of Label
    words : sequence of str

    Returns
    -------
    Tensor [N, B]
    """
    columns: dict[str, set[int]] = {}
    for column, word in enumerate(words):
        for form in (Label.of(word).key, *forms(word)):
            columns.setdefault(form, set()).add(column)
    found = torch.zeros(len(labels), len(words), dtype=torch.bool)
    for row, label in enumerate(labels):
        for form in (label.key, *forms(label.key)):
            found[row, list(columns.get(form, ()))] = True
    return found
