"""Zero-shot CLIP with each class embedded by 80 prompts instead of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.baselines.zero_shot_clip import ClassPrompts
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Need, Task

from open_clip import OPENAI_IMAGENET_TEMPLATES  # isort: skip (after the encoders)


@dataclass(frozen=True)
class PromptEnsemble(Method):
    """CLIP as it is, a class being the mean over the ImageNet templates of CLIP's authors.

    References
    ----------
    Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021.
    """

    name: ClassVar[str] = "Zero-shot CLIP, 80 prompts"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER})
    random: ClassVar[bool] = False

    def recogniser(self, learned: Learned, task: Task) -> ClassPrompts:
        """Embed the classes by every template."""
        return ClassPrompts(embed_ensemble(task, self.name), 1 / task.tau)


def embed_ensemble(task: Task, method: str) -> Float[Tensor, "n_labels d"]:
    """Unit vectors of a task's classes: the mean over 80 templates.

    Parameters
    ----------
    task : Task
    method : str
        Named in the error where the task embeds no text.
    """
    texts = [template(name) for name in task.class_names for template in OPENAI_IMAGENET_TEMPLATES]
    embedded = task.embed(texts, method).unflatten(0, (len(task.class_names), -1))  # (N, 80, d)
    return normalize(embedded.mean(dim=1), dim=-1)
