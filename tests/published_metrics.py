"""Committed metrics for tests, and the same with their differences turned round."""

from __future__ import annotations

import copy
import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


def committed(notebook: str, profile: str = "miniworld") -> dict:
    """Read what a notebook has left."""
    return json.loads((RESULTS / profile / "metrics" / f"{notebook}.json").read_text(encoding="utf-8"))


def negated(comparison: dict) -> dict:
    """Turn a difference round."""
    low, high = -comparison["high"], -comparison["low"]
    seeds = [-value for value in comparison["over_seeds"]]
    return {"difference": -comparison["difference"], "low": low, "high": high, "over_seeds": seeds}


def turned(metrics: dict, *groups: str) -> dict:
    """Turn the differences of some groups round, or of all."""
    metrics = copy.deepcopy(metrics)
    comparisons = metrics["comparisons"]
    for group in groups or comparisons:
        comparisons[group] = {name: negated(c) for name, c in comparisons[group].items()}
    return metrics
