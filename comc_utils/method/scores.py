"""From image embeddings to label scores (eq. 8 to 12), for one alpha or many.

The classifier is linear, f(x) = W x + b, so it may look at original and mapped embeddings apart:

    f(alpha v + (1 - alpha) m) = alpha W v + (1 - alpha) W m + b,

the bias entering once, since alpha b + (1 - alpha) b = b. The logits W v and W m are computed once
for each image; every alpha is then a weighted sum, and the maximum over regions (eq. 10) is taken
after it. This holds for the released code's variant too, in which m stands for m / ||m||: its
length does not depend on alpha.

Nor is m itself needed. It is S^T w for the label embeddings S and the weights w of eq. 4, so that
W m = (W S^T) w takes one small matrix, and ||m||^2 = w^T (S S^T) w another. `mapping.map_to_text`
gives m to those who want to look at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.mapping import check_alpha, check_temperature

_CACHED_NUMBERS = 2**17
"""Logits of a chunk in a sweep: three arrays of these, 1.5 MB, fit into most processors' second-level cache."""

_WORKING_BYTES = 2**27
"""Memory for a chunk of images on its way from embeddings to logits: some 450 images of 49 regions. With a
quarter of it the matrix product took a fifth longer on two cores, with twice as much little less."""

_SHORTEST = 1e-12
"""Of mapped embeddings before the division by their length, as in `torch.nn.functional.normalize`."""


