"""SDL: an image as several principal vectors, a label scored by the nearest of them (Table 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import softplus

from comc_utils.baselines.descent import Adam
from comc_utils.baselines.looking import LearnsToLook, Look, Network
from comc_utils.method.protocol import Need

_FIRST_SHARE, _LAST_SHARE, _RISE = 1 / 25, 1e-4 / 25, 0.1
"""Of the highest learning rate, and of the steps: torch's one-cycle schedule as the authors call it."""
_START_NOISE = 1e-2


@dataclass(frozen=True)
class OneCycle(Adam):
    """Adam whose rate rises along half a cosine for a tenth of the steps, and falls along another to nothing.

    Parameters as of `Adam`; ``warmup_epochs`` and ``final_share`` are not looked at.
    """

    def rate(self, epoch: int, fraction: float) -> float:
        """As the class says."""
        done = (epoch + fraction) / self.epochs
        if done < _RISE:
            start, end, share = _FIRST_SHARE, 1.0, done / _RISE
        else:
            start, end, share = 1.0, _LAST_SHARE, (done - _RISE) / (1 - _RISE)
        return self.learning_rate * (end + (start - end) * (1 + math.cos(math.pi * share)) / 2)


class PrincipalVectors(Network):
    """k vectors of an image by one linear map; s_c = max_j A_j . l_c.

    Parameters
    ----------
    d : int
    n_vectors : int
        k.
    from_clip : bool
        Whether each of the k starts as the image's embedding, but for a little noise.
    """

    def __init__(self, d: int, n_vectors: int, from_clip: bool) -> None:
        super().__init__()
        self.n_vectors = n_vectors
        self.project = nn.Linear(d, d * n_vectors, bias=False)
        if from_clip:
            # Output i of vector j is number i k + j, as the authors' view has it.
            start = torch.eye(d).repeat_interleave(n_vectors, dim=0)
            self.project.weight = nn.Parameter(start + _START_NOISE * torch.randn_like(start))

    def forward(self, whole: Tensor, regions: Tensor | None, classes: Tensor) -> Look:
        """See the class; regions are not looked at."""
        vectors = self.project(whole).unflatten(1, (-1, self.n_vectors))  # (b, d, k)
        scores = (classes @ vectors).amax(dim=2)
        return Look(scores, parts={"vectors": vectors})


@dataclass(frozen=True)
class Sdl(LearnsToLook):
    """Semantic diversity learning, on frozen CLIP embeddings of whole images.

    Its authors train the image network, too, on cropped and changed images with a learning rate made for that,
    and choose the epoch by F1; here one linear map learns, to the end. Ours are further: images without a seen
    label are left out, for which their loss is not defined; scores are cosines times sqrt(d), since the
    logistic loss of bare cosines is flat; Adam's momentum does not move with the rate, as it does in torch's
    one-cycle schedule. CLIP's label embeddings lie so close together that the diversity weighs little.

    Parameters
    ----------
    training : OneCycle
    from_clip : bool
        Whether the match of images and labels starts as CLIP's own. Otherwise it starts at random, as the
        authors' has to, whose image features and label vectors are strangers: TResNet's and GloVe's.
    n_vectors : int
        k: 7 for NUS-WIDE, 2 for MS-COCO. All other settings are those for MS-COCO: the authors published none
        for training on NUS-WIDE.
    regulariser : float
        Share of the regulariser in the loss.

    References
    ----------
    Ben-Cohen et al., Semantic Diversity Learning for Zero-Shot Multi-Label Classification, ICCV 2021; settings
    of github.com/Alibaba-MIIL/ZS_SDL.
    """

    training: OneCycle = field(
        default_factory=lambda: OneCycle(learning_rate=2.5e-5, epochs=10, weight_decay=3e-4, decoupled=True)
    )
    from_clip: bool = True
    n_vectors: int = 7
    regulariser: float = 0.01
    name: ClassVar[str] = "SDL"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER})
    drops_images_without_label: ClassVar[bool] = True

    @classmethod
    def on_coco(cls) -> Sdl:
        """The authors' settings for MS-COCO."""
        return cls(n_vectors=2)

    def network(self, d: int) -> PrincipalVectors:
        """Make it."""
        return PrincipalVectors(d, self.n_vectors, self.from_clip)

    def loss(
        self, look: Look, labels: Shaped[Tensor, "b n_seen"], classes: Float[Tensor, "n_seen d"]
    ) -> Float[Tensor, ""]:
        """Rank, images with diverse labels the more, and keep the vectors of an image together."""
        rank = diversity_weighted_ranking(look.scores, labels, classes)
        apart = spread(look.parts["vectors"])
        return (2 * ((1 - self.regulariser) * rank + self.regulariser * apart)).mean()


def diversity_weighted_ranking(
    scores: Float[Tensor, "b n_labels"],
    labels: Shaped[Tensor, "b n_labels"],
    classes: Float[Tensor, "n_labels d"],
) -> Float[Tensor, " b"]:
    """Logistic loss of all pairs of a present and an absent label, higher where present ones are diverse.

    Parameters
    ----------
    scores : Tensor [B, S]
    labels : Tensor [B, S]
        0 or 1.
    classes : Tensor [S, d]

    Returns
    -------
    Tensor [B]
        (1 + w) sum_p sum_n log(1 + exp(s_n - s_p)) / |P|, where w is the sum over d of the variance of the
        present labels' embeddings, 0 for a single one; 0 for an image without a present label.
    """
    positive = labels.bool()
    row, p = positive.nonzero(as_tuple=True)
    costs = (softplus(scores[row] - scores[row, p, None]) * ~positive[row]).sum(dim=1)
    n_present = positive.sum(dim=1)
    shares = positive / n_present.clamp_min(1)[:, None].to(classes.dtype)
    mean = shares @ classes
    # The variance of n vectors from their mean square: sum |l|^2 / (n - 1) - n / (n - 1) |mean|^2.
    squares = shares @ classes.square().sum(dim=1) - mean.square().sum(dim=1)
    diversity = squares * n_present / (n_present - 1).clamp_min(1)
    summed = scores.new_zeros(len(scores)).index_add(0, row, costs)
    return (1 + diversity * (n_present > 1)) * summed / n_present.clamp_min(1)


def spread(vectors: Float[Tensor, "b d k"]) -> Float[Tensor, " b"]:
    """Sum over d of the variance of an image's k vectors, 0 for one: it is minimised, so they stay together."""
    if vectors.shape[2] == 1:
        return vectors.new_zeros(len(vectors))
    return vectors.var(dim=2).sum(dim=1)
