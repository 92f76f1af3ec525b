"""What the paper asserts, and the test that decides each assertion on a profile's results.

The rule of every verdict stands here and nowhere else. A comparison is a difference (first minus second) with
its paired 95 % bootstrap interval over images and the same difference for each seed. Against a bound (0 unless
a rule says otherwise) a comparison

- holds when the whole interval and every seed's difference lie on the asserted side of the bound,
- fails when the whole interval and every seed's difference lie on the other side,
- is within noise otherwise.

A claim over several comparisons holds when all of them hold, fails when any of them fails, and is within noise
otherwise. No interval is widened for their number. To hold, all must pass, so a false "holds" does not become
likelier with more of them; a false "fails" does, and the evidence then says by how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.evaluation import groups
from comc_utils.evaluation.paper_claims import CLAIMS, Claim
from comc_utils.evaluation.rules import AllOf, Finding, Greater, NoEvidenceError, Rule, Verdict

# A group measured otherwise is told, and decides nothing, unless a rule names it, as those of rivals do
# with the learning rates that were searched for them here.
_HOW = {
    groups.PAPER_PRESET: "With the paper's preset",
    groups.RELEASED_PRESET: "With the released code's preset",
    groups.EQUAL_STEPS: "With equal steps",
}
# Chance, in percent, that a 95 % interval lies wholly on one given wrong side.
_ONE_SIDED = 2.5

Metrics = Mapping[str, Mapping[str, Any]]
"""What each notebook left, by its name (``04_ablations``)."""


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    Attributes
    ----------
    verdict : Verdict
    findings : tuple of Finding
        Empty where the claim is not testable.
    reason : str
        Why the verdict is this one, in a sentence.
    notes : tuple of str
        What else is to be known: another preset, backbone or other images, how likely a failure is by chance.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def evidence(self) -> str:
        """The numbers and notes as one text."""
        return " ".join(
            [f"{_listed(self.findings)}.", *self.notes] if self.findings else self.notes
        )


def judge(claim: Claim, metrics: Metrics) -> Judgement:
    """Decide a claim on a profile's results.

    Parameters
    ----------
    claim : Claim
    metrics : mapping of str to mapping
        What each notebook left, by its name. A notebook that is missing, or that left
        ``{"skipped": reason}``, decides nothing.

    Returns
    -------
    Judgement

    Raises
    ------
    CoMCError
        Where comparisons are missing that the profile should have: every profile has them, or another claim
        finds what needs the same, or the notebook left a group under a name that `groups` does not declare.
    """
    rule, values = claim.rule, metrics.get(claim.notebook, {})
    if claim.notebook not in metrics:
        return _not_testable(f"Notebook {claim.notebook} has left no metrics here.")
    if "skipped" in values:
        return _not_testable(f"Notebook {claim.notebook} was skipped: {values['skipped']}")
    try:
        findings = rule.findings(values)
    except NoEvidenceError as missing:
        _refuse_what_should_be_there(claim, missing, metrics)
        return _not_testable(str(missing))
    verdict = _together(findings)
    notes = (*_chance_of_false_alarm(verdict, findings), *_measured_otherwise(rule, values))
    return Judgement(verdict, findings, _reason(findings), notes)


def _not_testable(reason: str) -> Judgement:
    return Judgement(Verdict.NOT_TESTABLE, (), reason)


def _refuse_what_should_be_there(claim: Claim, missing: NoEvidenceError, metrics: Metrics) -> None:
    """Raise, unless the profile lacks what is missing; else a misnamed group would look like that."""
    known = groups.LEFT_BY[claim.notebook]
    left = metrics[claim.notebook].get("comparisons", {})
    undeclared = [group for group in left if groups.plain(group) not in known]
    if missing.empty or (missing.needs and not undeclared and not _found(missing.needs, metrics)):
        return
    there = ", ".join(f'"{name}"' for name in missing.there) or "nothing"
    raise CoMCError(
        f"The claim {claim.identifier} rests on metrics of notebook {claim.notebook}, which should have the "
        f"{missing.what}, but have {there}; let the notebook take the names from comc_utils.evaluation.groups, "
        "and run it again."
    )


def _found(needs: str, metrics: Metrics) -> bool:
    """Whether any claim finds what no profile without `needs` has."""
    for claim in CLAIMS:
        for rule in _parts(claim.rule):
            if isinstance(rule, Greater) and rule.needs == needs:
                with suppress(NoEvidenceError):
                    return bool(rule.findings(metrics.get(claim.notebook, {})))
    return False


def _parts(rule: Rule) -> Iterator[Rule]:
    if isinstance(rule, AllOf):
        for part in rule.rules:
            yield from _parts(part)
    else:
        yield rule


def _together(findings: Sequence[Finding]) -> Verdict:
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILS in verdicts:
        return Verdict.FAILS
    return Verdict.HOLDS if verdicts == {Verdict.HOLDS} else Verdict.WITHIN_NOISE


def _reason(findings: Sequence[Finding]) -> str:
    if len(findings) == 1:
        return {
            Verdict.HOLDS: "The whole interval and every seed agree with it.",
            Verdict.FAILS: "The whole interval and every seed speak against it.",
            Verdict.WITHIN_NOISE: "The interval or the seeds lie on both sides.",
        }[findings[0].verdict]
    if {finding.verdict for finding in findings} == {Verdict.HOLDS}:
        return f"All {len(findings)} numbers are for it."
    counts = Counter(finding.verdict for finding in findings)
    parts = [f"{counts[v]} {w}" for v, w in _COUNTED.items() if counts[v]]
    return f"Of {len(findings)} numbers: {', '.join(parts)}."


_COUNTED = {
    Verdict.HOLDS: "for it",
    Verdict.FAILS: "against it",
    Verdict.WITHIN_NOISE: "within noise",
}


def _chance_of_false_alarm(verdict: Verdict, findings: Sequence[Finding]) -> tuple[str, ...]:
    if verdict is not Verdict.FAILS or len(findings) == 1:
        return ()
    chance = min(100.0, _ONE_SIDED * len(findings))
    return (
        f"With {len(findings)} numbers, up to {chance:g} % of true claims would fail by chance.",
    )


def _measured_otherwise(rule: Rule, values: Mapping[str, Any]) -> tuple[str, ...]:
    endings = dict.fromkeys(map(groups.endings, values.get("comparisons", {})))
    endings.pop("", None)
    notes = []
    for ending in endings:
        with suppress(NoEvidenceError):
            findings = rule.findings(values, ending)
            how = _HOW.get(ending, f"On {ending[2:]}")
            notes.append(f"{how}: {_together(findings).value} ({_listed(findings)}).")
    return tuple(notes)


def _listed(findings: Sequence[Finding]) -> str:
    return "; ".join(str(finding) for finding in findings)
