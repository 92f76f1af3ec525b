"""What a language model is asked (section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

from comc_utils.errors import CoMCError
from comc_utils.sentences.english import enumerate_phrases

INSTRUCTION = "Please make a brief sentence to describe a photo that contains"
"""Section 3.1, where it is called the LLM-prompt: up to the label names."""


def comc_instruction(names: Sequence[str]) -> str:
    """The paper's instruction, "Please make a brief sentence to describe a photo that contains ...".

    Parameters
    ----------
    names : sequence of str
        Label names, at least one, in the order in which they are to appear.

    Returns
    -------
    str
        Without a full stop, as the paper prints it.

    Raises
    ------
    CoMCError
        Without a label name.

    References
    ----------
    Section 3.1 of the paper. How the names are joined is not printed there; they are joined here as
    English does, with commas and a last "and".

    Examples
    --------
    >>> comc_instruction(["dog", "dining table", "cup"])
    'Please make a brief sentence to describe a photo that contains dog, dining table and cup'
    """
    if not names:
        raise CoMCError("An instruction was asked for without a label; give at least one label name.")
    return f"{INSTRUCTION} {enumerate_phrases(names)}"
