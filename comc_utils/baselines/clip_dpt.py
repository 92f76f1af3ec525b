"""CLIP-DPT: zero-shot CLIP that also looks at regions (Table 1, second row)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.baselines.zero_shot_clip import ClassPrompts, prompt_logits, region_logits, zero_shot_scores
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import LogitChunks
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Need, Task, need_regions


@dataclass(frozen=True, eq=False)
class RegionPrompts(ClassPrompts):
    """Embedded prompts that score images and their regions."""

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by `clip_dpt_scores`, [n, N]."""
        regions = need_regions(images, ClipDpt.name)
        return clip_dpt_scores(images.with_position, regions, self.prompts, scale=self.scale)

    def logits(self, images: ImageEmbeddings) -> LogitChunks:
        """Compare images and regions with the prompts."""
        return prompt_logits(images.with_position, images.local, self.prompts, self.prompts, scale=self.scale)


@dataclass(frozen=True)
class ClipDpt(Method):
    """Zero-shot CLIP on the whole image and on its regions."""

    name: ClassVar[str] = "CLIP-DPT"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REGIONS})
    random: ClassVar[bool] = False

    def recogniser(self, learned: Learned, task: Task) -> RegionPrompts:
        """Compare images and regions with the class embeddings."""
        return RegionPrompts(task.class_embeddings, 1 / task.tau)


def clip_dpt_scores(
    global_embeddings: Float[Tensor, "n d"],
    local_embeddings: Float[Tensor, "n k d"],
    label_embeddings: Float[Tensor, "n_labels d"],
    *,
    scale: float,
    chunk_size: int = 256,
) -> Float[Tensor, "n n_labels"]:
    """Mean of the global logit and of a local one, in which each label looks where it matches best.

    Parameters
    ----------
    global_embeddings : Tensor of shape (n, d)
        Unit length.
    local_embeddings : Tensor or ShardedEmbeddings of shape (n, K, d)
        Embeddings of K regions, unit length.
    label_embeddings : Tensor of shape (N, d)
        Text embeddings of the label prompts, unit length.
    scale : float
        CLIP's learned logit scale, 100 for OpenAI's models.
    chunk_size : int
        Images whose n x K x N logits are held at a time.

    Returns
    -------
    Tensor of shape (n, N)
        In [-scale, scale].

    Raises
    ------
    CoMCError
        Where shapes do not match or there is no region.

    References
    ----------
    Guo et al., Texts as Images in Prompt Tuning for Multi-Label Image Recognition, CVPR 2023;
    computed as in github.com/guozix/TaI-DPT, commit 1333eca.
    """
    global_logits = zero_shot_scores(global_embeddings, label_embeddings, scale=scale)
    n, d = global_embeddings.shape
    shape = tuple(local_embeddings.shape)
    if len(shape) != 3 or shape[0] != n or shape[1] == 0 or shape[2] != d:
        raise CoMCError(
            f"Local embeddings have the shape {shape}; expected ({n}, K, {d}) with at least one "
            "region, to go with the global embeddings."
        )
    of_regions = region_logits(local_embeddings, label_embeddings, scale=scale, chunk_size=chunk_size)
    chunks = [(logits.softmax(dim=1) * logits).sum(dim=1) for _, logits in of_regions]
    local_logits = torch.cat(chunks) if chunks else global_logits
    return (global_logits + local_logits) / 2
