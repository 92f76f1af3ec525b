"""CoOp: one prompt learned from a few labelled images (Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from comc_utils.baselines.descent import LearnsBySteps
from comc_utils.baselines.prompts import PromptTower, embed_learned, random_contexts
from comc_utils.baselines.zero_shot_clip import ClassPrompts
from comc_utils.method.classifier import ranking_loss
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Task

EPOCHS = {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}
"""By images a class, in section 4.1 of CoOp's paper."""


@dataclass(frozen=True)
class CoOp(LearnsBySteps):
    """Context optimisation on images with several labels.

    CoOp's own cross-entropy takes one label an image. Here it learns by the ranking loss on scaled cosines, as
    TaI-DPT and its variant of CoOp with two prompts do, so that they differ in nothing else. Its learning rate
    was chosen for the other loss.

    Parameters
    ----------
    training : Sgd
        Its epochs by `EPOCHS`.
    n_context : int
        Vectors of the context.
    scale : float
        Factor of cosines in the loss.
    words : str
        A context to start from, for example "a photo of a"; '' for random vectors.

    References
    ----------
    Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022.
    """

    n_context: int = 16
    scale: float = 4.0
    words: str = ""
    name: ClassVar[str] = "CoOp"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.FEW_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LEARNED_PROMPTS})

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn the context from images whose labels are the classes to recognise.

        The seed is of the context's start and the order of the images.

        Raises
        ------
        CoMCError
            Without images of these classes, or where the prompts do not fit into the text tower.
        """
        images = task.need_images_of_classes(self.name)
        tower = PromptTower(task.need_clip(self.name), task.class_names)
        whole = images.embeddings.with_position
        start = (
            tower.words(self.words)
            if self.words
            else random_contexts(1, self.n_context, tower.width, seed=seed)
        )

        def loss_of(learned: Sequence[Tensor], rows: Tensor) -> Tensor:
            logits = self.scale * whole[rows] @ tower.embed(learned[0])[0].T
            return ranking_loss(logits, images.labels[rows])

        (contexts,), history = self.training.minimise(
            [start], loss_of, len(whole), seed=seed, progress=progress
        )
        return Learned({"contexts": contexts}, history)

    def recogniser(self, learned: Learned, task: Task) -> ClassPrompts:
        """Embed the classes behind the context."""
        (prompts,) = embed_learned(learned, task, self.name)
        return ClassPrompts(prompts, self.scale)
