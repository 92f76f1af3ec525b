"""What a profile is made of: its backbone, its texts, its images; all that differs between profiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from comc_utils.errors import CoMCError
from comc_utils.method.presets import Preset
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import Profile
from comc_utils.sentences import read_corpus
from comc_utils.sources.base import SMOKE_EPOCHS, SeenAndUnseen, Source
from comc_utils.sources.embeddings import EmbeddingsSource
from comc_utils.sources.towers import DrawnSource, FilesSource, NusWideSource

__all__ = ["SMOKE_EPOCHS", "SeenAndUnseen", "Source", "load_source"]

_SOURCES = {
    "miniworld": DrawnSource,
    "coco500": EmbeddingsSource,
    "voc2007": FilesSource,
    "coco2014": FilesSource,
    "nuswide": NusWideSource,
}


def load_source(
    profile: Profile,
    preset: Preset | None,
    *,
    seed: int,
    smoke: bool,
    data: Path | None,
    options: ExperimentOptions,
) -> Source:
    """Choose what a profile is made of, and refuse options that it cannot use.

    Parameters
    ----------
    profile : Profile
    preset : Preset or None
        In place of the profile's own.
    seed, smoke, data, options
        See `Source`.

    Returns
    -------
    Source

    Raises
    ------
    CoMCError
        A backbone that the profile does not have, a limit below 1, or sentences, weights, a limit or anything
        about image files for a profile that cannot use them.
    """
    name, given = profile.name, options
    if profile.images != "files":
        if given.backbone not in (None, *profile.backbones):
            known = ", ".join(profile.backbones)
            raise CoMCError(f"Profile {name!r} has no backbone {given.backbone!r}; it has {known}.")
        if given.weights is not None:
            raise CoMCError(f"Profile {name!r} has its own weights; leave `weights` out.")
        if given.draft:
            raise CoMCError(f"Profile {name!r} reads no JPEG files; leave `draft` out.")
        if given.skip_unreadable:
            raise CoMCError(f"Profile {name!r} reads no files; leave `skip_unreadable` out.")
    if given.limit is not None and given.limit < 1:
        raise CoMCError(
            f"The limit is {given.limit} images; give 1 or more, or leave it out for all."
        )
    preset = preset or profile.preset
    if not profile.has_towers:
        if given.openvino:
            raise CoMCError(f"Profile {name!r} has no image tower; leave `openvino` out.")
        if given.sentences is not None or given.n_sentences is not None:
            raise CoMCError(
                f"Profile {name!r} has no text tower, so that its text cannot be exchanged; use its own."
            )
        if given.limit is not None:
            raise CoMCError(f"Profile {name!r} is small and has no trials; leave the limit out.")
    if isinstance(given.sentences, str | Path):
        options = replace(options, sentences=tuple(read_corpus(given.sentences)))
    return _SOURCES[name](profile, preset, seed, smoke, data, options)
