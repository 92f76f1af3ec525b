"""Ridge regression from sentences to labels: a classifier of text in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.linear_model import Ridge

from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.comc import FusedClassifier
from comc_utils.method.presets import Preset
from comc_utils.method.protocol import Task


@dataclass(frozen=True)
class RidgeClassifier:
    """Least squares in place of the ranking loss; images are shown to it as to CoMC.

    Parameters
    ----------
    preset : Preset
        Its settings of inference.
    alpha : float
        Share of the original embeddings at test.
    tau : float
        Temperature of eq. 4 and 5.
    penalty : float
        Of the squared weights, beside squared errors summed over sentences; above 0. The value is ours.
    """

    preset: Preset
    alpha: float
    tau: float
    penalty: float = 10.0
    name: ClassVar[str] = "Ridge regression"
    learns_from: ClassVar[str] = "sentences"

    def fit(self, task: Task, *, seed: int) -> FusedClassifier:
        """Solve for the classifier; the seed is of no consequence.

        Raises
        ------
        CoMCError
            Without text.
        """
        text = task.need_text(self.name)
        model = Ridge(alpha=self.penalty)
        model.fit(text.embeddings.numpy(), text.labels.float().numpy())
        classifier = LinearClassifier(
            torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
        )
        return FusedClassifier(
            classifier,
            task.embed_classes(task.class_names),
            self.alpha,
            self.tau,
            self.preset,
        )
