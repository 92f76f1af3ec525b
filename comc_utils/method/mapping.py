"""Image embeddings mapped to the text side, and fused with the original ones (eq. 4 to 7)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.errors import CoMCError


def label_weights(
    embeddings: Float[Tensor, "*batch d"], label_embeddings: Float[Tensor, "n_labels d"], *, tau: float
) -> Float[Tensor, "*batch n_labels"]:
    """Weights of the label embeddings: softmax over the labels of similarity over temperature.

    Parameters
    ----------
    embeddings : Tensor of shape (..., d)
        Global or local image embeddings v, unit length.
    label_embeddings : Tensor of shape (N, d)
        Label-specific text embeddings s, unit length.
    tau : float
        Temperature, above 0; CLIP's own is 1/100.

    Returns
    -------
    Tensor of shape (..., N)
        w of eq. 4 and 5: in [0, 1], each row summing to 1.

    Raises
    ------
    CoMCError
        Where shapes do not match or the temperature is not above 0.

    References
    ----------
    CoMC (ICML 2024), eq. 4 and 5.
    """
    if label_embeddings.ndim != 2 or embeddings.shape[-1:] != label_embeddings.shape[-1:]:
        raise CoMCError(
            f"Embeddings have the shape {tuple(embeddings.shape)} and label embeddings "
            f"{tuple(label_embeddings.shape)}; expected (..., d) and (N, d) from the same model."
        )
    check_temperature(tau)
    return (embeddings @ label_embeddings.T / tau).softmax(dim=-1)


def map_to_text(
    embeddings: Float[Tensor, "*batch d"],
    label_embeddings: Float[Tensor, "n_labels d"],
    *,
    tau: float,
    renormalise: bool = False,
) -> Float[Tensor, "*batch d"]:
    """Map image embeddings to the text side, as weighted sums of label embeddings.

    Parameters
    ----------
    embeddings : Tensor of shape (..., d)
        Global or local image embeddings v, unit length.
    label_embeddings : Tensor of shape (N, d)
        Label-specific text embeddings s, unit length.
    tau : float
        Temperature, above 0.
    renormalise : bool
        Whether the sums are scaled to unit length, as the released code does; the paper uses them
        as they are.

    Returns
    -------
    Tensor of shape (..., d)
        Mapped embeddings m, of length at most 1.

    Raises
    ------
    CoMCError
        Where shapes do not match or the temperature is not above 0.

    References
    ----------
    CoMC (ICML 2024), eq. 4 and 5.
    """
    mapped = label_weights(embeddings, label_embeddings, tau=tau) @ label_embeddings
    return normalize(mapped, dim=-1) if renormalise else mapped


def fuse(
    embeddings: Float[Tensor, "*batch d"], mapped: Float[Tensor, "*batch d"], alpha: float
) -> Float[Tensor, "*batch d"]:
    """Mix original and mapped embeddings.

    Parameters
    ----------
    embeddings, mapped : Tensor of shape (..., d)
        v and m.
    alpha : float
        Share of the original embedding, in [0, 1].

    Returns
    -------
    Tensor of shape (..., d)
        u = alpha v + (1 - alpha) m.

    Raises
    ------
    CoMCError
        Where shapes differ or alpha lies outside [0, 1].

    References
    ----------
    CoMC (ICML 2024), eq. 6 and 7.
    """
    if embeddings.shape != mapped.shape:
        raise CoMCError(
            f"Original embeddings have the shape {tuple(embeddings.shape)} and mapped ones "
            f"{tuple(mapped.shape)}; expected the same shape."
        )
    check_alpha(alpha)
    return alpha * embeddings + (1 - alpha) * mapped


def check_alpha(alpha: float) -> None:
    """Refuse a weighting factor outside [0, 1].

    Parameters
    ----------
    alpha : float

    Raises
    ------
    CoMCError
        Where alpha is not a number in [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise CoMCError(f"alpha is {alpha}; give a number from 0 (mapped only) to 1 (no mapping).")


def check_temperature(tau: float) -> None:
    """Refuse a temperature that is not above 0.

    Parameters
    ----------
    tau : float

    Raises
    ------
    CoMCError
        Where tau is not a number above 0.
    """
    if not tau > 0:
        raise CoMCError(f"The temperature tau is {tau}; give a number above 0, such as 1/100.")
