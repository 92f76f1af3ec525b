"""Any method on equal terms: each learns from what it may see, once, and scores the same images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.normalise import Normalisation, comparable_scores
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Recogniser, Task
from comc_utils.method.scores import ScoreComponents
from comc_utils.method.training import EpochRecord
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.fingerprint import code_fingerprint, hash_tensors, hash_texts

RATE_FACTORS = (0.1, 1.0, 10.0, 100.0)
"""Of a method's learning rate, among which one is searched."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A method that has learned: once, or once a fold of images, which then is not scored by its own text.

    Attributes
    ----------
    method : Method
    recognisers : tuple of Recogniser
        One a fold.
    learned : tuple of Learned
    seconds : float
        That learning took, all folds together, embeddings being there.
    folds : tuple of sequence of int
        Rows of the test images, for each recogniser its own.
    images : callable
        Gives the embeddings of the test images.
    """

    method: Method
    recognisers: tuple[Recogniser, ...]
    learned: tuple[Learned, ...]
    seconds: float
    folds: tuple[Sequence[int], ...]
    images: Callable[[], ImageEmbeddings]

    @property
    def n_parameters(self) -> int:
        """How many numbers one recogniser has learned."""
        return self.learned[0].n_parameters

    @property
    def history(self) -> list[EpochRecord]:
        """Loss and learning rate of each epoch, of the first fold."""
        return self.learned[0].history

    @property
    def classifiers(self) -> list[LinearClassifier]:
        """The linear classifiers, one a fold, of a method that has them."""
        return [recogniser.classifier for recogniser in self.recognisers]

    @property
    def classifier(self) -> LinearClassifier:
        """The linear classifier of the first fold."""
        return self.classifiers[0]

    def scores(
        self,
        images: ImageEmbeddings | None = None,
        *,
        normalisation: Normalisation | str = Normalisation.NONE,
        minus_class_means: bool = False,
    ) -> Float[np.ndarray, "n n_labels"]:
        """Score images.

        Parameters
        ----------
        images : ImageEmbeddings, optional
            The test images by default.
        normalisation : Normalisation or str
            Of the logits, perhaps by its name, such as "softmax"; NONE leaves the method to its authors' form.
        minus_class_means : bool
            See `comparable_scores`: transductive; with folds, over the images of each.

        Returns
        -------
        ndarray of shape (n, N)
            The higher the surer.

        Raises
        ------
        CoMCError
            Other images for a method with folds, or an unknown normalisation.
        """
        normalisation = Normalisation(normalisation)
        if images is not None and len(self.folds) > 1:
            raise CoMCError(
                f"{self.method.name} has learned once for each of {len(self.folds)} folds of the test images; "
                "it scores these alone."
            )
        images = self.images() if images is None else images

        def score(recogniser: Recogniser, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
            if normalisation is Normalisation.NONE and not minus_class_means:
                return recogniser.score(images)
            return comparable_scores(
                lambda: recogniser.logits(images), normalisation, minus_class_means=minus_class_means
            )

        if len(self.folds) == 1:
            return score(self.recognisers[0], images).numpy()
        parts = [score(r, images[rows]) for r, rows in zip(self.recognisers, self.folds, strict=True)]
        return torch.cat(parts)[np.argsort(np.concatenate(self.folds))].numpy()

    def components(self, *, tau: float | None = None) -> ScoreComponents:
        """Score the test images before the fusion (section 3.3), for CoMC and its variants.

        Parameters
        ----------
        tau : float, optional
            In place of the experiment's own temperature.

        Returns
        -------
        ScoreComponents
            Call its `at(alpha)`.
        """
        images = self.images()
        if len(self.folds) == 1:
            return self.recognisers[0].components(images, tau=tau)
        parts = [
            r.components(images[rows], tau=tau) for r, rows in zip(self.recognisers, self.folds, strict=True)
        ]
        return ScoreComponents.concatenate(parts, np.concatenate(self.folds).tolist())

    def region_logits(self, rows: Sequence[int]) -> Float[Tensor, "m k n_labels"]:
        """Score the regions of some test images, before the maximum over regions (eq. 10).

        Parameters
        ----------
        rows : sequence of int
            m test images.

        Returns
        -------
        Tensor [m, K, N]
            Logits, from the region at the top left row by row.

        Raises
        ------
        CoMCError
            The method, or the profile's embeddings, have no regions.
        """
        images, found = self.images(), {}
        for recogniser, fold in zip(self.recognisers, self.folds, strict=True):
            members = set(fold)
            own = [row for row in rows if row in members]
            for part, _, regions in recogniser.logits(images[own]) if own else ():
                if regions is None:
                    raise CoMCError(
                        f"{self.method.name} looks at no regions here; ask a method and a profile that do."
                    )
                found |= zip(own[part], regions, strict=True)
        return torch.stack([found[row] for row in rows])


def learn(
    method: Method, task: Task, *, seed: int, cache: EmbeddingCache, progress: bool = False
) -> tuple[Learned, float]:
    """Let a method learn, or take from the cache what it has learned before.

    What it has learned is kept under its settings, the seed, fingerprints of all that it saw, and its code.

    Parameters
    ----------
    method : Method
    task : Task
        What the method does not learn from may be there; it goes unseen.
    seed : int
    cache : EmbeddingCache
    progress : bool

    Returns
    -------
    learned : Learned
    seconds : float
        That learning took when it was done.

    Raises
    ------
    CoMCError
        The task lacks what the method learns from, or needs.
    """
    source = method.learns_from
    if source is LearnsFrom.NOTHING:
        return Learned(), 0.0
    from_text = source is LearnsFrom.SENTENCES
    seen = replace(task, text=task.text if from_text else None, images=None if from_text else task.images)
    shown = task.need_text(method.name) if from_text else task.need_images(method.name)
    key = {
        "what": "learned",
        "method": f"{type(method).__qualname__} {method.learning_settings}",
        "seed": seed if method.random else 0,
        "classes": hash_texts(task.class_names),
        "class embeddings": hash_tensors({"s": task.class_embeddings}),
        "shown": shown.fingerprint,
        "towers": task.towers,
        "code": code_fingerprint(type(method).__module__),
    }

    def compute() -> dict[str, torch.Tensor]:
        start = time.perf_counter()
        learned = method.learn(seen, seed=seed, progress=progress)
        seconds = time.perf_counter() - start
        epochs = [list(record.values()) for record in learned.history]
        return {
            **{f"learned {name}": tensor for name, tensor in learned.tensors.items()},
            "history": torch.tensor(epochs, dtype=torch.float64),
            "seconds": torch.tensor(seconds, dtype=torch.float64),
        }

    stored = cache.get(key, compute)
    tensors = {
        name.removeprefix("learned "): tensor for name, tensor in stored.items() if name.startswith("learned ")
    }
    history = [
        EpochRecord(epoch=int(epoch), loss=loss, learning_rate=rate)
        for epoch, loss, rate in stored["history"].tolist()
    ]
    return Learned(tensors, history), stored["seconds"].item()


def search_rates(
    methods: Iterable[Method], score: Callable[[Method], float], factors: Sequence[float] = RATE_FACTORS
) -> pd.DataFrame:
    """Try learning rates, the same factors of the default for every method that learns.

    Parameters
    ----------
    methods : iterable of Method
    score : callable
        From a method to what is to be high, on images that are neither learned from nor tested on.
    factors : sequence of float

    Returns
    -------
    pandas.DataFrame
        Scores: a row a method, by name; a column a factor.
    """
    learners = [method for method in methods if method.at_rate(1.0) is not None]
    rows = {
        method.name: [score(method.at_rate(factor)) for factor in factors]
        for method in tqdm(learners, desc="learning rates")
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(factors))
