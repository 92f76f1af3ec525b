"""Prototypes: what the unlabelled images themselves look like that a class's prompt points at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.baselines.zero_shot_clip import ClassPrompts
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import standardise
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Task


@dataclass(frozen=True, eq=False)
class SoftPrototypes(ClassPrompts):
    """Class prompts, and prototypes that they find among the images to score."""

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by `prototype_scores`: the other images count, too."""
        return prototype_scores(super().score(images), images.with_position)


@dataclass(frozen=True)
class Prototypes(Method):
    """Comparable zero-shot scores beside the nearness to prototypes of unlabelled images.

    Ours, in the spirit of soft k-means with one step: images are weighed by the softmax over classes, and a
    class's prototype is their weighted mean. There is no setting to choose: the two scores count alike.
    """

    name: ClassVar[str] = "Prototypes"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    random: ClassVar[bool] = False
    transductive: ClassVar[bool] = True

    def recogniser(self, learned: Learned, task: Task) -> SoftPrototypes:
        """Compare images with the class embeddings, and with each other."""
        return SoftPrototypes(task.class_embeddings, 1 / task.tau)


def prototype_scores(
    logits: Float[Tensor, "n n_labels"], embeddings: Float[Tensor, "n d"]
) -> Float[Tensor, "n n_labels"]:
    """Add to zero-shot scores how near images lie to those that the same scores point at.

    With p = softmax of the logits over classes and u the embeddings minus their mean, at unit length, class c
    has the prototype sum_i p_ic u_i at unit length. The score is the mean of log p_ic and of the cosine of u_i
    to the prototype, each standardised over the images.

    Parameters
    ----------
    logits : Tensor [n, N]
        Cosines to class prompts at CLIP's own temperature.
    embeddings : Tensor [n, d]
        Unit vectors of the same images.

    Returns
    -------
    Tensor [n, N]

    Raises
    ------
    CoMCError
        For fewer than two images, which have no spread.
    """
    if len(logits) < 2:
        raise CoMCError(f"Prototypes come from the images to score; give two or more, not {len(logits)}.")
    log_share = logits.log_softmax(dim=1)
    share = log_share.exp()
    directions = normalize(embeddings - embeddings.mean(dim=0), dim=1)
    nearness = directions @ normalize(share.T @ directions, dim=1).T
    return (standardise(log_share, dim=0) + standardise(nearness, dim=0)) / 2
