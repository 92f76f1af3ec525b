"""DualCoOp: a prompt for presence and one for absence, learned from images of seen classes (Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.baselines.descent import LearnsBySteps, Sgd
from comc_utils.baselines.prompts import PromptTower, embed_learned, random_contexts
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.losses import asymmetric_loss
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Recogniser, Task, need_regions

_CHUNK = 256
_LOSS_WEIGHT = 0.01
"""Of the loss summed over a batch, in the authors' command for zero-shot recognition."""


@dataclass(frozen=True, eq=False)
class PresencePrompts(Recogniser):
    """Prompts for presence and absence of each class.

    Attributes
    ----------
    present, absent : Tensor [N, d]
        Unit vectors.
    sharpness, scale : float
        See `DualCoOp`.
    positions : Tensor [1 + K, d] or None
        `Clip.projected_positions` of the image tower.
    """

    present: Float[Tensor, "n_labels d"]
    absent: Float[Tensor, "n_labels d"]
    sharpness: float
    scale: float
    positions: Float[Tensor, "t d"] | None

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by the log-odds of presence over absence.

        Parameters
        ----------
        images : ImageEmbeddings
            With regions, and lengths of these where the tower has an attention pool; nothing else is looked at.

        Returns
        -------
        Tensor [n, N]
            Its sigmoid is DualCoOp's probability.

        Raises
        ------
        CoMCError
            As `attention_tokens`.
        """
        logits = []
        for first in range(0, len(images), _CHUNK):
            tokens = attention_tokens(images[first : first + _CHUNK], self.positions)
            logits.append(presence_logits(tokens, self.present, self.absent, self.sharpness, self.scale))
        return torch.cat(logits)

    def attention(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels k"]:
        """Say where each class looks: shares of the regions, which sum to 1 with the mean token's, if any."""
        tokens = attention_tokens(images, self.positions)
        shares = (self.sharpness * (tokens @ self.present.T)).softmax(dim=1)
        return shares[:, len(tokens[0]) - images.local.shape[1] :].transpose(1, 2)


def attention_tokens(images: ImageEmbeddings, positions: Float[Tensor, "t d"] | None) -> Float[Tensor, "n t d"]:
    """Give what DualCoOp aggregates: all tokens of the attention pool, projected, without attention.

    The pool's tokens are the mean of layer4's map and its K cells, each with its position added. Value and
    output projections are affine, so local embeddings at their own lengths are the cells without position, and
    their mean is the mean token.

    Parameters
    ----------
    images : ImageEmbeddings
        Of n images, with regions.
    positions : Tensor [1 + K, d] or None
        `Clip.projected_positions` of the tower that embedded them.

    Returns
    -------
    Tensor [n, 1 + K, d]
        Unit vectors. Without an attention pool (``positions`` None): local embeddings as they are, [n, K, d].

    Raises
    ------
    CoMCError
        Without regions, or with positions and without the regions' lengths.

    References
    ----------
    github.com/sunxm2357/DualCoOp, commit 49e71d7.
    """
    local = need_regions(images, DualCoOp.name).float()
    if positions is None:
        return local
    if images.local_norms is None:
        raise CoMCError(
            f"{DualCoOp.name} needs the lengths of local embeddings (local_norms) for a tower with an "
            "attention pool; embed the images with Clip.encode_images."
        )
    regions = local * images.local_norms[..., None]  # (n, K, d)
    tokens = torch.cat([regions.mean(dim=1, keepdim=True), regions], dim=1)  # (n, 1 + K, d)
    return normalize(tokens + positions, dim=-1)


def presence_logits(
    tokens: Float[Tensor, "n t d"],
    present: Float[Tensor, "n_labels d"],
    absent: Float[Tensor, "n_labels d"],
    sharpness: float,
    scale: float,
) -> Float[Tensor, "n n_labels"]:
    """Class-specific region feature aggregation: both prompts look where the one for presence matches best.

    ``tokens`` are unit vectors, see `attention_tokens`.

    The authors take a softmax over the two aggregated logits, which is the sigmoid of their difference.
    """
    cosines = tokens @ present.T  # (n, T, N)
    weights = (sharpness * cosines).softmax(dim=1)
    return scale * (weights * (cosines - tokens @ absent.T)).sum(dim=1)


@dataclass(frozen=True)
class DualCoOp(LearnsBySteps):
    """Dual context optimisation for zero-shot recognition.

    What is aggregated are the 1 + K tokens of a ModifiedResNet's attention pool (`attention_tokens`), as in the
    authors' code, which knows RN101 alone. A vision transformer has no such pool: there it is the K local
    embeddings.

    Parameters
    ----------
    training : Sgd
    n_context : int
        Vectors of each of the two contexts; fewer where the text tower has no room for them.
    sharpness : float
        Of the softmax over tokens.
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
            Without images, their regions or towers, or as `attention_tokens`.
        """
        images = task.need_images(self.name)
        need_regions(images.embeddings, self.name)
        clip = task.need_clip(self.name)
        positions = clip.projected_positions
        seen = PromptTower(clip, images.class_names)
        n_context = min(self.n_context, seen.room, PromptTower(clip, task.class_names).room)
        start = random_contexts(2, n_context, seen.width, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        n_seen = len(images.class_names)

        def loss_of(learned: Sequence[Tensor], rows: Tensor) -> Tensor:
            classes = torch.randperm(n_seen, generator=generator)[: self.classes_per_step]
            present, absent = seen.embed(learned[0], classes)
            tokens = attention_tokens(images.embeddings[rows], positions)
            logits = presence_logits(tokens, present, absent, self.sharpness, self.scale)
            labels = images.labels[rows][:, classes]
            loss = asymmetric_loss(logits, labels, gamma_negative=2.0)
            return _LOSS_WEIGHT * len(rows) * loss

        (contexts,), history = self.training.minimise(
            [start], loss_of, len(images.embeddings), seed=seed, progress=progress
        )
        return Learned({"contexts": contexts}, history)

    def recogniser(self, learned: Learned, task: Task) -> PresencePrompts:
        """Embed the classes to recognise behind both contexts."""
        prompts = embed_learned(learned, task, self.name)
        positions = task.need_clip(self.name).projected_positions
        return PresencePrompts(*prompts, self.sharpness, self.scale, positions)
