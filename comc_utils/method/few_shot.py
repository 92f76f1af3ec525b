"""A few labelled images: which ones, and how the classifier goes on learning from them (section 4.2.2).

The paper says no more than "we use the labeled samples to fine-tune our classifier after training with text
data". How images with several labels are drawn, what is minimised, and the settings are therefore ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier, ranking_loss
from comc_utils.method.comc import FusedClassifier, fused
from comc_utils.method.mapping import fuse, map_to_text
from comc_utils.method.presets import Preset
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Task
from comc_utils.method.training import minimise
from comc_utils.store.fingerprint import hash_tensors

STEPS = 100
"""Adam's steps, each on all the images."""
LEARNING_RATE = 0.03
"""Adam's learning rate. With a third of it, or twice the steps, mAP changes by less than 1 point."""
PULL = 5.0
"""Strength of the pull towards the start, in images. Like the two above it was chosen on labelled images
outside the test split; notebook 10 shows what other values do."""


def draw_few_shot(
    labels: Shaped[np.ndarray, "n n_labels"], shots: int, *, seed: int
) -> Int[np.ndarray, " m"]:
    """Draw images such that each class is on at least `shots` of them.

    Images have several labels, so classes cannot all be on exactly the same number. Round r = 1, ..., shots
    goes through the classes, in an order that is random but the same in each round. A class that fewer than r
    of the chosen images show gets one more, all images that show it and are not chosen yet being equally
    likely. An image chosen for one class counts for its others.

    The first k rounds do not depend on how many follow: with one seed, the images of k shots are the first
    ones of those of more shots.

    Parameters
    ----------
    labels : ndarray of shape (n, N)
        0 or 1, of the images to draw from.
    shots : int
        k, at least 1.
    seed : int

    Returns
    -------
    ndarray of shape (m,)
        Rows in the order of their choice, none twice; k <= m <= k N.

    Raises
    ------
    CoMCError
        Where labels are no matrix of 0 and 1, k is below 1, or a class is on fewer than k images.

    References
    ----------
    CoMC (ICML 2024), Table 3: "1, 2, 4, 8, and 16 shot samples for each class".
    """
    if labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        raise CoMCError(
            f"Few-shot images are drawn by labels of shape (n, N), each 0 or 1; these have the shape "
            f"{labels.shape} and values from {labels.min(initial=0)} to {labels.max(initial=0)}."
        )
    if shots < 1:
        raise CoMCError(f"shots is {shots}; give 1 or more images a class.")
    shows = labels.astype(bool)
    available = shows.sum(axis=0)
    short = np.flatnonzero(available < shots)
    if len(short):
        raise CoMCError(
            f"{len(short)} of {len(available)} classes are on fewer than {shots} images, the first is class "
            f"{short[0]} (counted from 0) on {available[short[0]]}; draw from more images, or fewer shots."
        )
    rng = np.random.default_rng(seed)
    classes = rng.permutation(shows.shape[1])
    chosen: list[int] = []
    for wanted in range(1, shots + 1):
        for c in classes:
            if shows[chosen, c].sum() < wanted:
                candidates = np.setdiff1d(np.flatnonzero(shows[:, c]), chosen)
                chosen.append(int(rng.choice(candidates)))
    return np.array(chosen)


