"""Scoring at one alpha and at 101, from random embeddings, against the equations written down one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.paired import Case
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.scores import score_components, score_images

N_IMAGES, N_REGIONS, N_LABELS, DIM = 5000, 49, 80, 1024
ALPHA, TAU = 0.7, 1 / 100
ALPHAS = [i / 100 for i in range(101)]
SEPARATE = 3
"""Evaluations that are timed in place of all 101."""


@cache
def _inputs() -> tuple[LinearClassifier, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return normalize(torch.randn(*shape, generator=generator), dim=-1)

    classifier = LinearClassifier(draw(N_LABELS, DIM), 0.1 * torch.randn(N_LABELS, generator=generator))
    return classifier, draw(N_IMAGES, DIM), draw(N_IMAGES, N_REGIONS, DIM), draw(N_LABELS, DIM)


def by_the_equations(alpha: float) -> Tensor:
    """Eq. 4 to 12 as they read, for all images at once."""
    classifier, image_global, image_local, s = _inputs()

    def logits(v: Tensor) -> Tensor:
        mapped = (v @ s.T / TAU).softmax(dim=-1) @ s
        return classifier.decision_function(alpha * v + (1 - alpha) * mapped)

    return (logits(image_global) + logits(image_local).amax(dim=1)) / 2


def _one() -> Tensor:
    return score_images(*_inputs(), alpha=ALPHA, tau=TAU).final


def _sweep() -> list[Tensor]:
    return [scores.final for scores in score_components(*_inputs(), tau=TAU).sweep(ALPHAS)]


def _separate() -> list[Tensor]:
    return [score_images(*_inputs(), alpha=a, tau=TAU).final for a in ALPHAS[::50][:SEPARATE]]


def _without_gradient(*functions: Callable[[], Any]) -> tuple[Callable[[], Any], ...]:
    _inputs()
    return tuple(torch.inference_mode()(function) for function in functions)


def _same(ours: Tensor, reference: Tensor) -> None:
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-5)


CASES = (
    Case(
        name="scores of 5,000 images x 49 regions x 80 labels at one alpha",
        against="the equations as they read, all images at once",
        target=2,
        prepare=lambda: _without_gradient(_one, lambda: by_the_equations(ALPHA)),
        same=_same,
    ),
    Case(
        name="the same at 101 alphas",
        against="one evaluation",
        target=3,
        prepare=lambda: _without_gradient(_sweep, _one),
        same=lambda ours, reference: _same(ours[ALPHAS.index(ALPHA)], reference),
        at_most=True,
    ),
    Case(
        name="the same at 101 alphas",
        against=f"101 separate evaluations, estimated from {SEPARATE}",
        target=30,
        scale=101 / SEPARATE,
        prepare=lambda: _without_gradient(_sweep, _separate),
        same=lambda ours, reference: _same(torch.stack(ours[::50]), torch.stack(reference)),
    ),
)
