"""DualCoOp: a prompt for presence and one for absence, learned from images of seen classes (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.baselines.prompts import PromptTower, embed_learned, random_contexts
from comc_utils.baselines.sgd import LearnsBySgd, Sgd
from comc_utils.clip import ImageEmbeddings
from comc_utils.method.losses import asymmetric_loss
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Task, need_regions

_CHUNK = 256
_LOSS_WEIGHT = 0.01
"""Of the loss summed over a batch, in the authors' command for zero-shot recognition."""


@dataclass(frozen=True, eq=False)
class PresencePrompts:
    """Prompts for presence and absence of each class.

    Attributes
    ----------
    present, absent : Tensor [N, d]
        Unit vectors.
    sharpness, scale : float
        See `DualCoOp`.
    """

    present: Float[Tensor, "n_labels d"]
    absent: Float[Tensor, "n_labels d"]
    sharpness: float
    scale: float

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by the log-odds of presence over absence.

        Parameters
        ----------
        images : ImageEmbeddings
            With regions; nothing else is looked at.

        Returns
        -------
        Tensor [n, N]
            Its sigmoid is DualCoOp's probability.
        """
        local = need_regions(images, DualCoOp.name)
        chunks = [
            presence_logits(
                local[first : first + _CHUNK].float(), self.present, self.absent, self.sharpness, self.scale
            )
            for first in range(0, len(images), _CHUNK)
        ]
        return torch.cat(chunks)


def presence_logits(
    local: Float[Tensor, "n k d"],
    present: Float[Tensor, "n_labels d"],
    absent: Float[Tensor, "n_labels d"],
    sharpness: float,
    scale: float,
) -> Float[Tensor, "n n_labels"]:
    """Class-specific region feature aggregation: both prompts look where the one for presence matches best.

    The authors take a softmax over the two aggregated logits, which is the sigmoid of their difference.
    """
    cosines = local @ present.T  # (n, K, N)
    weights = (sharpness * cosines).softmax(dim=1)
    return scale * (weights * (cosines - local @ absent.T)).sum(dim=1)


@dataclass(frozen=True)
class DualCoOp(LearnsBySgd):
    """Dual context optimisation for zero-shot recognition.

    Parameters
    ----------
    training : Sgd
    n_context : int
        Vectors of each of the two contexts; fewer where the text tower has no room for them.
    sharpness : float
        Of the softmax over regions.
    scale : float
        Of aggregated cosines: the authors' 20 times 5.
    classes_per_step : int
        So many of the seen classes, drawn anew, at each step; all where there are not more.

    References
    ----------
    Sun et al., DualCoOp: Fast Adaptation to Multi-Label Recognition with Limited Annotations, NeurIPS 2022;
    settings of github.com/sunxm2357/DualCoOp, commit 49e71d7, for zero-shot recognition.
    """

    n_context: int = 64
    sharpness: float = 20.0
    scale: float = 100.0
    classes_per_step: int = 100
    name: ClassVar[str] = "DualCoOp"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SEEN_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LEARNED_PROMPTS, Need.REGIONS})

    @classmethod
    def on_nuswide(cls) -> DualCoOp:
        """The authors' settings for NUS-WIDE; the defaults are theirs for MS-COCO."""
        return cls(Sgd(learning_rate=1e-3))

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn both contexts from images, regions included, of seen classes.

        The seed is of the contexts' start, the order of the images and the classes of each step.

        Raises
        ------
        CoMCError
            Without images or regions.
        """
        images = task.need_images(self.name)
        local = need_regions(images.embeddings, self.name)
        clip = task.need_clip(self.name)
        seen = PromptTower(clip, images.class_names)
        n_context = min(self.n_context, seen.room, PromptTower(clip, task.class_names).room)
        start = random_contexts(2, n_context, seen.width, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        n_seen = len(images.class_names)

        def loss_of(learned: Sequence[Tensor], rows: Tensor) -> Tensor:
            classes = torch.randperm(n_seen, generator=generator)[: self.classes_per_step]
            present, absent = seen.embed(learned[0], classes)
            logits = presence_logits(local[rows], present, absent, self.sharpness, self.scale)
            labels = images.labels[rows][:, classes]
            loss = asymmetric_loss(logits, labels, gamma_negative=2.0)
            return _LOSS_WEIGHT * len(rows) * loss

        (contexts,), history = self.training.minimise(
            [start], loss_of, len(local), seed=seed, progress=progress
        )
        return Learned({"contexts": contexts}, history)

    def recogniser(self, learned: Learned, task: Task) -> PresencePrompts:
        """Embed the classes to recognise behind both contexts."""
        prompts = embed_learned(learned, task, self.name)
        return PresencePrompts(*prompts, self.sharpness, self.scale)
