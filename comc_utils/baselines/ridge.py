"""Ridge regression from sentences to labels: a classifier of text in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from sklearn.linear_model import Ridge

from comc_utils.method.comc import FusedClassifier, fused
from comc_utils.method.presets import Preset
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Task


@dataclass(frozen=True)
class RidgeClassifier(Method):
    """Least squares in place of the ranking loss; images are shown to it as to CoMC.

    Parameters
    ----------
    preset : Preset
        Its settings of inference.
    alpha : float
        Share of the original embeddings at test.
    penalty : float
        Of the squared weights, beside squared errors summed over sentences; above 0. The value is ours.
    """

    preset: Preset
    alpha: float
    penalty: float = 10.0
    name: ClassVar[str] = "Ridge regression"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SENTENCES

    random: ClassVar[bool] = False

    @property
    def learning_settings(self) -> str:
        """The penalty; the preset is of inference alone."""
        return repr(self.penalty)

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Solve for the classifier; nothing is random."""
        text = task.need_text(self.name)
        model = Ridge(alpha=self.penalty)
        model.fit(text.embeddings.numpy(), text.labels.float().numpy())
        parts = {"weight": model.coef_, "bias": model.intercept_}
        return Learned({name: torch.from_numpy(part).float() for name, part in parts.items()})

    def recogniser(self, learned: Learned, task: Task) -> FusedClassifier:
        """Show images to it as CoMC does."""
        return fused(learned, task, self.preset, self.alpha)

    def at_rate(self, factor: float) -> RidgeClassifier:
        """The inverse penalty, times a factor."""
        return replace(self, penalty=self.penalty / factor)
