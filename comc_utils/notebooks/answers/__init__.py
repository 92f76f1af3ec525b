"""Each notebook's answer in words, from its own metrics: a sentence for each outcome.

A function is named after its notebook and takes what that notebook left; it gives Markdown.
"""

from comc_utils.notebooks.answers.methods import few_shot, rivals, seen_and_unseen

__all__ = ["few_shot", "rivals", "seen_and_unseen"]
