"""CoOp-DPT: a global and a local prompt learned from a few labelled images (Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from comc_utils.baselines.dual_prompts import DualPrompts
from comc_utils.baselines.prompts import (
    PromptTower,
    pool_regions,
    random_contexts,
)
from comc_utils.baselines.sgd import Sgd
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import ranking_loss
from comc_utils.method.protocol import Task


@dataclass(frozen=True)
class CoOpDpt:
    """CoOp with TaI-DPT's pair of prompts and its loss.

    Parameters
    ----------
    training : Sgd
        Its epochs by `coop.EPOCHS`.
    n_context : int
        Vectors of each of the two contexts.
    scale : float
        Factor of cosines in the loss.
    sharpness : float
        Of the softmax over regions.

    References
    ----------
    Guo et al., Texts as Images in Prompt Tuning for Multi-Label Image Recognition, CVPR 2023, section 4.3.
    """

    training: Sgd = field(default_factory=Sgd)
    n_context: int = 16
    scale: float = 4.0
    sharpness: float = 40.0
    name: ClassVar[str] = "CoOp-DPT"
    learns_from: ClassVar[str] = "a few labelled images"

    def fit(self, task: Task, *, seed: int, progress: bool = False) -> DualPrompts:
        """Learn both contexts from the task's images.

        Parameters
        ----------
        task : Task
            With images whose labels are the classes to recognise, regions included.
        seed : int
            Of the contexts' start and the order of the images.
        progress : bool

        Returns
        -------
        DualPrompts

        Raises
        ------
        CoMCError
            Without images of these classes or without regions, or where the prompts do not fit into the
            text tower.
        """
        images = task.need_images_of_classes(self.name)
        whole, local = images.embeddings.global_without_position, images.embeddings.local_embeddings
        if local is None:
            raise CoMCError(f"{self.name} learns from regions; embed the images with local ones.")
        tower = PromptTower(task.clip, task.class_names)
        start = random_contexts(2, self.n_context, tower.width, seed=seed)

        def loss_of(learned: Sequence[Tensor], rows: Tensor) -> Tensor:
            global_prompts, local_prompts = tower.embed(learned[0])
            labels = images.labels[rows]
            pooled = pool_regions(local[rows] @ local_prompts.T, self.sharpness)
            loss = ranking_loss(self.scale * whole[rows] @ global_prompts.T, labels)
            return loss + ranking_loss(self.scale * pooled, labels)

        (contexts,) = self.training.minimise(
            [start], loss_of, len(whole), seed=seed, progress=progress
        )
        with torch.inference_mode():
            prompts = tower.embed(contexts)
        return DualPrompts(*prompts, self.scale, self.sharpness, contexts.numel())
