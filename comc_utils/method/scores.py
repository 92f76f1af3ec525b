"""From image embeddings to label scores (eq. 8 to 12), for one alpha or many.

The classifier is linear, f(x) = W x + b, so it may look at original and mapped embeddings apart:

    f(alpha v + (1 - alpha) m) = alpha W v + (1 - alpha) W m + b,

the bias entering once, since alpha b + (1 - alpha) b = b. The logits W v and W m are computed once
for each image; every alpha is then a weighted sum, and the maximum over regions (eq. 10) is taken
after it. This holds for the released code's variant too, in which m stands for m / ||m||: its
length does not depend on alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.logits import SlicedEmbeddings, logits_of_chunks
from comc_utils.method.mapping import check_alpha
from comc_utils.store.large import empty

_CACHED_NUMBERS = 2**17
"""Logits of a chunk in a sweep: three arrays of these, 1.5 MB, fit into most processors' second-level cache."""


@dataclass(frozen=True)
class Scores:
    """Confidence scores of n images for N labels: raw logits, without a sigmoid.

    Parameters
    ----------
    global_scores : Tensor of shape (n, N)
        P^glob of eq. 8.
    aggregated : Tensor of shape (n, N), or None
        P^agg of eq. 10 and 11: each label's highest score over the regions; None without local
        embeddings.
    final : Tensor of shape (n, N)
        P^final of eq. 12; the global scores without local embeddings.
    """

    global_scores: Float[Tensor, "n n_labels"]
    aggregated: Float[Tensor, "n n_labels"] | None
    final: Float[Tensor, "n n_labels"]


