"""Zero-shot CLIP with each class embedded by 80 prompts instead of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
        names = task.class_names
        texts = [template(name) for name in names for template in OPENAI_IMAGENET_TEMPLATES]
        embedded = task.embed(texts, self.name).unflatten(0, (len(names), -1))  # (N, 80, d)
        return ClassPrompts(normalize(embedded.mean(dim=1), dim=-1), 1 / task.tau)
