"""Answers of notebooks 00 to 03: the embedded world, its text, training, inference."""

from __future__ import annotations

from collections.abc import Mapping

from comc_utils.evaluation import groups
from comc_utils.evaluation.rules import MARGIN, Verdict
from comc_utils.notebooks.answers.words import Metrics, against, listed, percent, points, sorted_out

_FIT = 95.0
"""Percent of sentences that must pass a check."""
_UNEVEN = 2.0
"""So many times as often as another is more often than chance makes it."""
_OPENAI_SCALE = 100


def miniworld(metrics: Metrics) -> str:
    """Answer notebook 00.

    Parameters
    ----------
    metrics : mapping
        What it left.

    Returns
    -------
    str
        Markdown.
    """
    known, new = ({} for _ in range(2))
    for name, value in metrics["zero_shot_map"].items():
        model, drawings = name.split(", ")
        (known if drawings.startswith("training") else new)[_short(model)] = value
    text = ["**Easy to draw, not easy to recognise.**" if max(new.values()) < 90 else "**Easy to recognise.**"]
    costs = {name: known[name] - new[name] for name in known}
    text.append(
        f"On drawings that the models have never seen zero-shot CLIP's mAP is {_each(new)}, on known ones "
        f"{_each(known)}: new drawings cost {_each(costs, unit='points')}"
        + ("." if min(costs.values()) > 0 else ", which is not a loss for each of them.")
    )
    sizes = {
        f"{_short(name.split(',')[0])} on {name.split(', ')[1]}": of["dominant"] - of["others"]
        for name, of in metrics["zero_shot_map_by_size"].items()
    }
    least = min(sizes, key=sizes.get)
    text.append(
        "Every model ranks the dominant object better than the others, on known drawings, too, by "
        f"{sizes[least]:.1f} points of mAP or more."
        if sizes[least] > 0
        else "The dominant object is not always ranked better than the others: "
        f"{least} it is {-sizes[least]:.1f} points worse."
    )
    small, large = (new[name] for name in ("RN-small", "RN-large"))
    more = "no more" if abs(large - small) <= MARGIN else "more" if large > small else "less"
    text.append(
        f"The larger ResNet sees {more} than the smaller one ({large - small:+.1f} points on new drawings)."
    )
    if towers := metrics.get("image_tower_millions"):
        worst, smallest = min(new, key=new.get), _short(min(towers, key=towers.get))
        text.append(
            f"The poorest backbone is {worst} ({percent(new[worst])}), "
            + ("which is the smallest" if worst == smallest else f"while {smallest} is the smallest")
            + f": the image towers have {_each(towers, 2, 'million')} parameters."
        )
    gaps = _each(metrics["centroid_distance"], 3, "")
    sentence = f"The centroids of images, as `encode_image` gives them, and captions lie {gaps} apart"
    if bare := metrics.get("centroid_distance_without_position"):
        sentence += (
            f"; images without the positional embedding, as notebook 06 takes them, {_each(bare, 3, '')}"
        )
    scales = metrics["learned_scale"].values()
    below = "below" if max(scales) < _OPENAI_SCALE else "not all below"
    text.append(
        f"{sentence}. The learned scales 1/tau, {min(scales):.1f} to {max(scales):.1f}, are {below} the "
        f"{_OPENAI_SCALE} of OpenAI's CLIP, so tau is taken from the model."
    )
    return " ".join(text)


def data_generation(metrics: Metrics) -> str:
    """Answer notebook 01.

    Parameters
    ----------
    metrics : mapping
        What it left.

    Returns
    -------
    str
        Markdown.
    """
    checks = {
        "are distinct": metrics["distinct_percent"],
        "name all their labels": metrics["names_all_labels_percent"],
        "name no other class": metrics["names_no_other_percent"],
    }
    failed = [name for name, share in checks.items() if share < _FIT]
    classes = metrics.get("sentences_a_class")
    uneven = classes is not None and classes["most"] > _UNEVEN * classes["fewest"]
    verdict = "**Partly.**" if failed or uneven else "**Yes.**"
    writers = listed([f"{n:,} from {name}" for name, n in metrics["writers"].items()])
    text = [
        verdict,
        f"The text has {metrics['sentences']:,} sentences, {writers}, "
        f"with {metrics['labels_a_sentence']:.2f} labels each.",
        f"Of those that are no prompts, {listed([f'{share:.1f} % {name}' for name, share in checks.items()])}"
        + (f": too few {listed(failed)}." if failed else "."),
    ]
    several = metrics.get("distinct_of_several_percent")
    if several is not None and several > metrics["distinct_percent"]:
        text.append(
            f"With two labels or more {several:.2f} % are distinct: what repeats is about a single thing."
        )
    if classes:
        words = (
            f"the most frequent class stands in {classes['most']:,} sentences, the middle one in "
            f"{classes['median']:,.0f}, the rarest in {classes['fewest']:,}"
        )
        text.append(f"Classes are {'far from equally' if uneven else 'nearly equally'} frequent: {words}.")
    return " ".join(text)


