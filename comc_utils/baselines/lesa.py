"""LESA: ten attentions that all labels share, each label taking the one that suits it (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim import Optimizer

from comc_utils.baselines.descent import RisingAndFalling
from comc_utils.baselines.looking import LearnsToLook, Look, Network, label_match
from comc_utils.method.losses import violated_pairs_loss


@dataclass(frozen=True)
class Rmsprop(RisingAndFalling):
    """RMSProp with an epsilon of 1, which makes it nearly gradient descent with momentum.

    The authors lower the learning rate by a fifth where a moving average of the F1 of 5,000 images set apart
    falls, at most at each fifth of their 50 evaluations; here it falls along half a cosine, to nothing, and no
    image is set apart. They do not shuffle the images. Their 200,000 steps are 40 passes over
    NUS-WIDE. Their framework adds epsilon below the square root, torch behind it: with gradients far below 1
    either divides by 1.

    Parameters
    ----------
    learning_rate : float
    epochs : int
    batch_size : int
    warmup_epochs : int
    final_share : float
    decay, momentum, epsilon : float
    """

    learning_rate: float = 1e-3
    epochs: int = 40
    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0

    def optimizer(self, tensors: Sequence[Tensor]) -> Optimizer:
        """Make torch's."""
        return torch.optim.RMSprop(
            tensors, lr=self.learning_rate, alpha=self.decay, eps=self.epsilon, momentum=self.momentum
        )


class SharedAttentions(Network):
    """T attentions over regions; a label is scored by that which gives it the highest score.

    With z_r = [x_r; 1]: attention logits a_tr = w_t . [tanh(W1 z_r); 1], f_t = sum_r softmax_r(a_tr) z_r, and
    s_c = max_t f_t . [W l_c; 0].

    Parameters
    ----------
    d : int
    n_attentions : int
    from_clip : bool
        Whether W starts as the identity.
    """

    def __init__(self, d: int, n_attentions: int, from_clip: bool) -> None:
        super().__init__()
        self.hidden = nn.Parameter(_fan_in(d, d + 1))
        self.attentions = nn.Parameter(_fan_in(n_attentions, d + 1))
        self.match = label_match(d, from_clip)

    def forward(self, whole: Tensor, regions: Tensor, classes: Tensor) -> Look:
        """See the class; the image as a whole is not looked at."""
        # What is multiplied with a constant 1 is added instead; W l_c has a 0 in its place.
        hidden = (regions @ self.hidden[:, :-1].T + self.hidden[:, -1]).tanh()
        logits = hidden @ self.attentions[:, :-1].T + self.attentions[:, -1]  # (b, K, T)
        attention = logits.softmax(dim=1).transpose(1, 2)  # (b, T, K)
        theta = classes @ self.match.T  # (N, d)
        by_attention = (attention @ regions) @ theta.T  # (b, T, N)
        best = by_attention.max(dim=1)
        chosen = best.indices[:, :, None].expand(-1, -1, attention.shape[2])
        evenly = regions.mean(dim=1) @ theta.T
        parts = {"logits": logits, "by attention": by_attention, "evenly": evenly}
        return Look(best.values, attention.gather(1, chosen), parts)


@dataclass(frozen=True)
class Lesa(LearnsToLook):
    """Shared multi-attention, on frozen CLIP embeddings of regions.

    The authors' 2 x 2 convolution with batch norm, which makes VGG's features fit, is left out: these are in
    the space of the labels already. The
    last model is kept, as in their published run. The image as a whole is not looked at: with ten attentions
    that start at random over regions, the system does not start as zero-shot CLIP, though its match does.

    Parameters
    ----------
    training : Rmsprop
    from_clip : bool
        Whether the match of images and labels starts as CLIP's own. Otherwise it starts at random, as the
        authors' has to, whose image features and label vectors are strangers: VGG-19's and GloVe's.
    n_attentions : int
        T.
    use_all, be_relevant, be_diverse : float
        Weights of the three terms beside the ranking loss, see `loss`.

    References
    ----------
    Huynh and Elhamifar, A Shared Multi-Attention Framework for Multi-Label Zero-Shot Learning, CVPR 2020;
    settings of github.com/hbdat/cvpr20_LESA for NUS-WIDE.
    """

    training: Rmsprop = field(default_factory=Rmsprop)
    from_clip: bool = True
    n_attentions: int = 10
    use_all: float = 0.1
    be_relevant: float = 0.001
    be_diverse: float = 0.01
    name: ClassVar[str] = "LESA"

    def network(self, d: int) -> SharedAttentions:
        """Make it: attentions start by their fan-in."""
        return SharedAttentions(d, self.n_attentions, self.from_clip)

    def loss(
        self, look: Look, labels: Shaped[Tensor, "b n_seen"], classes: Float[Tensor, "n_seen d"]
    ) -> Float[Tensor, ""]:
        """Rank, use all attentions, look at more than an even look does, and look at different things."""
        logits, by_attention, evenly = (look.parts[k] for k in ("logits", "by attention", "evenly"))
        return (
            violated_pairs_loss(look.scores, labels)
            + self.use_all * concentration(by_attention, labels)
            + self.be_relevant * irrelevance(look.scores, evenly, labels)
            + self.be_diverse * likeness(logits)
        )


def concentration(
    by_attention: Float[Tensor, "b t n_labels"], labels: Shaped[Tensor, "b n_labels"]
) -> Float[Tensor, ""]:
    """Mean square of the present labels that an attention serves, counted by their softmax over attentions."""
    served = (by_attention.softmax(dim=1) * labels[:, None]).sum(dim=2)
    return served.square().mean()


def irrelevance(
    scores: Float[Tensor, "b n_labels"],
    evenly: Float[Tensor, "b n_labels"],
    labels: Shaped[Tensor, "b n_labels"],
) -> Float[Tensor, ""]:
    """Sum, over the batch and all labels, of how much worse than an even look over all regions."""
    signs = 2 * labels.to(scores.dtype) - 1
    return (signs * (evenly - scores)).relu().sum()


def likeness(logits: Float[Tensor, "b k t"]) -> Float[Tensor, ""]:
    """Frobenius norm, over the batch, of the cosines of an image's attentions before their softmax."""
    maps = normalize(logits, dim=1)
    cosines = maps.transpose(1, 2) @ maps  # (b, T, T)
    return (cosines - torch.diag_embed(cosines.diagonal(dim1=1, dim2=2))).norm()


def _fan_in(n_out: int, n_in: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(n_out, n_in), std=n_in**-0.5, a=-2 * n_in**-0.5, b=2 * n_in**-0.5)
