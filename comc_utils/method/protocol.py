"""The one protocol of methods: what each declares, what it may see, what it has learned, how it scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from comc_utils.clip import Clip, ImageEmbeddings
from comc_utils.clip.tokens import TokenEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import LogitChunks
from comc_utils.method.training import EpochRecord
from comc_utils.sentences.labels import label_prompt
from comc_utils.store.fingerprint import hash_tensors, hash_texts


class LearnsFrom(str, Enum):
    """What a method is shown before it recognises anything."""

    NOTHING = "nothing"
    SENTENCES = "sentences"
    FEW_IMAGES = "a few labelled images"
    SEEN_IMAGES = "labelled images of seen classes"

    __str__ = str.__str__


class Need(str, Enum):
    """What a method cannot do without, where it may be missing."""

    TEXT_TOWER = "a text tower, to embed texts of its own"
    LEARNED_PROMPTS = "a text tower that takes learned vectors: CLIP's own text transformer"
    TOKENS = "embeddings of single tokens"
    REGIONS = "local embeddings"

    __str__ = str.__str__


@dataclass(frozen=True, eq=False)
class LabelledText:
    """M sentences, embedded by the frozen text tower.

    Attributes
    ----------
    embeddings : Tensor [M, d]
        Unit vectors of the sentences.
    labels : Tensor [M, N]
        0 or 1.
    fingerprint : str
        Stands for all of it: the sentences, their labels, and what embedded them.
    tokens : TokenEmbeddings or None
        Unit vectors of their tokens, for a method that looks at these.
    """

    embeddings: Float[Tensor, "m d"]
    labels: Shaped[Tensor, "m n_labels"]
    fingerprint: str
    tokens: TokenEmbeddings | None = None


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """m images, embedded by the frozen image tower.

    Attributes
    ----------
    class_names : tuple of str
        Of the labels' columns: the classes to recognise, or others.
    embeddings : ImageEmbeddings
        To be taken in any order; local ones perhaps in shards.
    labels : Tensor [m, N]
        0 or 1.
    """

    class_names: tuple[str, ...]
    embeddings: ImageEmbeddings
    labels: Shaped[Tensor, "m n_labels"]

    @property
    def fingerprint(self) -> str:
        """Stands for all of it."""
        parts = {k: part for k, part in vars(self.embeddings).items() if part is not None}
        tensors = {k: part for k, part in parts.items() if isinstance(part, Tensor)} | {"labels": self.labels}
        in_shards = [f"{k} {dict(part.key)}" for k, part in parts.items() if k not in tensors]
        return hash_texts([hash_tensors(tensors), *in_shards, *self.class_names])

    def of_classes(self, class_names: Sequence[str]) -> LabelledImages:
        """The same images with labels of some of the classes alone."""
        columns = [self.class_names.index(name) for name in class_names]
        return replace(self, class_names=tuple(class_names), labels=self.labels[:, columns])


@dataclass(frozen=True, eq=False)
class Task:
    """Classes to recognise, and what a method may see before.

    Attributes
    ----------
    class_names : tuple of str
        The N classes to recognise.
    class_embeddings : Tensor [N, d]
        Unit vectors s of their prompts, "a photo of a/an [c]." (section 3.3).
    tau : float
        CLIP's temperature, of eq. 4 and 5.
    text : LabelledText or None
        Sentences about the classes.
    images : LabelledImages or None
        Images that show them, or, from seen to unseen classes, others.
    clip : Clip or None
        The frozen towers, for a method that learns through them.
    embed_texts : callable or None
        From texts to unit vectors [n, d], where there is a text tower.
    towers : str
        Stands for the towers and how they are run.
    """

    class_names: tuple[str, ...]
    class_embeddings: Float[Tensor, "n_labels d"]
    tau: float
    text: LabelledText | None = None
    images: LabelledImages | None = None
    clip: Clip | None = None
    embed_texts: Callable[[Sequence[str]], Float[Tensor, "n d"]] | None = None
    towers: str = ""

    @property
    def device(self) -> torch.device:
        """Where learning runs: where the towers are."""
        return torch.device("cpu") if self.clip is None else self.clip.device

    def embed(self, texts: Sequence[str], method: str = "This") -> Float[Tensor, "n d"]:
        """Unit vectors of texts; a `CoMCError` that names the method where nothing embeds them."""
        if self.embed_texts is None:
            raise CoMCError(f"{method} needs {Need.TEXT_TOWER}; these embeddings come without one.")
        return self.embed_texts(texts)

    def embed_classes(self, names: Sequence[str], method: str = "This") -> Float[Tensor, "n d"]:
        """Unit vectors of classes by their prompts, "a photo of a/an [c]."; otherwise as `embed`."""
        return self.embed([label_prompt(name) for name in names], method)

    def need_clip(self, method: str) -> Clip:
        """The towers; a `CoMCError` that names the method where there are none."""
        if self.clip is None:
            raise CoMCError(f"{method} needs {Need.LEARNED_PROMPTS}; here are embeddings alone.")
        return self.clip

    def need_text(self, method: str) -> LabelledText:
        """The sentences; a `CoMCError` that names the method where there are none."""
        if self.text is None:
            raise CoMCError(f"{method} learns from sentences; give the task some (text=...).")
        return self.text

    def need_images(self, method: str) -> LabelledImages:
        """The labelled images; a `CoMCError` that names the method where there are none."""
        if self.images is None:
            raise CoMCError(f"{method} learns from labelled images; give the task some (images=...).")
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


def need_regions(images: ImageEmbeddings, method: str) -> Float[Tensor, "n k d"]:
    """Local embeddings; a `CoMCError` that names the method where there are none."""
    if images.local is None:
        raise CoMCError(f"{method} learns from regions; embed the images with local ones.")
    return images.local


@dataclass(frozen=True, eq=False)
class Learned:
    """What a method has learned: all that its recogniser cannot have from its settings and its task.

    Attributes
    ----------
    tensors : mapping of str to Tensor
        On the CPU; empty where nothing is learned.
    history : list of EpochRecord
        Loss and learning rate of each epoch, for what is learned by steps.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def n_parameters(self) -> int:
        """How many numbers were learned."""
        return sum(t.numel() for t in self.tensors.values() if t.is_floating_point())


