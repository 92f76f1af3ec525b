"""Answers of notebooks 04 to 06: parts and settings of CoMC, the mixture, the modality gap."""

from __future__ import annotations

from comc_utils.evaluation import groups
from comc_utils.evaluation.rules import Verdict, side
from comc_utils.notebooks.answers.words import Metrics, against, listed, percent, points

_PAPER = "paper"
_NO_POSITION = "no positional embedding"
_WHOLE, _REGIONS = "global only, mapping", "local, mapping"


def ablations(metrics: Metrics) -> str:
    """What regions and the mapping add, and which of the released code's choices matter (Table 4)."""
    own, parts, comparisons = metrics["preset"], metrics["parts"], metrics["comparisons"]
    regions = comparisons.get(groups.LOCAL_ADDS, {}).get("with mapping")
    mapping = comparisons[groups.MAPPING_ADDS]["with local" if regions else "without local"]
    adds = "what the mapping adds cannot be told from noise"
    adds = against(mapping, "the mapping adds", "the mapping costs", adds)
    told = f"{adds} ({points(mapping)})"
    if regions:
        carried = against(regions, "Regions add", "Regions cost", "What regions add cannot be told from noise")
        told = f"{carried} ({points(regions)}), and {told}"
    sentences = [f"**{told[0].upper()}{told[1:]}.**", *_presets(metrics)]
    if regions and (elsewhere := comparisons.get(groups.LOCAL_ADDS + groups.PAPER_PRESET)):
        theirs = elsewhere["with mapping"]["difference"]
        sentences.append(
            f"Regions add {regions['difference']:.1f} points with the {own} preset and {theirs:.1f} with the paper's."
        )
    zero_shot, whole = metrics.get("zero_shot"), parts[own][_WHOLE]
    if zero_shot is not None and regions:
        place = "below" if whole < zero_shot else "above"
        why = ""
        if place == "below" and _costs(metrics, _NO_POSITION):
            why = ": its embedding of the whole image leaves out the positional embedding that zero-shot CLIP keeps"
        sentences.append(
            f"CoMC without regions ({percent(whole)}) is {place} zero-shot CLIP ({percent(zero_shot)}){why}."
        )
    return " ".join(sentences)


def _presets(metrics: Metrics) -> list[str]:
    """The two presets beside each other, and the choice that matters most."""
    own, parts = metrics["preset"], metrics["parts"]
    sentences = []
    if _PAPER in parts and own != _PAPER:
        ours, theirs = (parts[name].get(_REGIONS, parts[name][_WHOLE]) for name in (own, _PAPER))
        more = "more" if theirs > ours else "less"
        sentences.append(
            f"The paper's preset reaches {percent(theirs)}, {abs(theirs - ours):.1f} points {more} than the {own} one "
            f"({percent(ours)}), which the other notebooks use."
        )
    worths: dict[str, list[float]] = {}
    measurable = set()
    for name, (worth, low, high) in metrics["switches"].items():
        switch = name.split(", switched")[0]
        worths.setdefault(switch, []).append(worth)
        if low is not None and (low > 0 or high < 0):
            measurable.add(switch)
    if not measurable:
        return [*sentences, "None of the released code's choices is worth a measurable difference."]
    largest = max(measurable, key=lambda switch: max(map(abs, worths[switch])))
    low, high = min(worths[largest]), max(worths[largest])
    between = f"{low:+.1f} to {high:+.1f}" if round(low, 1) != round(high, 1) else f"{low:+.1f}"
    sentences.append(f'Of the released code\'s choices "{largest}" is worth most: {between} points.')
    return sentences


def _costs(metrics: Metrics, switch: str) -> bool:
    return any(name.startswith(switch) and worth < 0 for name, (worth, *_) in metrics["switches"].items())


def alpha_sweep(metrics: Metrics) -> str:
    """How original and mapped embeddings should be mixed (Figure 3)."""
    optimum = metrics["comparisons"][groups.OPTIMUM_OVER]
    low, high = metrics["best_alpha_interval"]
    original, mapped = optimum["alpha 1"], optimum["alpha 0"]
    head = {
        Verdict.HOLDS: "Mixed: a share of the mapped embedding helps.",
        Verdict.FAILS: "Not at all: the original embedding alone is best.",
        Verdict.WITHIN_NOISE: "Mostly original: what the mapped embedding adds cannot be told from noise.",
    }[side(original)]
    best = listed(
        [f"{alpha:.2f} with the preset {name}" for name, alpha in metrics["best_alpha_by_preset"].items()]
    )
    chosen = metrics["alpha_chosen_on_one_half"]
    loses = against(mapped, "loses to it", "is better than it", "is not measurably different from it")
    return (
        f"**{head}** The best alpha is {best} (95 % interval over images {low:.2f} to {high:.2f}). Chosen on one half "
        f"of the images, it is {chosen:.2f}, and on the other half it is {points(original)} above alpha = 1. "
        f"The mapped embedding alone (alpha = 0) {loses}: {points(mapped)}."
    )


def modality_gap(metrics: Metrics) -> str:
    """What the mapping does to the gap between images and texts (Figure 4)."""
    gap, alpha = metrics["gap"], metrics["alpha"]
    closer = metrics["comparisons"][groups.BEFORE_OVER_AFTER]["centroid distance"]
    before, after = (gap["centroid distance"][state] for state in ("before", "after"))
    probe = gap["probe accuracy"]
    apart = probe["after"] > 90
    head = against(
        closer,
        "It shortens the distance, and does not close it." if apart else "It brings images and texts together.",
        "It widens the gap.",
        "It changes the distance by no more than noise.",
    )
    images, texts = gap["recall, image to text"], gap["recall, text to image"]
    shares = metrics["own_neighbours_in_pictures"]
    seldom = "less often" if images["after"] < images["before"] else "no less often"
    often = "less often" if texts["after"] < texts["before"] else "no less often"
    return (
        f"**{head}** At alpha = {alpha} the centroids of images and captions come from {before:.3f} to {after:.3f} "
        f"({100 * (1 - after / before):.0f} % closer), and a linear probe still tells the two apart in "
        f"{percent(probe['after'])} of the cases ({percent(probe['before'])} before; chance is 50 %). In the pictures "
        f"{shares['after'][0]:.0f} to {shares['after'][1]:.0f} % of a point's neighbours are of its own modality, "
        f"{shares['mapped alone'][0]:.0f} to {shares['mapped alone'][1]:.0f} % where the mapped embedding is drawn "
        f"alone; even there the probe is right in {percent(probe['mapped alone'])}. After the fusion an image finds its "
        f"own caption {seldom} ({percent(images['after'])}, {percent(images['before'])} before), a caption its image "
        f"{often} ({percent(texts['after'])}, {percent(texts['before'])} before)."
    )
