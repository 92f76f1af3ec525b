"""Whether a run is the profile's own, whose results are published, or somebody's trial."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.notebooks.committed import git
from comc_utils.notebooks.files import declared_parameters, read_source
from comc_utils.store.paths import repository_root

TEST_SET = "test set"
"""In a manifest's settings: which one was scored, where a data set has several."""
# Where things are, and what has a folder's name of its own.
_NOT_A_CHANGE = {"PROFILE", "SMOKE", "RESULTS", "DATA", "weights"}
_LONGEST = 60


def trial_name(changed: Mapping[str, Any]) -> str:
    """Name a trial by what it sets otherwise than the profile has it.

    Parameters
    ----------
    changed : mapping of str to object
        Parameters and options by name.

    Returns
    -------
    str
        For example ``SEED-1``, fit for a folder's name; '' for no change. Long ones end in a hash.
    """
    words = [
        f"{name}-{portable(value)}"
        for name, value in changed.items()
        if name not in _NOT_A_CHANGE and not (name == TEST_SET and _is_the_papers(value))
    ]
    name = "-".join(re.sub(r"[^\w.]+", "-", word).strip("-") for word in words)
    if len(name) <= _LONGEST:
        return name
    whole = hashlib.sha256(json.dumps(words).encode()).hexdigest()
    return f"{name[:_LONGEST]}-{whole[:8]}"


def changed_parameters(notebook: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """List what a notebook runs with otherwise than its own parameters cell has it.

    The committed cell counts where git has one: JupyterLab saves what a reader changes while playing.

    Parameters
    ----------
    notebook : str
        For example ``05_alpha_sweep``.
    parameters : mapping of str to object
        What it runs with, among other names.

    Returns
    -------
    dict of str to object
        Parameters by name, options among them by theirs; of a notebook that is not the collection's, options
        alone.
    """
    own = _declared(repository_root() / "notebooks" / f"{notebook}.ipynb")
    changed = {n: parameters[n] for n in own if n in parameters and parameters[n] != own[n] and n != "OPTIONS"}
    options = parameters.get("OPTIONS") or {}
    return changed | {name: value for name, value in options.items() if value is not None}


def test_set_of(profile: str, data: str | os.PathLike[str] | None) -> dict[str, str]:
    """Say which test set a folder holds: NUS-WIDE has several.

    Parameters
    ----------
    profile : str
    data : str or PathLike or None
        The profile's folder.

    Returns
    -------
    dict of str to str
        `TEST_SET` and its name; empty where there is no telling or but one.
    """
    if profile != "nuswide" or data is None:
        return {}
    from comc_utils.datasets.nuswide import find_test_set  # brings torch, and a run without changes is quick

    found = find_test_set(data)
    return {TEST_SET: found} if found else {}


def _is_the_papers(test_set: str) -> bool:
    from comc_utils.datasets.nuswide import THE_PAPERS

    return test_set == THE_PAPERS


def portable(value: Any) -> Any:
    """Name a file by its last part, also in lists and dicts: where it lies is one machine's matter."""
    if isinstance(value, dict):
        return {key: portable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [portable(member) for member in value]
    return Path(value).name if isinstance(value, str | Path) and os.path.isabs(value) else value


def _declared(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        source = json.loads(git(path.parent, "show", f"HEAD:./{path.name}"))
    except CoMCError:  # not a checkout, or a notebook that is not committed yet
        source = read_source(path)
    return declared_parameters(source, path.stem)