def training(metrics: Metrics) -> str:
    """Answer notebook 02.

    Parameters
    ----------
    metrics : mapping
        What it left.

    Returns
    -------
    str
        Markdown.
    """
    reading = metrics["reading_map"]
    ending = ", held out"
    held_out = {name.removesuffix(ending): value for name, value in reading.items() if name.endswith(ending)}
    verdict = "It does not learn to read."
    if min(held_out.values()) >= 90:
        verdict = "It learns to read."
    elif max(held_out.values()) >= 50:
        verdict = "It learns to read in part."
    lost = max(reading[f"{name}, trained on"] - value for name, value in held_out.items())
    own, others = metrics["cosine_with_own_label"], metrics["cosine_with_other_labels"]
    direction = "point away from" if others < 0 else "have something in common with"
    return " ".join(
        [
            f"**{verdict}**",
            "A linear layer on frozen text embeddings, trained by a ranking loss on sentences alone, finds the "
            f"labels of sentences that were held out with an mAP of {_each(held_out)},",
            "as well as those of the sentences that it was trained on."
            if lost <= MARGIN
            else f"up to {lost:.1f} points less than on the sentences that it was trained on.",
            f"Its rows have a mean cosine of {own:.2f} with their own label embeddings, where zero-shot CLIP's "
            f"would have 1, and {direction} the others ({others:.2f})."
            if own > others
            else f"Its rows are no nearer to their own label embeddings ({own:.2f}) than to others "
            f"({others:.2f}).",
            "Whether the same rows rank images is the question of notebook 03.",
        ]
    )


def inference(metrics: Metrics) -> str:
    """Answer notebook 03.

    Parameters
    ----------
    metrics : mapping
        What it left.

    Returns
    -------
    str
        Markdown.
    """
    maps, comparisons = metrics["map"], metrics["comparisons"]
    over = comparisons[groups.COMC_OVER]
    sides = sorted_out(over)
    verdict = "Not to be told apart from them."
    if len(sides[Verdict.HOLDS]) == len(over):
        verdict = "Better than every one of them." if len(over) > 1 else f"Better than {next(iter(over))}."
    elif sides[Verdict.FAILS]:
        verdict = f"Worse than {listed(sides[Verdict.FAILS])}."
    elif sides[Verdict.HOLDS]:
        verdict = f"Better than {listed(sides[Verdict.HOLDS])}, not than all."
    words = {Verdict.HOLDS: "above", Verdict.FAILS: "below", Verdict.WITHIN_NOISE: "within noise of"}
    standing = [
        f"{words[side]} {listed([f'{name} ({points(over[name])})' for name in names])}"
        for side, names in sides.items()
        if names
    ]
    text = [f"**{verdict}**", f"CoMC reaches {percent(maps['CoMC'])} mAP, {'; '.join(standing)}."]
    for name, comparison in comparisons.get(groups.CLIP_DPT_OVER, {}).items():
        order = against(
            comparison,
            f"CLIP-DPT is above {name}, the reverse of the paper's order",
            f"CLIP-DPT is below {name}, as in the paper",
            f"CLIP-DPT and {name} cannot be told apart",
        )
        text.append(f"{order} ({points(comparison)}).")
    return " ".join(
        [
            *text,
            _of_parts(metrics["parts"], maps),
            *_of_regions(metrics.get("on_object", {})),
            _of_top_k(metrics["top_k_f1"], maps),
            _chance(metrics),
        ]
    )


def _of_parts(parts: Mapping[str, float], maps: Mapping[str, float]) -> str:
    alone, mapped = parts["global only, no mapping"], parts["global only, mapping"]
    text = f"Global scores alone give {alone:.1f}"
    if regions := parts.get("global and local, no mapping"):
        text += f", regions {regions - alone:+.1f} points"
        mapped, alone = parts["global and local, mapping"], regions
    text += f", the mapping {mapped - alone:+.1f}."
    without, clip = parts["global only, mapping"], maps["Zero-shot CLIP"]
    if regions and without < clip:
        text += f" Without regions CoMC's {without:.1f} is below zero-shot CLIP's {clip:.1f}."
    elif regions:
        text += f" Without regions, too, CoMC's {without:.1f} is not below zero-shot CLIP's {clip:.1f}."
    return text


def _of_regions(overlaps: Mapping[str, float]) -> list[str]:
    if not overlaps:
        return []
    *methods, chance = [f"{percent(share)} ({name})" for name, share in overlaps.items()]
    return [f"A label's highest region overlaps the object for {listed(methods)} of the labels; {chance}."]


def _of_top_k(f1: Mapping[str, float], maps: Mapping[str, float]) -> str:
    of_three = {name: f1[f"{name}, 3"] for name in maps}
    best, best_map = max(of_three, key=of_three.get), max(maps, key=maps.get)
    if best == best_map:
        return f"By F1 of the three highest scores {best} is first, too ({percent(of_three[best])})."
    return (
        f"By F1 of the three highest scores {best} is first ({percent(of_three[best])}), not {best_map} "
        f"({percent(of_three[best_map])}): a better mAP is not a better top-K."
    )


def _chance(metrics: Metrics) -> str:
    spread = metrics["over_seeds"]["mapping"][1]
    text = "" if spread is None else f"Over seeds CoMC's mAP has a standard deviation of {spread:.2f} points. "
    best, own = metrics["best_alpha"], metrics["alpha"]
    return text + (
        f"The profile's alpha, {own:.2f}, is the best of those tried."
        if abs(best - own) < 0.01
        else f"The best alpha of those tried is {best:.2f}, the profile's {own:.2f}."
    )


def _short(model: str) -> str:
    return model.removeprefix("miniworld-")


def _each(values: Mapping[str, float], decimals: int = 1, unit: str = "%") -> str:
    return listed([f"{v:.{decimals}f} {unit}".strip() + f" ({_short(name)})" for name, v in values.items()])
