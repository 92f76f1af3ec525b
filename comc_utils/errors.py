"""The one exception that speaks to people."""

from __future__ import annotations


class CoMCError(ValueError):
    """Something a person can put right: the message says what is wrong, where, and what to do."""