def fine_tune(
    start: LinearClassifier,
    image_global: Float[Tensor, "m d"],
    image_local: Float[Tensor, "m k d"] | None,
    labels: Shaped[Tensor, "m n_labels"],
    label_embeddings: Float[Tensor, "n_labels d"],
    *,
    alpha: float,
    tau: float,
    renormalise: bool = False,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    pull: float = PULL,
) -> LinearClassifier:
    """Continue a classifier's training on labelled images.

    What is trained is what is evaluated: the ranking loss (eq. 3) of the final scores (eq. 12), through the
    fusion with mapped embeddings and the maximum over regions. Minimised is

        (sum of the m images' losses + pull / 2 min_c ||W - c W_start||^2) / m,

    with the bias, where there is one, as one more column of W. The second term keeps what a few images cannot
    teach better, and weighs the less the more images there are. It is the distance from the start's nearest
    multiple, since a common factor changes no ranking: without that freedom, a start whose scores on images
    stay below the margin is pushed about by images that it ranks well. From zero weights it is weight decay.

    Parameters
    ----------
    start : LinearClassifier
        Trained on text; or with zero weights, for a linear probe from scratch.
    image_global : Tensor of shape (m, d)
        Global embeddings v^g, unit length.
    image_local : Tensor of shape (m, K, d), or None
        Local embeddings v^l of K regions, unit length.
    labels : Tensor of shape (m, N)
        0 or 1.
    label_embeddings : Tensor of shape (N, d)
        Label-specific text embeddings s, unit length.
    alpha : float
        Share of the original embeddings in what the classifier sees, in [0, 1].
    tau : float
        Temperature of eq. 4 and 5, above 0.
    renormalise : bool
        Whether mapped embeddings are scaled to unit length.
    steps : int
        Of Adam, each on all images; 0 gives the start back.
    learning_rate : float
    pull : float
        At least 0.

    Returns
    -------
    LinearClassifier
        A new one; the start stays as it is.

    Raises
    ------
    CoMCError
        Where shapes do not match, there is no image, or alpha or tau is out of range.

    References
    ----------
    CoMC (ICML 2024), section 4.2.2 and Table 3. The pull is L2-SP of Li, Grandvalet and Davoine, Explicit
    Inductive Bias for Transfer Learning with Convolutional Networks, ICML 2018.
    """
    n_images = len(image_global)
    if n_images == 0 or (image_local is not None and len(image_local) != n_images):
        raise CoMCError(
            f"There are {n_images} global embeddings of labelled images"
            + ("" if image_local is None else f" and local ones of {len(image_local)}")
            + "; give one or more, and the same number of both."
        )

    def fuse_mapped(embeddings: Tensor) -> Tensor:
        mapped = map_to_text(embeddings, label_embeddings, tau=tau, renormalise=renormalise)
        return fuse(embeddings, mapped, alpha)

    d = start.weight.shape[1]

    def classifier(theta: Tensor) -> LinearClassifier:
        return LinearClassifier(theta[:, :d], None if start.bias is None else theta[:, d])

    u_global = fuse_mapped(image_global)  # (m, d)
    u_local = None if image_local is None else fuse_mapped(image_local)  # (m, K, d)
    columns = [start.weight] + ([] if start.bias is None else [start.bias[:, None]])
    theta = torch.cat(columns, dim=1)  # (N, d) or, with the bias last, (N, d + 1)
    direction = normalize(theta.flatten(), dim=0)  # 0 for zero weights

    def loss_of(learned: Sequence[Tensor], _rows: Tensor) -> Tensor:
        theta = learned[0]
        scores = classifier(theta).decision_function(u_global)  # (m, N)
        if u_local is not None:
            scores = (scores + classifier(theta).decision_function(u_local).amax(dim=1)) / 2
        off = theta.flatten() - (theta.flatten() @ direction) * direction
        return ranking_loss(scores, labels) + pull / (2 * n_images) * off.square().sum()

    (theta,), _ = minimise(
        [theta],
        loss_of,
        n_images,
        optimizer=partial(torch.optim.Adam, lr=learning_rate),
        rate=lambda _epoch, _fraction: learning_rate,
        epochs=steps,
        batch_size=n_images,
        generator=None,
    )
    return classifier(theta)


@dataclass(frozen=True, eq=False)
class FineTuned(Method):
    """A classifier that goes on learning from a few labelled images, by `fine_tune`.

    Parameters
    ----------
    start : LinearClassifier
        Trained on text.
    preset : Preset
        Its settings of inference.
    alpha : float
        Share of the original embeddings, in training as at test.
    pull : float
    name : str
    """

    start: LinearClassifier
    preset: Preset
    alpha: float
    pull: float = PULL
    name: str = "CoMC"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.FEW_IMAGES
    random: ClassVar[bool] = False

    @property
    def learning_settings(self) -> str:
        """The start by its weights, and how images are shown to it."""
        start = {"weight": self.start.weight, "bias": self.start.bias}
        there = {name: tensor for name, tensor in start.items() if tensor is not None}
        shown = (self.preset.positional_embedding, self.preset.renormalise_mapped, self.alpha)
        return repr((hash_tensors(there), *shown, self.pull))

    def from_scratch(self) -> FineTuned:
        """The same from zero weights: a linear probe, which has read nothing."""
        zero = LinearClassifier(torch.zeros_like(self.start.weight))
        return replace(self, start=zero, name="linear probe")

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Continue from the start on the task's images; nothing is random."""
        images = task.need_images_of_classes(self.name)
        classifier = fine_tune(
            self.start,
            images.embeddings.whole(positional_embedding=self.preset.positional_embedding),
            images.embeddings.local,
            images.labels,
            task.class_embeddings,
            alpha=self.alpha,
            tau=task.tau,
            renormalise=self.preset.renormalise_mapped,
            pull=self.pull,
        )
        learned = {"weight": classifier.weight, "bias": classifier.bias}
        return Learned({name: part for name, part in learned.items() if part is not None})

    def recogniser(self, learned: Learned, task: Task) -> FusedClassifier:
        """Show images to it as CoMC does."""
        return fused(learned, task, self.preset, self.alpha)
