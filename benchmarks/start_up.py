"""What everybody waits for: importing the package, and the command line's help."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.paired import Case


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def _importing() -> tuple:
    return lambda: _python("-c", "import comc_utils"), lambda: _python("-c", "")


def _help() -> tuple:
    return lambda: _python("-m", "comc_utils", "reproduce", "--help"), lambda: _python("-c", "")


def _nothing(_ours: None, _reference: None) -> None:
    """Neither gives anything."""


CASES = (
    Case(
        name="importing comc_utils",
        against="starting Python alone",
        target=2,
        prepare=_importing,
        same=_nothing,
        at_most=True,
        runs=9,
    ),
    Case(
        name="the command line's --help",
        against="starting Python alone",
        target=6,
        prepare=_help,
        same=_nothing,
        at_most=True,
        runs=9,
    ),
)
