"""The one exception that speaks to people, and names that can be shown to them."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class CoMCError(ValueError):
    """Something a person can put right: the message says what is wrong, where, and what to do.

    Bytes of a file's name that are no UTF-8 are written as ``printable`` writes them: a message can always be
    printed.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(str(message).encode("utf-8", "backslashreplace").decode("utf-8"))


def printable(name: str) -> str:
    r"""Write a file's name so that it can be printed, in one line.

    Parameters
    ----------
    name : str
        As the system gives it: bytes that are no UTF-8 stand in it as lone surrogates.

    Returns
    -------
    str
        The name itself in all but rare cases; such bytes and control characters as Python writes them,
        ``caf\udce9.jpg``.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)
