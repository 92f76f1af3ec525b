"""Prototypes: what the unlabelled images themselves look like that a class's prompt points at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

from comc_utils.baselines.zero_shot_clip import prompt_logits
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import (
    LogitChunks,
    Normalisation,
    class_means,
    normalise,
    pooled_scores,
    standardise,
)
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Need, Recogniser, Task, need_regions

NEIGHBOURS = 5
"""Images nearest to an image, over which its scores may be smoothed."""
_AT_ONCE = 256
"""Images whose regions are held at a time."""


@dataclass(frozen=True)
class Prototypes(Method):
    """Comparable zero-shot scores beside the nearness to prototypes of unlabelled images.

    Ours, in the spirit of soft k-means with one step: images are weighed by the softmax over classes, and a
    class's prototype is their weighted mean. `choice` finds settings without a label.

    Parameters
    ----------
    normalisation : Normalisation
        Of the zero-shot scores; of a softmax the logarithm counts, which adds up with the nearness.
    minus_class_means : bool
        Whether each class's mean over the images is taken from its logits first.
    regions : bool
        Whether regions count as much as the whole image.
    weight : float
        Of the nearness, in [0, 1]; that of the zero-shot scores is the rest.
    smoothing : float
        Share of a score, in [0, 1], that is the mean over the five nearest images.
    name : str
    """

    normalisation: Normalisation = Normalisation.SOFTMAX
    minus_class_means: bool = False
    regions: bool = False
    weight: float = 0.5
    smoothing: float = 0.0
    name: str = "Prototypes"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    random: ClassVar[bool] = False
    transductive: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """Regions, where they count."""
        return frozenset({Need.REGIONS} if self.regions else ())

    def __str__(self) -> str:
        """Name the settings."""
        words = [
            str(self.normalisation),
            "minus class means" * self.minus_class_means,
            "regions" * self.regions,
        ]
        words += [f"nearness {self.weight:g}", f"smoothing {self.smoothing:g}"]
        return ", ".join(filter(None, words))

    def recogniser(self, learned: Learned, task: Task) -> SoftPrototypes:
        """Compare images with the class embeddings, and with each other."""
        return SoftPrototypes(task.class_embeddings, 1 / task.tau, self)


@dataclass(frozen=True, eq=False)
class SoftPrototypes(Recogniser):
    """Class prompts, and prototypes that they find among the images to score.

    Attributes
    ----------
    prompts : Tensor [N, d]
        Unit vectors.
    scale : float
        One over CLIP's temperature.
    settings : Prototypes
    """

    prompts: Float[Tensor, "n_labels d"]
    scale: float
    settings: Prototypes

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images as `Evidence.scores`: the other images count, too."""
        return Evidence(images, self.prompts, self.scale).scores(self.settings)


