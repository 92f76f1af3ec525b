"""A pair of learned prompts: one for the whole image, one for its regions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.baselines.prompts import pool_regions
from comc_utils.baselines.zero_shot_clip import prompt_logits, region_logits
from comc_utils.clip import ImageEmbeddings
from comc_utils.method.normalise import LogitChunks
from comc_utils.method.protocol import Recogniser


@dataclass(frozen=True, eq=False)
class DualPrompts(Recogniser):
    """Class prompts that score images, as TaI-DPT and CoOp-DPT end up with them.

    Attributes
    ----------
    global_prompts, local_prompts : Tensor [N, d]
        Unit vectors.
    scale : float
        Factor of cosines, which changes no ranking.
    sharpness : float
        Of the softmax over regions.
    tau : float
        CLIP's own temperature, at which scores are made comparable.
    """

    global_prompts: Float[Tensor, "n_labels d"]
    local_prompts: Float[Tensor, "n_labels d"]
    scale: float
    sharpness: float
    tau: float

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images: the mean of a global and a local logit.

        Parameters
        ----------
        images : ImageEmbeddings
            The attention pool leaves its positional embedding out, as in TaI-DPT's code.

        Returns
        -------
        Tensor [n, N]
            In [-scale, scale]; the global logits alone where there are no regions.
        """
        whole = images.global_ @ self.global_prompts.T
        local = images.local
        if local is None:
            return self.scale * whole
        cosines = region_logits(local, self.local_prompts, scale=1.0)
        pooled = [pool_regions(of_regions, self.sharpness) for _, of_regions in cosines]
        return self.scale * (whole + torch.cat(pooled)) / 2

    def logits(self, images: ImageEmbeddings) -> LogitChunks:
        """Compare images and regions with their prompts."""
        return prompt_logits(
            images.global_, images.local, self.global_prompts, self.local_prompts, scale=1 / self.tau
        )
