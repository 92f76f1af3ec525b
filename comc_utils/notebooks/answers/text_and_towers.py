"""Answers of the notebooks on the size of the text, its writer, and the backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from comc_utils.evaluation import groups
from comc_utils.evaluation.comparison import Comparison
from comc_utils.evaluation.rules import MARGIN, Verdict, side
from comc_utils.notebooks.answers.words import (
    COMPARABLE,
    Metrics,
    against,
    in_comparable_form,
    listed,
    percent,
    points,
    sorted_out,
)

_TRAININGS = {"equal epochs": "", "equal steps": groups.EQUAL_STEPS}
_PAPERS_SENTENCES = 40_000
_BASELINES = ("Zero-shot CLIP", "CLIP-DPT", "TaI-DPT")


def data_size(metrics: Metrics) -> str:
    """Answer whether half of the sentences is nearly enough.

    Parameters
    ----------
    metrics : mapping
        Of notebook 07.

    Returns
    -------
    str
        Markdown.
    """
    comparisons = metrics["comparisons"]
    halves = {t: next(iter(comparisons[groups.ALL_OVER_HALF + e].values())) for t, e in _TRAININGS.items()}
    below = side(halves["equal epochs"], holds_above=MARGIN, fails_below=MARGIN)
    verdict = {
        Verdict.FAILS: "**Half is nearly enough here.**",
        Verdict.HOLDS: "**Half is not enough here.**",
        Verdict.WITHIN_NOISE: "**Undecided here.**",
    }[below]
    added = listed([f"{points(half)} with {training}" for training, half in halves.items()])
    sentences = [
        f"{verdict} The other half of the {metrics['sentences']:,} sentences adds {added}; "
        f"it is little where it is below {MARGIN:g} point."
    ]
    for training, ending in _TRAININGS.items():
        by_share = metrics["map"][training]
        least, most = (f"{percent(by_share[s])} with {s}" for s in (min(by_share, key=_share), "100 %"))
        steps = comparisons[groups.MORE_TEXT + ending]
        sentences.append(f"With {training}, mAP is {least} of the sentences and {most}; {_steps(steps)}.")
    sentences.append(_missing_steps(metrics.get("equal steps over equal epochs", {})))
    reached = listed([f"with {training} {_from_where(metrics, training)}" for training in _TRAININGS])
    sentences.append(
        f"The mean lies above zero-shot CLIP, which has {percent(metrics['zero_shot'])}: {reached}."
    )
    return " ".join(filter(None, sentences))


def language_models(metrics: Metrics) -> str:
    """Answer whether a better writer of sentences gives a better classifier.

    Parameters
    ----------
    metrics : mapping
        Of notebook 08.

    Returns
    -------
    str
        Markdown.
    """
    maps, texts, comparisons = metrics["map"], metrics["texts"], metrics["comparisons"]
    better, over = comparisons[groups.BETTER_WRITER], comparisons[groups.WRITERS_OVER_ZERO_SHOT_CLIP]
    sentences = [f"{_verdict(better)} Each writer against the next poorer one: {_told(better)}."]
    best, worst = max(over, key=maps.get), min(over, key=maps.get)
    sentences.append(
        f"mAP reaches from {percent(maps[worst])} (*{worst}*) to {percent(maps[best])} (*{best}*), "
        f"{maps[best] - maps[worst]:.1f} points in all."
    )
    sentences.append(_over_zero_shot(over, maps["Zero-shot CLIP"]))
    compared = {name for step in better for name in step.split(" over ")}
    numbers = sorted({texts[name] for name in compared})
    if numbers and numbers[-1] < _PAPERS_SENTENCES:
        few = listed([f"{number:,}" for number in numbers])
        sentences.append(
            f"These writers wrote {few} sentences each, the paper's {_PAPERS_SENTENCES:,}: what a writer is "
            "worth at that number is not measured here."
        )
    return " ".join(sentences)


def backbones(metrics: Metrics) -> str:
    """Answer whether a larger visual backbone gives more, and whether CoMC is above the baselines on each.

    Parameters
    ----------
    metrics : mapping
        Of notebook 09.

    Returns
    -------
    str
        Markdown.
    """
    sizes, kinds, maps = metrics["image parameters (M)"], metrics["image tower"], metrics["map"]
    steps = metrics["comparisons"][groups.BETTER_BACKBONE]
    told = listed([f"{percent(maps[b]['CoMC'])} with *{b}* ({sizes[b]:.3g} M)" for b in sizes])
    sentences = [f"From the smallest image tower to the largest, in parameters, CoMC has {told}."]
    if steps:
        sentences.append(f"Each against the next smaller one: {_told(steps)}.")
        sentences.append(_of_one_kind(steps, kinds))
        sentences[0] = f"{_verdict(steps, ', in the order of size')} {sentences[0]}"
    else:
        sentences[0] = f"**One backbone alone cannot say.** {sentences[0]}"
    for method in _BASELINES:
        over = metrics["comparisons"].get(groups.comc_over(method), {})
        sentences.append(_over_method(method, over))
    comparable = [f"*{name}*: {in_comparable_form(of)}" for name, of in metrics["map, comparable"].items()]
    sentences.append(f"{COMPARABLE}{'; '.join(comparable)}.")
    return " ".join(filter(None, sentences))


def _verdict(comparisons: Mapping[str, Comparison], yes: str = ", here") -> str:
    """Choose a verdict on "more of it is better": yes where every step is above 0."""
    sorts = sorted_out(comparisons)
    if len(sorts[Verdict.HOLDS]) == len(comparisons):
        return f"**Yes{yes}.**"
    if sorts[Verdict.HOLDS]:
        return "**Partly.**"
    return "**No.**" if sorts[Verdict.FAILS] else "**Not measurably.**"


def _told(steps: Mapping[str, Comparison]) -> str:
    """Tell each step with its difference and what it is worth."""
    return "; ".join(
        f"*{'* over *'.join(name.split(' over '))}*, {points(c)}, "
        + against(c, "which is above 0", "which is below 0", "which is within noise")
        for name, c in steps.items()
    )


def _steps(steps: Mapping[str, Comparison]) -> str:
    sorts = sorted_out(steps)
    up, down, neither = (len(sorts[v]) for v in (Verdict.HOLDS, Verdict.FAILS, Verdict.WITHIN_NOISE))
    return f"of {len(steps)} steps to more text, {up} add, {down} take away and {neither} are within noise"


def _missing_steps(gaps: Mapping[str, Comparison]) -> str:
    """Say whether a small share lacks steps of training."""
    if not gaps:
        return ""
    ((share, gap),) = gaps.items()
    why = against(
        gap,
        "so that training with equal epochs is too short for it",
        "so that more training harms there",
        "so that the length of training makes no measurable difference there",
    )
    return f"Equal steps over equal epochs make {points(gap)} with {share} of the sentences, {why}."


def _share(name: str) -> float:
    return float(name.removesuffix(" %"))


def _from_where(metrics: Metrics, training: str) -> str:
    """Say from which share on the mean is above zero-shot CLIP's."""
    start = None
    for share, value in sorted(metrics["map"][training].items(), key=lambda i: _share(i[0]), reverse=True):
        if value <= metrics["zero_shot"]:
            break
        start = share
    return f"from {start} on" if start else "not at the last share"


