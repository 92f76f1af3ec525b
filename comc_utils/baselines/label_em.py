"""LabelEM: a bilinear match of images and class embeddings, learned on seen classes (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from comc_utils.baselines.descent import LearnsBySteps, Sgd
from comc_utils.clip import ImageEmbeddings
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Recogniser, Task


@dataclass(frozen=True, eq=False)
class BilinearMatch(Recogniser):
    """The compatibility x^T W s of an image x and a class s.

    Attributes
    ----------
    weight : Tensor [d, d]
    wanted : Tensor [N, d]
        Text embeddings of the classes to recognise.
    """

    weight: Float[Tensor, "d d"]
    wanted: Float[Tensor, "n_labels d"]

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by their compatibility with each class, from the global embeddings alone."""
        return images.with_position @ self.weight @ self.wanted.T


@dataclass(frozen=True)
class LabelEM(LearnsBySteps):
    """Attribute label embedding, with CLIP's text embeddings in the attributes' place.

    Its training is `weighted_ranking_loss` by stochastic gradient descent. Learning rate and epochs are ours:
    the authors choose them by validation.

    Parameters
    ----------
    training : Sgd
    from_clip : bool
        Whether the match starts as CLIP's own: the identity times sqrt(d), so that cosines do not all lie
        within the loss's margin of 1. Otherwise it starts at random, normal with variance 1/d, as the authors'
        has to, whose images and attributes are strangers.

    References
    ----------
    Akata et al., Label-Embedding for Image Classification, TPAMI 2016, section 3.2.
    """

    training: Sgd = field(
        default_factory=lambda: Sgd(learning_rate=0.1, epochs=20, weight_decay=0.0, momentum=0.0)
    )
    from_clip: bool = True
    name: ClassVar[str] = "LabelEM"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SEEN_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER})

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn the match from images of seen classes.

        The seed is of the order of the images and of a random start.

        Raises
        ------
        CoMCError
            Without images.
        """
        images = task.need_images(self.name)
        x = images.embeddings.with_position
        seen = task.embed_classes(images.class_names, self.name)
        d = x.shape[1]
        drawn = torch.randn(d, d, generator=torch.Generator().manual_seed(seed)) / d**0.5
        start = torch.eye(d) * d**0.5 if self.from_clip else drawn

        def loss_of(weights: Sequence[Tensor], rows: Tensor) -> Tensor:
            return weighted_ranking_loss(x[rows] @ weights[0] @ seen.T, images.labels[rows])

        (weight,), history = self.training.minimise([start], loss_of, len(x), seed=seed, progress=progress)
        return Learned({"weight": weight}, history)

    def recogniser(self, learned: Learned, task: Task) -> BilinearMatch:
        """Match images with the classes to recognise."""
        return BilinearMatch(learned.tensors["weight"], task.class_embeddings)


def weighted_ranking_loss(
    scores: Float[Tensor, "b n_labels"], labels: Shaped[Tensor, "b n_labels"]
) -> Float[Tensor, ""]:
    """Ranking loss that weighs the top of the ranking most.

    For each positive class p: (l_r / r) sum over negatives n of max(0, 1 + F_n - F_p), where r negatives are
    within the margin and l_r = 1 + 1/2 + ... + 1/r.

    Parameters
    ----------
    scores : Tensor [B, S]
        Compatibilities F.
    labels : Tensor [B, S]
        0 or 1.

    Returns
    -------
    Tensor of shape ()
        Summed over positives, averaged over the batch.

    References
    ----------
    Akata et al., as above; the weights are those of Usunier et al., Ranking with Ordered Weighted Pairwise
    Classification, ICML 2009.
    """
    positive = labels.bool()
    row, p = positive.nonzero(as_tuple=True)
    hinge = (1 + scores[row] - scores[row, p, None]).clamp_min(0) * ~positive[row]
    n_within = (hinge > 0).sum(dim=1)
    harmonic = (1 / torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype)).cumsum(0)
    harmonic = torch.cat([harmonic.new_zeros(1), harmonic])
    weights = harmonic[n_within] / n_within.clamp_min(1)
    return (weights * hinge.sum(dim=1)).sum() / len(scores)
