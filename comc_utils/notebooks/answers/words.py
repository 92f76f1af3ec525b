"""Words for numbers, the same in all answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comc_utils.evaluation.comparison import Comparison
from comc_utils.evaluation.rules import Verdict, side

Metrics = Mapping[str, Any]
"""What one notebook left."""


def points(comparison: Comparison) -> str:
    """Write a difference with its interval: "+1.75 points [0.47, 2.93]"."""
    return f"{comparison['difference']:+.2f} points [{comparison['low']:.2f}, {comparison['high']:.2f}]"


def percent(value: float) -> str:
    """Write a share with one decimal: "70.3 %"."""
    return f"{value:.1f} %"


def against(comparison: Comparison, above: str, below: str, neither: str) -> str:
    """Choose a wording by what the interval over images and all seeds say of a difference and 0."""
    words = {Verdict.HOLDS: above, Verdict.FAILS: below, Verdict.WITHIN_NOISE: neither}
    return words[side(comparison)]


def sorted_out(comparisons: Mapping[str, Comparison]) -> dict[Verdict, list[str]]:
    """Sort comparisons into those above 0, below 0, and within noise."""
    sorts: dict[Verdict, list[str]] = {v: [] for v in (Verdict.HOLDS, Verdict.FAILS, Verdict.WITHIN_NOISE)}
    for name, comparison in comparisons.items():
        sorts[side(comparison)].append(name)
    return sorts


def listed(words: Sequence[str]) -> str:
    """Join words: "a", "a and b", "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def in_comparable_form(maps: Mapping[str, float]) -> str:
    """Say how CoMC stands once all scores can be compared between images: means over seeds, no intervals.

    Parameters
    ----------
    maps : mapping of str to float
        mAP in percent with a softmax over each image's classes, by method, CoMC's among them.

    Returns
    -------
    str
        Part of a sentence: "CoMC has 70.3 %, and ahead of it is CLIP-DPT (71.0 %)".
    """
    ours = maps["CoMC"]
    ahead = [f"{name} ({percent(value)})" for name, value in maps.items() if value > ours]
    verb = "are" if len(ahead) > 1 else "is"
    standing = f"ahead of it {verb} {listed(ahead)}" if ahead else "none is ahead of it"
    return f"CoMC has {percent(ours)}, and {standing}"


COMPARABLE = (
    "With a softmax over each image's classes, so that scores can be compared between images (notebook 13), "
)
