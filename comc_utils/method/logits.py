"""From image embeddings to the classifier's logits, original and mapped apart (eq. 4 to 9 but for the fusion).

The mapped embedding m itself is not needed. It is S^T w for the label embeddings S and the weights w of eq. 4,
so that W m = (W S^T) w takes one small matrix, and ||m||^2 = w^T (S S^T) w another. `mapping.map_to_text`
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
from comc_utils.method.mapping import check_temperature

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


def logits_of_chunks(
    classifier: LinearClassifier,
    image_global: Tensor,
    image_local: Tensor | SlicedEmbeddings | None,
    label_embeddings: Tensor,
    tau: float,
    renormalise: bool,
    chunk_size: int | None,
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Classify original and mapped embeddings apart, some images at a time.

    Parameters
    ----------
    classifier : LinearClassifier
        Its type and device are those of the result.
    image_global : Tensor of shape (n, d)
        Global embeddings v^g, unit length.
    image_local : Tensor of shape (n, K, d), SlicedEmbeddings, or None
        Local embeddings v^l of K regions, unit length; read and converted chunk by chunk.
    label_embeddings : Tensor of shape (N, d)
        Label-specific text embeddings s, unit length.
    tau : float
        Temperature of eq. 4 and 5, above 0.
    renormalise : bool
        Whether mapped embeddings are scaled to unit length.
    chunk_size : int or None
        Images at a time; with None as many as keep the working memory near 128 MB.

    Returns
    -------
    iterator of (slice, list of Tensor)
        Rows of images with W v^g and W m^g (m, N), and, with local embeddings, W v^l and W m^l (m, K, N);
        without the bias.

    Raises
    ------
    CoMCError
        At once where shapes do not match or a setting is out of range; on the way where a logit comes out
        as NaN or infinite.
    """
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

    def chunks() -> Iterator[tuple[slice, list[Tensor]]]:
        for start in range(0, len(image_global), chunk_size):
            rows = slice(start, start + chunk_size)
            local = () if image_local is None else layers.logits(converted(image_local[rows]))
            logits = [*layers.logits(image_global[rows]), *local]
            _check_finite(logits, first_image=start)
            yield rows, logits

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
        local_shape = tuple(image_local.shape)
        if len(local_shape) != 3 or local_shape[::2] != shape or local_shape[1] == 0:
            raise CoMCError(
                f"Local image embeddings have the shape {local_shape}; expected ({shape[0]}, K, {d}) "
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
