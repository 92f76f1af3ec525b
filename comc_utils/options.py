"""The options of an experiment, declared once: for `load_experiment`, notebooks' OPTIONS and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError


@dataclass(frozen=True)
class ExperimentOptions:
    """How a profile is run; None, or False, leaves it to the profile."""

    backbone: str | None = None
    weights: str | Path | None = None
    limit: int | None = None
    sentences: Any = None
    n_sentences: int | None = None
    draft: bool = False
    skip_unreadable: bool = False
    openvino: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ExperimentOptions:
        """Read options by name."""
        names = [f.name for f in fields(cls)]
        for name in given:
            if name not in names:
                near = get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise CoMCError(f"There is no option {name!r}; {hint}Known: {', '.join(names)}.")
        return cls(**{name: value for name, value in given.items() if value is not None})
