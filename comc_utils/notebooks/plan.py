"""What a run of the notebooks is asked for: which of them, with which parameters, from which files."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.notebooks.files import declared_parameters, read_source, says
from comc_utils.notebooks.trials import test_set_of, trial_name
from comc_utils.options import ExperimentOptions, flags
from comc_utils.profiles import get_profile, refuse_what_it_cannot_use
from comc_utils.store.atomic import make_writable
from comc_utils.store.paths import cache_dir, repository_root, results_dir

*_FLAGS, _LAST_FLAG = flags()
_OWN_PARAMETERS = {
    "PROFILE": "--profile",
    "SMOKE": "--smoke",
    "RESULTS": "--results",
    "DATA": "--data",
    "OPTIONS": f"{', '.join(_FLAGS)} and {_LAST_FLAG}",
}
"""Given to every notebook that declares them; the option of the command line that sets each."""


@dataclass(frozen=True)
class Planned:
    """One notebook of a run.

    Attributes
    ----------
    path : Path
    parameters : dict of str to object
        The values it gets, by name.
    data : list of Path
        Files and folders beside code and parameters that its results depend on.
    reads_results, starts_first : bool
        What its metadata say of it: see `reproduce`.
    """

    path: Path
    parameters: dict[str, Any]
    data: list[Path]
    reads_results: bool
    starts_first: bool

    @property
    def name(self) -> str:
        """For example ``03_inference``."""
        return self.path.stem


@dataclass(frozen=True)
class Plan:
    """A run.

    Attributes
    ----------
    folder : Path
        Of the notebooks.
    output : Path
        The results' folder.
    notebooks : list of Planned
        In the order of their names.
    whole : bool
        Whether they are all that the folder holds.
    hidden : dict of str to Path
        Folders and files whose paths give way to ``<name>`` in what is kept.
    """

    folder: Path
    output: Path
    notebooks: list[Planned]
    whole: bool
    hidden: dict[str, Path]

    def groups(self) -> list[list[Planned]]:
        """Give those that run side by side, and those that wait for them, since they read their results."""
        independent = [notebook for notebook in self.notebooks if not notebook.reads_results]
        independent.sort(key=lambda notebook: not notebook.starts_first)
        return [independent, [notebook for notebook in self.notebooks if notebook.reads_results]]


def make_plan(
    profile: str,
    *,
    data: str | os.PathLike[str] | None,
    options: Mapping[str, Any],
    smoke: bool,
    only: Sequence[str] | None,
    output: str | os.PathLike[str] | None,
    parameters: Mapping[str, Any],
    notebooks: str | os.PathLike[str] | None,
) -> Plan:
    """Check what is asked for, before anything runs; for the arguments and errors see `reproduce`."""
    about = get_profile(profile)
    refuse_what_it_cannot_use(about, ExperimentOptions.of(options), data)
    options = {name: _absolute(value) for name, value in options.items() if value is not None}
    if "sentences" in options and not _is_path(options["sentences"]):
        raise CoMCError(
            f"There is no corpus {options['sentences']}; write it first: python -m comc_utils write-sentences "
            "--help"
        )
    root = repository_root()
    folder = (Path(notebooks) if notebooks else root / "notebooks").absolute()
    paths = _select(folder, only)
    sources = {path: read_source(path) for path in paths}
    declared = {path: declared_parameters(sources[path], path.stem) for path in paths}
    if output is None:
        changed = {n: v for n, v in parameters.items() if not all(_is_own(n, v, d) for d in declared.values())}
        changed |= test_set_of(profile, data)
        output = results_dir(profile, smoke=smoke, trial=trial_name(options | changed))
    output = Path(output).absolute()
    if about.images == "files" and data is None and not all(map(_needs_no_images, sources.values())):
        raise CoMCError(
            f"The images of {profile} are yours to bring: say where they are by --data DIR (docs/benchmarks.md "
            "says where to get them), or run by --only the notebooks that look at text alone, 01 and 02."
        )
    own = {"PROFILE": profile, "SMOKE": smoke, "RESULTS": os.path.relpath(output, folder)}
    hidden = {
        "results": output,
        "notebooks": folder,
        "repository": root,
        "cache": cache_dir(),
        "environment": Path(sys.prefix),
        "home": Path.home(),
    }
    if data is not None:
        own["DATA"] = str(Path(data).expanduser().absolute())
        hidden["data"] = Path(own["DATA"])
        if not hidden["data"].is_dir():
            raise CoMCError(f"There is no data folder {own['DATA']}; give an existing one with --data.")
    if options:
        own["OPTIONS"] = options
        hidden |= {name: Path(value) for name, value in options.items() if _is_path(value)}

    chosen = _assign(declared, own, parameters)
    files = {path: _files_in(chosen[path], parameters) for path in paths}
    shared = [hidden[name] for name in ("data", "weights", "sentences") if name in hidden]
    given = sorted({file for of_notebook in files.values() for file in of_notebook})
    hidden |= {f"file {number}": file for number, file in enumerate(given, start=1)}
    planned = [
        Planned(
            path,
            chosen[path],
            (shared if {"DATA", "OPTIONS"} & chosen[path].keys() else [])
            + files[path]
            + ([root / "results" / "benchmarks"] if says(sources[path], "reads_results") else []),
            says(sources[path], "reads_results"),
            says(sources[path], "starts_first"),
        )
        for path in paths
    ]
    make_writable(output, "--results")
    whole = len(planned) == len(list(folder.glob("*.ipynb")))
    return Plan(folder, output, planned, whole, hidden)


def _needs_no_images(notebook: Mapping[str, Any]) -> bool:
    return says(notebook, "reads_text_alone") or says(notebook, "reads_results")


def _absolute(value: Any) -> Any:
    """Name a file or folder that exists from the root, also in a list; leave anything else."""
    if isinstance(value, list):
        return [_absolute(member) for member in value]
    if isinstance(value, str | os.PathLike) and Path(value).expanduser().exists():
        return str(Path(value).expanduser().absolute())
    return value


def _files_in(chosen: Mapping[str, Any], extra: Mapping[str, Any]) -> list[Path]:
    """List the files that a notebook's further parameters name."""
    values = [chosen[name] for name in extra if name in chosen]
    flat = [member for value in values for member in (value if isinstance(value, list) else [value])]
    return [Path(member) for member in flat if _is_path(member)]


