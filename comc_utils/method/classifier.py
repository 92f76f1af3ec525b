"""The linear classifier and its training on text embeddings (section 3.2, Algorithm 1)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import linear

from comc_utils.errors import CoMCError
from comc_utils.method.losses import asymmetric_loss, binary_cross_entropy
from comc_utils.method.presets import Preset
from comc_utils.method.training import EpochRecord, learning_rate, minimise
from comc_utils.store.atomic import atomic_path

_PAIRWISE_NUMBERS = 2**16
"""Positives times labels up to which the ranking loss forms every pair.

Measured on two CPU cores, forward and backward of 256 rows, in ms (pairs / sorting), for N labels, p of them
positive: N = 20, p = 3: 0.4 / 0.4; N = 80, p = 1: 0.4 / 0.6, p = 3: 1.3 / 0.7; N = 300, p = 1: 1.9 / 1.7, p =
3: 4.2 / 2.1; N = 1000, p = 1: 4.3 / 3.9, p = 3: 11 / 5, p = 16: 53 / 6. They are level between 2**14 and 2**15,
later for p = 1. The switch comes a little late, so that small problems such as the embedded world's, at most
512 x 5 x 20, are trained to the same last bit as by pairs alone.
"""


@dataclass(frozen=True)
class LinearClassifier:
    """f(x) = W x + b, "a single linear layer".

    Parameters
    ----------
    weight : Tensor of shape (N, d)
        W for N labels and embeddings of dimension d.
    bias : Tensor of shape (N,), or None
        b, where the classifier has one.

    Raises
    ------
    CoMCError
        Where the shapes do not match.
    """

    weight: Float[Tensor, "n_labels d"]
    bias: Float[Tensor, " n_labels"] | None = None

    def __post_init__(self) -> None:
        """Check the shapes."""
        weight_shape = tuple(self.weight.shape)
        if len(weight_shape) != 2:
            raise CoMCError(f"The classifier's weight has the shape {weight_shape}; expected (N, d).")
        if self.bias is not None and tuple(self.bias.shape) != weight_shape[:1]:
            raise CoMCError(
                f"The classifier's bias has the shape {tuple(self.bias.shape)}; expected "
                f"{weight_shape[:1]}, as its weight has the shape {weight_shape}."
            )

    def decision_function(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch n_labels"]:
        """Confidence scores of embeddings.

        Parameters
        ----------
        x : Tensor of shape (..., d)

        Returns
        -------
        Tensor of shape (..., N)
            Logits.

        Raises
        ------
        CoMCError
            Where the embeddings have another dimension than the classifier.

        References
        ----------
        CoMC (ICML 2024), eq. 2, 8 and 9.
        """
        if x.shape[-1:] != self.weight.shape[1:]:
            raise CoMCError(
                f"Embeddings have the shape {tuple(x.shape)}; the classifier expects (..., "
                f"{self.weight.shape[1]})."
            )
        return linear(x, self.weight, self.bias)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as safetensors, whole or not at all.

        Parameters
        ----------
        path : str or PathLike
        """
        tensors = {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})
        with atomic_path(path) as temporary:
            save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LinearClassifier:
        """Read weights that `save` wrote.

        Parameters
        ----------
        path : str or PathLike

        Returns
        -------
        LinearClassifier
            On the CPU.

        Raises
        ------
        CoMCError
            Where the file is missing, damaged, or holds no classifier.
        """
        if not Path(path).is_file():
            raise CoMCError(f"There is no classifier at {path}; train one, or correct the path.")
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise CoMCError(
                f"The classifier at {path} cannot be read ({error}); delete it and train it again."
            ) from None
        if not {"weight"} <= set(tensors) <= {"weight", "bias"}:
            raise CoMCError(
                f"{path} holds the tensors {sorted(tensors)}; a classifier holds 'weight' and perhaps 'bias'."
            )
        return cls(weight=tensors["weight"], bias=tensors.get("bias"))


