"""Each notebook's answer in words, from its own metrics: a sentence for each outcome.

A function is named after its notebook and takes what that notebook left; it gives Markdown.
"""

from comc_utils.notebooks.answers.ablations import ablations, alpha_sweep, modality_gap
from comc_utils.notebooks.answers.comparable import comparable_scores
from comc_utils.notebooks.answers.first_steps import data_generation, inference, miniworld, training
from comc_utils.notebooks.answers.methods import few_shot, rivals, seen_and_unseen
from comc_utils.notebooks.answers.photos import your_photos
from comc_utils.notebooks.answers.text_and_towers import backbones, data_size, language_models
from comc_utils.notebooks.answers.verdicts import only_as_measured, report

__all__ = [
    "ablations",
    "alpha_sweep",
    "backbones",
    "comparable_scores",
    "data_generation",
    "data_size",
    "few_shot",
    "inference",
    "language_models",
    "miniworld",
    "modality_gap",
    "only_as_measured",
    "report",
    "rivals",
    "seen_and_unseen",
    "training",
    "your_photos",
]
