"""What becomes of the paper's claims on a profile's results.

The rule of every verdict stands here and in `rules`, nowhere else. A comparison is a difference (first minus
second) with its paired 95 % bootstrap interval over images and the same difference for each seed. Against a
bound (0 unless a rule says otherwise) a comparison

- holds when the whole interval and every seed's difference lie on the asserted side of the bound,
- fails when the whole interval and every seed's difference lie on the other side,
- is within noise otherwise.

A claim over several comparisons holds when all of them hold, fails when any of them fails, and is within noise
otherwise. No interval is widened for their number. To hold, all must pass, so a false "holds" does not become
likelier with more of them; a false "fails" does, and the evidence then says by how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.evaluation.claims_of_the_paper import CLAIMS
from comc_utils.evaluation.groups import EQUAL_STEPS, PAPER_PRESET, is_known
from comc_utils.evaluation.rules import COMPARABLE, MARGIN, Claim, Finding, NoEvidenceError, Rule, Verdict

__all__ = ["CLAIMS", "MARGIN", "Claim", "Judgement", "Metrics", "Verdict", "judge"]

# A group measured otherwise has the plain group's name and an ending: with the preset that is not the
# profile's own, on other images, or with another backbone. It is told, and decides nothing, unless a rule
# names it, as those of rivals do with the learning rates that were searched for them here.
_HOW = {PAPER_PRESET: "With the paper's preset", EQUAL_STEPS: "With equal steps"}
_COMPARABLY = "Where the other's scores can be compared between images, too"
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
        What else is to be known: another preset, backbone or other images, how likely a failure is by chance,
        the second verdict.
    otherwise : mapping of str to Verdict
        What becomes of the claim measured in other ways, the second verdict among them, by how in words. They
        decide nothing.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    reason: str
    notes: tuple[str, ...] = ()
    otherwise: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def comparable(self) -> Verdict | None:
        """The second verdict, against the other method in its comparable form.

        None where nobody asks for one, or the notebook that gives it has not run.
        """
        return self.otherwise.get(_COMPARABLY)

    @property
    def evidence(self) -> str:
        """The numbers and notes as one text."""
        return " ".join([f"{_listed(self.findings)}.", *self.notes] if self.findings else self.notes)


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
        Comparisons are missing although what they need is there, or beside a group of a name that `groups` does
        not know: a notebook calls its group otherwise.
    """
    rule, values = claim.rule, metrics.get(claim.notebook, {})
    try:
        if claim.notebook not in metrics:
            raise NoEvidenceError(f"Notebook {claim.notebook} has left no metrics here.")
        if "skipped" in values:
            raise NoEvidenceError(f"Notebook {claim.notebook} was skipped: {values['skipped']}")
        findings = rule.findings(values)
    except NoEvidenceError as missing:
        unknown = not all(map(is_known, values.get("comparisons", {})))
        if missing.unmet and (unknown or all(_is_there(need, metrics) for need in missing.unmet.needs)):
            known = ", ".join(f'"{group}"' for group in values.get("comparisons", {})) or "none"
            raise CoMCError(
                f'The claim {claim.identifier} rests on the comparisons "{missing.unmet.group}" of notebook '
                f"{claim.notebook}. {missing} Its groups are: {known}. Name it as evaluation/groups.py does, "
                "or run the notebook again."
            ) from None
        return Judgement(Verdict.NOT_TESTABLE, (), str(missing))
    verdict = _together(findings)
    others = _measured_otherwise(rule, values)
    second = _against_comparable(claim, metrics)
    if second:
        others[_COMPARABLY] = second
    told = (f"{how}: {_together(of).value} ({_listed(of)})." for how, of in others.items())
    return Judgement(
        verdict,
        findings,
        _reason(findings),
        (*_chance_of_false_alarm(verdict, findings), *told),
        {how: _together(of) for how, of in others.items()},
    )


def _against_comparable(claim: Claim, metrics: Metrics) -> tuple[Finding, ...]:
    if claim.comparable is not None:
        with suppress(NoEvidenceError):
            return claim.comparable.findings(metrics.get(COMPARABLE, {}))
    return ()


def _is_there(need: str, metrics: Metrics) -> bool:
    """Whether any test with this need finds what it looks for."""
    for claim in CLAIMS:
        for rule in claim.rule.parts:
            if need in rule.needs:
                with suppress(NoEvidenceError):
                    return bool(rule.findings(metrics.get(claim.notebook, {})))
    return False


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


_COUNTED = {Verdict.HOLDS: "for it", Verdict.FAILS: "against it", Verdict.WITHIN_NOISE: "within noise"}


def _chance_of_false_alarm(verdict: Verdict, findings: Sequence[Finding]) -> tuple[str, ...]:
    if verdict is not Verdict.FAILS or len(findings) == 1:
        return ()
    chance = min(100.0, _ONE_SIDED * len(findings))
    return (f"With {len(findings)} numbers, up to {chance:g} % of true claims would fail by chance.",)


def _measured_otherwise(rule: Rule, values: Mapping[str, Any]) -> dict[str, tuple[Finding, ...]]:
    groups = values.get("comparisons", {})
    endings = dict.fromkeys(group[group.index(", ") :] for group in groups if ", " in group)
    found = {}
    for ending in endings:
        with suppress(NoEvidenceError):
            found[_HOW.get(ending, f"On {ending[2:]}")] = rule.findings(values, ending)
    return found


def _listed(findings: Sequence[Finding]) -> str:
    return "; ".join(str(finding) for finding in findings)