class Evidence:
    """What images say of classes, once for all settings of `Prototypes`.

    Parameters
    ----------
    images : ImageEmbeddings
        n images.
    prompts : Tensor [N, d]
        Class embeddings.
    scale : float
        One over CLIP's temperature.

    Raises
    ------
    CoMCError
        For fewer than two images, which have no spread.
    """

    def __init__(self, images: ImageEmbeddings, prompts: Float[Tensor, "n_labels d"], scale: float) -> None:
        if len(images) < 2:
            raise CoMCError(f"Prototypes come from the images to score; give two or more, not {len(images)}.")
        self.images, self.prompts, self.scale = images, prompts, scale
        # Of this object's own: what it keeps goes with it.
        self.comparable = cache(self._comparable)
        self.nearness = cache(self._nearness)

    def scores(self, settings: Prototypes) -> Float[Tensor, "n n_labels"]:
        """Mix comparable scores with the nearness to prototypes, and smooth them over neighbours.

        Each of the two is standardised over the images. With p the softmax of an image's logits over classes
        and u its embedding minus the mean of all, at unit length, class c has the prototype sum_i p_ic u_i at
        unit length, and nearness is the cosine of u_i to it. Regions have prototypes of their own, and an
        image's nearest region counts, as much as the image.

        Parameters
        ----------
        settings : Prototypes

        Returns
        -------
        Tensor [n, N]
        """
        given = (settings.minus_class_means, settings.regions)
        scores = (1 - settings.weight) * self.comparable(settings.normalisation, *given)
        if settings.weight:
            scores = scores + settings.weight * self.nearness(*given)
        if settings.smoothing:
            around = scores[self.neighbours].mean(dim=1)
            scores = (1 - settings.smoothing) * scores + settings.smoothing * around
        return scores

    @cached_property
    def directions(self) -> Float[Tensor, "n d"]:
        """Embeddings of the images minus their mean, at unit length."""
        v = self.images.with_position
        return normalize(v - v.mean(dim=0), dim=1)

    @cached_property
    def neighbours(self) -> Int[Tensor, "n few"]:
        """The nearest other images of each."""
        few = min(NEIGHBOURS, len(self.images) - 1)
        nearest = []
        for rows in _chunks(len(self.images)):
            cosines = self.directions[rows] @ self.directions.T
            cosines[range(len(cosines)), range(rows.start, rows.start + len(cosines))] = -torch.inf
            nearest.append(cosines.topk(few, dim=1).indices)
        return torch.cat(nearest)

    def _logits(self, regions: bool) -> Callable[[], LogitChunks]:
        local = need_regions(self.images, Prototypes.name) if regions else None
        given = (self.images.with_position, local, self.prompts, self.prompts)
        return partial(prompt_logits, *given, scale=self.scale)

    def _comparable(self, how: Normalisation, by_means: bool, regions: bool) -> Float[Tensor, "n n_labels"]:
        step = partial(log_softmax, dim=-1) if how is Normalisation.SOFTMAX else partial(normalise, how=how)
        return standardise(pooled_scores(self._logits(regions), step, minus_class_means=by_means), dim=0)

    def _nearness(self, by_means: bool, regions: bool) -> Float[Tensor, "n n_labels"]:
        means = class_means(self._logits(regions)()) if by_means else (None, None)
        shares = []  # n x N, of the images; those of regions are made anew for each pass
        of_regions = None
        for rows, *parts in self._logits(regions)():
            whole, local = (
                None if part is None else (part if m is None else part - m.to(part)).softmax(dim=-1)
                for part, m in zip(parts, means, strict=True)
            )
            shares.append(whole)
            if local is not None:
                u = self._region_directions(rows)
                sums = local.flatten(0, 1).T @ u.flatten(0, 1)
                of_regions = sums if of_regions is None else of_regions + sums
        near = self._near(self.directions, torch.cat(shares).T @ self.directions)
        if of_regions is None:
            return near
        highest = [
            (self._region_directions(rows) @ normalize(of_regions, dim=1).T).amax(dim=1)
            for rows in _chunks(len(self.images))
        ]
        return (near + standardise(torch.cat(highest), dim=0)) / 2

    def _near(self, directions: Tensor, prototypes: Tensor) -> Tensor:
        return standardise(directions @ normalize(prototypes, dim=1).T, dim=0)

    @cached_property
    def _centre(self) -> Float[Tensor, " d"]:
        """Mean of all regions."""
        sums = sum(self._regions(rows).double().sum(dim=(0, 1)) for rows in _chunks(len(self.images)))
        n, k, _ = self.images.local.shape
        return (sums / (n * k)).to(self.prompts)

    def _regions(self, rows: slice) -> Float[Tensor, "m k d"]:
        return self.images.local[rows].to(self.prompts)  # half-precision ones come from shards

    def _region_directions(self, rows: slice) -> Float[Tensor, "m k d"]:
        return normalize(self._regions(rows) - self._centre, dim=-1)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(first, first + _AT_ONCE) for first in range(0, n, _AT_ONCE))
