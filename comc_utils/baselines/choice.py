"""Settings without a label: those by which two halves of the embeddings agree on classes, and on no more.

A cosine is a sum over coordinates. Two random halves of them are two views of the same images that share what
the images show, and not what happens in one coordinate or another. Settings that bring out classes make the
two views agree on each class more than on any two classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from comc_utils.baselines.prototypes import Evidence, Prototypes
from comc_utils.baselines.run import Trained
from comc_utils.clip import ImageEmbeddings
from comc_utils.evaluation.agreement import agreement, agreement_with_all, certainty, continuity, separation
from comc_utils.method.logits import SlicedEmbeddings
from comc_utils.method.normalise import Normalisation

SPLITS = 3
"""Random halvings over which agreement is averaged."""
_WEIGHTS = (0.0, 0.15, 0.3, 0.5, 0.7)
_SMOOTHINGS = (0.0, 0.2)
_UNIT = 2**0.5
"""Times half of a unit vector's coordinates: of length 1 on average."""


def prototype_family(*, regions: bool, name: str = "Prototypes") -> list[Prototypes]:
    """List the settings of `Prototypes` to choose among.

    Parameters
    ----------
    regions : bool
        Whether the images have regions: then each setting stands with and without them.
    name : str
        Of each.

    Returns
    -------
    list of Prototypes
        160, or 80 without regions.
    """
    grid = product(Normalisation, (False, True), (False, True) if regions else (False,), _WEIGHTS, _SMOOTHINGS)
    return [Prototypes(*settings, name=name) for settings in grid]


def prototype_agreement(
    family: Sequence[Prototypes],
    images: ImageEmbeddings,
    prompts: Float[Tensor, "n_labels d"],
    *,
    tau: float,
    seed: int,
) -> pd.DataFrame:
    """Measure how far two halves of the embeddings agree, for each setting; no label is asked for.

    Parameters
    ----------
    family : sequence of Prototypes
    images : ImageEmbeddings
        n images, unlabelled.
    prompts : Tensor [N, d]
        Class embeddings.
    tau : float
        CLIP's temperature.
    seed : int
        Of the halvings.

    Returns
    -------
    pandas.DataFrame
        A row a setting, in their order: "plain" and "specific", see `agreement`, means over `SPLITS` halvings.
    """
    found = np.zeros((len(family), 2))
    for halves in halvings(prompts.shape[1], seed):
        views = [Evidence(take(images, half), _UNIT * prompts[:, half], 1 / tau) for half in halves]
        for row, settings in enumerate(family):
            found[row] += agreement(*(view.scores(settings).numpy() for view in views))
    return pd.DataFrame(found / SPLITS, columns=["plain", "specific"])


def criteria(
    family: Sequence[Prototypes],
    images: ImageEmbeddings,
    prompts: Float[Tensor, "n_labels d"],
    *,
    tau: float,
    seed: int,
) -> pd.DataFrame:
    """Measure all that could stand in for a label, for each setting: the parameters of `prototype_agreement`.

    Returns
    -------
    pandas.DataFrame
        A row a setting, a column a criterion, the higher the better by its own lights.
    """
    agreements = prototype_agreement(family, images, prompts, tau=tau, seed=seed)
    evidence = Evidence(images, prompts, 1 / tau)
    scores = {str(settings): evidence.scores(settings).numpy() for settings in family}
    shares = (evidence.scale * images.with_position @ prompts.T).softmax(dim=1)
    expected = shares.sum(dim=0).round().clamp(1, len(images)).int().numpy()
    neighbours = evidence.neighbours.numpy()
    return pd.DataFrame(
        {
            "specific agreement of halves": agreements["specific"],
            "plain agreement of halves": agreements["plain"],
            "agreement with all settings": list(agreement_with_all(scores, expected).values()),
            "agreement with neighbours": [continuity(of, neighbours) for of in scores.values()],
            "low entropy": [certainty(of) for of in scores.values()],
            "two groups apart": [separation(of) for of in scores.values()],
        }
    )


def inference_agreement(
    trained: Trained, alphas: Sequence[float], taus: Sequence[float], *, seed: int
) -> pd.DataFrame:
    """Measure the same for a trained classifier's alpha and tau (eq. 4 to 7).

    Parameters
    ----------
    trained : Trained
        CoMC or a variant of it.
    alphas, taus : sequence of float
    seed : int
        Of the halvings.

    Returns
    -------
    pandas.DataFrame
        A row a pair: "tau", "alpha", "plain", "specific".
    """
    images, rows = trained.images(), {}
    for halves in halvings(trained.classifier.weight.shape[1], seed):
        views = [_of_half(trained, images, half) for half in halves]
        for tau in taus:
            swept = (view.components(tau=tau).sweep(alphas) for view in views)
            for alpha, pair in zip(alphas, zip(*swept, strict=True), strict=True):
                found = agreement(*(scores.final.numpy() for scores in pair))
                rows[tau, alpha] = np.add(rows.get((tau, alpha), 0), found)
    return pd.DataFrame(
        [(*key, *found / SPLITS) for key, found in rows.items()], columns=["tau", "alpha", "plain", "specific"]
    )


def halvings(d: int, seed: int) -> Iterator[tuple[Int[Tensor, " half"], Int[Tensor, " half"]]]:
    """Halve d coordinates at random, `SPLITS` times."""
    rng = np.random.default_rng(seed)
    for _ in range(SPLITS):
        order = torch.from_numpy(rng.permutation(d))
        yield order[: d // 2], order[d // 2 : 2 * (d // 2)]


def take(images: ImageEmbeddings, coordinates: Int[Tensor, " half"]) -> ImageEmbeddings:
    """Give half of the coordinates of images' embeddings, at unit length on average."""

    def of(part: Tensor) -> Tensor:
        return _UNIT * part[..., coordinates]

    local = images.local
    if local is not None:
        local = of(local) if isinstance(local, Tensor) else _Coordinates(local, of)
    return replace(images, global_=of(images.global_), with_position=of(images.with_position), local=local)


@dataclass(frozen=True, eq=False)
class _Coordinates:
    """Some coordinates of embeddings that come in slices."""

    whole: SlicedEmbeddings
    of: Callable[[Tensor], Tensor]

    @property
    def shape(self) -> tuple[int, int, int]:
        n, k, d = self.whole.shape
        return n, k, d // 2

    def __getitem__(self, rows: slice) -> Tensor:
        return self.of(self.whole[rows])


def _of_half(trained: Trained, images: ImageEmbeddings, half: Int[Tensor, " half"]) -> Trained:
    recognisers = [
        replace(
            one,
            classifier=replace(one.classifier, weight=one.classifier.weight[:, half].contiguous()),
            label_embeddings=_UNIT * one.label_embeddings[:, half],
        )
        for one in trained.recognisers
    ]
    return replace(trained, recognisers=tuple(recognisers), images=lambda: take(images, half))