@dataclass(frozen=True)
class ScoreComponents:
    """Logits before the fusion, without the bias.

    Parameters
    ----------
    global_original, global_mapped : Tensor of shape (n, N)
        W v^g and W m^g.
    local_original, local_mapped : Tensor of shape (n, K, N), or None
        W v^l and W m^l for K regions; None without local embeddings.
    bias : Tensor of shape (N,), or None
        b, for a classifier that has one.
    """

    global_original: Float[Tensor, "n n_labels"]
    global_mapped: Float[Tensor, "n n_labels"]
    local_original: Float[Tensor, "n k n_labels"] | None = None
    local_mapped: Float[Tensor, "n k n_labels"] | None = None
    bias: Float[Tensor, " n_labels"] | None = None

    def at(self, alpha: float) -> Scores:
        """Scores at one weighting factor.

        Parameters
        ----------
        alpha : float
            Share of the original embeddings, in [0, 1]; 1 means no mapping.

        Returns
        -------
        Scores

        Raises
        ------
        CoMCError
            Where alpha lies outside [0, 1].

        References
        ----------
        CoMC (ICML 2024), eq. 6 to 12.
        """
        return self.sweep([alpha])[0]

    def sweep(self, alphas: Sequence[float]) -> list[Scores]:
        """Scores at several weighting factors, for little more than the cost of one.

        Images go through in chunks small enough for the processor's cache, each at every alpha before the next.

        Parameters
        ----------
        alphas : sequence of float
            Each in [0, 1].

        Returns
        -------
        list of Scores
            One an alpha.

        Raises
        ------
        CoMCError
            Where an alpha lies outside [0, 1].

        References
        ----------
        CoMC (ICML 2024), eq. 6 to 12, Figure 3.
        """
        for alpha in alphas:
            check_alpha(alpha)
        whole = [
            self._biased(torch.lerp(self.global_mapped, self.global_original, float(alpha))) for alpha in alphas
        ]
        if self.local_original is None or self.local_mapped is None:
            return [Scores(global_scores=g, aggregated=None, final=g) for g in whole]
        n, n_regions, n_labels = self.local_original.shape
        aggregated = self.local_original.new_empty(len(alphas), n, n_labels)
        chunk = max(1, _CACHED_NUMBERS // (n_regions * n_labels))
        for start in range(0, n, chunk):
            rows = slice(start, start + chunk)
            original = self.local_original[rows].transpose(0, 1)  # (K, chunk, N)
            mapped = self.local_mapped[rows].transpose(0, 1)
            if len(alphas) > 1:  # the maximum of whole rows of memory is twice as fast
                original, mapped = original.contiguous(), mapped.contiguous()
            fused = torch.empty_like(original)
            for alpha, of_alpha in zip(alphas, aggregated, strict=True):
                torch.lerp(mapped, original, float(alpha), out=fused)
                torch.amax(fused, dim=0, out=of_alpha[rows])
        # A label's bias is the same in every region.
        return [
            Scores(global_scores=g, aggregated=a, final=(g + a) / 2)
            for g, a in zip(whole, map(self._biased, aggregated), strict=True)
        ]

    @staticmethod
    def concatenate(parts: Sequence[ScoreComponents], rows: Sequence[int]) -> ScoreComponents:
        """Put together what several classifiers scored, each its own images.

        Parameters
        ----------
        parts : sequence of ScoreComponents
            All with regions or all without.
        rows : sequence of int
            For each image, in the order of the parts, its place in the result: 0 to n - 1, each once.

        Returns
        -------
        ScoreComponents
            Without a bias of its own: each part's is added to both of its logits, which gives the same
            scores at every alpha.

        Raises
        ------
        CoMCError
            Where the rows are not a permutation.
        """
        order = torch.as_tensor(list(rows))
        n = sum(len(part.global_original) for part in parts)
        if not torch.equal(order.sort().values, torch.arange(n)):
            raise CoMCError(
                f"The parts hold {n} images, which need each row from 0 to {n - 1} once; "
                f"{len(order)} rows are given, {len(order.unique())} of them distinct."
            )

        def joined(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            if tensors[0] is None:
                return None
            biased = [t if part.bias is None else t + part.bias for t, part in zip(tensors, parts, strict=True)]
            return torch.cat(biased)[order.argsort()]

        logits = (field.name for field in fields(ScoreComponents) if field.name != "bias")
        return ScoreComponents(*map(joined, logits))

    def _biased(self, logits: Tensor) -> Tensor:
        return logits if self.bias is None else logits + self.bias


def score_components(
    classifier: LinearClassifier,
    image_global: Float[Tensor, "n d"],
    image_local: Float[Tensor, "n k d"] | SlicedEmbeddings | None,
    label_embeddings: Float[Tensor, "n_labels d"],
    *,
    tau: float,
    renormalise: bool = False,
    chunk_size: int | None = None,
) -> ScoreComponents:
    """Classify original and mapped embeddings apart, for use at any alpha.

    Parameters
    ----------
    classifier : LinearClassifier
        Trained on text embeddings of the same model; its type and device are those of the result.
    image_global : Tensor of shape (n, d)
        Global embeddings v^g, unit length.
    image_local : Tensor of shape (n, K, d), SlicedEmbeddings, or None
        Local embeddings v^l of K regions, unit length; read and converted chunk by chunk.
    label_embeddings : Tensor of shape (N, d)
        Label-specific text embeddings s, unit length.
    tau : float
        Temperature of eq. 4 and 5, above 0.
    renormalise : bool
        Whether mapped embeddings are scaled to unit length (`Preset.renormalise_mapped`).
    chunk_size : int, optional
        Images at a time; by default as many as keep the working memory near 128 MB.

    Returns
    -------
    ScoreComponents
        Logits of n images: 2 n (K + 1) N numbers; a gigabyte of them and more in a file, see `store.large`.

    Raises
    ------
    CoMCError
        Where shapes do not match, a setting is out of range, or a score comes out as NaN or
        infinite.

    References
    ----------
    CoMC (ICML 2024), eq. 4 to 9.
    """
    chunks = logits_of_chunks(
        classifier, image_global, image_local, label_embeddings, tau, renormalise, chunk_size
    )
    shapes = [tuple(image_global.shape)[:1]] * 2
    if image_local is not None:
        shapes += [tuple(image_local.shape)[:2]] * 2
    w = classifier.weight
    whole = [empty((*shape, len(w)), w.dtype, w.device) for shape in shapes]
    for rows, logits in chunks:
        for target, part in zip(whole, logits, strict=True):
            target[rows] = part
    return ScoreComponents(*whole, bias=classifier.bias)


def score_images(
    classifier: LinearClassifier,
    image_global: Float[Tensor, "n d"],
    image_local: Float[Tensor, "n k d"] | SlicedEmbeddings | None,
    label_embeddings: Float[Tensor, "n_labels d"],
    *,
    alpha: float,
    tau: float,
    renormalise: bool = False,
    chunk_size: int | None = None,
) -> Scores:
    """Score images at one alpha: Algorithm 2 from the embeddings on.

    Unlike `score_components` it never holds the regions' logits of all images at once.

    Parameters
    ----------
    classifier : LinearClassifier
        Trained on text embeddings of the same model; its type and device are those of the result.
    image_global : Tensor of shape (n, d)
        Global embeddings v^g, unit length.
    image_local : Tensor of shape (n, K, d), SlicedEmbeddings, or None
        Local embeddings v^l of K regions, unit length; read and converted chunk by chunk.
    label_embeddings : Tensor of shape (N, d)
        Label-specific text embeddings s, unit length.
    alpha : float
        Share of the original embeddings, in [0, 1]; the paper's values are 0.7 on MS-COCO, 0.4 on
        VOC2007 and 0.5 on NUS-WIDE.
    tau : float
        Temperature of eq. 4 and 5, above 0.
    renormalise : bool
        Whether mapped embeddings are scaled to unit length (`Preset.renormalise_mapped`).
    chunk_size : int, optional
        Images at a time; by default as many as keep the working memory near 128 MB.

    Returns
    -------
    Scores

    Raises
    ------
    CoMCError
        Where shapes do not match, a setting is out of range, or a score comes out as NaN or
        infinite.

    References
    ----------
    CoMC (ICML 2024), Algorithm 2, eq. 4 to 12.
    """
    check_alpha(alpha)
    chunks = logits_of_chunks(
        classifier, image_global, image_local, label_embeddings, tau, renormalise, chunk_size
    )
    parts = [ScoreComponents(*logits, bias=classifier.bias).at(alpha) for _, logits in chunks]
    return Scores(
        global_scores=torch.cat([p.global_scores for p in parts]),
        aggregated=None if image_local is None else torch.cat([p.aggregated for p in parts]),
        final=torch.cat([p.final for p in parts]),
    )
