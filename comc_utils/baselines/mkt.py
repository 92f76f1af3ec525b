"""MKT: CLIP's image and text sides, adapted a little to seen classes, one after the other (Table 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from comc_utils.baselines.descent import Adam
from comc_utils.baselines.looking import LearnsToLook, Look, Network, descend, top_regions
from comc_utils.method.losses import violated_pairs_loss
from comc_utils.method.training import EpochRecord


class Adapter(nn.Module):
    """x + B relu(A x), where B is 0 at first."""

    def __init__(self, d: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(d, rank, bias=False), nn.Linear(rank, d, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """See the class."""
        return x + self.up(relu(self.down(x)))


class AdaptedClip(Network):
    """Mean of the global score and of the local one, each divided by its norm over all labels asked for.

    Parameters
    ----------
    d : int
    rank : int
        Of the adapters.
    share : float
        Of the regions, those with the highest scores, whose mean is the local score.
    """

    def __init__(self, d: int, rank: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.whole, self.regions = Adapter(d, rank), Adapter(d, rank)
        self.offset = nn.Parameter(torch.zeros(d))

    def forward(self, whole: Tensor, regions: Tensor, classes: Tensor) -> Look:
        """See the class."""
        classes = normalize(classes + self.offset, dim=1)
        adapted = self.whole(whole)
        local, attention = top_regions(self.regions(regions) @ classes.T, self.share)
        scores = (normalize(local, dim=1) + normalize(adapted @ classes.T, dim=1)) / 2
        return Look(scores, attention, {"moved": adapted - whole})


@dataclass(frozen=True)
class Mkt(LearnsToLook):
    """Multi-modal knowledge transfer, on frozen CLIP embeddings.

    First the image side: where its authors train CLIP's last two blocks, at rates that fall from layer to
    layer, adapters of frozen embeddings learn. Then the text side: where they train the words of a prompt that
    all classes share, an offset of all text embeddings does. Regions are embedded by the last block's values,
    theirs by its output; they change the images in training. With hundreds of labels scores are so small after
    the division by their norm that all pairs lie within the loss's margin, and it is linear in them: that is
    the authors' code, too. As there, images without a seen label are left out.

    Parameters
    ----------
    training : Adam
        Of the image side.
    text_training : Adam
        Of the text side, without decay: the authors' spares vectors.
    rank : int
    share : float
        Of the regions: 16 of 14 x 14; one at least.
    keep : float
        Weight of the mean absolute difference of an image's embedding to CLIP's own.

    References
    ----------
    He et al., Open-Vocabulary Multi-Label Classification via Multi-Modal Knowledge Transfer, AAAI 2023;
    settings of github.com/sunanhe/MKT for NUS-WIDE.
    """

    training: Adam = field(
        default_factory=lambda: Adam(
            learning_rate=1e-3,
            epochs=20,
            batch_size=64,
            warmup_epochs=2,
            final_share=1e-3,
            weight_decay=0.05,
            decoupled=True,
        )
    )
    text_training: Adam = field(
        default_factory=lambda: Adam(learning_rate=1e-3, epochs=4, batch_size=512, final_share=1e-5)
    )
    rank: int = 64
    share: float = 16 / 196
    keep: float = 1.0
    name: ClassVar[str] = "MKT"
    drops_images_without_label: ClassVar[bool] = True

    def network(self, d: int) -> AdaptedClip:
        """Make it."""
        return AdaptedClip(d, self.rank, self.share)

    def loss(
        self, look: Look, labels: Shaped[Tensor, "b n_seen"], classes: Float[Tensor, "n_seen d"]
    ) -> Float[Tensor, ""]:
        """Rank, and stay near CLIP."""
        return violated_pairs_loss(look.scores, labels) + self.keep * look.parts["moved"].abs().mean()

    def descend(
        self,
        network: AdaptedClip,
        loss_of: Callable[[Int[Tensor, " b"], Callable[..., Look]], Float[Tensor, ""]],
        n_images: int,
        *,
        seed: int,
        progress: bool,
    ) -> list[EpochRecord]:
        """Let the adapters learn, then the offset; what the second adds to the history counts on."""
        sides = {True: {}, False: {}}
        for name, parameter in network.named_parameters():
            sides[name == "offset"][name] = parameter
        history: list[EpochRecord] = []
        for training, side in ((self.training, sides[False]), (self.text_training, sides[True])):
            records = descend(training, network, side, loss_of, n_images, seed=seed, progress=progress)
            history += [EpochRecord(**record | {"epoch": len(history) + record["epoch"]}) for record in records]
        return history

    def at_rate(self, factor: float) -> Mkt:
        """Both learning rates, times a factor."""
        text = replace(self.text_training, learning_rate=self.text_training.learning_rate * factor)
        return replace(super().at_rate(factor), text_training=text)

    def of_epochs(self, epochs: int) -> Mkt:
        """So many epochs of the image side, and at most as many of the text side."""
        text = replace(self.text_training, epochs=min(epochs, self.text_training.epochs))
        return replace(super().of_epochs(epochs), text_training=text)
