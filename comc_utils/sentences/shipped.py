"""The corpus that comes with the package: sentences a language model wrote for VOC2007's classes."""

from __future__ import annotations

from pathlib import Path

from comc_utils.sentences.corpus import Record, read_corpus

SHIPPED_SENTENCES = 1200
SHIPPED_SEED = 2024
"""Of the shipped corpus' label sets."""

_LLM_VOC2007 = Path(__file__).parent / "llm_voc2007.jsonl"


def language_model_corpus() -> list[Record]:
    """Read the shipped corpus: 1,200 sentences by a large language model for VOC2007's 20 classes.

    The label sets are those of
    `draw_label_sets(VOC2007.class_names, SHIPPED_SENTENCES, seed=SHIPPED_SEED)`, in that order: 1 to 5
    labels each. The writer, a large language model, answered the paper's instruction for each
    of them once, one sentence each. Every sentence was then checked to name its labels, by class name or
    synonym, and no other of the 20 classes, as `VOC2007.find` reads it. The same writer replaced those
    that did not, and those that read badly or named an object only to say that it is absent.

    The seed fixes the label sets alone. The sentences were written freely and cannot be generated
    again: the file is the only source of them.

    Returns
    -------
    list of Record
        In the order of the label sets; `generator` is "large language model", `seed` is `SHIPPED_SEED`.

    References
    ----------
    CoMC (ICML 2024), section 3.1.

    Examples
    --------
    >>> record = language_model_corpus()[0]
    >>> record.labels
    ('bicycle', 'horse')
    >>> record.text
    'A bicycle leans on the paddock fence while a chestnut horse sniffs its handlebars.'
    """
    return read_corpus(_LLM_VOC2007)
