"""Losses of several labels at once, beside the method's own ranking loss."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from comc_utils.errors import CoMCError

_SMALLEST = 1e-8
"""Of a probability before its logarithm, as in the asymmetric loss' own code."""


def binary_cross_entropy(
    logits: Float[Tensor, "b n_labels"], labels: Shaped[Tensor, "b n_labels"]
) -> Float[Tensor, ""]:
    """Each label's logistic loss.

    Parameters
    ----------
    logits : Tensor of shape (B, N)
    labels : Tensor of shape (B, N)
        0 or 1.

    Returns
    -------
    Tensor of shape ()
        The sum over labels, averaged over the batch.

    Raises
    ------
    CoMCError
        Where shapes differ.
    """
    _check_shapes(logits, labels)
    losses = binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="sum")
    return losses / len(logits)


def asymmetric_loss(
    logits: Float[Tensor, "b n_labels"],
    labels: Shaped[Tensor, "b n_labels"],
    *,
    gamma_negative: float = 4.0,
    gamma_positive: float = 1.0,
    clip: float = 0.05,
) -> Float[Tensor, ""]:
    """Logistic loss that looks away from easy labels, from absent ones the most.

    Parameters
    ----------
    logits : Tensor of shape (B, N)
    labels : Tensor of shape (B, N)
        0 or 1.
    gamma_negative, gamma_positive : float
        Powers of the error probability that weigh the terms of absent and present labels. No gradient goes
        through the weights, as in the authors' code.
    clip : float
        Probability margin m: an absent label of a probability below it costs nothing.

    Returns
    -------
    Tensor of shape ()
        The sum over labels, averaged over the batch.

    Raises
    ------
    CoMCError
        Where shapes differ.

    References
    ----------
    Ridnik et al., Asymmetric Loss For Multi-Label Classification, ICCV 2021, eq. 7 and its code's defaults.
    """
    _check_shapes(logits, labels)
    positive = labels.bool()
    present = logits.sigmoid()
    right = present.where(positive, (1 - present + clip).clamp_max(1))
    gamma = gamma_positive * positive + gamma_negative * ~positive
    weights = (1 - right).detach() ** gamma
    return -(weights * right.clamp_min(_SMALLEST).log()).sum() / len(logits)


def violated_pairs_loss(
    scores: Float[Tensor, "b n_labels"], labels: Shaped[Tensor, "b n_labels"]
) -> Float[Tensor, ""]:
    """Ranking loss that averages over the pairs within the margin, and so does not fade as there are fewer.

    It is not CoMC's (`classifier.ranking_loss`), which is a sum over all pairs.

    Parameters
    ----------
    scores : Tensor of shape (B, N)
    labels : Tensor of shape (B, N)
        0 or 1: all are known, so that the authors' rule for labels unknown in a whole batch has no case.

    Returns
    -------
    Tensor of shape ()
        max(0, 1 + s_n - s_p), averaged over an image's pairs of a present label p and an absent one n for which
        it is above 0, then over the batch; 0 for an image without such a pair.

    Raises
    ------
    CoMCError
        Where shapes differ.

    References
    ----------
    Huynh and Elhamifar, A Shared Multi-Attention Framework for Multi-Label Zero-Shot Learning, CVPR 2020, in
    its code (github.com/hbdat/cvpr20_LESA); BiAM and MKT have it, too.
    """
    _check_shapes(scores, labels)
    positive = labels.bool()
    row, p = positive.nonzero(as_tuple=True)
    hinges = (1 + scores[row] - scores[row, p, None]).relu() * ~positive[row]  # (positives, labels)
    per_image = scores.new_zeros(2, len(scores))
    within = (hinges > 0).sum(dim=1).to(scores.dtype)
    sums, counts = per_image.index_add(1, row, torch.stack([hinges.sum(dim=1), within]))
    return (sums / (counts + _SMALLEST)).mean()


def _check_shapes(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise CoMCError(
            f"Logits have the shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; "
            "expected the same shape (B, N)."
        )