def _is_path(value: object) -> bool:
    return isinstance(value, str) and os.path.isabs(value)


def _select(folder: Path, only: Sequence[str] | None) -> list[Path]:
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        raise CoMCError(f"There are no notebooks in {folder}; restore them from the repository.")
    if only is None:
        return paths
    for start in only:
        if not any(path.stem.startswith(start) for path in paths):
            names = ", ".join(path.stem for path in paths)
            raise CoMCError(f"No notebook begins with {start!r}; choose among {names}.")
    return [path for path in paths if path.stem.startswith(tuple(only))]


def _assign(
    declared: Mapping[Path, Mapping[str, Any]], own: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[Path, dict[str, Any]]:
    """Choose each notebook's parameters; refuse a name that none declares and a value that misfits.

    papermill would only warn of the first and pass the second on.
    """
    known = {name for defaults in declared.values() for name in defaults}
    for name in extra:
        if name in _OWN_PARAMETERS:
            raise CoMCError(f"Parameter {name} is set by {_OWN_PARAMETERS[name]}; use that.")
        if name not in known:
            names = ", ".join(sorted(known - _OWN_PARAMETERS.keys())) or "none"
            raise CoMCError(f"No notebook of this run takes a parameter {name}; the known ones are: {names}.")
    for name in {"DATA", "OPTIONS"} & own.keys() - known:
        raise CoMCError(f"No notebook of this run takes {name}; leave out {_OWN_PARAMETERS[name]}.")
    return {
        path: {name: value for name, value in own.items() if name in defaults}
        | {n: _absolute(_fit(n, v, defaults[n], path.stem)) for n, v in extra.items() if n in defaults}
        for path, defaults in declared.items()
    }


def _is_own(name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """Tell whether a notebook has this value by itself, or no such parameter."""
    return name not in defaults or _fit(name, value, defaults[name], "") == defaults[name]


def _fit(name: str, value: Any, example: Any, notebook: str) -> Any:
    """Read a value as what the notebook's own value is."""
    if isinstance(value, str) and not isinstance(example, str):
        with suppress(SyntaxError, ValueError):
            # Left as they are, these would be strings, and any string is true.
            value = ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
    if isinstance(example, float) and type(value) is int:
        value = float(value)
    if example is not None and type(value) is not type(example):
        raise CoMCError(
            f"Parameter {name}{f' of notebook {notebook}' if notebook else ''} takes a value such as "
            f"{example!r} ({type(example).__name__}), not {value!r}."
        )
    return value
