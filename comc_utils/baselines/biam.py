"""BiAM: each region enriched by other regions and by the whole scene, then matched with labels (Table 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, relu

from comc_utils.baselines.descent import Adam
from comc_utils.baselines.looking import LearnsToLook, Look, Network, label_match, top_regions
from comc_utils.method.losses import violated_pairs_loss

_SLOPE = 0.2
_DROPPED_WEIGHTS, _DROPPED_WHOLE = 0.1, 0.2


class BiLevelAttention(Network):
    """Two contexts of a grid of regions, fused and matched with labels region by region.

    Parameters
    ----------
    d : int
    width : int
        Channels within.
    n_heads : int
        Of the attention among regions.
    share : float
        Of the regions, those with the highest scores, whose mean is a label's score.
    from_clip : bool
        Whether the contexts are added to the regions, from nothing on, and the match starts as the identity;
        otherwise they take the regions' place, as the authors' do.
    """

    def __init__(self, d: int, width: int, n_heads: int, share: float, from_clip: bool) -> None:
        super().__init__()
        self.n_heads, self.share, self.from_clip = n_heads, share, from_clip
        self.enter = nn.Conv2d(d, width, 3, padding=1)
        self.enter_norm = nn.BatchNorm2d(width, eps=1e-3)
        self.query, self.key, self.value, self.attended = (nn.Linear(width, width) for _ in range(4))
        self.wider, self.narrower = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.of_whole, self.of_cell = nn.Linear(d, width), nn.Linear(width, width)
        self.gated = nn.Conv2d(width, width, 3, padding=1)
        self.gated_norm = nn.BatchNorm2d(width, eps=1e-3)
        self.fuse = nn.Linear(2 * width, d)
        if from_clip:
            nn.init.zeros_(self.fuse.weight)
            nn.init.zeros_(self.fuse.bias)
        self.match = label_match(d, from_clip)
        self.offset = nn.Parameter(torch.zeros(d))
        self.to(memory_format=torch.channels_last)  # as `_as_grid` gives it

    def forward(self, whole: Tensor, regions: Tensor, classes: Tensor) -> Look:
        """See the class."""
        side = math.isqrt(regions.shape[1])
        cells = _of_grid(self.enter_norm(relu(self.enter(_as_grid(regions, side)))))  # (b, K, width)
        contexts = [self._of_regions(cells), self._of_scene(cells, whole, side)]
        fused = leaky_relu(self.fuse(torch.cat(contexts, dim=2)), _SLOPE)
        enriched = regions + fused if self.from_clip else fused
        scores, attention = top_regions(enriched @ (classes @ self.match.T + self.offset).T, self.share)
        return Look(scores, attention)

    def _of_regions(self, cells: Float[Tensor, "b k c"]) -> Float[Tensor, "b k c"]:
        """What the other regions tell: attention with several heads, and a layer behind it."""

        def drop(x: Tensor) -> Tensor:
            return dropout(x, _DROPPED_WEIGHTS, self.training)

        def by_head(x: Tensor) -> Tensor:
            return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)  # (b, heads, K, c / heads)

        query, key, value = (by_head(layer(cells)) for layer in (self.query, self.key, self.value))
        weights = drop((query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3))
        attended = self.attended((weights @ value).transpose(1, 2).flatten(2))
        cells = cells + drop(attended)
        return cells + self.narrower(relu(self.wider(cells)))

    def _of_scene(self, cells: Float[Tensor, "b k c"], whole: Tensor, side: int) -> Float[Tensor, "b k c"]:
        """What the scene tells: channels that the image as a whole opens or shuts."""
        of_whole = self.of_whole(dropout(whole, _DROPPED_WHOLE, self.training))
        of_cell = leaky_relu(self.of_cell(cells), _SLOPE)
        gate = (of_cell.mean(dim=1) * of_whole).sigmoid()
        gated = gate[:, None] * of_cell
        return gated + _of_grid(self.gated_norm(relu(self.gated(_as_grid(gated, side)))))


def _as_grid(cells: Float[Tensor, "b k c"], side: int) -> Float[Tensor, "b c side side"]:
    return cells.unflatten(1, (side, side)).permute(0, 3, 1, 2)


def _of_grid(grid: Float[Tensor, "b c side side"]) -> Float[Tensor, "b k c"]:
    return grid.permute(0, 2, 3, 1).flatten(1, 2)


@dataclass(frozen=True)
class BiAM(LearnsToLook):
    """Bi-level attention, on frozen CLIP embeddings of a square grid of regions and of the whole image.

    The whole image's embedding stands in for VGG's last layer. The authors choose the model by F1 on a fifth of
    the images and then go on for five epochs with all; here all are learned from at once. They keep statistics
    of the batch norms that are almost the last batch's alone (momentum 0.99); here they are those of all images
    learned from. As there, images without a seen label are left out, and the weight decay pulls the match with
    labels to 0, too.

    Parameters
    ----------
    training : Adam
    from_clip : bool
        See `BiLevelAttention`.
    width : int
    n_heads : int
    share : float
        Of the regions: 6 of 14 x 14; one at least.

    References
    ----------
    Narayan et al., Discriminative Region-based Multi-Label Zero-Shot Learning, ICCV 2021; settings of
    github.com/akshitac8/BiAM for NUS-WIDE.
    """

    training: Adam = field(
        default_factory=lambda: Adam(
            learning_rate=1e-3, epochs=40, warmup_epochs=3, final_share=0.5, weight_decay=5e-4
        )
    )
    from_clip: bool = True
    width: int = 256
    n_heads: int = 8
    share: float = 6 / 196
    name: ClassVar[str] = "BiAM"
    drops_images_without_label: ClassVar[bool] = True

    def network(self, d: int) -> BiLevelAttention:
        """Make it: layers start as torch's do."""
        return BiLevelAttention(d, self.width, self.n_heads, self.share, self.from_clip)

    def loss(
        self, look: Look, labels: Shaped[Tensor, "b n_seen"], classes: Float[Tensor, "n_seen d"]
    ) -> Float[Tensor, ""]:
        """See `violated_pairs_loss`."""
        return violated_pairs_loss(look.scores, labels)

    def settle(self, network: BiLevelAttention, run: Callable[[], Iterator[Tensor]]) -> None:
        """Take the statistics of batch norms over all images, nothing dropped out."""
        network.eval()
        for norm in (network.enter_norm, network.gated_norm):
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for an average over all batches
            norm.train()
        for _ in run():
            pass
