"""Answers of notebooks 04 to 06: parts and settings of CoMC, the mixture, the modality gap."""

from __future__ import annotations

from collections.abc import Sequence

from comc_utils.evaluation import groups
from comc_utils.evaluation.comparison import Comparison
from comc_utils.evaluation.rules import Verdict, side
from comc_utils.notebooks.answers.words import Metrics, against, listed, percent, points

_PAPER = "paper"
_NO_POSITION = "no positional embedding"
_RECALLS = {
    "recall, image to text": "an image finds its own caption",
    "recall, text to image": "a caption finds its own image",
}
_WHOLE, _REGIONS = "global only, mapping", "local, mapping"

_Worth = tuple[float, float | None, float | None]
"""What a switch is worth, and the interval, where there are several seeds."""


def ablations(metrics: Metrics) -> str:
    """What regions and the mapping add, and which of the released code's choices matter (Table 4)."""
    presets, parts, switches = _presets(metrics), _parts(metrics), _switches(metrics)
    sentences = [*presets, *switches, *parts] if presets else [*parts, *switches]
    first, *others = [*sentences, *_beside_zero_shot(metrics)]
    return " ".join([f"**{first}**", *others])


def _presets(metrics: Metrics) -> list[str]:
    """The two presets beside each other, where there are two."""
    own, parts = metrics["preset"], metrics["parts"]
    theirs = metrics["comparisons"].get(groups.PAPERS_PRESET_OVER, {}).get(own)
    if theirs is None:
        return []
    best = _REGIONS if _REGIONS in parts[own] else _WHOLE
    verdict = against(theirs, "is better than", "is worse than", "cannot be told from")
    return [
        f"The paper's preset ({percent(parts[_PAPER][best])}) {verdict} the {own} one ({percent(parts[own][best])}), "
        f"which the other notebooks use: {points(theirs)}."
    ]


def _parts(metrics: Metrics) -> list[str]:
    own, comparisons = metrics["preset"], metrics["comparisons"]
    regions = comparisons.get(groups.LOCAL_ADDS, {}).get("with mapping")
    mapping = comparisons[groups.MAPPING_ADDS]["with local" if regions else "without local"]
    told = against(mapping, "mapping adds", "mapping costs", "mapping makes no measurable difference")
    sentences = [f"The {told} ({points(mapping)})."]
    if regions:
        told = against(regions, "Regions add", "Regions cost", "Regions make no measurable difference")
        theirs = comparisons.get(groups.LOCAL_ADDS + groups.PAPER_PRESET, {}).get("with mapping")
        beside = f" with the {own} preset; with the paper's it is {points(theirs)}" if theirs else ""
        sentences.insert(0, f"{told} ({points(regions)}){beside}.")
    return sentences


def _worths(metrics: Metrics) -> dict[str, list[_Worth]]:
    worths: dict[str, list[_Worth]] = {}
    for name, measured in metrics["switches"].items():
        worths.setdefault(name.split(", switched")[0], []).append(tuple(measured))
    return worths


def _switches(metrics: Metrics) -> list[str]:
    """The choice of the released code that matters most."""
    worths = _worths(metrics)
    if not worths:
        return []
    # Both ends on one side of 0.
    measurable = [
        s for s, of in worths.items() if any(low is not None and low * high > 0 for _, low, high in of)
    ]
    if not measurable:
        names = listed([f'"{switch}"' for switch in worths])
        return [f"Of the released code's choices {names} were switched; none makes a measurable difference."]
    largest = max(measurable, key=lambda switch: max(abs(worth) for worth, *_ in worths[switch]))
    values = sorted(worth for worth, *_ in worths[largest])
    choice = f'Of the released code\'s choices "{largest}"'
    if values[-1] < 0:
        return [f"{choice} costs most: {_span([-value for value in values[::-1]])} points."]
    what = "brings most" if values[0] > 0 else "makes the largest difference"
    return [f"{choice} {what}: {_span(values)} points."]


def _beside_zero_shot(metrics: Metrics) -> list[str]:
    """CoMC without regions and zero-shot CLIP, which sees the whole image alone, too."""
    own, parts = metrics["preset"], metrics["parts"]
    over = metrics["comparisons"].get(groups.WHOLE_OVER, {}).get("Zero-shot CLIP")
    if over is None or _REGIONS not in parts[own]:
        return []
    place = against(over, "is above", "is below", "cannot be told from")
    highest = [high for *_, high in _worths(metrics).get(_NO_POSITION, [])]
    it_costs, why = highest and all(high is not None and high < 0 for high in highest), ""
    if side(over) is Verdict.FAILS and _PAPER in parts and it_costs:
        why = (
            " The preset leaves the positional embedding out, which zero-shot CLIP keeps; with the paper's preset, "
            f"which keeps it too, CoMC without regions has {percent(parts[_PAPER][_WHOLE])}."
        )
    return [
        f"Without regions CoMC ({percent(parts[own][_WHOLE])}) {place} zero-shot CLIP "
        f"({percent(metrics['zero_shot'])}): {points(over)}.{why}"
    ]


