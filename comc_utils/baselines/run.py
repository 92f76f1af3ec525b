"""Methods side by side: each sees what it may of an experiment, and scores the same images.

Training a prompt takes up to a minute and several notebooks ask for the same ones, so scores are kept in the
cache, under a key that holds whatever they depend on, with the time that they took when they were computed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from comc_utils.baselines import (
    ConSE,
    LabelledImages,
    LabelledText,
    Method,
    RidgeClassifier,
    Task,
)
from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.text import is_causal
from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.nuswide import load_nuswide_tags
from comc_utils.experiment import SMOKE_EPOCHS, EncodedExperiment
from comc_utils.miniworld import load_miniworld
from comc_utils.store.fingerprint import code_fingerprint, hash_tensors, hash_texts

MOST_SEEN = 10_000
"""Images with labels of seen classes that are learned from: as many as memory holds with their regions."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a method.

    Attributes
    ----------
    scores : tuple of ndarray [n, N]
        Of each set of images that it was to recognise.
    seconds : float
        Its learning took, embeddings being there.
    n_parameters : int
        It learned.
    """

    scores: tuple[Float[np.ndarray, "n n_labels"], ...]
    seconds: float
    n_parameters: int


def run_method(
    method: Method,
    experiment: EncodedExperiment,
    *,
    seed: int,
    shown: LabelledImages | None = None,
    tests: Sequence[MultiLabelImages | ImageEmbeddings] | None = None,
    class_names: Sequence[str] | None = None,
) -> Outcome:
    """Let a method learn, and score images with it.

    In a smoke run of the experiment it learns for a tenth of its epochs.

    Parameters
    ----------
    method : Method
    experiment : EncodedExperiment
        Its towers, its sentences, and its test images.
    seed : int
        Of the method.
    shown : LabelledImages, optional
        To learn from, for a method that does.
    tests : sequence of MultiLabelImages or ImageEmbeddings, optional
        Sets of images to score in place of the experiment's test split.
    class_names : sequence of str, optional
        Classes to recognise in place of the experiment's own; the text is about its own.

    Returns
    -------
    Outcome

    Raises
    ------
    CoMCError
        The method learns from what is not given.
    """
    names = tuple(class_names or experiment.class_names)
    learns_from_text = method.learns_from == "sentences"
    with_tokens = getattr(method, "looks_at_tokens", False)
    sets = [experiment.images] if tests is None else tests
    takes_steps = hasattr(method, "training")
    if experiment.smoke and takes_steps:
        training = method.training
        epochs = max(training.warmup_epochs + 1, training.epochs // SMOKE_EPOCHS)
        method = replace(method, training=replace(training, epochs=epochs))
    key = experiment.cache_key("scores of a method") | {
        "method": repr(method),
        "seed": seed,
        "classes": hash_texts(names),
        "resize": experiment.preset.resize,
        "images": " ".join(
            _hash_embeddings(s) if isinstance(s, ImageEmbeddings) else s.fingerprint for s in sets
        ),
        "text": _hash_text(experiment) if learns_from_text else "",
        "shown": _hash_images(shown) if shown else "",
        "code": code_fingerprint("comc_utils.baselines"),
    }

    def compute() -> dict[str, torch.Tensor]:
        task = Task(
            clip=experiment.clip,
            class_names=names,
            text=_text(experiment, with_tokens=with_tokens) if learns_from_text else None,
            images=shown,
        )
        start = time.perf_counter()
        recogniser = method.fit(task, seed=seed, **({"progress": True} if takes_steps else {}))
        seconds = time.perf_counter() - start
        embedded = [s if isinstance(s, ImageEmbeddings) else embed(experiment, s) for s in sets]
        scores = {f"scores {i}": recogniser.score(s).clone() for i, s in enumerate(embedded)}
        numbers = torch.tensor([seconds, recogniser.n_parameters], dtype=torch.float64)
        return scores | {"seconds, parameters": numbers}

    stored = experiment.cache.get(key, compute)
    seconds, n_parameters = stored["seconds, parameters"].tolist()
    scores = tuple(stored[f"scores {i}"].numpy() for i in range(len(sets)))
    return Outcome(scores, seconds, int(n_parameters))


def at_rate(method: Method, factor: float) -> Method | None:
    """Give a method another learning rate, or what stands for it where the minimum is found otherwise.

    Parameters
    ----------
    method : Method
    factor : float
        Of its learning rate; of the inverse penalty of a regression.

    Returns
    -------
    Method or None
        None where nothing is learned.
    """
    if isinstance(method, RidgeClassifier):
        return replace(method, penalty=method.penalty / factor)
    if isinstance(method, ConSE):
        return replace(method, inverse_penalty=method.inverse_penalty * factor)
    for part in ("training", "preset"):
        settings = getattr(method, part, None)
        if settings is not None:
            faster = replace(settings, learning_rate=settings.learning_rate * factor)
            return replace(method, **{part: faster})
    return None


@dataclass(frozen=True, eq=False)
class SeenAndUnseen:
    """What zero-shot learning from images goes by.

    Attributes
    ----------
    seen : MultiLabelImages
        Images to learn from, in which S seen classes are labelled.
    all_labels : ndarray [n, N + S]
        Of the experiment's test images: the N unseen classes, then the seen ones.
    """

    seen: MultiLabelImages
    all_labels: UInt8[np.ndarray, "n n_classes"]


def seen_and_unseen(experiment: EncodedExperiment) -> SeenAndUnseen | None:
    """Find images with labels of other classes than the experiment's, which are the unseen ones.

    None of them is among those for the ``choice`` of settings.

    Parameters
    ----------
    experiment : EncodedExperiment
        Of the embedded world, whose distractors are seen; or of NUS-WIDE, whose 925 tags are.

    Returns
    -------
    SeenAndUnseen or None
        None where a profile has no such labels.

    Raises
    ------
    CoMCError
        NUS-WIDE's tags are damaged.
    """
    profile, images = experiment.profile, experiment.images
    if profile.images == "drawn":
        n_labelled, pool = len(experiment.labelled_images), experiment.labelled_parts["pool"]
        labelled = load_miniworld(profile.training_split, n_labelled, classes="distractors")
        everything = load_miniworld("test", len(images), classes="all")
        return SeenAndUnseen(labelled.subset(pool), everything.labels)
    if profile.name != "nuswide" or not (experiment.data / "NUS_WID_Tags").is_dir():
        return None
    n_looked_at = len(images) + len(images.unreadable)
    limit = n_looked_at if experiment.limit or experiment.smoke else None
    tags = load_nuswide_tags(experiment.data, "test", limit=limit)
    # As many images to learn from as the labelled ones, which are the same files; none of those on which
    # settings are chosen.
    labelled = experiment.labelled_images
    chosen_on = set(labelled.subset(experiment.labelled_parts["choice"]).ids)
    seen = load_nuswide_tags(
        experiment.data,
        "train",
        limit=len(labelled) if limit else None,
        draft_size=experiment.draft_size,
    )
    rows = [row for row, name in enumerate(seen.ids) if name not in chosen_on]
    rows = np.random.default_rng(experiment.seed).permutation(rows)[:MOST_SEEN]
    of_tests = tags.labels[tags.rows_of(images.ids)]
    everything = np.concatenate([experiment.image_labels, of_tests], axis=1)
    return SeenAndUnseen(experiment.usable(seen.subset(np.sort(rows))), everything)


def learns_prompts(experiment: EncodedExperiment) -> bool:
    """Tell whether prompts can be learned through an experiment's text tower."""
    return is_causal(experiment.clip.model)


