"""The tests that decide claims: differences against bounds, and what a comparison says for a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from comc_utils.evaluation.comparison import Comparison

MARGIN = 1.0
"""Points of mAP below which a difference is called small."""

COMPARABLE = "13_comparable_scores"
"""The notebook that gives second verdicts."""

POINTS = "points of mAP"
"""The unit of nearly all findings."""
_UNITS = {"best alpha": "alpha", "centroid distance": "distance", "probe accuracy": "points of accuracy"}


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

    @property
    def unit(self) -> str:
        """What its numbers count."""
        return _UNITS.get(self.name, POINTS)

    def __str__(self) -> str:
        return f"{self.name}: {self.numbers}"


class NoEvidenceError(Exception):
    """A notebook's metrics do not hold what a rule needs; the message is a sentence.

    Attributes
    ----------
    unmet : Greater or None
        The rule whose group, or comparison in it, is not there; None where the notebook left it empty, or where
        something else is missing.
    """

    def __init__(self, sentence: str, unmet: Greater | None = None) -> None:
        super().__init__(sentence)
        self.unmet = unmet


class Rule:
    """The test of a claim: as text, in words."""

    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def parts(self) -> tuple[Rule, ...]:
        """The tests that this one consists of."""
        return (self,)

    def findings(self, values: Mapping[str, Any], ending: str = "") -> tuple[Finding, ...]:
        """Read a notebook's metrics, from groups whose names have an ending more; or `NoEvidenceError`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Greater(Rule):
    """Every difference lies above a bound.

    Attributes
    ----------
    group : str
        Of comparisons, in the notebook's metrics.
    names : tuple of str
        The comparisons to take; every one of the group by default.
    by : float
        The bound, in the comparisons' unit.
    needs : tuple of str
        What a profile without these comparisons lacks, in words. Where nothing is needed, or another test shows
        that it is there, comparisons that are missing are an error.
    """

    group: str
    names: tuple[str, ...] = ()
    by: float = 0.0
    needs: tuple[str, ...] = ()  # type: ignore[misc]

    def __str__(self) -> str:
        return f"{self._which} > {self.by:g}"

    @property
    def _which(self) -> str:
        return f'"{self.group}" {" and ".join(self.names) or "each"}'

    def _decide(self, comparison: Comparison) -> Verdict:
        return side(comparison, holds_above=self.by, fails_below=self.by)

    def findings(self, values: Mapping[str, Any], ending: str = "") -> tuple[Finding, ...]:
        """Judge each comparison."""
        left = values.get("comparisons", {}).get(self.group + ending)
        comparisons = left or {}
        names = self.names or tuple(comparisons)
        missing = " and ".join(name for name in names if name not in comparisons)
        if missing or not names:
            where = f'no "{missing}" in "{self.group}"' if missing else f'no "{self.group}"'
            why = f"; that needs {' and '.join(self.needs)}" if self.needs else ""
            raise NoEvidenceError(
                f"The results of this profile have {where}{why}.", None if left == {} else self
            )
        group, comma, of_group = self.group.partition(", ")
        return tuple(
            Finding(
                (f"{group} {name}" if self.names else name) + comma + of_group,
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
        return side(comparison, holds_above=-MARGIN, fails_below=0.0)


@dataclass(frozen=True)
class SmallGain(Greater):
    """Every difference lies below `MARGIN`, be it below 0."""

    def __str__(self) -> str:
        return f"{self._which} < {MARGIN:g}"

    def _decide(self, comparison: Comparison) -> Verdict:
        large = side(comparison, holds_above=MARGIN, fails_below=MARGIN)
        turned = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}
        return turned.get(large, large)


@dataclass(frozen=True)
class BestAlphaInside(Rule):
    """The 95 % interval of the best alpha lies strictly inside (0, 1); it fails where it is one end."""

    def __str__(self) -> str:
        return "95 % interval of the best alpha inside (0, 1)"

    def findings(self, values: Mapping[str, Any], ending: str = "") -> tuple[Finding, ...]:
        """Judge the interval."""
        if ending or "best_alpha_interval" not in values:
            raise NoEvidenceError("The results of this profile have no interval of the best alpha.")
        low, high = values["best_alpha_interval"]
        verdict = Verdict.WITHIN_NOISE
        if low > 0 and high < 1:
            verdict = Verdict.HOLDS
        elif high <= 0 or low >= 1:
            verdict = Verdict.FAILS
        numbers = f"{values['best_alpha']:.2f} [{low:.2f}, {high:.2f}]"
        return (Finding("best alpha", numbers, verdict),)


@dataclass(frozen=True)
class AllOf(Rule):
    """Several tests, their findings taken as one group."""

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return "; ".join(str(rule) for rule in self.rules)

    @property
    def parts(self) -> tuple[Rule, ...]:
        """The tests themselves."""
        return self.rules

    def findings(self, values: Mapping[str, Any], ending: str = "") -> tuple[Finding, ...]:
        """Judge by each."""
        return tuple(f for rule in self.rules for f in rule.findings(values, ending))


@dataclass(frozen=True)
class Claim:
    """An assertion of the paper.

    Attributes
    ----------
    identifier : str
        Stable, for metrics and links.
    statement : str
        In our words.
    place : str
        Section, paragraph, sentence, and the table or figure it rests on.
    notebook : str
        The one whose numbers decide.
    rule : Rule
    remark : str
        What the paper's own numbers say against it; '' for nothing.
    comparable : Rule or None
        The same test against the other method in its comparable form, decided by notebook `COMPARABLE`; for a
        second verdict.
    """

    identifier: str
    statement: str
    place: str
    notebook: str
    rule: Rule
    remark: str = ""
    comparable: Rule | None = None


def side(comparison: Comparison, *, holds_above: float = 0.0, fails_below: float = 0.0) -> Verdict:
    """Judge one comparison by its interval over images and every seed.

    Parameters
    ----------
    comparison : Comparison
    holds_above, fails_below : float
        Bounds, in the comparison's unit; where both are met, it fails.

    Returns
    -------
    Verdict
    """
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
