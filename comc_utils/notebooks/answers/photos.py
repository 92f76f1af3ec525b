"""What notebook 14 found: tags of drawn scenes as files, where they come from, what corrections are worth."""

from __future__ import annotations

from collections.abc import Mapping

from comc_utils.notebooks.answers.words import Metrics, listed, percent

_CHANCE = "a region by lot"
_SMALLER = "smaller"
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
            _corrections(metrics),
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
        f"{verdict} The region with a label's highest score overlaps the object for {listed(each)} of the "
        f"labels that scenes show, one drawn by lot for {percent(chance)}; its middle lies on the object's box for "
        f"{listed(middles)}, by lot {percent(middle_by_chance)}."
    )
    small, chance = f"{methods[0]}, {_SMALLER}", f"{_CHANCE}, {_SMALLER}"
    text += (
        f" For objects that are not the largest labelled one of their scene it is {percent(shares[small][0])} "
        f"({methods[0]}), by lot {percent(shares[chance][0])}."
    )
    return text


def _corrections(metrics: Metrics) -> str:
    by: dict[str, dict[int, list[float]]] = {}
    for name, values in metrics["corrections"].items():
        choice, _, number = name.rpartition(", ")
        by.setdefault(choice, {})[int(number)] = values
    start = next(iter(by.values()))[0]
    most = max(max(of) for of in by.values())
    ends = {choice: of[max(of)] for choice, of in by.items()}
    where = listed([f"{percent(end[0])} (chosen {choice})" for choice, end in ends.items()])
    changes = {choice: end[1] - start[1] for choice, end in ends.items()}
    moves = "hardly moves" if max(map(abs, changes.values())) < _NOISE else "moves"
    elsewhere = ", ".join(f"{change:+.1f} ({choice})" for choice, change in changes.items())
    errors = listed([f"{percent(end[2])} ({choice})" for choice, end in ends.items()])
    return (
        f"On {metrics['looked through']:,} photos that somebody looks through, {most} answers about tags take F1 "
        f"from {percent(start[0])} to {where}; {_more_worth(metrics['least sure minus random'])}. On all other "
        f"photos F1 {moves}, by {elsewhere} points. Scores become probabilities there: their calibration error is "
        f"{percent(start[2])} as they are, {percent(start[3])} by what drawings let expect before any answer, and "
        f"{errors} after {most} answers."
    )


def _more_worth(differences: Mapping[str, list[float]]) -> str:
    """Which choice of what to ask is worth more, where two standard errors over draws tell them apart."""
    looked, error = differences["F1 where looked"], differences["calibration error"]
    if abs(looked[0]) < 2 * looked[1]:
        return "which tags are asked about makes no difference that could be told from chance"
    better = "where the tagger is least sure" if looked[0] > 0 else "about tags by lot"
    text = f"answers {better} are worth more for these photos ({abs(looked[0]):.1f} points)"
    if error[0] > 2 * error[1] and looked[0] > 0:
        text += ", those about tags by lot more for probabilities elsewhere"
    return text
