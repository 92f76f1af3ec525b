"""CoOp-DPT: a global and a local prompt learned from a few labelled images (Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from comc_utils.baselines.descent import LearnsBySteps
from comc_utils.baselines.dual_prompts import DualPrompts
from comc_utils.baselines.prompts import PromptTower, embed_learned, pool_regions, random_contexts
from comc_utils.method.classifier import ranking_loss
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Task, need_regions


@dataclass(frozen=True)
class CoOpDpt(LearnsBySteps):
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

    n_context: int = 16
    scale: float = 4.0
    sharpness: float = 40.0
    name: ClassVar[str] = "CoOp-DPT"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.FEW_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LEARNED_PROMPTS, Need.REGIONS})

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn both contexts from images, regions included, whose labels are the classes to recognise.

        The seed is of the contexts' start and the order of the images.

        Raises
        ------
        CoMCError
            Without images of these classes or without regions, or where the prompts do not fit into the
            text tower.
        """
        images = task.need_images_of_classes(self.name)
        whole, local = images.embeddings.global_, need_regions(images.embeddings, self.name)
        tower = PromptTower(task.need_clip(self.name), task.class_names)
        start = random_contexts(2, self.n_context, tower.width, seed=seed)

        def loss_of(learned: Sequence[Tensor], rows: Tensor) -> Tensor:
            global_prompts, local_prompts = tower.embed(learned[0])
            labels = images.labels[rows]
            pooled = pool_regions(local[rows] @ local_prompts.T, self.sharpness)
            loss = ranking_loss(self.scale * whole[rows] @ global_prompts.T, labels)
            return loss + ranking_loss(self.scale * pooled, labels)

        (contexts,), history = self.training.minimise(
            [start], loss_of, len(whole), seed=seed, progress=progress
        )
        return Learned({"contexts": contexts}, history)

    def recogniser(self, learned: Learned, task: Task) -> DualPrompts:
        """Embed the classes behind both contexts."""
        return DualPrompts(*embed_learned(learned, task, self.name), self.scale, self.sharpness, task.tau)