def alpha_sweep(metrics: Metrics) -> str:
    """How original and mapped embeddings should be mixed (Figure 3)."""
    optimum, best = metrics["comparisons"][groups.OPTIMUM_OVER], metrics["best_alpha_by_preset"]
    original, mapped = optimum["alpha 1"], optimum["alpha 0"]
    own = {name: metrics["best_alpha_interval"] for name in [*best][:1]}
    intervals = metrics.get("best_alpha_interval_by_preset", own).items()
    spans = {name: f" (95 % interval over images {low:.2f} to {high:.2f})" for name, (low, high) in intervals}
    optima = listed(
        [f'{alpha:.2f}{spans.get(name, "")} with the preset "{name}"' for name, alpha in best.items()]
    )
    measured = "which is measurably worse", "which is measurably better", "which is not measurably different"
    return (
        f"**{_of_mixture(side(original), side(mapped))}** The best alpha is {optima}. Chosen on one half of the images it is "
        f"{metrics['alpha_chosen_on_one_half']:.2f}. On the other half this makes {points(original)} over the "
        f"original embedding alone (alpha = 1), {against(original, *measured)}, and {points(mapped)} over the mapped "
        f"one alone (alpha = 0), {against(mapped, *measured)}."
    )


def _of_mixture(over_original: Verdict, over_mapped: Verdict) -> str:
    """Say which of both embeddings are needed, by what the mixture gains over each alone."""
    if over_original is Verdict.FAILS:
        return "Not at all: the original embedding alone is better."
    if over_mapped is Verdict.FAILS:
        return "Not at all: the mapped embedding alone is better."
    needed = over_original is Verdict.HOLDS, over_mapped is Verdict.HOLDS
    return {
        (True, True): "Mixed: each of the two embeddings adds to the other.",
        (False, True): "Mostly original: what the mapped embedding adds cannot be told from noise.",
        (True, False): "Mostly mapped: what the original embedding adds cannot be told from noise.",
        (False, False): "As one likes: what either embedding adds to the other cannot be told from noise.",
    }[needed]


def modality_gap(metrics: Metrics) -> str:
    """What the mapping does to the gap between images and texts (Figure 4)."""
    gap, alpha = metrics["gap"], metrics["alpha"]
    changes = metrics["comparisons"][groups.BEFORE_OVER_AFTER]
    before, after = (gap["centroid distance"][state] for state in ("before", "after"))
    probe, shares = gap["probe accuracy"], metrics["own_neighbours_in_pictures"]
    drawn = {state: f"{_span(shares[state], 0)} %" for state in ("after", "mapped alone")}
    way = "nearer" if after < before else "further away"
    told = against(changes["probe accuracy"], "measurably less", "measurably more", "no measurable change")
    sentences = [
        f"**{_of_gap(changes)}** At alpha = {alpha} the centroids of images and captions are {after:.3f} apart, "
        f"{before:.3f} before: {100 * abs(1 - after / before):.0f} % {way}.",
        f"A linear probe tells images from captions in {percent(probe['after'])} of the cases, "
        f"{percent(probe['before'])} before ({told}; chance is 50 %), and in {percent(probe['mapped alone'])} where "
        "the mapped embedding stands alone.",
        f"In the pictures {drawn['after']} of a point's neighbours are of its own modality, {drawn['mapped alone']} "
        "where the mapped embedding is drawn alone (50 % where both are mixed).",
        *_recalls(metrics),
    ]
    other = metrics.get("gap with positional embedding", {}).get("centroid distance")
    if other is not None and f"{other:.3f}" != f"{before:.3f}":
        sentences.append(
            "With the positional embedding, which zero-shot CLIP keeps, images and captions are "
            f"{other:.3f} apart before any mapping."
        )
    return " ".join(sentences)


def _of_gap(changes: dict[str, Comparison]) -> str:
    mixes = against(
        changes["probe accuracy"],
        "tells them apart less well",
        "tells them apart better",
        "does not tell them apart measurably worse",
    )
    nearer = f"It brings images and captions nearer, and a linear probe {mixes}."
    same = "It changes the distance by no more than noise."
    return against(changes["centroid distance"], nearer, "It widens the gap.", same)


def _recalls(metrics: Metrics) -> list[str]:
    """How often the partner is found, where the differences have been kept."""
    changes = metrics.get("other measures, before over after", {})
    found = []
    for measure, finds in _RECALLS.items():
        if measure in changes:
            values = metrics["gap"][measure]
            often = against(changes[measure], "less often", "more often", "as often within noise")
            found.append(f"{finds} {often} ({percent(values['after'])}, {percent(values['before'])} before)")
    return [f"After the fusion {listed(found)}."] if found else []


def _span(values: Sequence[float], digits: int = 1) -> str:
    """Write the ends of rising values, one where they are the same; with signs where they are on both sides of 0."""
    sign = "+" if values[0] < 0 else ""
    return " to ".join(dict.fromkeys(f"{value:{sign}.{digits}f}" for value in (values[0], values[-1])))
