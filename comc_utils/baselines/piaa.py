"""PIAA: a Gaussian discriminant of regions, learned from those regions that CLIP is sure of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Categorical

from comc_utils.baselines.zero_shot_clip import region_logits, zero_shot_scores
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.logits import SlicedEmbeddings
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Need, Recogniser, Task, need_regions

_SELECTION_SCALE = 60.0
_REGION_TEMPERATURE = 500.0
_GLOBAL_SHARE = 0.1


@dataclass(frozen=True)
class Piaa(Method):
    """Patch-level inference and adaptive aggregation, with the regions of CLIP's own tower.

    Its authors take regions from towers that they change for segmentation, and learn the discriminant from a
    training split; here regions are those of all methods, and the images to score are learned from, unlabelled.

    Parameters
    ----------
    cleaning_scale : float
        Factor of the discriminant's logits where its own sure regions are kept: 100 for VOC, 0.01 for MS-COCO,
        500 for NUS-WIDE.
    global_scale : float
        Factor of the whole image's cosines: 80; 10 for NUS-WIDE.
    region_scale : float
        Factor of the highest shares over regions: 200 for VOC; 400.
    regions_per_class : int
    name : str

    References
    ----------
    Wang et al., [CLS] is Not Enough: Multi-Label Recognition via Patch-Level Inference and Adaptive
    Aggregation, ICML 2026; computed as in github.com/akang-wang/PIAA, commit 15c7732.
    """

    cleaning_scale: float = 100.0
    global_scale: float = 80.0
    region_scale: float = 200.0
    regions_per_class: int = 512
    name: str = "PIAA"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NOTHING
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REGIONS})
    random: ClassVar[bool] = False
    transductive: ClassVar[bool] = True

    def recogniser(self, learned: Learned, task: Task) -> RegionDiscriminant:
        """Learn from the images when they are scored."""
        return RegionDiscriminant(task.class_embeddings, self)


@dataclass(frozen=True, eq=False)
class RegionDiscriminant(Recogniser):
    """Class prompts, and a discriminant that they find among the regions of the images to score.

    Attributes
    ----------
    prompts : Tensor [N, d]
        Unit vectors.
    settings : Piaa
    """

    prompts: Float[Tensor, "n_labels d"]
    settings: Piaa

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by their regions' highest share of each class; the other images count, too."""
        regions, settings = need_regions(images, Piaa.name), self.settings
        sure, classes = sure_regions(regions, self.prompts, settings.regions_per_class)
        weight, bias = clean_discriminant(sure, classes, self.prompts, settings.cleaning_scale)
        shares = [
            ((logits + bias) / _REGION_TEMPERATURE).softmax(dim=-1).amax(dim=1)
            for _, logits in region_logits(regions, weight, scale=1.0)
        ]
        of_regions = (settings.region_scale * torch.cat(shares)).softmax(dim=1)
        whole = zero_shot_scores(images.with_position, self.prompts, scale=settings.global_scale).softmax(dim=1)
        return _GLOBAL_SHARE * whole + (1 - _GLOBAL_SHARE) * of_regions


def sure_regions(
    regions: Float[Tensor, "n k d"] | SlicedEmbeddings, prompts: Float[Tensor, "n_labels d"], per_class: int
) -> tuple[Float[Tensor, "m d"], Int[Tensor, " m"]]:
    """Take the regions of lowest entropy among those nearest to each class's prompt.

    Parameters
    ----------
    regions : Tensor or SlicedEmbeddings [n, K, d]
        Unit vectors.
    prompts : Tensor [N, d]
        Unit vectors.
    per_class : int
        How many at most; the entropy is that of the softmax over classes of 60 times the cosine.

    Returns
    -------
    regions : Tensor [m, d]
    classes : Tensor [m]
        Of their nearest prompts.

    Raises
    ------
    CoMCError
        For fewer than two regions, which have no covariance.
    """
    n_regions = regions.shape[0] * regions.shape[1]
    if n_regions < 2:
        raise CoMCError(
            f"PIAA learns from the regions of the images to score; give two or more, not {n_regions}."
        )
    entropies, nearest = [], []
    for _, logits in region_logits(regions, prompts, scale=_SELECTION_SCALE):
        entropies.append(Categorical(logits=logits).entropy().flatten())
        nearest.append(logits.argmax(dim=-1).flatten())
    entropy, classes = torch.cat(entropies), torch.cat(nearest)
    order = entropy.argsort(stable=True)
    kept = torch.cat([order[classes[order] == label][:per_class] for label in range(len(prompts))])
    image, place = kept // regions.shape[1], kept % regions.shape[1]
    chosen = prompts.new_empty(len(kept), prompts.shape[1])
    for first in range(0, regions.shape[0], 256):  # a slice is all that shards give
        here = (image >= first) & (image < first + 256)
        chosen[here] = regions[first : first + 256].to(prompts)[image[here] - first, place[here]]
    return chosen, classes[kept]


