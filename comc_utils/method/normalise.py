"""Scores that can be compared between images: one normalisation over classes, for every method.

mAP ranks the images of a class. What shifts all scores of one image, such as a busy or blurred photo, whose
cosine to every text is low, moves that image in every ranking and says nothing of any class. A ranking loss
over the labels of one text learns differences between labels alone; cosines keep the shift.

Over the classes of one image the step is *inductive*: an image's scores depend on that image alone. Class means
over the images that are looked at may be taken away before, which is *transductive*: other, unlabelled images
count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.errors import CoMCError

LogitChunks = Iterator[tuple[slice, Float[Tensor, "m n_labels"], Float[Tensor, "m k n_labels"] | None]]
"""Rows of images, their logits, and those of their K regions where a method looks at regions."""


class Normalisation(str, Enum):
    """What is done to the N scores of one image, or of one of its regions."""

    NONE = "as it is"
    CENTRED = "centred"
    STANDARDISED = "standardised"
    SOFTMAX = "softmax"

    __str__ = str.__str__

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise CoMCError(f"There is no normalisation {value!r}; known: {', '.join(cls)}.")


def normalise(scores: Float[Tensor, "*batch n_labels"], how: Normalisation) -> Float[Tensor, "*batch n_labels"]:
    """Make scores of different images, or regions, comparable.

    Parameters
    ----------
    scores : Tensor [..., N]
        Logits; for the softmax at the temperature of the model that they are of.
    how : Normalisation
        Nothing; minus the mean over the classes; the same divided by the standard deviation over the classes
        (0 where all scores are the same); or the softmax over the classes.

    Returns
    -------
    Tensor [..., N]

    Raises
    ------
    CoMCError
        For one class alone, which has nothing to be compared with.

    References
    ----------
    The standardised form is the first step of Miller et al., SPARC, CVPR 2025.
    """
    if how is Normalisation.NONE:
        return scores
    if scores.shape[-1] < 2:
        raise CoMCError(
            f"Scores of one class alone cannot be {how} over the classes; score two classes or more, or leave "
            "them as they are."
        )
    if how is Normalisation.SOFTMAX:
        return scores.softmax(dim=-1)
    if how is Normalisation.CENTRED:
        return scores - scores.mean(dim=-1, keepdim=True)
    return standardise(scores, dim=-1, correction=0)


def standardise(values: Float[Tensor, "*shape"], *, dim: int, correction: int = 1) -> Float[Tensor, "*shape"]:
    """Take away the mean along a dimension and divide by the standard deviation; equal values become 0.

    Parameters
    ----------
    values : Tensor
    dim : int
    correction : int
        Taken from the number of values in the variance: 1 of a sample, such as images, 0 of all there are, such
        as classes.
    """
    spread, mean = torch.std_mean(values, dim=dim, correction=correction, keepdim=True)
    # Of equal values rounding leaves a spread, which must not be blown up.
    flat = spread <= 8 * torch.finfo(values.dtype).eps * values.abs().amax(dim=dim, keepdim=True)
    return torch.where(flat, 0.0, (values - mean) / torch.where(flat, 1.0, spread))


def comparable_scores(
    logits: Callable[[], LogitChunks], how: Normalisation, *, minus_class_means: bool = False
) -> Float[Tensor, "n n_labels"]:
    """Score images by logits that are normalised, those of regions before their maximum.

    Parameters
    ----------
    logits : callable
        Gives the logits of all images in chunks, in order; called twice where class means are taken away.
    how : Normalisation
    minus_class_means : bool
        Take from each class its mean over these images before anything else, and from the regions' logits their
        mean over all regions of these images. An image's scores then depend on the others: transductive.

    Returns
    -------
    Tensor [n, N]
        The normalised logits; with regions the mean of these and of their maximum over regions (eq. 12 with the
        normalisation before eq. 10).

    Raises
    ------
    CoMCError
        As `normalise`.
    """
    return pooled_scores(logits, partial(normalise, how=how), minus_class_means=minus_class_means)


def pooled_scores(
    logits: Callable[[], LogitChunks],
    step: Callable[[Float[Tensor, "*batch n_labels"]], Float[Tensor, "*batch n_labels"]],
    *,
    minus_class_means: bool = False,
) -> Float[Tensor, "n n_labels"]:
    """Do to the logits of each image, and of each region, what `step` does: otherwise `comparable_scores`."""
    of_images, of_regions = class_means(logits()) if minus_class_means else (None, None)

    def after(part: Tensor, means: Tensor | None) -> Tensor:
        return step(part if means is None else part - means.to(part))

    scores = []
    for _, whole, regions in logits():
        score = after(whole, of_images)
        if regions is not None:
            score = (score + after(regions, of_regions).amax(dim=1)) / 2
        scores.append(score)
    return torch.cat(scores)


def class_means(chunks: LogitChunks) -> tuple[Float[Tensor, " n_labels"], Float[Tensor, " n_labels"] | None]:
    """Average logits over images, and those of regions over all regions: [N] each, or None without regions."""
    sums, counts = [None, None], [0, 0]
    for _, *parts in chunks:
        for i, part in enumerate(parts):
            if part is not None:
                flat = part.flatten(0, -2).double()
                sums[i] = flat.sum(dim=0) if sums[i] is None else sums[i] + flat.sum(dim=0)
                counts[i] += len(flat)
    whole, regions = (None if s is None else s / n for s, n in zip(sums, counts, strict=True))
    return whole, regions
