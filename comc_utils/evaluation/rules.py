"""What can be asked of a notebook's comparisons: the tests that claims rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from comc_utils.evaluation import groups
from comc_utils.evaluation.comparison import Comparison

MARGIN = 1.0
"""Points of mAP below which a difference is called small."""


class Verdict(str, Enum):
    """How a claim fares on a profile."""

    HOLDS = "holds"
    FAILS = "fails"
    WITHIN_NOISE = "within noise"
    NOT_TESTABLE = "not testable here"


@dataclass(frozen=True)
class Finding:
    """One number that a claim rests on, with what it says for itself."""

    name: str
    numbers: str
    verdict: Verdict
    comparison: Comparison | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.numbers}"


class NoEvidenceError(Exception):
    """A notebook's metrics do not hold what a rule needs; the message is a sentence.

    Attributes
    ----------
    what : str
        Is not there.
    needs : str
        What a profile without it lacks, for the reader; '' where no profile is without it.
    there : tuple of str
        Names that are there in its place.
    empty : bool
        The group is there, but has nothing in it: the notebook says that there is nothing to compare.
    """

    def __init__(
        self, what: str, *, needs: str = "", there: tuple[str, ...] = (), empty: bool = False
    ) -> None:
        why = f"; that needs {needs}" if needs else ""
        super().__init__(f"The results of this profile have no {what}{why}.")
        self.what, self.needs, self.there, self.empty = what, needs, there, empty


class Rule(Protocol):
    """The test of a claim: as text, in words."""

    def findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        """Read a notebook's metrics, from groups whose names end in `suffix`; or `NoEvidenceError`."""
        ...


@dataclass(frozen=True)
class Greater:
    """Every difference lies above a bound.

    Attributes
    ----------
    group : str
        Of comparisons, in the notebook's metrics.
    names : tuple of str
        The comparisons to take; every one of the group by default.
    by : float
        The bound, in the comparisons' unit.
    needs : str
        What a profile without these comparisons lacks, for the reader.
    """

    group: str
    names: tuple[str, ...] = ()
    by: float = 0.0
    needs: str = ""

    def __str__(self) -> str:
        return f"{self._which} > {self.by:g}"

    @property
    def _which(self) -> str:
        return f'"{self.group}" {" and ".join(self.names) or "each"}'

    def _decide(self, comparison: Comparison) -> Verdict:
        return _side(comparison, holds_above=self.by, fails_below=self.by)

    def findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        """Judge each comparison; as `Rule.findings`."""
        by_group = values.get("comparisons", {})
        comparisons = by_group.get(self.group + suffix, {})
        names = self.names or tuple(comparisons)
        missing = " and ".join(name for name in names if name not in comparisons)
        if missing or not names:
            what = f'"{missing}" in "{self.group}"' if missing else f'"{self.group}"'
            empty = not comparisons and self.group + suffix in by_group
            there = tuple(comparisons or by_group)
            raise NoEvidenceError(what, needs=self.needs, there=there, empty=empty)
        plain, ending = groups.plain(self.group), groups.endings(self.group)
        return tuple(
            Finding(
                (f"{plain} {name}" if self.names else name) + ending,
                _numbers(comparisons[name]),
                self._decide(comparisons[name]),
                comparisons[name],
            )
            for name in names
        )


@dataclass(frozen=True)
class NotWorse(Greater):
    """No difference is below 0.

    "Not below" cannot be shown, only "not below by more than a margin". So a comparison holds above minus
    `MARGIN`; and it fails, as everywhere, below 0, be it by less than the margin.
    """

    def __str__(self) -> str:
        return f"{self._which} > {-MARGIN:g}, none < 0"

    def _decide(self, comparison: Comparison) -> Verdict:
        return _side(comparison, holds_above=-MARGIN, fails_below=0.0)


@dataclass(frozen=True)
class SmallGain(Greater):
    """Every difference lies below `MARGIN`, be it below 0."""

    def __str__(self) -> str:
        return f"{self._which} < {MARGIN:g}"

    def _decide(self, comparison: Comparison) -> Verdict:
        large = _side(comparison, holds_above=MARGIN, fails_below=MARGIN)
        turned = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}
        return turned.get(large, large)


@dataclass(frozen=True)
class BestAlphaInside:
    """The 95 % interval of the best alpha lies strictly inside (0, 1); it fails where it is one end."""

    def __str__(self) -> str:
        return "95 % interval of the best alpha inside (0, 1)"

    def findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        """Judge the interval, which is measured in one way alone; as `Rule.findings`."""
        if suffix or "best_alpha_interval" not in values:
            raise NoEvidenceError("interval of the best alpha", there=tuple(values))
        low, high = values["best_alpha_interval"]
        verdict = Verdict.WITHIN_NOISE
        if low > 0 and high < 1:
            verdict = Verdict.HOLDS
        elif high <= 0 or low >= 1:
            verdict = Verdict.FAILS
        numbers = f"{values['best_alpha']:.2f} [{low:.2f}, {high:.2f}]"
        return (Finding("best alpha", numbers, verdict),)


@dataclass(frozen=True)
class AllOf:
    """Several tests, their findings taken as one group."""

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return "; ".join(str(rule) for rule in self.rules)

    def findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        """Put the findings of all tests one after the other; as `Rule.findings`."""
        return tuple(f for rule in self.rules for f in rule.findings(values, suffix))


def _side(comparison: Comparison, *, holds_above: float, fails_below: float) -> Verdict:
    """Judge one comparison; where both bounds are met, it fails."""
    if comparison["high"] < fails_below and all(d < fails_below for d in comparison["over_seeds"]):
        return Verdict.FAILS
    if comparison["low"] > holds_above and all(d > holds_above for d in comparison["over_seeds"]):
        return Verdict.HOLDS
    return Verdict.WITHIN_NOISE


def _numbers(comparison: Comparison) -> str:
    text = f"{comparison['difference']:+.2f} [{comparison['low']:+.2f}, {comparison['high']:+.2f}]"
    seeds = comparison["over_seeds"]
    if seeds:
        text += f", {len(seeds)} seeds {min(seeds):+.2f} to {max(seeds):+.2f}"
    return text
