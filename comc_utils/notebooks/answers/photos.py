"""What notebook 14 found: tags of drawn scenes as files, where they come from, what corrections are worth."""

from __future__ import annotations

from collections.abc import Mapping

from comc_utils.notebooks.answers.words import Metrics, percent

_CHANCE = "a region by lot"
_NOISE = 0.5
"""Points of F1 below which nothing is said to change."""


def your_photos(metrics: Metrics) -> str:
    """Answer notebook 14.

    Parameters
    ----------
    metrics : mapping
        What it left.

    Returns
    -------
    str
        Markdown.
    """
    return " ".join(
        [
            f"Of {metrics['photos']:,} scenes as files, tagged without one answer, tags have a micro F1 of "
            f"{percent(metrics['tags']['micro F1'])}, with {metrics['tags a photo']:.1f} tags a photo.",
            _on_objects(metrics["on objects"]),
            _corrections(metrics["corrections"], metrics["looked through"]),
        ]
    )


def _on_objects(shares: Mapping[str, list[float]]) -> str:
    chance, middle_by_chance = shares[f"{_CHANCE}, all"]
    methods = [name.removesuffix(", all") for name in shares if name.endswith(", all") and _CHANCE not in name]
    each = [f"{percent(shares[f'{name}, all'][0])} ({name})" for name in methods]
    middles = [f"{percent(shares[f'{name}, all'][1])} ({name})" for name in methods]
    on_it = min(shares[f"{name}, all"][0] for name in methods) > chance
    verdict = "**A tag comes from where the object is.**" if on_it else "**Tags do not come from the objects.**"
    text = (
        f"{verdict} The region with a label's highest score overlaps the object for {' and '.join(each)} of the "
        f"labels that scenes show, one drawn by lot for {percent(chance)}; its middle lies on the object's box for "
        f"{' and '.join(middles)}, by lot {percent(middle_by_chance)}."
    )
    lower = [name for name in methods if shares[f"{name}, others"][0] < shares[f"{name}, largest"][0]]
    if len(lower) == len(methods):
        worst = min(shares[f"{name}, others"][0] for name in methods)
        text += f" It is found less surely for smaller objects, {percent(worst)} at least."
    return text


def _corrections(after: Mapping[str, list[float]], n_looked: int) -> str:
    by: dict[str, dict[int, list[float]]] = {}
    for name, values in after.items():
        choice, _, number = name.rpartition(", ")
        by.setdefault(choice, {})[int(number)] = values
    most = max(max(of) for of in by.values())
    start = next(iter(by.values()))[0]
    ends = {choice: of[max(of)] for choice, of in by.items()}
    where = " and ".join(f"{percent(end[0])} (chosen {choice})" for choice, end in ends.items())
    text = (
        f"On {n_looked:,} photos that somebody looks through, {most} answers about tags take F1 from "
        f"{percent(start[0])} to {where}."
    )
    best = max(ends, key=lambda choice: ends[choice][0])
    if best == "least sure":
        text += " Answers where the tagger is least sure are worth more."
    changes = {choice: end[1] - of[0][1] for (choice, end), of in zip(ends.items(), by.values(), strict=True)}
    elsewhere = ", ".join(f"{change:+.1f} ({choice})" for choice, change in changes.items())
    little = max(map(abs, changes.values())) < _NOISE
    text += (
        f" On all other photos F1 {'hardly moves' if little else 'moves'}: by {elsewhere} points; what answers bring "
        "there are probabilities: the expected calibration error goes from "
        f"{percent(start[2])} to {' and '.join(percent(end[2]) for end in ends.values())}."
    )
    return text