def _over_zero_shot(over: Mapping[str, Comparison], zero_shot: float) -> str:
    sorts = sorted_out(over)
    if len(sorts[Verdict.HOLDS]) == len(over):
        least = min(over.items(), key=lambda item: item[1]["difference"])
        return (
            f"With every writer CoMC is above zero-shot CLIP ({percent(zero_shot)}), "
            f"by {points(least[1])} at least (*{least[0]}*)."
        )
    return _over_method("zero-shot CLIP", over)


def _over_method(method: str, over: Mapping[str, Comparison]) -> str:
    """Say with what CoMC is above a method, with what below."""
    if not over:
        return ""
    words = {
        Verdict.HOLDS: "above it",
        Verdict.FAILS: "below it",
        Verdict.WITHIN_NOISE: "not measurably different",
    }
    parts = [
        f"{words[verdict]} with {_listed_with_points(names, over)}"
        for verdict, names in sorted_out(over).items()
        if names
    ]
    return f"Against {method}, CoMC is {'; it is '.join(parts)}."


def _listed_with_points(names: Sequence[str], over: Mapping[str, Comparison]) -> str:
    return listed([f"*{name}* ({points(over[name])})" for name in names])


def _of_one_kind(steps: Mapping[str, Comparison], kinds: Mapping[str, str]) -> str:
    """Say which steps change the kind of image tower with its size."""
    mixed = {step: c for step, c in steps.items() if len({kinds[name] for name in step.split(" over ")}) > 1}
    if not mixed:
        return ""
    changes = "That of {} changes".format if len(mixed) == 1 else "Those of {} change".format
    what = changes(listed([f"*{step.split(' over ')[0]}*" for step in mixed]))
    rest = sorted_out({name: c for name, c in steps.items() if name not in mixed})
    of_one_kind = ", ".join(
        f"{len(names)} {word}"
        for (_, names), word in zip(rest.items(), ("above 0", "below 0", "within noise"), strict=True)
        if names
    )
    left = f"steps between towers of one kind: {of_one_kind}" if of_one_kind else "no other step is left"
    return f"{what} the kind of tower with the size and is no evidence on size; {left}."
