"""What notebooks 10 to 12 found: CoMC with a few labelled images, and among other methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

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

_Comparisons = Mapping[str, Comparison]
_SIDES = {Verdict.HOLDS: "above", Verdict.FAILS: "below", Verdict.WITHIN_NOISE: "not measurably different from"}
_TEXT = "CoMC without an image"


def few_shot(metrics: Metrics) -> str:
    """Answer what a few labelled images add to a classifier that has learned from text.

    Parameters
    ----------
    metrics : mapping
        Of notebook 10_few_shot.

    Returns
    -------
    str
        Markdown.
    """
    comparisons = metrics["comparisons"]
    places = [name.removeprefix("map") for name in metrics if name == "map" or name.startswith("map, ")]
    said = [_worth({place: _gains(comparisons, place) for place in places})]
    said += [_added(metrics, place) for place in places]
    said += [_over_few(comparisons, place, metrics["map"]) for place in places]
    said.append(_at_searched_rates(comparisons))
    for name, by_pull in metrics.get("map by pull", {}).items():
        values = [f"{percent(value)} at {pull}" for pull, value in by_pull.items()]
        fine_tuned = name.replace(", ", " with ")
        said.append(f"On images set apart {fine_tuned} comes, by the pull, to {listed(values)}.")
    return " ".join(filter(None, said))


def _gains(comparisons: Mapping[str, _Comparisons], place: str) -> set[Verdict]:
    """On which sides the gain from all images is; where that was not measured, from each step."""
    gains = comparisons.get(groups.ALL_SHOTS + place) or comparisons[groups.MORE_SHOTS + place]
    return {side(c) for c in gains.values()}


def _worth(gains: Mapping[str, set[Verdict]]) -> str:
    sides = set().union(*gains.values())
    if sides == {Verdict.HOLDS}:
        return "**They help.**"
    if Verdict.HOLDS in sides:
        return "**They help and they cost.**" if Verdict.FAILS in sides else "**They help in part.**"
    return "**They cost.**" if Verdict.FAILS in sides else "**Nothing that can be measured here.**"


def _images(place: str) -> str:
    return place.removeprefix(", ") or "the test images"


def _added(metrics: Metrics, place: str) -> str:
    """Say what images add to CoMC: from none to the most, and by steps."""
    values = metrics["map" + place]["CoMC"]
    most = max(values, key=int)
    text = (
        f"On {_images(place)} CoMC's mAP goes from {percent(values['0'])} without an image to "
        f"{percent(values[most])} with {most} a class"
    )
    for total in metrics["comparisons"].get(groups.ALL_SHOTS + place, {}).values():
        text += f" ({points(total)}: {against(total, 'a gain', 'a loss', 'not measurable')})"
    steps = metrics["comparisons"][groups.MORE_SHOTS + place]
    gains, losses = (len(sorted_out(steps)[verdict]) for verdict in (Verdict.HOLDS, Verdict.FAILS))
    return f"{text}; of {len(steps)} steps to more images {gains} are measurable gains and {losses} losses."


def _over_few(comparisons: Mapping[str, _Comparisons], place: str, methods: Iterable[str]) -> str:
    """Say on which side of what learns from images alone CoMC without one is, by the number of images."""
    standing: dict[str, list[str]] = {}
    for method in methods:
        if by_number := comparisons.get(groups.zero_shot_over(method) + place):
            most, at_most = max(by_number.items(), key=lambda item: int(item[0].split()[0]))
            for verdict, numbers in sorted_out(by_number).items():
                when = "each number of images" if len(numbers) == len(by_number) else listed(numbers or [""])
                ending = f" (at {most} {points(at_most)})" if most in numbers else ""
                if numbers:
                    name = f"with {when}, {_SIDES[verdict]}"
                    standing.setdefault(name, []).append(f"{method}{ending}")
    parts = [f"{when} {listed(names)}" for when, names in standing.items()]
    return f"On {_images(place)} {_TEXT} is, {'; '.join(parts)}." if parts else ""


def _at_searched_rates(comparisons: Mapping[str, _Comparisons]) -> str:
    """Say how text stands to prompts at searched rates, for the one number of images of that search."""
    searched = comparisons.get(groups.ZERO_SHOT_OVER_PROMPTS + groups.SEARCHED)
    if not searched:
        return ""
    number = next(iter(searched)).rpartition(", ")[2]
    standing = [f"{_SIDES[side(c)]} {name.rpartition(', ')[0]} ({points(c)})" for name, c in searched.items()]
    return (
        f"There prompts learn at their authors' rate. At rates searched at {number}, and known for "
        f"{number} alone, {_TEXT} is on the test images {listed(standing)}."
    )


def rivals(metrics: Metrics) -> str:
    """Answer how CoMC stands among methods that learn from nothing, sentences, or a few labelled images.

    Parameters
    ----------
    metrics : mapping
        Of notebook 11_rivals.

    Returns
    -------
    str
        Markdown.
    """
    by_rate = _by_rate(metrics["comparisons"], groups.COMC_OVER)
    backbone = next(iter(metrics["map"])).partition(", ")[0]
    said = [_verdict(by_rate.values())]
    for rate, comparisons in by_rate.items():
        said.append(_among(rate, comparisons, _reader(metrics["map"], backbone)))
    said.append(_other_losses(*[*by_rate.items()][-1]))
    for group, comparisons in metrics["comparisons"].items():
        other = group.removeprefix(f"{groups.COMC_OVER}, ")
        if f"{other}, CoMC, default" in metrics["map"]:
            said.append(f"With {other}: {_among('default', comparisons, _reader(metrics['map'], other))}")
    said.append(_comparable(metrics["map, comparable"]))
    if not metrics["rate factors"]:
        said.append("No rate was searched, since no labelled image is left to choose one on.")
    if not metrics["shots"]:
        said.append("No method learned from labelled images.")
    return " ".join(filter(None, said))


def seen_and_unseen(metrics: Metrics) -> str:
    """Answer how CoMC stands among methods that have learned from images of other classes.

    Parameters
    ----------
    metrics : mapping
        Of notebook 12_seen_and_unseen.

    Returns
    -------
    str
        Markdown.
    """
    maps = metrics["map of unseen classes"]
    read = _reader(maps, next(iter(maps)).partition(", ")[0])
    by_rate = _by_rate(metrics["comparisons"], groups.COMC_OVER_TRAINED_ON_SEEN)
    said = [_verdict(by_rate.values())]
    said += [_among(rate, comparisons, read) for rate, comparisons in by_rate.items()]
    if by_rate.get("searched"):
        said.append(
            "The rates of those that learned from images were searched by labels of the unseen classes."
        )
    of_nothing = _by_rate(metrics["comparisons"], groups.NOTHING_OVER_TRAINED_ON_SEEN)
    text = f"Zero-shot CLIP, which learns nothing, reaches {percent(read('Zero-shot CLIP', 'none'))}"
    standing = [f"at {rate} rates {_sides(of, rate, read)}" for rate, of in of_nothing.items() if of]
    said.append("; ".join([text, *standing]) + ".")
    said.append(_comparable(metrics["map, comparable"]))
    learned = [_learned(rate, metrics["comparisons"]) for rate in groups.RATES]
    learned += [_random_starts(metrics["from random starts"], read), _more_classes(metrics)]
    return "\n\n".join(filter(None, [" ".join(filter(None, said)), " ".join(filter(None, learned))]))


def _comparable(maps: Mapping[str, float]) -> str:
    """Say how CoMC stands with the first backbone, all at their default rates, in comparable form."""
    first = next(iter(maps)).partition(", ")[0] + ", "
    of_first = {key.removeprefix(first): value for key, value in maps.items() if key.startswith(first)}
    by_name = {
        key.rpartition(", ")[0]: value for key, value in of_first.items() if not key.endswith(", searched")
    }
    return f"{COMPARABLE}{in_comparable_form(by_name)}."


def _changes(comparisons: _Comparisons) -> str:
    """Sort systems by what has become of the mAP: "better with A (+1.2); worse with B (-0.3)"."""
    words = {Verdict.HOLDS: "better", Verdict.FAILS: "worse", Verdict.WITHIN_NOISE: "not measurably different"}
    parts = []
    for verdict, names in sorted_out(comparisons).items():
        if names:
            told = [f"{name} ({comparisons[name]['difference']:+.1f})" for name in names]
            parts.append(f"{words[verdict]} with {listed(told)}")
    return "; ".join(parts)


def _learned(rate: str, comparisons: Mapping[str, _Comparisons]) -> str:
    """Say what learning has done to seen and to unseen classes, in points; '' where none ran at the rate."""
    seen, unseen = (
        comparisons.get(group + groups.RATES[rate], {})
        for group in (groups.LEARNED_OVER_START, groups.UNSEEN_OVER_START)
    )
    if not seen:
        return ""
    return (
        f"Against the untrained start, in points, seen classes are at {rate} rates {_changes(seen)}. Unseen "
        f"classes are {_changes(unseen)}."
    )


def _random_starts(at_random: Mapping[str, float], read: Callable[[str, str], float]) -> str:
    """Say what the systems reach on unseen classes without the start from CLIP."""
    if not at_random:
        return ""
    best = max(at_random, key=at_random.__getitem__)
    return (
        f"Where the match of images and labels starts at random, {best} is the best of {len(at_random)} on unseen "
        f"classes, at {percent(at_random[best])}; from CLIP's own match it comes to {percent(read(best, 'default'))}."
    )


def _more_classes(metrics: Metrics) -> str:
    """Say what more seen classes have done to unseen ones."""
    words = list(dict.fromkeys(words for of in metrics["by seen classes"].values() for words in of))
    own = [word for word in words if "icons" not in word]
    said = []
    if more := metrics["comparisons"].get(groups.MORE_SEEN):
        said.append(f"With labels of {own[-1]} in place of {own[0]}, unseen ones are {_changes(more)}.")
    if icons := metrics["comparisons"].get(groups.WITH_OTHER_THINGS):
        said.append(f"With {words[-1]}, in place of {own[-1]}, they are {_changes(icons)}.")
    return " ".join(said)


def _by_rate(comparisons: Mapping[str, _Comparisons], group: str) -> dict[str, _Comparisons]:
    """A group at default and at searched rates, where it is there."""
    named = {rate: comparisons.get(group + ending) for rate, ending in groups.RATES.items()}
    return {rate: of_rate for rate, of_rate in named.items() if of_rate is not None}


def _reader(maps: Mapping[str, float], backbone: str) -> Callable[[str, str], float]:
    return lambda method, rate: maps[f"{backbone}, {method}, {rate}"]


def _verdict(comparisons: Iterable[_Comparisons]) -> str:
    """Sum up, over both rates, on which side of the others CoMC is."""
    sides = {side(c) for of_rate in comparisons for c in of_rate.values()}
    if not sides:
        return "**Nothing to compare with, here.**"
    if sides == {Verdict.HOLDS}:
        return "**Above all of them, here.**"
    if Verdict.FAILS not in sides:
        return "**Above some, below none.**" if Verdict.HOLDS in sides else "**Level with all of them.**"
    return "**Above some, below others.**" if Verdict.HOLDS in sides else "**Above none of them.**"


def _among(rate: str, comparisons: _Comparisons, read: Callable[[str, str], float]) -> str:
    """Say how CoMC stands at one rate, with its smallest lead; '' where there is nothing to compare with."""
    if not comparisons:
        return ""
    text = f"At {rate} rates CoMC ({percent(read('CoMC', rate))}) is {_sides(comparisons, rate, read)}"
    if ahead := sorted_out(comparisons)[Verdict.HOLDS]:
        nearest = min(ahead, key=lambda name: comparisons[name]["difference"])
        text += f"; its smallest lead is over {nearest}, {points(comparisons[nearest])}"
    return text + "."


def _sides(comparisons: _Comparisons, rate: str, read: Callable[[str, str], float]) -> str:
    """Name the methods on each side with their mAP; of those that are not below, the difference, too."""
    parts = []
    for verdict, names in sorted_out(comparisons).items():
        lead = verdict is Verdict.HOLDS
        with_numbers = [
            f"{name} ({percent(read(name, rate))}{'' if lead else f', {points(comparisons[name])}'})"
            for name in names
        ]
        if names:
            parts.append(f"{_SIDES[verdict]} {listed(with_numbers)}")
    return "; ".join(parts)


def _other_losses(rate: str, comparisons: _Comparisons) -> str:
    """Say whether it matters by which loss the linear classifier was trained."""
    linear = {
        name: c for name, c in comparisons.items() if name.startswith("CoMC by") or name == "Ridge regression"
    }
    if not linear:
        return ""
    farthest = max(linear, key=lambda name: abs(linear[name]["difference"]))
    same = "The same linear classifier trained by another loss, or by ridge regression,"
    if all(c["low"] > -MARGIN and c["high"] < MARGIN for c in linear.values()):
        return f"{same} is within {MARGIN:g} point of it at {rate} rates: the loss matters little."
    away = abs(linear[farthest]["difference"])
    return f"{same} is up to {away:.1f} points away from it at {rate} rates ({farthest})."
