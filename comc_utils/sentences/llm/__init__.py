"""Sentences by a language model: endpoints and local models, a journal of answers, cleaning."""

from comc_utils.sentences.llm.answers import Answered, read_answers
from comc_utils.sentences.llm.cleaning import CleaningPolicy, clean_answers
from comc_utils.sentences.llm.fates import CleaningReport

__all__ = ["Answered", "CleaningPolicy", "CleaningReport", "clean_answers", "read_answers"]