def ranking_loss(
    logits: Float[Tensor, "b n_labels"], labels: Shaped[Tensor, "b n_labels"], margin: float = 1.0
) -> Float[Tensor, ""]:
    """Ranking loss: every positive label is to score higher than every negative one, by a margin.

    Parameters
    ----------
    logits : Tensor of shape (B, N)
        Raw scores p.
    labels : Tensor of shape (B, N)
        0 or 1.
    margin : float
        m, in logits.

    Returns
    -------
    Tensor of shape ()
        The sum over (positive, negative) pairs of max(0, m - (p_j - p_k)), averaged over the batch; 0 for
        a row without positives or without negatives.

    Raises
    ------
    CoMCError
        Where shapes differ.

    Notes
    -----
    Few pairs are formed one by one; many are counted after sorting, in O(B N log N) time and O(B N) memory
    for B rows of N labels. The two differ by rounding alone, the sorted sum being the more exact one. At the
    kink, p_j - p_k = m, the gradient is that of a pair within the margin; a pair so near to it that float32
    cannot tell may count in one way and not in the other.

    References
    ----------
    CoMC (ICML 2024), eq. 3.
    """
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise CoMCError(
            f"Logits have the shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; "
            "expected the same shape (B, N)."
        )
    positive = labels.bool()
    if int(positive.sum()) * logits.shape[1] > _PAIRWISE_NUMBERS:
        return _loss_by_sorting(logits, positive, margin)
    return _loss_by_pairs(logits, positive, margin)


def _loss_by_pairs(
    logits: Float[Tensor, "b n_labels"], positive: Bool[Tensor, "b n_labels"], margin: float
) -> Float[Tensor, ""]:
    """One row for each of P positives, P N numbers: the least work where P N is small."""
    sentence, j = positive.nonzero(as_tuple=True)
    hinge = (margin - (logits[sentence, j, None] - logits[sentence])).clamp_min(0)  # (n_positives, N)
    return (hinge * ~positive[sentence]).sum() / len(logits)


def _loss_by_sorting(
    logits: Float[Tensor, "b n_labels"], positive: Bool[Tensor, "b n_labels"], margin: float
) -> Float[Tensor, ""]:
    """The same from counts of pairs, in O(B N log N) time and O(B N) memory."""
    # Linear in the scores between the kinks: each pair within the margin adds m - p_j + p_k. So a score's
    # slope is a whole number, and autograd needs no more than this product. It is summed in float64, where
    # slopes and float32 scores multiply without rounding: large scores of opposite slopes cancel.
    slopes = _slopes(logits.detach().double(), positive, margin)
    n_pairs = slopes.clamp_min(0).sum()
    total = margin * n_pairs + (slopes * logits.double()).sum()
    return (total / len(logits)).to(logits.dtype)


def _slopes(
    scores: Float[Tensor, "b n_labels"], positive: Bool[Tensor, "b n_labels"], margin: float
) -> Float[Tensor, "b n_labels"]:
    """For a negative its pairs within the margin; for a positive the same, below 0.

    A pair exactly at the margin counts, as it does in the gradient of `clamp_min`.
    """
    sentence, j = positive.nonzero(as_tuple=True)
    n_positives = positive.sum(dim=1)
    column = torch.arange(len(j), device=j.device) - (n_positives.cumsum(0) - n_positives)[sentence]
    padded = scores.new_full((len(scores), int(n_positives.max())), torch.inf)
    padded[sentence, column] = scores[sentence, j]
    ascending, order = padded.sort(dim=1)  # (B, most positives of a row)
    # A negative is within the margin of the positives up to a rank.
    ranks = torch.searchsorted(ascending - margin, scores, right=True).masked_fill_(positive, 0)
    n_negatives = torch.zeros(len(scores), ascending.shape[1] + 1, dtype=torch.long, device=j.device)
    n_negatives.scatter_add_(1, ranks, torch.ones_like(ranks))
    # Of the positive at a rank: the negatives that reach beyond it.
    beyond = n_negatives.flip(1).cumsum(1).flip(1)[:, 1:]
    by_column = torch.empty_like(beyond).scatter_(1, order, beyond)
    slopes = ranks.to(scores.dtype)
    slopes[sentence, j] = -by_column[sentence, column].to(scores.dtype)
    return slopes


