"""Zero-shot CLIP: each label's prompt against the whole image (Table 1, first row)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Task


@dataclass(frozen=True, eq=False)
class ClassPrompts:
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


def zero_shot_scores(
    global_embeddings: Float[Tensor, "n d"],
    label_embeddings: Float[Tensor, "n_labels d"],
    *,
    scale: float,
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
