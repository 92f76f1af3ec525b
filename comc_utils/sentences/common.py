"""A fixed vocabulary of common things, that labels are compared with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "common_things.txt"


@cache
def common_things() -> tuple[str, ...]:
    """Read the vocabulary: people, animals, plants, places, vehicles, furniture, food, sports, weather, signs.

    Chosen by hand for what photos show, before any score was seen. Scores of taggers are taken against it, so
    that a change of it changes them all: a tagger keeps the words that it was made with.

    Returns
    -------
    tuple of str
        416 names, one sense each, no plural beside its singular.
    """
    return tuple(_FILE.read_text(encoding="utf-8").split("\n")[:-1])