def train_classifier(
    text_embeddings: Float[Tensor, "m d"],
    labels: Shaped[Tensor, "m n_labels"],
    preset: Preset,
    *,
    seed: int,
    fixed: LinearClassifier | None = None,
    progress: bool = False,
) -> tuple[LinearClassifier, list[EpochRecord]]:
    """Train the classifier on text alone: Algorithm 1, with the embeddings computed before.

    Training runs on the device of the embeddings. One seed gives one result on one device.

    Parameters
    ----------
    text_embeddings : Tensor of shape (M, d)
        Embeddings of M sentences, unit length.
    labels : Tensor of shape (M, N)
        0 or 1.
    preset : Preset
        Optimiser, schedule, noise and bias.
    seed : int
        Of the initial weights, the order of the sentences, and the noise.
    fixed : LinearClassifier, optional
        Of the first of the N labels, which are ranked with the others and stay as they are.
    progress : bool
        Whether to show a bar over the epochs.

    Returns
    -------
    classifier : LinearClassifier
        Of the labels that are not fixed: of all by default.
    history : list of EpochRecord
        One record an epoch: epoch, loss, learning_rate.

    Raises
    ------
    CoMCError
        Where shapes do not match, an embedding is not finite, labels are not 0 or 1, a sentence
        has no label, or the ranking loss has no label that a sentence lacks.

    References
    ----------
    CoMC (ICML 2024), Algorithm 1.
    """
    _check_training_data(text_embeddings, labels)
    if preset.loss == "ranking" and not (labels == 0).any():
        raise CoMCError(
            f"All {labels.shape[1]} labels are on every sentence, so that the ranking loss has no pair "
            "to rank and nothing to learn; give two labels or more, and sentences that do not name them all."
        )
    device = text_embeddings.device
    embeddings, positive = text_embeddings.detach().float(), labels.to(device).bool()
    (n_sentences, d), n_labels = embeddings.shape, labels.shape[1]
    generator = torch.Generator(device).manual_seed(seed)

    n_fixed = 0 if fixed is None else fixed.weight.shape[0]
    stays = [] if fixed is None else [t.to(device) for t in (fixed.weight, fixed.bias) if t is not None]
    start = [torch.empty(n_labels - n_fixed, d, device=device)]
    if preset.bias:
        start.append(torch.empty(n_labels - n_fixed, device=device))
    for parameter in start:  # as torch.nn.Linear starts
        parameter.uniform_(-1 / math.sqrt(d), 1 / math.sqrt(d), generator=generator)
    loss_of = {
        "ranking": partial(ranking_loss, margin=preset.margin),
        "binary cross-entropy": binary_cross_entropy,
        "asymmetric": asymmetric_loss,
    }[preset.loss]

    def loss_of_batch(parameters: Sequence[Tensor], rows: Tensor) -> Tensor:
        x = embeddings[rows]
        if preset.noise_std > 0:
            x = x + preset.noise_std * torch.empty_like(x).normal_(generator=generator)
        if stays:
            parameters = [torch.cat(both) for both in zip(stays, parameters, strict=True)]
        return loss_of(linear(x, *parameters), positive[rows])

    learned, history = minimise(
        start,
        loss_of_batch,
        n_sentences,
        optimizer=partial(torch.optim.Adam, lr=preset.learning_rate, weight_decay=preset.weight_decay),
        rate=partial(learning_rate, preset),
        epochs=preset.epochs,
        batch_size=preset.batch_size,
        generator=generator,
        progress=progress,
    )
    return LinearClassifier(*learned), history


def _check_training_data(text_embeddings: Tensor, labels: Tensor) -> None:
    shape, label_shape = tuple(text_embeddings.shape), tuple(labels.shape)
    if len(shape) != 2 or len(label_shape) != 2 or shape[0] != label_shape[0] or shape[0] == 0:
        raise CoMCError(
            f"Text embeddings have the shape {shape} and labels {label_shape}; expected (M, d) "
            "and (M, N) with the same number of sentences, at least one."
        )
    broken = (~text_embeddings.isfinite().all(dim=1)).nonzero()
    if len(broken):
        raise CoMCError(
            f"{len(broken)} of {shape[0]} text embeddings contain NaN or infinity, the first is "
            f"number {int(broken[0])} (counted from 0); embed the sentences again."
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise CoMCError("Training labels must be 0 or 1; convert them first.")
    unlabelled = (labels.sum(dim=1) == 0).nonzero()
    if len(unlabelled):
        raise CoMCError(
            f"{len(unlabelled)} of {shape[0]} sentences have no label, the first is number "
            f"{int(unlabelled[0])} (counted from 0); leave them out of the training text."
        )
