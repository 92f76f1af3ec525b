"""Each notebook's answer in words, from its own metrics: a sentence for each outcome.

A function is named after its notebook and takes what that notebook left; it gives Markdown.
"""

from comc_utils.notebooks.answers.first_steps import data_generation, inference, miniworld, training

__all__ = ["data_generation", "inference", "miniworld", "training"]
