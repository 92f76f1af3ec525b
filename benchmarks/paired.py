"""Time two ways of doing the same thing in turns, so that what slows one down slows the other down, too."""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One line of the benchmark.

    Attributes
    ----------
    name : str
        What is done, for the table.
    against : str
        What the reference does.
    target : float
        The ratio to reach: of the reference's time to ours, or, where `at_most`, of ours to the reference's.
    prepare : callable
        Makes the inputs and gives two functions without parameters: ours and the reference.
    same : callable
        Says whether two results are the same; the difference that it raises names itself.
    at_most : bool
        Whether the ratio is ours over the reference's and must stay below the target.
    runs : int
        Pairs of runs, after one unmeasured pair.
    scale : float
        What the reference's time is multiplied by, where it does only a part; `against` says so.
    memory_target : float, optional
        Bytes that the process may hold at most until ours has run once, inputs included.
    """

    name: str
    against: str
    target: float
    prepare: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]
    same: Callable[[Any, Any], None]
    at_most: bool = False
    runs: int = 5
    scale: float = 1
    memory_target: float | None = None


@dataclass
class Measured:
    """What a case took, in seconds, pair by pair, and the most memory that ours needed, in bytes."""

    case: Case
    peak_memory: int = 0
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median over the pairs."""
        pairs = [(o, self.case.scale * r) for o, r in zip(self.ours, self.reference, strict=True)]
        return statistics.median(o / r if self.case.at_most else r / o for o, r in pairs)

    @property
    def met(self) -> bool:
        """Whether the targets are reached."""
        case = self.case
        if case.memory_target is not None and self.peak_memory > case.memory_target:
            return False
        return self.ratio <= case.target if case.at_most else self.ratio >= case.target


def measure(case: Case) -> Measured:
    """Run a case's two sides in turns, after a first pair whose results are compared.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Measured

    Raises
    ------
    AssertionError
        The two sides do not give the same.
    """
    ours, reference = case.prepare()
    measured = Measured(case)
    result = ours()
    measured.peak_memory = peak_memory()
    case.same(result, reference())
    del result
    for _ in range(case.runs):
        for function, seconds in ((ours, measured.ours), (reference, measured.reference)):
            gc.collect()
            started = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - started)
    return measured


def peak_memory() -> int:
    """Most memory that this process has held so far, in bytes (Linux and macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
