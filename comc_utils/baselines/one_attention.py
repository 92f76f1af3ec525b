"""One attention per label: bilinear attention over regions, separately for every label (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import dropout, relu
from torch.nn.utils.parametrizations import weight_norm

from comc_utils.baselines.lesa import Rmsprop
from comc_utils.baselines.looking import LearnsToLook, Look, Network, label_match
from comc_utils.method.losses import violated_pairs_loss

_EXPANSION = 3
"""Of the hidden width, in bilinear attention networks."""


class BilinearAttention(Network):
    """A label looks where its vector and a region's agree; what it sees there is matched with it.

    Attention e_rc = h . (v'_r * q'_c) + b over regions r for each label c, with v'_r = relu(V x_r) and
    q'_c = relu(Q sqrt(d) l_c); score s_c = (sum_r softmax_r(e_rc) x_r) . W l_c.

    Parameters
    ----------
    d : int
    hidden : int
        A third of the width of v' and q'.
    from_clip : bool
        Whether W starts as the identity.
    """

    def __init__(self, d: int, hidden: int, from_clip: bool) -> None:
        super().__init__()
        width = _EXPANSION * hidden
        self.of_region = weight_norm(nn.Linear(d, width), dim=None)
        self.of_label = weight_norm(nn.Linear(d, width), dim=None)
        agreement = nn.Linear(width, 1)
        nn.init.normal_(agreement.weight)
        nn.init.normal_(agreement.bias)
        self.agreement = weight_norm(agreement, dim=None)
        self.match = label_match(d, from_clip)

    def forward(self, whole: Tensor, regions: Tensor, classes: Tensor) -> Look:
        """See the class; the image as a whole is not looked at."""

        def drop(x: Tensor, p: float) -> Tensor:
            return dropout(x, p, self.training)

        region = drop(relu(self.of_region(drop(regions, 0.2))), 0.5)  # (b, K, 3 h)
        # At the regions' length, or a label would say little beside the layer's offset.
        label = relu(self.of_label(drop(classes * classes.shape[1] ** 0.5, 0.2)))  # (N, 3 h)
        logits = (region * self.agreement.weight) @ label.T + self.agreement.bias  # (b, K, N)
        attention = logits.softmax(dim=1).transpose(1, 2)  # (b, N, K)
        # (sum_r a_rc x_r) . W l_c = sum_r a_rc (x_r . W l_c), without a vector for every image and label.
        scores = (attention * (regions @ (classes @ self.match.T).T).transpose(1, 2)).sum(dim=2)
        return Look(scores, attention)


@dataclass(frozen=True)
class OneAttention(LearnsToLook):
    """One attention per label, on frozen CLIP embeddings of regions.

    Table 2 takes this row over from LESA's, whose code does not have it. This is our reading: the attention of
    bilinear attention networks with one glimpse, its softmax over regions for each label alone, so that an
    unseen one can be asked for, and LESA's training. An attention for an unseen label is asked for without ever
    having been trained: that is LESA's argument against it.

    Parameters
    ----------
    training : Rmsprop
        LESA's.
    from_clip : bool
        Whether the match of images and labels starts as CLIP's own. Otherwise it starts at random, as the
        authors' has to, whose image features and label vectors are strangers: VGG-19's and GloVe's.
    hidden : int or None
        1,280 in bilinear attention networks, for region features of 2,048 numbers; by default d / 2.

    References
    ----------
    Kim et al., Bilinear Attention Networks, NeurIPS 2018, in its code (github.com/jnhwkim/ban-vqa); Huynh and
    Elhamifar, A Shared Multi-Attention Framework for Multi-Label Zero-Shot Learning, CVPR 2020.
    """

    training: Rmsprop = field(default_factory=Rmsprop)
    from_clip: bool = True
    hidden: int | None = None
    name: ClassVar[str] = "One Attention (BAN-style)"

    def network(self, d: int) -> BilinearAttention:
        """Make it: linear layers and the agreement start as theirs do."""
        return BilinearAttention(d, d // 2 if self.hidden is None else self.hidden, self.from_clip)

    def loss(
        self, look: Look, labels: Shaped[Tensor, "b n_seen"], classes: Float[Tensor, "n_seen d"]
    ) -> Float[Tensor, ""]:
        """See `violated_pairs_loss`."""
        return violated_pairs_loss(look.scores, labels)
