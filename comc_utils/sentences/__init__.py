"""Label sets to sentences, and the corpus file that keeps them. Knows nothing of CLIP."""

from comc_utils.sentences.corpus import (
    Record,
    distinct_share,
    label_matrix,
    read_corpora,
    read_corpus,
    text_checks,
    write_corpus,
)
from comc_utils.sentences.instructions import comc_instruction
from comc_utils.sentences.label_sets import draw_label_sets
from comc_utils.sentences.shipped import language_model_corpus

__all__ = [
    "Record",
    "comc_instruction",
    "distinct_share",
    "draw_label_sets",
    "label_matrix",
    "language_model_corpus",
    "read_corpora",
    "read_corpus",
    "text_checks",
    "write_corpus",
]
