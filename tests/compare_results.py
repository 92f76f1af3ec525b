"""Compare two results folders of one profile, number by number, within stated tolerances.

By hand, after a run on another machine: ``python tests/compare_results.py results/miniworld OTHER``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comc_utils.notebooks.committed import differences as exact_differences

TOLERANCES = (
    # What moves from one machine to another are the last bits of sums, whose order depends on the number of
    # threads and on the processor. They reach embeddings as 1e-7; training, and the ranks behind an
    # average precision, can make more of them. The unit is the number's own: points of mAP nearly everywhere.
    (r"\.final_loss\.", 0.02),
    # The best of 101 alphas, on a curve that is flat at its top, and the limits of its interval.
    (r"\.(best_alpha\w*|alpha_chosen_on_one_half)", 0.05),
    (r"\.best_tau", 0.05),
    # t-SNE doubles the smallest difference again and again; what its pictures show does not move.
    (r"\.own_neighbours_in_pictures\.", 2.0),
    # One caption of 300 more or less that is found, or told from an image: 0.33 points.
    (r"\.(recall|recall_at_1|probe accuracy)\b", 0.7),
    # From a start of zeros and with few images, whole classes change places.
    (r"linear probe", 0.5),
    (r"", 0.15),
)
"""Pattern of a number's place, its tolerance; the first that fits counts."""


def differences(committed: Any, other: Any) -> Iterator[str]:
    """Say where two metrics differ by more than their tolerance.

    Parameters
    ----------
    committed, other : object
        As JSON gives them.

    Yields
    ------
    str
        A line for each difference.
    """
    for found in exact_differences(committed, other):
        place = f".{found.name}"
        tolerance = next(value for pattern, value in TOLERANCES if re.search(pattern, place))
        if not found.size <= tolerance:
            yield f"{found}; the tolerance is {tolerance}"


def compare_metrics(committed: Path, other: Path) -> list[str]:
    """Compare the metrics of every notebook that ran in `other`.

    Parameters
    ----------
    committed, other : Path
        Results folders.

    Returns
    -------
    list of str
        A line for each difference.
    """
    found = []
    for file in sorted((other / "metrics").glob("*.json")):
        pair = [
            json.loads((folder / "metrics" / file.name).read_text())
            for folder in (committed, other)
        ]
        found += [f"{file.stem} {line}" for line in differences(*pair)]
    return found


if __name__ == "__main__":
    lines = compare_metrics(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(lines) or "No number differs by more than its tolerance.")
    sys.exit(bool(lines))
