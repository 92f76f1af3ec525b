"""SPARC: class prompts beside prompts of pairs, standardised, ordered and fused without a label."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from comc_utils.baselines.prompt_ensemble import embed_ensemble
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import standardise
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Need, Recogniser, Task


@dataclass(frozen=True, eq=False)
class PairPrompts(Recogniser):
    """Prompts of single classes and of pairs of classes.

    Attributes
    ----------
    ensemble, plain : Tensor [N, d]
        Unit vectors of the classes: means over 80 prompts, and one prompt each.
    pairs : Tensor [P, d]
        Unit vectors of the pairs' prompts.
    members : Tensor [N, N - 1]
        Rows of the pairs that name each class.
    """

    ensemble: Float[Tensor, "n_labels d"]
    plain: Float[Tensor, "n_labels d"]
    pairs: Float[Tensor, "n_pairs d"]
    members: Int[Tensor, "n_labels n_partners"]

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by `sparc_scores`: the other images count, too."""
        v = images.with_position
        return sparc_scores(v @ self.ensemble.T, v @ self.plain.T, v @ self.pairs.T, self.members)


@dataclass(frozen=True)
class Sparc(Method):
    """SPARC on the whole image.

    Its authors let a language model name the pairs and triples of classes that occur together; here all pairs
    stand, "A and B", which needs no language model.

    References
    ----------
    Miller et al., SPARC: Score Prompting and Adaptive Fusion for Zero-Shot Multi-Label Recognition in
    Vision-Language Models, CVPR 2025; computed as in github.com/kjmillerCURIS/SPARC.
    """

    name: ClassVar[str] = "SPARC"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER})
    random: ClassVar[bool] = False
    transductive: ClassVar[bool] = True

    def recogniser(self, learned: Learned, task: Task) -> PairPrompts:
        """Embed the prompts of all classes and pairs.

        Raises
        ------
        CoMCError
            For fewer than three classes, of which there are no pairs to order.
        """
        names = task.class_names
        if len(names) < 3:
            raise CoMCError(
                f"{self.name} orders the pairs that name a class; give three classes or more, not {len(names)}."
            )
        pairs = list(combinations(range(len(names)), 2))
        members = [[row for row, pair in enumerate(pairs) if i in pair] for i in range(len(names))]
        texts = [f"{names[a]} and {names[b]}" for a, b in pairs]
        return PairPrompts(
            embed_ensemble(task, self.name),
            task.class_embeddings,
            task.embed(texts, self.name),
            torch.tensor(members),
        )


def sparc_scores(
    single: Float[Tensor, "n n_labels"],
    plain: Float[Tensor, "n n_labels"],
    pairs: Float[Tensor, "n n_pairs"],
    members: Int[Tensor, "n_labels n_partners"],
) -> Float[Tensor, "n n_labels"]:
    """Standardise, order and fuse cosines.

    Within each image the cosines to the classes are standardised, and those to the pairs by mean and deviation
    of the plain prompts' cosines; then every column over images. The pairs that name a class are sorted within
    each image, so that a column holds the lowest, the next, ... score, and fused with the class's own score
    along their first principal component over images. The result is the mean of this and of the own score.

    Parameters
    ----------
    single : Tensor [n, N]
        Cosines to the classes, from which their scores are made.
    plain : Tensor [n, N]
        Cosines to plain prompts of the classes, the measure of the pairs.
    pairs : Tensor [n, P]
        Cosines to pairs of classes.
    members : Tensor [N, m]
        Columns of ``pairs`` that name each class.

    Returns
    -------
    Tensor [n, N]

    Raises
    ------
    CoMCError
        For fewer than two images, which have no deviation.

    References
    ----------
    Miller et al., SPARC, CVPR 2025.
    """
    if len(single) < 2:
        raise CoMCError(f"SPARC standardises over images; give two or more, not {len(single)}.")
    dtype = single.dtype
    single, plain, pairs = single.double(), plain.double(), pairs.double()
    own = standardise(standardise(single, dim=1), dim=0)
    pairs = standardise((pairs - plain.mean(dim=1, keepdim=True)) / plain.std(dim=1, keepdim=True), dim=0)
    fused = torch.empty_like(own)
    # Class by class: the pairs of all classes at once would be as large as N times the pairs' scores.
    for label, of_class in enumerate(members):
        evidence = torch.cat([pairs[:, of_class].sort(dim=1).values, own[:, [label]]], dim=1)  # (n, m + 1)
        fused[:, label] = evidence @ _first_component(evidence)
    return ((fused + own) / 2).to(dtype)


def _first_component(evidence: Float[Tensor, "n m"]) -> Float[Tensor, " m"]:
    """Weights whose absolute values sum to 1, and whose mean is not negative."""
    centred = evidence - evidence.mean(dim=0)
    direction = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    return direction / direction.abs().sum() * (1 if direction.mean() >= 0 else -1)
