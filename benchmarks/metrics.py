"""mAP and top-K metrics of as many images and classes as NUS-WIDE's test split has, on random scores."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from benchmarks.paired import Case
from comc_utils.evaluation.metrics import mean_average_precision, top_k_metrics

N_IMAGES, N_LABELS, LABELS_AN_IMAGE, K = 107_859, 81, 1.88, 3


@cache
def _inputs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    scores = generator.standard_normal((N_IMAGES, N_LABELS), dtype=np.float32)
    labels = generator.random((N_IMAGES, N_LABELS)) < LABELS_AN_IMAGE / N_LABELS
    return scores, labels.astype(np.uint8)


def _map_by_sklearn() -> float:
    scores, labels = _inputs()
    return np.mean([average_precision_score(labels[:, i], scores[:, i]) for i in range(N_LABELS)])


def _top_k_by_sklearn() -> tuple[float, float, float]:
    scores, labels = _inputs()
    top = np.argsort(-scores, axis=1)[:, :K]
    predicted = np.zeros_like(labels)
    np.put_along_axis(predicted, top, 1, axis=1)
    return precision_recall_fscore_support(labels, predicted, average="micro")[:3]


def _same(ours: Any, reference: Any) -> None:
    np.testing.assert_allclose(ours, reference, rtol=1e-9)


CASES = (
    Case(
        name="mAP of 107,859 images x 81 classes",
        against="scikit-learn's average_precision_score, class by class",
        target=3,
        prepare=lambda: (lambda: mean_average_precision(*_inputs()).value, _map_by_sklearn),
        same=_same,
    ),
    Case(
        name="top-3 precision, recall and F1 of 107,859 images x 81 classes",
        against="NumPy's argsort and scikit-learn's micro average",
        target=3,
        prepare=lambda: (lambda: top_k_metrics(*_inputs(), K), _top_k_by_sklearn),
        same=_same,
    ),
)
