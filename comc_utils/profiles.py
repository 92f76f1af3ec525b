"""Profiles: what a run of the notebooks looks at."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

from comc_utils.errors import CoMCError
from comc_utils.method.presets import PAPER, RELEASED, SWITCHES, Preset
from comc_utils.options import ExperimentOptions
from comc_utils.sentences.labels import COCO, NUSWIDE, VOC2007, LabelSet

ENOUGH_SENTENCES = 10_000
"""The paper's learning rate is made for 40,000; with a few hundred captions it never gets far."""
SWITCHES_OF_EMBEDDINGS = ("noise on the text", "no bias", "mapped embedding renormalised")


@dataclass(frozen=True)
class Profile:
    """One data set with the settings under which the notebooks run on it.

    Attributes
    ----------
    name : str
        As the command line takes it, and of the data set.
    title : str
        For headings.
    label_set : LabelSet
    backbones : tuple of str
        open_clip names; the first is the default.
    weights : str or None
        Tag of the backbones' weights in open_clip; None where they come with the package, or where there is
        no backbone.
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
    images : {"drawn", "files", "embeddings"}
        Where images come from: the embedded world draws them, the user has them, or there are only the
        embeddings that somebody else computed.
    training_split : str or None
        Name of the split with labelled images for few-shot learning.
    captions : bool
        Whether there are texts that belong to single images.
    """

    name: str
    title: str
    label_set: LabelSet
    backbones: tuple[str, ...]
    weights: str | None
    preset: Preset
    alpha: float
    tau: float | None
    n_sentences: int
    n_images: int
    reported_dataset: str
    images: Literal["drawn", "files", "embeddings"]
    training_split: str | None = None
    captions: bool = True

    @property
    def has_towers(self) -> bool:
        """Whether a CLIP model embeds any text and any image here."""
        return self.images != "embeddings"

    @property
    def is_drawn(self) -> bool:
        """Whether the embedded world draws its images."""
        return self.images == "drawn"

    @property
    def text_is_peoples(self) -> bool:
        """Whether its sentences are captions that people wrote and own."""
        return not self.has_towers

    @property
    def enough_text(self) -> bool:
        """Whether its sentences are as many as the paper's learning rate is made for."""
        return self.n_sentences >= ENOUGH_SENTENCES

    @property
    def presets(self) -> tuple[Preset, ...]:
        """The presets to compare: its own and, where there is text enough, the paper's."""
        return (self.preset, PAPER) if self.enough_text else (self.preset,)

    @property
    def switches(self) -> tuple[str, ...]:
        """Those of `SWITCHES` that change something here; without towers, text and images stay as they are."""
        return tuple(SWITCHES) if self.has_towers else SWITCHES_OF_EMBEDDINGS


def _benchmark(
    name: str, label_set: LabelSet, *, alpha: float, n_images: int, training_split: str, captions: bool
) -> Profile:
    """Describe a benchmark of the paper, with the settings of its section 4.1."""
    return Profile(
        name=name,
        title=label_set.name,
        label_set=label_set,
        backbones=("RN50-quickgelu", "RN101-quickgelu", "ViT-B-32-quickgelu"),
        weights="openai",
        preset=RELEASED,
        alpha=alpha,
        tau=1 / 100,
        n_sentences=40_000,
        n_images=n_images,
        reported_dataset=label_set.name,
        images="files",
        training_split=training_split,
        captions=captions,
    )


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="miniworld",
            title="the embedded world",
            label_set=VOC2007,
            backbones=("miniworld-RN-small", "miniworld-RN-large", "miniworld-ViT"),
            weights=None,
            preset=RELEASED,
            # The paper's value for MS-COCO, taken before any score was seen.
            alpha=0.7,
            tau=None,
            n_sentences=40_000,
            n_images=2_000,
            reported_dataset="VOC2007",
            images="drawn",
            training_split="few_shot",
        ),
        Profile(
            name="coco500",
            title="real embeddings of 500 COCO photos",
            label_set=COCO,
            backbones=("ViT-B-16 (embeddings only)",),
            weights=None,
            # Without noise. A thousand texts instead of 40,000 need more epochs for as many steps.
            preset=replace(RELEASED, name="released, 1,500 steps", noise_std=0.0, epochs=500),
            alpha=0.7,
            tau=1 / 100,
            n_sentences=500,
            n_images=500,
            reported_dataset="MS-COCO",
            images="embeddings",
        ),
        _benchmark("voc2007", VOC2007, alpha=0.4, n_images=4_952, training_split="trainval", captions=False),
        _benchmark("coco2014", COCO, alpha=0.7, n_images=40_504, training_split="train2014", captions=True),
        _benchmark("nuswide", NUSWIDE, alpha=0.5, n_images=107_859, training_split="train", captions=False),
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


def refuse_what_it_cannot_use(
    profile: Profile, given: ExperimentOptions, data: str | os.PathLike[str] | None = None
) -> None:
    """See that nothing is asked of a profile that it would ignore.

    Parameters
    ----------
    profile : Profile
    given : ExperimentOptions
    data : str or PathLike, optional
        A folder with its data.

    Raises
    ------
    CoMCError
        An option, or a folder, that the profile cannot use, or a limit below 1.
    """
    files, towers = profile.images == "files", profile.has_towers
    other_text = given.sentences or given.n_sentences
    if not files and given.backbone not in (None, *profile.backbones):
        known = ", ".join(profile.backbones)
        raise CoMCError(f"Profile {profile.name!r} has no backbone {given.backbone!r}; it has {known}.")
    if given.limit is not None and given.limit < 1:
        raise CoMCError(f"The limit is {given.limit} images; give 1 or more, or leave it out for all.")
    for refused, why in (
        (
            data is not None and profile.is_drawn,
            "draws its images; leave --data (in a notebook DATA) out, or name the profile that the data are of",
        ),
        (given.weights and not files, "has its own weights; leave `weights` out"),
        (given.tag and not files, "has its own weights; leave `tag` out"),
        (given.draft and not files, "reads no JPEG files; leave `draft` out"),
        (given.skip_unreadable and not files, "reads no files; leave `skip_unreadable` out"),
        (given.half and not towers, "has no image tower; leave `half` out"),
        (
            given.half and given.openvino,
            "runs by OpenVINO in single precision alone; leave `half` or `openvino` out",
        ),
        (given.openvino and not towers, "has no image tower; leave `openvino` out"),
        (other_text and not towers, "has no text tower, so that its text cannot be exchanged; use its own"),
        (given.limit and not towers, "is small and has no trials; leave the limit out"),
    ):
        if refused:
            raise CoMCError(f"Profile {profile.name!r} {why}.")
