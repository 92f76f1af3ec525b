"""Fast0Tag: an image as a direction along which its labels come first (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import linear, relu, softplus

from comc_utils.baselines.descent import LearnsBySteps, Sgd
from comc_utils.clip import ImageEmbeddings
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Recogniser, Task


@dataclass(frozen=True, eq=False)
class PrincipalDirection(Recogniser):
    """A network from images to directions in the space of class embeddings.

    Attributes
    ----------
    layers : tuple of Tensor
        Weight and bias of each layer in turn, with a rectifier between layers.
    from_clip : bool
        Whether they are added to the image's own direction, see `Fast0Tag`.
    wanted : Tensor [N, d]
        Text embeddings of the classes to recognise.
    """

    layers: tuple[Tensor, ...]
    from_clip: bool
    wanted: Float[Tensor, "n_labels d"]

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by each class along their direction, from the global embeddings alone."""
        return direction(self.layers, images.with_position, self.from_clip) @ self.wanted.T


@dataclass(frozen=True)
class Fast0Tag(LearnsBySteps):
    """Fast zero-shot image tagging by a neural network, on frozen CLIP embeddings.

    Parameters
    ----------
    training : Sgd
        Ours but for the loss: the paper names RankNet's and no other setting. The weight decay is Dassl's.
    hidden : tuple of int
        Widths of the hidden layers: 8192 and 2048 in the paper, on VGG's 4,096 features; here narrower by the
        factor by which CLIP's embeddings are narrower, see `hidden_widths`; () gives a linear map.
    from_clip : bool
        Whether the network is added to the image's own embedding, from nothing on, so that it starts as CLIP;
        embeddings have the length sqrt(d) then, for an entry of about 1. Otherwise it starts at random, uniform
        as torch's linear layers do, as the authors' has to, whose images and class vectors are strangers.

    References
    ----------
    Zhang et al., Fast Zero-Shot Image Tagging, CVPR 2016.
    """

    training: Sgd = field(default_factory=lambda: Sgd(learning_rate=0.1, epochs=50))
    hidden: tuple[int, ...] | None = None
    from_clip: bool = True
    name: ClassVar[str] = "Fast0Tag"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SEEN_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER})

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn the network from images of seen classes.

        The seed is of the start and of the order of the images.

        Raises
        ------
        CoMCError
            Without images.
        """
        images = task.need_images(self.name)
        x = images.embeddings.with_position
        seen = task.embed_classes(images.class_names, self.name)
        d = x.shape[1]
        hidden = hidden_widths(d) if self.hidden is None else self.hidden

        def loss_of(layers: Sequence[Tensor], rows: Tensor) -> Tensor:
            return rank_net_loss(direction(layers, x[rows], self.from_clip) @ seen.T, images.labels[rows])

        start = _initial_layers((d, *hidden, d), seed)
        if self.from_clip:
            start[-2:] = [torch.zeros_like(layer) for layer in start[-2:]]
        layers, history = self.training.minimise(start, loss_of, len(x), seed=seed, progress=progress)
        return Learned({str(i): layer for i, layer in enumerate(layers)}, history)

    def recogniser(self, learned: Learned, task: Task) -> PrincipalDirection:
        """Compare directions with the classes to recognise."""
        layers = tuple(learned.tensors[str(i)] for i in range(len(learned.tensors)))
        return PrincipalDirection(layers, self.from_clip, task.class_embeddings)


def hidden_widths(d: int) -> tuple[int, int]:
    """Widths in the paper's proportion to the input, 2 d and d / 2."""
    return 2 * d, d // 2


def direction(layers: Sequence[Tensor], x: Float[Tensor, "n d"], from_clip: bool) -> Float[Tensor, "n d"]:
    """Run the network; where it starts from CLIP, on embeddings at the length sqrt(d), and added to them."""
    x = found = x * x.shape[1] ** 0.5 if from_clip else x
    for i in range(0, len(layers), 2):
        found = linear(relu(found) if i else found, layers[i], layers[i + 1])
    return found + x if from_clip else found


def rank_net_loss(
    scores: Float[Tensor, "b n_labels"], labels: Shaped[Tensor, "b n_labels"]
) -> Float[Tensor, ""]:
    """Logistic loss of all pairs of a present and an absent class.

    Parameters
    ----------
    scores : Tensor [B, S]
    labels : Tensor [B, S]
        0 or 1.

    Returns
    -------
    Tensor of shape ()
        Averaged over an image's pairs, then over the batch; 0 for an image without a pair.

    References
    ----------
    Zhang et al., as above: log(1 + exp(s_n - s_p)) over pairs, each with the weight 1 / (|P| |N|).
    """
    positive = labels.bool()
    row, p = positive.nonzero(as_tuple=True)
    costs = (softplus(scores[row] - scores[row, p, None]) * ~positive[row]).sum(dim=1)
    n_positive = positive.sum(dim=1)[row]
    n_pairs = (n_positive * (labels.shape[1] - n_positive)).clamp_min(1)
    return (costs / n_pairs).sum() / len(scores)


def _initial_layers(widths: tuple[int, ...], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for n_in, n_out in pairwise(widths):
        bound = n_in**-0.5
        for shape in ((n_out, n_in), (n_out,)):
            layers.append(bound * (2 * torch.rand(shape, generator=generator) - 1))
    return layers
