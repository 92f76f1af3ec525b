"""Losses of several labels at once, for comparison with the method's ranking loss."""

from __future__ import annotations

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


def _check_shapes(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise CoMCError(
            f"Logits have the shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; "
            "expected the same shape (B, N)."
        )
