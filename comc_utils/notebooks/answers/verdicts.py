"""What has become of the paper's claims, in a sentence or two."""

from __future__ import annotations

from collections.abc import Mapping

from comc_utils.evaluation.claims import Claim, Judgement, Verdict
from comc_utils.notebooks.answers.words import listed

_COUNTED = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.FAILS: ("fails", "fail"),
    Verdict.WITHIN_NOISE: ("is within noise", "are within noise"),
    Verdict.NOT_TESTABLE: ("is not testable", "are not testable"),
}


def report(judgements: Mapping[Claim, Judgement]) -> str:
    """Count the verdicts, name the claims that fail, and give second verdicts."""
    claims = {v: [claim for claim, j in judgements.items() if j.verdict is v] for v in _COUNTED}
    counts = [f"**{len(of)} {_COUNTED[v][len(of) > 1]}**" for v, of in claims.items() if of]
    failing = "; ".join(f"“{claim.statement.rstrip('.')}”" for claim in claims[Verdict.FAILS])
    against = f"What fails: {failing}." if failing else "None fails."
    text = f"Of the paper's {len(judgements)} claims, {listed(counts)} here. {against}{_only_so(judgements)}"
    second = [
        f"“{claim.statement.rstrip('.')}” {_COUNTED[j.comparable][0]}"
        for claim, j in judgements.items()
        if j.comparable is not None
    ]
    if not second:
        return text
    return (
        f"{text} Against baselines whose scores can be compared between images (notebook 13), {listed(second)}."
    )


def only_as_measured(judgements: Mapping[Claim, Judgement]) -> dict[Claim, dict[str, Verdict]]:
    """Find the claims that hold, but not when measured otherwise: how, and what becomes of them then."""
    found = {
        claim: {how: verdict for how, verdict in judgement.otherwise.items() if verdict is not Verdict.HOLDS}
        for claim, judgement in judgements.items()
        if judgement.verdict is Verdict.HOLDS
    }
    return {claim: others for claim, others in found.items() if others}


def _only_so(judgements: Mapping[Claim, Judgement]) -> str:
    found = only_as_measured(judgements)
    if not found:
        return ""
    told = {
        claim: "; ".join(f"{how[:1].lower()}{how[1:]}: {verdict.value}" for how, verdict in others.items())
        for claim, others in found.items()
    }
    parts = [f"“{claim.statement.rstrip('.')}” ({others})" for claim, others in told.items()]
    return f" Of those that hold, {len(found)} would not when measured otherwise: {'; '.join(parts)}."
