"""The classifier that the authors published, scored on MS-COCO by this code beside what others read from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.evaluation.metrics import mean_average_precision
from comc_utils.evaluation.reported import reported
from comc_utils.experiment import Experiment
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.official_checkpoint import (
    SOURCE,
    load_official_classifier,
    load_official_label_embeddings,
)
from comc_utils.method.presets import RELEASED
from comc_utils.sources import load_experiment

PROFILE = "coco2014"
SHAPE = (80, 1024)
"""Of both published files: MS-COCO's classes, RN50's embeddings."""
SPARC_MAP = 71.3
"""Read from the same checkpoint by Miller et al., SPARC, CVPR 2025, Table 5, on larger, whole images."""

WHOLE_IMAGE = replace(RELEASED, name="released, whole image", resize="plain")

_WHERE_TO_LOOK = """Where the first figure is off, look at:
- the images: {n_images:,} of val2014's {n_stated:,} were read; those without an object belong to them
- the crop: the shorter side to 224 pixels (bicubic), then the square in the centre
- the order of labels: {n_own} of {n_labels} label embeddings are classified as their own label; published: 73
- the label embeddings: as in their file, not scaled to length 1; lengths {shortest:.4f} to {longest:.4f}
- the positional embedding: left out of the attention pool
- the weights: OpenAI's RN50, whose file RN50.pt has a SHA-256 that begins with afeb0e10f9e5a86d
- the precision: single throughout, on a GPU, too"""


def check_published(
    data: str | Path,
    checkpoint: str | Path,
    label_embeddings: str | Path,
    *,
    weights: str | Path | None = None,
    limit: int | None = None,
    resolution: int = 448,
) -> Iterator[str]:
    """Score the published classifier as the authors do, and on larger images without a crop.

    Parameters
    ----------
    data : str or Path
        The folder of MS-COCO with val2014, as `load_coco2014` wants it.
    checkpoint, label_embeddings : str or Path
        The authors' ``model-best.pth.tar`` and ``coco_templates.pt``. Their prompts are not this project's,
        and another label embedding is another score.
    weights : str or Path, optional
        Of RN50, as `load_backbone` takes them; OpenAI's are fetched by default.
    limit : int, optional
        For a trial: the first so many images that are there.
    resolution : int
        Side of the larger images in pixels, a multiple of 32.

    Yields
    ------
    str
        Lines of a report, each when it is known.

    Raises
    ------
    CoMCError
        Before any image is embedded: files that are missing or damaged or not the published ones, images
        that are missing, weights of another model, a resolution that RN50 cannot have.

    References
    ----------
    CoMC (ICML 2024), Table 1; SPARC (CVPR 2025), Table 5.
    """
    classifier = load_official_classifier(checkpoint)
    s = load_official_label_embeddings(label_embeddings)
    for path, shape in ((checkpoint, tuple(classifier.weight.shape)), (label_embeddings, tuple(s.shape))):
        if shape != SHAPE:
            raise CoMCError(f"{path} holds a matrix of shape {shape}, expected {SHAPE}; get it from {SOURCE}.")
    options = {"data": data, "weights": weights, "limit": limit}
    first = load_experiment(PROFILE, preset=RELEASED, **options)
    backbone = f"{first.profile.backbones[0]}@{resolution}"
    second = load_experiment(PROFILE, preset=WHOLE_IMAGE, backbone=backbone, **options)
    # What is wrong with them is told before hours of work.
    n_images, _ = len(first.images), (first.towers, second.towers)

    profile = first.profile
    yield (
        f"The published classifier with its own label embeddings, {n_images:,} images of {profile.title}, "
        f"alpha {first.alpha:g}, tau {first.tau:g}"
    )
    paper = reported(1, method="CoMC", dataset=profile.reported_dataset)["value"].item()
    yield f"224 pixels, crop in the centre: mAP {_map(first, classifier, s)} (the paper, Table 1: {paper})"
    yield (
        f"{resolution} pixels, whole image: mAP {_map(second, classifier, s)} "
        f"(SPARC, Table 5, at a higher resolution that is not known here: {SPARC_MAP})"
    )
    if n_images < profile.n_images:
        yield f"A trial on {n_images:,} of {profile.n_images:,} images: its figures are not comparable."
    own = classifier.decision_function(s).argmax(dim=1) == torch.arange(len(s))
    yield _WHERE_TO_LOOK.format(
        n_images=n_images,
        n_stated=profile.n_images,
        n_own=int(own.sum()),
        n_labels=len(s),
        shortest=float(s.norm(dim=1).min()),
        longest=float(s.norm(dim=1).max()),
    )


def _map(experiment: Experiment, classifier: LinearClassifier, s: Float[Tensor, "n_labels d"]) -> str:
    """Score all images with label embeddings s: mAP in percent, and over how many classes if not all."""
    scores = experiment.recogniser_of(classifier, s).score(experiment.image_embeddings)
    found = mean_average_precision(scores.numpy(), experiment.image_labels)
    over = f" over the {found.n_classes} classes that show" if found.left_out else ""
    return f"{100 * found.value:.2f}{over}"
