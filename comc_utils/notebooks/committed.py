"""Whether a run gave the committed metrics, as git holds them."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.notebooks.progress import readable
from comc_utils.notebooks.times import describe_machine, reference_times

CLOSE = 1e-4
"""Differences up to this, in a metric's own unit, are told apart from larger ones."""
ROUNDED_OTHERWISE = 0.05
"""So far metrics lie apart where another kind of processor adds in another order, and training carries it on:
measured between AVX2 and AVX-512, in points of mAP, for all but 5 of 1,635 metrics."""
_SHOWN = 20
_ABSENT = object()
_KINDS = ("beyond", "missing here", "new", f"within {ROUNDED_OTHERWISE}", f"within {CLOSE}")


@dataclass(frozen=True)
class Difference:
    """A metric that is not the same in two results.

    Attributes
    ----------
    name : str
        Dotted names and places in lists that lead to it, for example ``map.CoMC``.
    committed, here : object
        Its values, as JSON gives them.
    """

    name: str
    committed: Any
    here: Any

    @property
    def size(self) -> float:
        """Difference of two numbers; infinite for what is no number or in one of them alone."""
        if _is_number(self.committed) and _is_number(self.here):
            return abs(self.here - self.committed)
        return float("inf")

    @property
    def kind(self) -> str:
        """One of "beyond", "missing here", "new", "within 0.05" and "within 0.0001"."""
        if self.here is _ABSENT:
            return "missing here"
        if self.committed is _ABSENT:
            return "new"
        if self.size <= CLOSE:
            return _KINDS[-1]
        return _KINDS[-2] if self.size <= ROUNDED_OTHERWISE else "beyond"

    def __str__(self) -> str:
        if self.here is _ABSENT:
            return f"{self.name}: committed {self.committed!r}, missing here"
        if self.committed is _ABSENT:
            return f"{self.name}: new, {self.here!r}"
        text = f"{self.name}: committed {self.committed!r}, here {self.here!r}"
        if self.size < float("inf"):
            text += f", difference {self.here - self.committed:+.3g}"
        return text


def flatten(metrics: Any, name: str = "") -> dict[str, Any]:
    """List the single metrics of a notebook.

    Parameters
    ----------
    metrics : object
        As JSON gives it.
    name : str
        Dotted names that lead here.

    Returns
    -------
    dict of str to object
        Numbers, strings, truth values and None by their dotted names.
    """
    if not isinstance(metrics, Mapping | list):
        return {name: metrics}
    members = metrics.items() if isinstance(metrics, Mapping) else enumerate(metrics)
    return {
        place: value
        for key, member in members
        for place, value in flatten(member, f"{name}.{key}" if name else str(key)).items()
    }


def differences(committed: Any, here: Any) -> Iterator[Difference]:
    """Compare two metrics one by one.

    Parameters
    ----------
    committed, here : object
        Of one notebook, as JSON gives them.

    Yields
    ------
    Difference
        For each that is not exactly the same.
    """
    one, other = flatten(committed), flatten(here)
    for name in one | other:
        pair = one.get(name, _ABSENT), other.get(name, _ABSENT)
        if pair[0] != pair[1] or isinstance(pair[0], bool) != isinstance(pair[1], bool):
            yield Difference(name, *pair)


def compare_with_committed(folder: Path, notebooks: Sequence[str]) -> list[str]:
    """Say whether notebooks have left the metrics that are committed.

    Parameters
    ----------
    folder : Path
        The results folder. The committed metrics are those of the last commit (``HEAD``) in the same place.
    notebooks : sequence of str
        Names of those that ran.

    Returns
    -------
    list of str
        Lines for a reader: one where all is as committed or nothing can be compared.
    """
    try:
        committed = _committed(folder, notebooks)
    except CoMCError as reason:
        return [f"Metrics are not compared with committed ones: {reason}"]
    found = [
        (name, difference)
        for name, metrics in committed.items()
        for difference in differences(metrics, _read(folder / "metrics" / f"{name}.json"))
    ]
    kinds = Counter(difference.kind for _, difference in found)
    n = sum(len(flatten(metrics)) for metrics in committed.values())
    head = f"{n - len(found) + kinds['new']:,} of {n:,} metrics as committed"
    head += "".join(f", {kinds[kind]:,} {kind}" for kind in _KINDS if kinds[kind])
    if left_out := [name for name in notebooks if name not in committed]:
        head += f" (none are committed of {', '.join(left_out)})"
    # The most telling first; of the rest the largest.
    found.sort(key=lambda of: (_KINDS.index(of[1].kind), -of[1].size))
    lines = [head, *_other_processor(folder)] if found else [head]
    lines += [f"  {name}  {difference}" for name, difference in found[:_SHOWN]]
    return lines + ([f"  and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else [])


def _other_processor(folder: Path) -> list[str]:
    """Say so where the committed results come from another kind of processor."""
    theirs, ours = reference_times(folder).get("vectors"), describe_machine()["vectors"]
    if not theirs or not ours or theirs == ours:
        return []
    return [
        f"  The committed results come from a processor with {theirs}, this one has {ours}: sums are rounded "
        f"otherwise, and training carries that on. Differences up to {ROUNDED_OTHERWISE} are usual; larger "
        "where single neighbours are counted (06_modality_gap)."
    ]


def _committed(folder: Path, notebooks: Sequence[str]) -> dict[str, Any]:
    held = git(folder, "ls-tree", "--name-only", "HEAD", "./metrics/").splitlines()
    found = {
        name: json.loads(git(folder, "show", f"HEAD:./metrics/{name}.json"))
        for name in notebooks
        if f"metrics/{name}.json" in held
    }
    if not found:
        raise CoMCError(f"git holds none of what ran in {readable(folder)}.")
    return found


def git(folder: Path, *words: str) -> str:
    """Ask git about a folder.

    Parameters
    ----------
    folder : Path
    words : str
        The command, for example ``show`` and ``HEAD:./file``.

    Returns
    -------
    str
        What it prints.

    Raises
    ------
    CoMCError
        git is not installed, or has no answer.
    """
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, encoding="utf-8", check=False
        )
    except FileNotFoundError:
        raise CoMCError("git is not installed.") from None
    if ended.returncode:
        raise CoMCError(f"git says: {ended.stderr.strip()}")
    return ended.stdout


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
