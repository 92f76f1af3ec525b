"""What a profile is made of: its backbone, its texts, its images; all that differs between profiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from comc_utils.experiment import Experiment
from comc_utils.method.presets import Preset
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import get_profile, refuse_what_it_cannot_use
from comc_utils.sentences import read_corpus
from comc_utils.sources.embeddings import EmbeddingsExperiment
from comc_utils.sources.towers import Benchmark, Coco2014, EmbeddedWorld, NusWide

_EXPERIMENTS = {
    "miniworld": EmbeddedWorld,
    "coco500": EmbeddingsExperiment,
    "voc2007": Benchmark,
    "coco2014": Coco2014,
    "nuswide": NusWide,
}


def load_experiment(
    profile: str,
    *,
    preset: Preset | None = None,
    seed: int = 0,
    smoke: bool = False,
    data: str | Path | None = None,
    **options: Any,
) -> Experiment:
    """Make a profile ready.

    Parameters
    ----------
    profile : str
        A key of `profiles.PROFILES`.
    preset : Preset, optional
        In place of the profile's own.
    seed : int
        Of the corpus and, unless told otherwise, of what learns.
    smoke : bool
        A small share of text and images, for a run of seconds.
    data : str or Path, optional
        Folder of the profile's data, where it is not fetched or drawn.
    **options
        Fields of `options.ExperimentOptions`.

    Returns
    -------
    Experiment

    Raises
    ------
    CoMCError
        For an unknown profile or option, a backbone that the profile does not have, a limit below 1, or
        sentences, weights, a limit, a folder or anything about image files for a profile that cannot use them.
    """
    about, given = get_profile(profile), ExperimentOptions.of(options)
    refuse_what_it_cannot_use(about, given, data)
    if isinstance(given.sentences, str | Path):
        given = replace(given, sentences=tuple(read_corpus(given.sentences)))
    return _EXPERIMENTS[profile](
        about, preset or about.preset, seed, smoke, Path(data) if data else None, given
    )
