"""Methods side by side on the same images: mAP, AP by class, top-K metrics, labels found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from comc_utils.evaluation.metrics import average_precision_per_class, bootstrap_map, top_k_metrics
from comc_utils.evaluation.where import Resize, on_object

FOUND, WRONG, MISSED = "found", "wrong", "missed"
Scores = Float[ArrayLike, "n n_labels"]
Labels = Int[ArrayLike, "n n_labels"]


def map_by_method(
    methods: Mapping[str, Scores], labels: Labels, *, seed: int, left_out: Labels | None = None
) -> pd.DataFrame:
    """Tabulate mAP with its 95 % interval over images.

    Parameters
    ----------
    methods : mapping of str to array of shape (n, N)
        Scores of each method.
    labels : array of shape (n, N)
        0 or 1.
    seed : int
        Of the bootstrap.
    left_out : array of shape (n, N), optional
        Pairs without a part in their class's ranking, as in `mean_average_precision`.

    Returns
    -------
    pandas.DataFrame
        Columns method, mAP, low, high, in percent.
    """
    intervals = [bootstrap_map(scores, labels, left_out=left_out, seed=seed) for scores in methods.values()]
    rows = [
        (name, *(100 * i.value, 100 * i.low, 100 * i.high)) for name, i in zip(methods, intervals, strict=True)
    ]
    return pd.DataFrame(rows, columns=["method", "mAP", "low", "high"])


def ap_by_method(methods: Mapping[str, Scores], labels: Labels, class_names: Sequence[str]) -> pd.DataFrame:
    """Tabulate AP of each class that an image has, in percent.

    Parameters
    ----------
    methods : mapping of str to array of shape (n, N)
        Scores of each method.
    labels : array of shape (n, N)
        0 or 1.
    class_names : sequence of str
        The N classes.

    Returns
    -------
    pandas.DataFrame
        Columns class, positives (images), and one a method.
    """
    table = pd.DataFrame({"class": class_names, "positives": np.sum(labels, axis=0)})
    for name, scores in methods.items():
        table[name] = 100 * average_precision_per_class(scores, labels)
    return table[table.positives > 0]


def top_k_by_method(methods: Mapping[str, Scores], labels: Labels, ks: Sequence[int]) -> pd.DataFrame:
    """Tabulate precision, recall and F1 of each image's K highest scores, in percent.

    Parameters
    ----------
    methods : mapping of str to array of shape (n, N)
        Scores of each method.
    labels : array of shape (n, N)
        0 or 1.
    ks : sequence of int
        Each 1 to N.

    Returns
    -------
    pandas.DataFrame
        Columns method, K, precision, recall, F1.
    """
    rows = [
        (name, k, *(100 * value for value in top_k_metrics(scores, labels, k)))
        for name, scores in methods.items()
        for k in ks
    ]
    return pd.DataFrame(rows, columns=["method", "K", "precision", "recall", "F1"])


def labels_found(scores: Scores, labels: Labels, class_names: Sequence[str], *, k: int) -> pd.DataFrame:
    """Compare each image's k highest scores with its labels.

    Parameters
    ----------
    scores : array of shape (n, N)
    labels : array of shape (n, N)
        0 or 1.
    class_names : sequence of str
        The N classes.
    k : int
        1 to N.

    Returns
    -------
    pandas.DataFrame
        Columns image (its row), class, score, and outcome: "found" for a label among the k highest, "wrong" for
        another class among them, "missed" for a label that is not. The highest score of an image comes first.
    """
    rows = []
    for i, (of_image, true) in enumerate(zip(np.asarray(scores), np.asarray(labels), strict=True)):
        for rank, j in enumerate(np.argsort(-of_image, kind="stable")):
            if rank < k or true[j]:
                outcome = MISSED if rank >= k else FOUND if true[j] else WRONG
                rows.append((i, class_names[j], of_image[j], outcome))
    return pd.DataFrame(rows, columns=["image", "class", "score", "outcome"])


def regions_on_objects(
    highest: Mapping[str, Int[np.ndarray, "n n_labels"]],
    boxes: Float[np.ndarray, "n n_labels 4"],
    sizes: Sequence[tuple[int, int]],
    *,
    n_regions: int,
    resize: Resize,
) -> pd.DataFrame:
    """Tabulate how often the highest region of a label lies on the object.

    Parameters
    ----------
    highest : mapping of str to ndarray of int [n, N]
        By method, the number of each label's highest region.
    boxes, sizes, n_regions, resize
        As `where.on_object` takes them.

    Returns
    -------
    pandas.DataFrame
        Columns method; overlaps (the region and the object's box), middle inside (the region's middle in the
        box), in percent of the labels that images show. Last, a region drawn by lot.
    """
    found = {name: on_object(of, boxes, sizes, n_regions, resize) for name, of in highest.items()}
    rows = [(name, of.overlaps, of.middle) for name, of in found.items()]
    any_of = next(iter(found.values()))
    rows.append(("a region by lot", any_of.overlaps_by_chance, any_of.middle_by_chance))
    return pd.DataFrame(rows, columns=["method", "overlaps", "middle inside"])
