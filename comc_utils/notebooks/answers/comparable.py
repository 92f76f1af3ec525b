"""What notebook 13 found: how much of each lead is that scores can be compared between images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comc_utils.evaluation import groups
from comc_utils.evaluation.comparison import Comparison
from comc_utils.evaluation.rules import Verdict, side
from comc_utils.notebooks.answers.words import Metrics, against, listed, percent, points, sorted_out

_ZERO_SHOT = "Zero-shot CLIP"
_WITH_REGIONS = "CLIP-DPT"
_PAPERS = "CoMC, paper's preset, as it is"
_FORMS = {"as it is": "as it is", "softmax": "with a softmax", "centred": "with centred scores"}
_COMPARABLE = ("softmax", "centred")
"""The one form that needs no choice, and the one that stands beside it."""


def comparable_scores(metrics: Metrics) -> str:
    """Answer what is left of CoMC's lead once the others' scores can be compared, too.

    Parameters
    ----------
    metrics : mapping
        Of notebook 13_comparable_scores.

    Returns
    -------
    str
        Markdown.
    """
    comparisons, maps = metrics["comparisons"], metrics["map"]
    over = comparisons[groups.COMC_OVER_COMPARABLE]
    said = [
        f"**{_lead(over[f'{_ZERO_SHOT}, softmax'])}** As it is, zero-shot CLIP has "
        f"{percent(maps[f'{_ZERO_SHOT}, as it is'])}; with a softmax over classes, which learns nothing and needs no "
        f"choice, {percent(maps[f'{_ZERO_SHOT}, softmax'])}; CoMC has {percent(maps['CoMC, as it is'])}.",
        _left_of_the_lead(over),
        _in_kind(comparisons[groups.COMC_OVER_IN_KIND]),
        _other_preset(comparisons, maps),
        _worth(comparisons[groups.NORMALISED_OVER_AS_IT_IS]),
        _shares(metrics["share of variance by image"]),
        _transductive(comparisons[groups.OTHERS_OVER_COMC], maps),
        _without_labels(metrics["chosen"], metrics["criteria"], metrics["inference"]),
    ]
    return " ".join(filter(None, said))


def _lead(comparison: Comparison) -> str:
    return against(
        comparison,
        "CoMC is above zero-shot CLIP also where scores can be compared.",
        "Where scores can be compared, zero-shot CLIP, which learns nothing, is above CoMC.",
        "Where scores can be compared, CoMC's lead over zero-shot CLIP cannot be told from noise.",
    )


def _left_of_the_lead(over: Mapping[str, Comparison]) -> str:
    """CoMC minus what learns nothing, as it is and in both comparable forms."""
    said = []
    for method in (_ZERO_SHOT, _WITH_REGIONS):
        if f"{method}, softmax" in over:
            forms = [f"{points(over[f'{method}, {how}'])} {words}" for how, words in _FORMS.items()]
            said.append(f"over {method} {listed(forms)}")
    text = f"With the first seed CoMC's lead is {'; '.join(said)}."
    softmax, centred = (side(over[f"{_ZERO_SHOT}, {how}"]) for how in _COMPARABLE)
    return text if softmax is centred else f"{text} The two forms disagree on zero-shot CLIP."


def _in_kind(over: Mapping[str, Comparison]) -> str:
    """CoMC minus the same methods, with the same done to its own scores."""
    said = [
        f"{points(over[f'{method}, softmax'])} over {method}"
        for method in (_ZERO_SHOT, _WITH_REGIONS)
        if f"{method}, softmax" in over
    ]
    return f"With a softmax over CoMC's own scores, too, its lead is {listed(said)}."


def _without_labels(
    chosen: Mapping[str, Any], criteria: Mapping[str, float], inference: Mapping[str, float]
) -> str:
    """What a choice without labels comes to."""
    below = chosen["best by labels"] - chosen["map"]
    said = (
        f"Of {chosen['of']} settings of Prototypes the one that was chosen without a label ({chosen['settings']}) has "
        f"{percent(chosen['map'])}, {below:.2f} below the best by the labels."
    )
    if criteria:
        best = max(criteria, key=criteria.__getitem__)
        said += (
            f" On known drawings the criterion that orders settings best is the {best} (rank correlation "
            f"{criteria[best]:.2f}); the others reach {max(r for name, r in criteria.items() if name != best):.2f} at most."
        )
    by_choice, own = inference["alpha without a label"], inference["as the profile has them"]
    return f"{said} By the same criterion alpha would give CoMC {percent(by_choice)}, where the profile's gives {percent(own)}."


def _other_preset(comparisons: Mapping[str, Mapping[str, Comparison]], maps: Mapping[str, float]) -> str:
    """The same with the paper's preset, against the best of what learns nothing."""
    over = comparisons.get(groups.COMC_OVER_COMPARABLE + groups.PAPER_PRESET)
    if over is None:
        return ""
    nothing = [f"{method}, {how}" for method in (_ZERO_SHOT, _WITH_REGIONS) for how in _FORMS]
    best = max((name for name in nothing if name in maps), key=maps.__getitem__)
    method, _, how = best.rpartition(", ")
    return (
        f"The best that learns nothing is {method} {_FORMS[how]}, {percent(maps[best])}. With the paper's preset CoMC "
        f"has {percent(maps[_PAPERS])}, {_place(over[best])} it ({points(over[best])})."
    )


def _worth(worths: Mapping[str, Comparison]) -> str:
    """What the softmax is worth to each method."""
    by_softmax = {name.rpartition(", ")[0]: c for name, c in worths.items() if name.endswith(", softmax")}
    said = {name: f"{name} ({c['difference']:+.2f})" for name, c in by_softmax.items()}
    verbs = {  # of one method, of several
        Verdict.HOLDS: ("gains by it", "gain by it"),
        Verdict.FAILS: ("loses by it", "lose by it"),
        Verdict.WITHIN_NOISE: ("does not change measurably", "do not change measurably"),
    }
    parts = [
        f"{listed([said[name] for name in names])} {verbs[verdict][len(names) > 1]}"
        for verdict, names in sorted_out(by_softmax).items()
        if names
    ]
    return f"Of the methods with a softmax over their classes, {'; '.join(parts)}."


def _shares(shares: Mapping[str, float]) -> str:
    parts = [f"{percent(share)} of the variance of {name}'s scores" for name, share in shares.items()]
    return f"The mean over an image's classes makes up {listed(parts)}."


def _transductive(over: Mapping[str, Comparison], maps: Mapping[str, float]) -> str:
    """What looks at the other images, without a label."""
    if not over:
        return ""
    said = [
        f"{name} has {percent(maps[f'{name}, as it is'])}, {_place(c)} CoMC ({points(c)})"
        for name, c in over.items()
    ]
    return f"With a look at the other, unlabelled images {listed(said)}."


def _place(comparison: Comparison) -> str:
    return against(comparison, "above", "below", "not measurably apart from")
