"""How cost grows with images, regions, classes and sentences: the package's own times, on random numbers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch.nn.functional import normalize

from comc_utils.evaluation.metrics import mean_average_precision
from comc_utils.method.classifier import LinearClassifier, train_classifier
from comc_utils.method.presets import PAPER
from comc_utils.method.scores import score_images

DIM, RUNS = 1024, 5


def _unit(*shape: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


def _labels(n: int, n_labels: int) -> torch.Tensor:
    labels = torch.rand(n, n_labels, generator=torch.Generator().manual_seed(1)) < 3 / n_labels
    labels[range(n), torch.arange(n) % n_labels] = True
    return labels


def _scoring(n_images: int, n_regions: int, n_labels: int) -> Callable[[], object]:
    inputs = (
        LinearClassifier(_unit(n_labels, DIM)),
        _unit(n_images, DIM),
        _unit(n_images, n_regions, DIM),
        _unit(n_labels, DIM),
    )
    return lambda: score_images(*inputs, alpha=0.7, tau=1 / 100)


def _training(n_sentences: int, n_labels: int) -> Callable[[], object]:
    texts, labels = _unit(n_sentences, DIM), _labels(n_sentences, n_labels)
    return lambda: train_classifier(texts, labels, replace(PAPER, epochs=1), seed=0)


def _ranking(n_images: int, n_labels: int) -> Callable[[], object]:
    scores = torch.randn(n_images, n_labels, generator=torch.Generator().manual_seed(2)).numpy()
    labels = _labels(n_images, n_labels).numpy().astype("uint8")
    return lambda: mean_average_precision(scores, labels)


CURVES = {
    ("scoring", "images"): (lambda n: _scoring(n, 49, 80), (250, 500, 1000, 2000, 4000)),
    ("scoring", "regions"): (lambda n: _scoring(500, n, 80), (1, 16, 49, 100, 196)),
    ("scoring", "classes"): (lambda n: _scoring(500, 49, n), (20, 80, 320, 1280)),
    ("training, an epoch", "sentences"): (lambda n: _training(n, 80), (2500, 5000, 10_000, 20_000, 40_000)),
    ("training, an epoch", "classes"): (lambda n: _training(5000, n), (20, 80, 320, 1280)),
    ("mAP", "images"): (lambda n: _ranking(n, 80), (5000, 20_000, 80_000)),
}
"""What is done and what grows: from a number to what is timed, and the numbers."""


def grow() -> Iterator[dict[str, object]]:
    """Time every point of every curve.

    Yields
    ------
    dict
        what, grows, number, seconds (the median of five runs).
    """
    for (what, grows), (make, numbers) in CURVES.items():
        for number in numbers:
            run = make(number)
            run()
            seconds = []
            for _ in range(RUNS):
                started = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - started)
            yield {
                "what": what,
                "grows": grows,
                "number": number,
                "seconds": round(statistics.median(seconds), 5),
            }