def embed(
    experiment: EncodedExperiment, images: MultiLabelImages, *, in_memory: bool = False
) -> ImageEmbeddings:
    """Embed images as the experiment embeds its own, from the cache where they are there.

    Parameters
    ----------
    experiment : EncodedExperiment
    images : MultiLabelImages
    in_memory : bool
        Whole, also where they would be read in order from shards: to learn from, in any order.

    Returns
    -------
    ImageEmbeddings
    """
    embedded = experiment.embed_images(images)
    if in_memory:
        embedded = {
            name: part if isinstance(part, torch.Tensor) else part[:].float()
            for name, part in embedded.items()
        }
    return ImageEmbeddings(
        embedded["with position"], embedded["without position"], embedded["local"]
    )


def _text(experiment: EncodedExperiment, *, with_tokens: bool) -> LabelledText:
    labels = torch.from_numpy(experiment.text_labels)
    tokens = experiment.token_embeddings if with_tokens else None
    return LabelledText(experiment.text_embeddings, tokens, labels)


def _hash_text(experiment: EncodedExperiment) -> str:
    return hash_texts(f"{record.text}\t{record.labels}" for record in experiment.corpus)


def _hash_images(images: LabelledImages) -> str:
    labels = hash_tensors({"labels": images.labels})
    return hash_texts([_hash_embeddings(images.embeddings), labels, *images.class_names])


def _hash_embeddings(embeddings: ImageEmbeddings) -> str:
    return hash_tensors({k: part for k, part in vars(embeddings).items() if part is not None})
