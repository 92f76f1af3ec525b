"""Profiles: what a run of the notebooks looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from comc_utils.errors import CoMCError
from comc_utils.labels import COCO, VOC2007, LabelSet
from comc_utils.presets import RELEASED, Preset


@dataclass(frozen=True)
class Profile:
    """One data set with the settings under which the notebooks run on it.

    Attributes
    ----------
    name : str
        As the command line takes it.
    title : str
        For headings.
    label_set : LabelSet
    backbones : tuple of str
        open_clip names; the first is the default.
    preset : Preset
        Training and inference settings.
    alpha : float
        Weight of the original embedding in eq. 6 and 7, in 0 to 1.
    tau : float or None
        Temperature of eq. 4 and 5; None takes the backbone's own learned temperature.
    n_sentences : int
        Size of the training corpus.
    n_images : int
        Size of the test split.
    reported_dataset : str
        The paper's data set that its numbers are shown beside.
    draws_scenes : bool
        Whether the images are drawn by the embedded world.
    """

    name: str
    title: str
    label_set: LabelSet
    backbones: tuple[str, ...]
    preset: Preset
    alpha: float
    tau: float | None
    n_sentences: int
    n_images: int
    reported_dataset: str
    draws_scenes: bool


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="miniworld",
            title="the embedded world",
            label_set=VOC2007,
            backbones=("miniworld-RN-small", "miniworld-RN-large", "miniworld-ViT"),
            preset=RELEASED,
            # The paper's value for MS-COCO, taken before any score was seen.
            alpha=0.7,
            tau=None,
            n_sentences=40_000,
            n_images=2_000,
            reported_dataset="VOC2007",
            draws_scenes=True,
        ),
        Profile(
            name="coco500",
            title="real embeddings of 500 COCO photos",
            label_set=COCO,
            backbones=("ViT-B-16 (embeddings only)",),
            # Without noise. A thousand texts instead of 40,000 need more epochs for as many steps.
            preset=replace(RELEASED, name="released, 1,500 steps", noise_std=0.0, epochs=500),
            alpha=0.7,
            tau=1 / 100,
            n_sentences=500,
            n_images=500,
            reported_dataset="MS-COCO",
            draws_scenes=False,
        ),
    )
}


def get_profile(name: str) -> Profile:
    """Look a profile up.

    Raises
    ------
    CoMCError
        For an unknown name.
    """
    if name not in PROFILES:
        raise CoMCError(f"Unknown profile {name!r}; known: {', '.join(PROFILES)}.")
    return PROFILES[name]