def clean_discriminant(
    regions: Float[Tensor, "m d"],
    classes: Int[Tensor, " m"],
    prompts: Float[Tensor, "n_labels d"],
    cleaning_scale: float,
) -> tuple[Float[Tensor, "n_labels d"], Float[Tensor, " n_labels"]]:
    """Learn the discriminant from regions, and again from those that it is sure of itself.

    Sure is a region whose share of its class lies a standard deviation or more above the mean of those that the
    discriminant gives to that class. Where fewer than two are, the first discriminant stays.

    Parameters
    ----------
    regions : Tensor [m, d]
        Unit vectors.
    classes : Tensor [m]
    prompts : Tensor [N, d]
        Unit vectors: the means of classes without a region.
    cleaning_scale : float
        Factor of the logits, of which the softmax over classes is the share.

    Returns
    -------
    weight : Tensor [N, d]
    bias : Tensor [N]
    """
    dtype = regions.dtype
    regions, prompts = regions.double(), prompts.double()
    first = (_SELECTION_SCALE * regions @ prompts.T).softmax(dim=1)
    weight, bias = discriminant(regions, classes, first, prompts)
    logits = regions @ weight.T + bias
    shares, classes = (cleaning_scale * logits).softmax(dim=1), logits.argmax(dim=1)
    own = shares.gather(1, classes[:, None]).squeeze(1)
    sure = torch.zeros_like(classes, dtype=torch.bool)
    for label in classes.unique():
        here = classes == label
        # A class of one region has no deviation: its prompt stands for it.
        sure[here] = own[here] >= own[here].mean() + (own[here].std() if here.sum() > 1 else torch.inf)
    if sure.sum() >= 2:
        weight, bias = discriminant(regions[sure], classes[sure], shares[sure], prompts)
    return weight.to(dtype), bias.to(dtype)


def discriminant(
    vectors: Float[Tensor, "m d"],
    classes: Int[Tensor, " m"],
    shares: Float[Tensor, "m n_labels"],
    prompts: Float[Tensor, "n_labels d"],
) -> tuple[Float[Tensor, "n_labels d"], Float[Tensor, " n_labels"]]:
    """Fit Gaussians with one covariance, shrunk, and equal priors, in closed form.

    Parameters
    ----------
    vectors : Tensor [m, d]
    classes : Tensor [m]
    shares : Tensor [m, N]
        A class's mean is that of its vectors weighted by their shares of it.
    prompts : Tensor [N, d]
        Means of classes without a vector.

    Returns
    -------
    weight : Tensor [N, d]
    bias : Tensor [N]

    References
    ----------
    Kubokawa and Srivastava, Estimation of the precision matrix of a singular Wishart distribution, Journal of
    Multivariate Analysis 99, 2008: the precision d ((m - 1) S + tr(S) I)^-1.
    """
    m, d = vectors.shape
    means = prompts.clone()
    for label in classes.unique():
        here = classes == label
        means[label] = shares[here, label] @ vectors[here] / shares[here, label].sum()
    covariance = (vectors - means[classes]).T.cov()
    precision = d * torch.linalg.pinv(
        (m - 1) * covariance + covariance.trace() * torch.eye(d, dtype=vectors.dtype), hermitian=True
    )
    weight = means @ precision
    return weight, -math.log(len(prompts)) - (weight * means).sum(dim=1) / 2
