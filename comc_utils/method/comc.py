"""CoMC: a linear classifier trained on text, shown images by the cross-modal mapping (section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.method.classifier import LinearClassifier, train_classifier
from comc_utils.method.logits import logits_of_chunks
from comc_utils.method.normalise import LogitChunks
from comc_utils.method.presets import RELEASED, TRAINING_SETTINGS, Preset
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Recogniser, Task
from comc_utils.method.scores import ScoreComponents, score_components, score_images


@dataclass(frozen=True, eq=False)
class FusedClassifier(Recogniser):
    """A classifier of text embeddings with what CoMC's inference needs (section 3.3).

    Attributes
    ----------
    classifier : LinearClassifier
    label_embeddings : Tensor [N, d]
        Unit vectors s.
    preset : Preset
        Its settings of inference.
    alpha : float
        Share of the original embeddings.
    tau : float
        Temperature of eq. 4 and 5.
    """

    classifier: LinearClassifier
    label_embeddings: Float[Tensor, "n_labels d"]
    preset: Preset
    alpha: float
    tau: float

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by eq. 4 to 12, [n, N], without ever holding all regions' logits."""
        return score_images(
            self.classifier,
            images.whole(positional_embedding=self.preset.positional_embedding),
            images.local,
            self.label_embeddings,
            alpha=self.alpha,
            tau=self.tau,
            renormalise=self.preset.renormalise_mapped,
        ).final

    def logits(self, images: ImageEmbeddings) -> LogitChunks:
        """Fuse and classify images and regions, before the maximum over regions (eq. 4 to 9)."""
        chunks = logits_of_chunks(
            self.classifier,
            images.whole(positional_embedding=self.preset.positional_embedding),
            images.local,
            self.label_embeddings,
            self.tau,
            self.preset.renormalise_mapped,
            chunk_size=None,
        )
        bias = 0.0 if self.classifier.bias is None else self.classifier.bias
        for rows, (original, mapped, *regions) in chunks:
            whole = torch.lerp(mapped, original, self.alpha) + bias
            yield rows, whole, torch.lerp(regions[1], regions[0], self.alpha) + bias if regions else None

    def components(self, images: ImageEmbeddings, *, tau: float | None = None) -> ScoreComponents:
        """Score images before the fusion, for use at any alpha.

        Parameters
        ----------
        images : ImageEmbeddings
        tau : float, optional
            In place of the recogniser's own temperature.

        Returns
        -------
        ScoreComponents
            Call its `at(alpha)`.
        """
        return score_components(
            self.classifier,
            images.whole(positional_embedding=self.preset.positional_embedding),
            images.local,
            self.label_embeddings,
            tau=self.tau if tau is None else tau,
            renormalise=self.preset.renormalise_mapped,
        )


def fused(learned: Learned, task: Task, preset: Preset, alpha: float) -> FusedClassifier:
    """Show images, by CoMC's inference, to a linear classifier that was learned from text."""
    classifier = LinearClassifier(**learned.tensors)
    return FusedClassifier(classifier, task.class_embeddings, preset, alpha, task.tau)


@dataclass(frozen=True)
class CoMC(Method):
    """The method; or the method trained with another loss: whatever the preset says.

    Parameters
    ----------
    preset : Preset
    alpha : float
        Share of the original embeddings at test, in [0, 1].
    name : str

    References
    ----------
    CoMC (ICML 2024), Algorithms 1 and 2.
    """

    preset: Preset = RELEASED
    alpha: float = 0.7
    name: str = "CoMC"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SENTENCES

    @property
    def learning_settings(self) -> str:
        """Those of training alone: presets that look at images in other ways share their classifier."""
        return repr({name: getattr(self.preset, name) for name in TRAINING_SETTINGS})

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Train the classifier on the task's sentences, where the towers are (Algorithm 1)."""
        text = task.need_text(self.name)
        classifier, history = train_classifier(
            text.embeddings.to(task.device), text.labels, self.preset, seed=seed, progress=progress
        )
        tensors = {"weight": classifier.weight, "bias": classifier.bias}
        return Learned({k: t.cpu() for k, t in tensors.items() if t is not None}, history)

    def recogniser(self, learned: Learned, task: Task) -> FusedClassifier:
        """Show images to it as the preset says (Algorithm 2)."""
        return fused(learned, task, self.preset, self.alpha)

    def at_rate(self, factor: float) -> CoMC:
        """The learning rate of the preset, times a factor."""
        faster = replace(self.preset, learning_rate=self.preset.learning_rate * factor)
        return replace(self, preset=faster)