class SlicedEmbeddings(Protocol):
    """Embeddings that come in slices, such as a file's: all that scoring asks of local embeddings."""

    @property
    def shape(self) -> Sequence[int]:
        """n, K, d."""

    def __getitem__(self, rows: slice, /) -> Float[Tensor, "m k d"]:
        """Embeddings of the images `rows`, of any floating type."""


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
    local_original: Float[Tensor, "n k n_labels"] | None
    local_mapped: Float[Tensor, "n k n_labels"] | None
    bias: Float[Tensor, " n_labels"] | None

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
            self._biased(torch.lerp(self.global_mapped, self.global_original, float(alpha)))
            for alpha in alphas
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
            biased = [
                t if part.bias is None else t + part.bias
                for t, part in zip(tensors, parts, strict=True)
            ]
            return torch.cat(biased)[order.argsort()]

        return ScoreComponents(
            global_original=joined("global_original"),
            global_mapped=joined("global_mapped"),
            local_original=joined("local_original"),
            local_mapped=joined("local_mapped"),
            bias=None,
        )

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
        Logits of n images: 2 n (K + 1) N numbers.

    Raises
    ------
    CoMCError
        Where shapes do not match, a setting is out of range, or a score comes out as NaN or
        infinite.

    References
    ----------
    CoMC (ICML 2024), eq. 4 to 9.
    """
    chunks = _components_of_chunks(
        classifier,
        image_global,
        image_local,
        label_embeddings,
        tau=tau,
        renormalise=renormalise,
        chunk_size=chunk_size,
    )
    n, n_labels = len(image_global), len(classifier.weight)
    regions = None if image_local is None else tuple(image_local.shape)[:2]

    def empty(shape: tuple[int, ...] | None) -> Tensor | None:
        return None if shape is None else classifier.weight.new_empty(*shape, n_labels)

    whole = ScoreComponents(
        global_original=empty((n,)),
        global_mapped=empty((n,)),
        local_original=empty(regions),
        local_mapped=empty(regions),
        bias=classifier.bias,
    )
    for rows, part in chunks:
        whole.global_original[rows] = part.global_original
        whole.global_mapped[rows] = part.global_mapped
        if regions is not None:
            whole.local_original[rows] = part.local_original
            whole.local_mapped[rows] = part.local_mapped
    return whole


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
    parts = [
        components.at(alpha)
        for _, components in _components_of_chunks(
            classifier,
            image_global,
            image_local,
            label_embeddings,
            tau=tau,
            renormalise=renormalise,
            chunk_size=chunk_size,
        )
    ]
    return Scores(
        global_scores=torch.cat([p.global_scores for p in parts]),
        aggregated=None if image_local is None else torch.cat([p.aggregated for p in parts]),
        final=torch.cat([p.final for p in parts]),
    )


def _components_of_chunks(
    classifier: LinearClassifier,
    image_global: Tensor,
    image_local: Tensor | SlicedEmbeddings | None,
    label_embeddings: Tensor,
    *,
    tau: float,
    renormalise: bool,
    chunk_size: int | None,
) -> Iterator[tuple[slice, ScoreComponents]]:
    """Rows of images with their logits; what is wrong with the input is said before the first."""
    _check_shapes(classifier, image_global, image_local, label_embeddings)
    check_temperature(tau)
    n_regions = 1 if image_local is None else image_local.shape[1]
    if chunk_size is None:
        chunk_size = _images_at_once(classifier.weight, len(label_embeddings), n_regions)
    if chunk_size < 1:
        raise CoMCError(f"chunk_size is {chunk_size}; give 1 or more images.")
    layers = _Layers.of(classifier, label_embeddings, tau=tau, renormalise=renormalise)
    buffer: list[Tensor] = []

    def converted(regions: Tensor) -> Tensor:
        # Of half-precision numbers, into the same memory each time: new memory takes longer than the numbers.
        if regions.dtype == classifier.weight.dtype:
            return regions
        if not buffer:
            buffer.append(torch.empty_like(regions, dtype=classifier.weight.dtype))
        return buffer[0][: len(regions)].copy_(regions)

    def chunks() -> Iterator[tuple[slice, ScoreComponents]]:
        for start in range(0, len(image_global), chunk_size):
            rows = slice(start, start + chunk_size)
            local = (
                (None, None) if image_local is None else layers.logits(converted(image_local[rows]))
            )
            logits = (*layers.logits(image_global[rows]), *local)
            _check_finite([t for t in logits if t is not None], first_image=start)
            yield rows, ScoreComponents(*logits, bias=classifier.bias)

    return chunks()


@dataclass(frozen=True)
class _Layers:
    """The matrices between embeddings and logits."""

    first: Float[Tensor, "n_both d"]
    """S / tau over W: similarities and original logits in one product."""
    second: Float[Tensor, "n_s n_labels"]
    """(W S^T)^T: from weights to mapped logits."""
    root: Float[Tensor, "n_s rank"] | None
    """R^T for S^T = Q R, where mapped embeddings are scaled to unit length."""

    @classmethod
    def of(
        cls,
        classifier: LinearClassifier,
        label_embeddings: Tensor,
        *,
        tau: float,
        renormalise: bool,
    ) -> _Layers:
        # Small, so that float64 on the CPU costs nothing and their rounding does not count.
        w, s = classifier.weight.cpu().double(), label_embeddings.cpu().double()
        # w^T (S S^T) w = ||R w||^2. Of the two, R w keeps the digits where label embeddings nearly cancel
        # each other: it errs as S^T w itself does, whereas an error in the square grows as 1 / ||m||^2.
        root = torch.linalg.qr(s.T, mode="r").R.T if renormalise else None
        return cls(
            first=torch.cat([s / tau, w]).to(classifier.weight),
            second=(s @ w.T).to(classifier.weight),
            root=None if root is None else root.to(classifier.weight),
        )

    def logits(
        self, embeddings: Float[Tensor, "*batch d"]
    ) -> tuple[Float[Tensor, "*batch n_labels"], Float[Tensor, "*batch n_labels"]]:
        """W v and W m, without the bias."""
        similarity, original = (embeddings.to(self.first) @ self.first.T).split(
            self.second.shape, dim=-1
        )
        weights = similarity.softmax(dim=-1)
        mapped = weights @ self.second
        if self.root is not None:
            length = (weights @ self.root).norm(dim=-1, keepdim=True)
            mapped /= length.clamp_min(_SHORTEST)
        return original, mapped


def _images_at_once(weight: Tensor, n_label_embeddings: int, n_regions: int) -> int:
    n_labels, d = weight.shape
    # An embedding, its similarities and logits, and what is computed from them on the way.
    numbers = n_regions * (d + 3 * (n_label_embeddings + n_labels))
    return max(1, _WORKING_BYTES // (numbers * weight.element_size()))


def _check_shapes(
    classifier: LinearClassifier,
    image_global: Tensor,
    image_local: Tensor | SlicedEmbeddings | None,
    label_embeddings: Tensor,
) -> None:
    d = classifier.weight.shape[1]
    shape = tuple(image_global.shape)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != d:
        raise CoMCError(
            f"Global image embeddings have the shape {shape}; expected (n, {d}) with at least one "
            f"image, as the classifier takes {d} inputs."
        )
    if image_local is not None:
        n, local_shape = shape[0], tuple(image_local.shape)
        if (
            len(local_shape) != 3
            or local_shape[0] != n
            or local_shape[1] == 0
            or local_shape[2] != d
        ):
            raise CoMCError(
                f"Local image embeddings have the shape {local_shape}; expected ({n}, K, {d}) "
                "with at least one region, to go with the global embeddings."
            )
    if label_embeddings.ndim != 2 or label_embeddings.shape[1] != d:
        raise CoMCError(
            f"Label embeddings have the shape {tuple(label_embeddings.shape)}; expected (N, {d}), "
            f"as the classifier takes {d} inputs."
        )


def _check_finite(logits: Sequence[Float[Tensor, "n *k n_labels"]], *, first_image: int) -> None:
    # A sum is as telling as a look at each number, and far cheaper; finite numbers whose sum overflows
    # are looked at one by one.
    if all(t.sum().isfinite() for t in logits):
        return
    broken = torch.stack([~t.flatten(1).isfinite().all(dim=1) for t in logits]).any(dim=0)
    if broken.any():
        image = first_image + int(broken.nonzero()[0])
        raise CoMCError(
            f"The scores of image {image} (counted from 0) contain NaN or infinity; check its "
            "embeddings, the label embeddings and the classifier's weights."
        )
