"""TaI-DPT: a global and a local prompt learned from sentences alone (Table 1, third row)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from comc_utils.baselines.descent import LearnsBySteps, Sgd
from comc_utils.baselines.dual_prompts import DualPrompts
from comc_utils.baselines.prompts import PromptTower, embed_learned, pool_tokens, random_contexts
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import ranking_loss
from comc_utils.method.protocol import LabelledText, Learned, LearnsFrom, Need, Task


@dataclass(frozen=True)
class TaiDpt(LearnsBySteps):
    """Texts as images in dual prompt tuning.

    A sentence stands for an image in training: its end-of-text embedding for the global one, its tokens'
    embeddings for the regions.

    Parameters
    ----------
    training : Sgd
    n_context : int
        Vectors of each of the two contexts.
    scale : float
        Factor of cosines in the loss.
    text_sharpness, region_sharpness : float
        Of the softmax over tokens in training, over regions at test (4 on NUS-WIDE).

    References
    ----------
    Guo et al., Texts as Images in Prompt Tuning for Multi-Label Image Recognition, CVPR 2023; settings of
    github.com/guozix/TaI-DPT, commit 1333eca.
    """

    training: Sgd = field(default_factory=lambda: Sgd(learning_rate=1e-4, epochs=20, batch_size=512))
    n_context: int = 16
    scale: float = 4.0
    text_sharpness: float = 50.0
    region_sharpness: float = 40.0
    name: ClassVar[str] = "TaI-DPT"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SENTENCES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LEARNED_PROMPTS, Need.TOKENS})

    @classmethod
    def on_nuswide(cls) -> TaiDpt:
        """The authors' settings for NUS-WIDE; the defaults are theirs for VOC2007 and MS-COCO."""
        return cls(Sgd(learning_rate=1e-3, epochs=20, batch_size=512), region_sharpness=4.0)

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn both contexts from the task's sentences.

        The seed is of the contexts' start and the order of the sentences.

        Raises
        ------
        CoMCError
            Without text or its tokens, or where the prompts do not fit into the text tower.
        """
        text = task.need_text(self.name)
        if text.tokens is None:
            raise CoMCError(f"{self.name} looks at single tokens; give the text with them (tokens=...).")
        tower = PromptTower(task.need_clip(self.name), task.class_names)
        start = random_contexts(2, self.n_context, tower.width, seed=seed)

        def loss_of(learned: Sequence[Tensor], rows: Tensor) -> Tensor:
            whole, local = self.logits(tower.embed(learned[0]), text, rows)
            labels = text.labels[rows]
            return ranking_loss(whole, labels) + ranking_loss(local, labels)

        (contexts,), history = self.training.minimise(
            [start], loss_of, len(text.labels), seed=seed, progress=progress
        )
        return Learned({"contexts": contexts}, history)

    def recogniser(self, learned: Learned, task: Task) -> DualPrompts:
        """Embed the classes behind both contexts."""
        prompts = embed_learned(learned, task, self.name)
        return DualPrompts(*prompts, self.scale, self.region_sharpness, task.tau)

    def logits(
        self, prompts: Float[Tensor, "2 n_labels d"], text: LabelledText, rows: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b n_labels"], Float[Tensor, "b n_labels"]]:
        """Compute the global and the local logits of sentences, as the loss takes them.

        Parameters
        ----------
        prompts : Tensor [2, N, d]
            Global and local ones, unit vectors.
        text : LabelledText
        rows : Tensor [b]
            Which sentences.

        Returns
        -------
        tuple of Tensor [b, N]
        """
        tokens, sentence = text.tokens.of(rows)  # (T, d), (T,)
        local = pool_tokens(tokens @ prompts[1].T, sentence, len(rows), self.text_sharpness)
        return self.scale * text.embeddings[rows] @ prompts[0].T, self.scale * local
