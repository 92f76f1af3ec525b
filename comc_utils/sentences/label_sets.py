"""Which labels a sentence has to name (section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import check_label_names


def draw_label_sets(
    class_names: Sequence[str], n: int, *, seed: int, max_labels: int = 5
) -> list[tuple[int, ...]]:
    """Draw label sets: the size uniform in 1 to `max_labels`, then the labels without replacement.

    The paper samples "several labels randomly"; the uniform size from 1 to 5 is the authors' released
    code's.

    Parameters
    ----------
    class_names : sequence of str
        The N classes to draw from.
    n : int
        Number of label sets, at least 0.
    seed : int
        The first label sets of a longer draw with the same seed are those of a shorter one.
    max_labels : int
        Largest size of a set, at least 1. A set never has more labels than there are classes.

    Returns
    -------
    list of tuple of int
        n tuples of distinct indices in 0 to N-1, in the order drawn.

    Raises
    ------
    CoMCError
        Class names that repeat or are empty, a negative n, or no label allowed.

    Examples
    --------
    >>> draw_label_sets(["dog", "cat", "car"], 3, seed=0, max_labels=2)
    [(2, 1), (0,), (0,)]
    """
    check_label_names(class_names)
    if n < 0:
        raise CoMCError(f"{n} label sets were asked for; ask for 0 or more.")
    if max_labels < 1:
        raise CoMCError(f"max_labels is {max_labels}, which leaves label sets empty; use 1 or more.")
    largest = min(max_labels, len(class_names))
    rng = np.random.default_rng(seed)
    label_sets = []
    for _ in range(n):
        size = rng.integers(1, largest, endpoint=True)
        label_sets.append(tuple(rng.choice(len(class_names), size, replace=False).tolist()))
    return label_sets
