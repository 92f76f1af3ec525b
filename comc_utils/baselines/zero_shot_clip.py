"""Zero-shot CLIP: each label's prompt against the whole image (Table 1, first row)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.logits import SlicedEmbeddings
from comc_utils.method.normalise import LogitChunks
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Recogniser, Task


@dataclass(frozen=True, eq=False)
class ClassPrompts(Recogniser):
    """Embedded prompts that score whole images.

    Attributes
    ----------
    prompts : Tensor [N, d]
        Unit vectors.
    scale : float
        Factor of cosines.
    """

    prompts: Float[Tensor, "n_labels d"]
    scale: float

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by their cosine to the prompts, [n, N] in [-scale, scale]."""
        return zero_shot_scores(images.with_position, self.prompts, scale=self.scale)


@dataclass(frozen=True)
class ZeroShotClip(Method):
    """CLIP as it is, with one prompt a class."""

    name: ClassVar[str] = "Zero-shot CLIP"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    random: ClassVar[bool] = False

    def recogniser(self, learned: Learned, task: Task) -> ClassPrompts:
        """Compare images with the class embeddings."""
        return ClassPrompts(task.class_embeddings, 1 / task.tau)


def prompt_logits(
    whole: Float[Tensor, "n d"],
    regions: Float[Tensor, "n k d"] | SlicedEmbeddings | None,
    prompts: Float[Tensor, "n_labels d"],
    region_prompts: Float[Tensor, "n_labels d"],
    *,
    scale: float,
    chunk_size: int = 256,
) -> LogitChunks:
    """Compare images, and their regions where there are some, with prompts: what `Recogniser.logits` gives.

    Parameters
    ----------
    whole : Tensor of shape (n, d)
        Unit vectors of images.
    regions : Tensor or SlicedEmbeddings of shape (n, K, d), or None
        Unit vectors of their regions.
    prompts, region_prompts : Tensor of shape (N, d)
        Unit vectors that the images, and that the regions are compared with.
    scale : float
        Factor of cosines: one over the temperature of the model.
    chunk_size : int
        Images at a time.

    Returns
    -------
    iterator
        Rows, scale x cosine of the images (m, N), and of their regions (m, K, N).
    """
    if regions is None:
        yield slice(0, len(whole)), scale * whole @ prompts.T, None
        return
    for rows, local in region_logits(regions, region_prompts, scale=scale, chunk_size=chunk_size):
        yield rows, scale * whole[rows] @ prompts.T, local


def region_logits(
    regions: Float[Tensor, "n k d"] | SlicedEmbeddings,
    prompts: Float[Tensor, "n_labels d"],
    *,
    scale: float,
    chunk_size: int = 256,
) -> Iterator[tuple[slice, Float[Tensor, "m k n_labels"]]]:
    """Compare regions with prompts, some images at a time: rows, and scale x cosine of their regions."""
    for first in range(0, regions.shape[0], chunk_size):
        rows = slice(first, first + chunk_size)
        # Half-precision ones come from shards.
        yield rows, scale * regions[rows].to(prompts) @ prompts.T


def zero_shot_scores(
    global_embeddings: Float[Tensor, "n d"], label_embeddings: Float[Tensor, "n_labels d"], *, scale: float
) -> Float[Tensor, "n n_labels"]:
    """Score images by their similarity to label prompts.

    Parameters
    ----------
    global_embeddings : Tensor of shape (n, d)
        Global image embeddings, unit length; the baseline takes CLIP's own, with positional
        embedding.
    label_embeddings : Tensor of shape (N, d)
        Text embeddings of the label prompts, unit length.
    scale : float
        CLIP's learned logit scale, 100 for OpenAI's models.

    Returns
    -------
    Tensor of shape (n, N)
        scale x cosine, in [-scale, scale].

    Raises
    ------
    CoMCError
        Where shapes do not match.

    References
    ----------
    Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
    2021.
    """
    if (
        global_embeddings.ndim != 2
        or label_embeddings.ndim != 2
        or global_embeddings.shape[1] != label_embeddings.shape[1]
    ):
        raise CoMCError(
            f"Global embeddings have the shape {tuple(global_embeddings.shape)} and label "
            "embeddings "
            f"{tuple(label_embeddings.shape)}; expected (n, d) and (N, d) from the same model."
        )
    return scale * global_embeddings @ label_embeddings.T
