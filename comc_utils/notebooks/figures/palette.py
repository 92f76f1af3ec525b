"""One colour a meaning, in every figure: Okabe and Ito's, which colour-blind readers tell apart."""

from __future__ import annotations

ACCENT = "#D55E00"
"""What a figure is about: CoMC, the final score."""
MAIN = "#0072B2"
"""Images; a figure's only kind of thing."""
MUTED = "#8a8a8a"
"""What the rest is measured against."""

METHODS = {
    "Zero-shot CLIP": MUTED,
    "CLIP-DPT": "#56B4E9",
    "TaI-DPT": "#000000",
    "CoMC": ACCENT,
    "linear probe": "#009E73",
    "CoOp": "#CC79A7",
    "CoOp-DPT": "#7F2A5C",
}
PRESETS = {"released": ACCENT, "paper": "#009E73"}
LEARNS_FROM = {
    "nothing": MUTED,
    "sentences": ACCENT,
    "a few labelled images": "#CC79A7",
    "labelled images of seen classes": MAIN,
}
SCORES = {"final": ACCENT, "regions": MAIN, "global": "#009E73"}
MODALITIES = {"image": MAIN, "caption": "#E69F00"}
BACKBONES = ("#0072B2", "#D55E00", "#8a8a8a", "#009E73", "#CC79A7")
"""In the order in which a profile names them."""


def preset_colour(name: str) -> str:
    """Choose a preset's colour by the first word of its name: "released, 1,500 steps" is as "released"."""
    return PRESETS.get(name.split(",")[0], MAIN)
