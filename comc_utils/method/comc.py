"""Linear classifiers trained on text, shown images by CoMC's inference: CoMC and variants of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.method.classifier import LinearClassifier, train_classifier
from comc_utils.method.presets import Preset
from comc_utils.method.protocol import Task
from comc_utils.method.scores import score_images


@dataclass(frozen=True, eq=False)
class FusedClassifier:
    """A classifier of text embeddings with what CoMC's inference needs (section 3.3).

    Attributes
    ----------
    classifier : LinearClassifier
    label_embeddings : Tensor [N, d]
        Unit vectors s.
    alpha : float
        Share of the original embeddings.
    tau : float
        Temperature of eq. 4 and 5.
    preset : Preset
        Its settings of inference.
    """

    classifier: LinearClassifier
    label_embeddings: Float[Tensor, "n_labels d"]
    alpha: float
    tau: float
    preset: Preset

    @property
    def n_parameters(self) -> int:
        """Numbers that were learned."""
        bias = self.classifier.bias
        return self.classifier.weight.numel() + (0 if bias is None else bias.numel())

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by eq. 4 to 12, [n, N]."""
        with_position = self.preset.positional_embedding
        return score_images(
            self.classifier,
            images.global_embeddings if with_position else images.global_without_position,
            images.local_embeddings,
            self.label_embeddings,
            alpha=self.alpha,
            tau=self.tau,
            renormalise=self.preset.renormalise_mapped,
        ).final


@dataclass(frozen=True)
class TextClassifier:
    """CoMC, or CoMC trained with another loss: whatever the preset says.

    Parameters
    ----------
    preset : Preset
    alpha : float
        Share of the original embeddings at test.
    tau : float
        Temperature of eq. 4 and 5.
    name : str
    """

    preset: Preset
    alpha: float
    tau: float
    name: str = "CoMC"
    learns_from: ClassVar[str] = "sentences"

    def fit(self, task: Task, *, seed: int) -> FusedClassifier:
        """Train the classifier on the task's sentences (Algorithm 1).

        Raises
        ------
        CoMCError
            Without text.
        """
        text = task.need_text(self.name)
        classifier, _ = train_classifier(text.embeddings, text.labels, self.preset, seed=seed)
        return FusedClassifier(
            classifier,
            task.embed_classes(task.class_names),
            self.alpha,
            self.tau,
            self.preset,
        )
