"""Names of the groups of comparisons that notebooks leave in their metrics, and that claims read.

A group has a plain name and, where it was measured otherwise than usual, endings: with learning rates that were
searched, with another preset, on other images, with another backbone. Nobody writes these names out anywhere
else, so that a claim cannot look for a group under one name while a notebook leaves it under another.
"""

from __future__ import annotations

COMC_OVER = "CoMC over"


def comc_over(method: str) -> str:
    """Name the group of CoMC against one method, its members being backbones.

    Parameters
    ----------
    method : str

    Returns
    -------
    str
    """
    return f"{COMC_OVER} {method}"


def zero_shot_over(method: str) -> str:
    """Name the group of CoMC without an image against a method that learns from a few, its members being shots.

    Parameters
    ----------
    method : str

    Returns
    -------
    str
    """
    return f"zero-shot over {method}"


def ending(what: str, usual: str = "") -> str:
    """Ending of a group that was measured with another preset, on other images, or with another backbone.

    Parameters
    ----------
    what : str
        Their name.
    usual : str
        The name of those that need no ending.

    Returns
    -------
    str
        To be put after the plain name, last of all; '' for the usual ones.
    """
    return "" if what == usual else f", {what}"


LOCAL_ADDS = "local adds"
MAPPING_ADDS = "mapping adds"
OPTIMUM_OVER = "optimum over"
BEFORE_OVER_CHANCE = "before over chance"
BEFORE_OVER_AFTER = "before over after"
MORE_TEXT = "more text"
ALL_OVER_HALF = "all over half"
BETTER_WRITER = "better writer"
OVER_ZERO_SHOT_CLIP = "over zero-shot CLIP"
BETTER_BACKBONE = "better backbone"
COMC_OVER_ZERO_SHOT_CLIP = comc_over("Zero-shot CLIP")
COMC_OVER_CLIP_DPT = comc_over("CLIP-DPT")
COMC_OVER_TAI_DPT = comc_over("TaI-DPT")
MORE_SHOTS = "more shots"
ZERO_SHOT_OVER_PROMPTS = zero_shot_over("learned prompts")
COMC_OVER_TRAINED_ON_SEEN = comc_over("methods trained on seen classes")

SEARCHED_RATES = ", searched rates"
"""Ending of what was measured at the learning rates that were searched; before any other ending."""
EQUAL_STEPS = ", equal steps"
"""Ending of what was trained for the same number of steps, however much text there is."""
PAPER_PRESET = ending("paper")
RELEASED_PRESET = ending("released")

LEFT_BY: dict[str, tuple[str, ...]] = {
    "03_inference": (COMC_OVER,),
    "04_ablations": (LOCAL_ADDS, MAPPING_ADDS),
    "05_alpha_sweep": (OPTIMUM_OVER,),
    "06_modality_gap": (BEFORE_OVER_AFTER, BEFORE_OVER_CHANCE),
    "07_data_size": (MORE_TEXT, ALL_OVER_HALF),
    "08_language_models": (OVER_ZERO_SHOT_CLIP, BETTER_WRITER),
    "09_backbones": (
        COMC_OVER_ZERO_SHOT_CLIP, COMC_OVER_CLIP_DPT, COMC_OVER_TAI_DPT, BETTER_BACKBONE
    ),
    "10_few_shot": (
        MORE_SHOTS, zero_shot_over("linear probe"), zero_shot_over("CoOp"), zero_shot_over("CoOp-DPT"),
        ZERO_SHOT_OVER_PROMPTS,
    ),
    "11_rivals": (COMC_OVER,),
    "12_seen_and_unseen": (COMC_OVER_TRAINED_ON_SEEN,),
}  # fmt: skip
"""Plain names of all groups that a notebook leaves, on profiles that have what they need."""


def plain(group: str) -> str:
    """Name of a group without its endings.

    Parameters
    ----------
    group : str

    Returns
    -------
    str
    """
    return group.partition(", ")[0]


def endings(group: str) -> str:
    """Endings of a group: all of its name but `plain`.

    Parameters
    ----------
    group : str

    Returns
    -------
    str
        '' for a group measured as usual.
    """
    return group[len(plain(group)) :]
