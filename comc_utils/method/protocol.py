"""What every method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float, Shaped
from torch import Tensor

from comc_utils.clip import Clip, ImageEmbeddings
from comc_utils.clip.tokens import TokenEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import label_prompt


@dataclass(frozen=True, eq=False)
class LabelledText:
    """M sentences, embedded by the frozen text tower.

    Attributes
    ----------
    embeddings : Tensor [M, d]
        Unit vectors of the sentences.
    tokens : TokenEmbeddings or None
        Unit vectors of their tokens, for a method that looks at these.
    labels : Tensor [M, N]
        0 or 1.
    """

    embeddings: Float[Tensor, "m d"]
    tokens: TokenEmbeddings | None
    labels: Shaped[Tensor, "m n_labels"]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """m images, embedded by the frozen image tower.

    Attributes
    ----------
    class_names : tuple of str
        Of the labels' columns: the classes to recognise, or others.
    embeddings : ImageEmbeddings
    labels : Tensor [m, N]
        0 or 1.
    """

    class_names: tuple[str, ...]
    embeddings: ImageEmbeddings
    labels: Shaped[Tensor, "m n_labels"]


@dataclass(frozen=True, eq=False)
class Task:
    """Classes to recognise, and what a method may see before.

    Attributes
    ----------
    clip : Clip
        The frozen towers.
    class_names : tuple of str
        The N classes to recognise.
    text : LabelledText or None
        Sentences about them.
    images : LabelledImages or None
        Images that show them, or, from seen to unseen classes, others.
    """

    clip: Clip
    class_names: tuple[str, ...]
    text: LabelledText | None = None
    images: LabelledImages | None = None

    def embed_classes(self, names: Sequence[str]) -> Float[Tensor, "n d"]:
        """Embed class names by their prompts, "a photo of a/an [c].", as unit vectors."""
        return self.clip.encode_text([label_prompt(name) for name in names])

    def need_text(self, method: str) -> LabelledText:
        """The sentences; a `CoMCError` that names the method where there are none."""
        if self.text is None:
            raise CoMCError(f"{method} learns from sentences; give the task some (text=...).")
        return self.text

    def need_images(self, method: str) -> LabelledImages:
        """The labelled images; a `CoMCError` that names the method where there are none."""
        if self.images is None:
            raise CoMCError(
                f"{method} learns from labelled images; give the task some (images=...)."
            )
        return self.images

    def need_images_of_classes(self, method: str) -> LabelledImages:
        """The labelled images; a `CoMCError` where there are none, or their labels are other classes'."""
        images = self.need_images(method)
        if images.class_names != self.class_names:
            raise CoMCError(
                f"{method} learns from images in which the classes to recognise are labelled, in their order; "
                f"these label {', '.join(images.class_names[:3])}, ..."
            )
        return images


class Recogniser(Protocol):
    """A method that has learned what it learns."""

    n_parameters: int
    """Numbers that were learned."""

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score n images for the N classes of the task; the higher the surer."""
        ...


class Method(Protocol):
    """A method with its settings."""

    name: str
    learns_from: str
    """In words, for tables."""

    def fit(self, task: Task, *, seed: int) -> Recogniser:
        """Learn from what the task lets it see; one seed gives one result."""
        ...