class Recogniser(ABC):
    """A method that has learned what it learns."""

    @abstractmethod
    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score n images for the N classes of the task, as its authors do; the higher the surer."""

    def logits(self, images: ImageEmbeddings) -> LogitChunks:
        """Give what `comparable_scores` normalises.

        Parameters
        ----------
        images : ImageEmbeddings

        Returns
        -------
        iterator
            Chunks of images with their logits and, where the method looks at regions one by one, with these'
            logits before they are pooled. Cosines are divided by the temperature of the model that they are of.
            By default `score` of all images.
        """
        yield slice(0, len(images)), self.score(images), None


class Method(ABC):
    """A method with its settings: a frozen dataclass.

    Attributes
    ----------
    name : str
    learns_from : LearnsFrom
    needs : frozenset of Need
        What it cannot do without.
    random : bool
        Whether what is learned depends on the seed.
    transductive : bool
        Whether an image's scores depend on the other images that are scored with it, unlabelled as they are.
        Otherwise the method is inductive: they depend on that image alone.
    """

    name: str
    learns_from: ClassVar[LearnsFrom]
    needs: ClassVar[frozenset[Need]] = frozenset()
    random: ClassVar[bool] = True
    transductive: ClassVar[bool] = False

    @property
    def learning_settings(self) -> str:
        """In words, every setting that what is learned depends on: the key under which it is kept."""
        return repr(self)

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn from what the task lets the method see.

        Parameters
        ----------
        task : Task
        seed : int
            One seed gives one result; of no consequence where nothing is random.
        progress : bool
            Whether to show a bar, where learning takes steps.

        Returns
        -------
        Learned

        Raises
        ------
        CoMCError
            The task lacks what the method learns from, or needs.
        """
        return Learned()

    @abstractmethod
    def recogniser(self, learned: Learned, task: Task) -> Recogniser:
        """Make ready what scores images, from what `learn` gave on the same task."""

    def fit(self, task: Task, *, seed: int, progress: bool = False) -> Any:
        """Learn, and make the recogniser ready: `recogniser` of `learn`."""
        return self.recogniser(self.learn(task, seed=seed, progress=progress), task)

    def at_rate(self, factor: float) -> Method | None:
        """Give the method another learning rate, or what stands for it where the minimum is found otherwise.

        Parameters
        ----------
        factor : float
            Of the learning rate; of the inverse penalty of a regression.

        Returns
        -------
        Method or None
            None where nothing is learned, or what is learned has no such setting.
        """
        return None

    def shortened(self, divisor: int) -> Method:
        """Let it learn for one in so many of its epochs, where these take long: for runs of seconds."""
        return self
