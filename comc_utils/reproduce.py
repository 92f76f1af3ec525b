"""Run the notebooks in order through papermill and keep what they gave."""

from __future__ import annotations

import ast
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from comc_utils.atomic import atomic_path
from comc_utils.errors import CoMCError
from comc_utils.notebook_files import clean_notebook, declared_parameters, read_notebook
from comc_utils.paths import cache_dir, repository_root, results_dir
from comc_utils.profiles import get_profile

# Given to every notebook that declares them; the option of the command line that sets each.
_OWN_PARAMETERS = {
    "PROFILE": "--profile",
    "SMOKE": "--smoke",
    "RESULTS": "--results",
    "DATA": "--data",
}
# What can move a number of the results from one machine to another.
_RECORDED_PACKAGES = (
    "comc-notebooks",
    "numpy",
    "open_clip_torch",
    "pillow",
    "scikit-learn",
    "timm",
    "torch",
    "torchvision",
)


class NotebookError(CoMCError):
    """A notebook stopped with an error; the message names the notebook, the cell and the error."""


def reproduce(
    profile: str,
    *,
    data: str | os.PathLike[str] | None = None,
    smoke: bool = False,
    only: Sequence[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    notebooks: str | os.PathLike[str] | None = None,
) -> Path:
    """Run the notebooks on a profile and write its results.

    Each notebook runs in a kernel of the running interpreter, with the notebooks' folder as working
    folder. It gets those of ``PROFILE``, ``SMOKE``, ``RESULTS`` (the output folder, relative to the
    notebooks' folder) and ``DATA`` (absolute, with ``data`` only) that it declares. The executed
    copy, without time stamps, progress bars and absolute paths, is written in one step to
    ``<output>/notebooks``, the run times to ``<output>/run.json``. Every parameter is checked
    before the first notebook starts.

    Parameters
    ----------
    profile : str
        Name of the profile.
    data : str or PathLike, optional
        Folder with the profile's data.
    smoke : bool
        A run of seconds, on little data.
    only : sequence of str, optional
        Names of notebooks, or how they begin (``"03"``); all of them by default.
    output : str or PathLike, optional
        The results' folder; by default `comc_utils.paths.results_dir` of the profile, with
        ``-smoke`` added to the profile's name in a smoke run, so that it leaves full results alone.
    parameters : mapping of str to object, optional
        More parameters, for the notebooks that declare them. A string is read as a literal where
        the notebook's own value is not a string.
    notebooks : str or PathLike, optional
        The folder of notebooks, run in the order of their names; by default the repository's.

    Returns
    -------
    Path
        The results' folder.

    Raises
    ------
    CoMCError
        The profile, a notebook, the data folder or a parameter does not exist, or a parameter's
        value is not of the kind that the notebook declares.
    NotebookError
        A notebook stopped with an error. What it did until then is kept beside the executed
        notebooks as ``<name>.failed.ipynb``; the results of the ones before it stay.
    """
    get_profile(profile)
    folder = Path(notebooks) if notebooks else repository_root() / "notebooks"
    folder = folder.absolute()
    output = Path(output) if output else results_dir(f"{profile}-smoke" if smoke else profile)
    output = output.absolute()
    own: dict[str, Any] = {
        "PROFILE": profile,
        "SMOKE": smoke,
        "RESULTS": os.path.relpath(output, folder),
    }
    hidden = {
        "results": output,
        "notebooks": folder,
        "repository": repository_root(),
        "cache": cache_dir(),
        "environment": Path(sys.prefix),
        "home": Path.home(),
    }
    if data is not None:
        hidden["data"] = _data_folder(data)
        own["DATA"] = str(hidden["data"])

    paths = _select(folder, only)
    declared = {path: declared_parameters(read_notebook(path), path.stem) for path in paths}
    chosen = _assign(declared, own, parameters or {})

    started = time.monotonic()
    seconds: dict[str, float] = {}
    print(f"Profile {profile}, notebooks from {_readable(folder)}", flush=True)
    for path in paths:
        notebook_started = time.monotonic()
        _run(path, chosen[path], output, hidden)
        seconds[path.stem] = round(time.monotonic() - notebook_started, 1)
        print(f"  {path.stem:<24} {_duration(seconds[path.stem])}", flush=True)
        _record(output / "run.json", seconds)
    print(f"  {'total':<24} {_duration(time.monotonic() - started)}")
    print(f"Results: {_readable(output)}", flush=True)
    return output


def _data_folder(data: str | os.PathLike[str]) -> Path:
    folder = Path(data).expanduser().absolute()
    if not folder.is_dir():
        raise CoMCError(f"There is no data folder {folder}; give an existing one with --data.")
    return folder


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
            raise CoMCError(
                f"No notebook of this run takes a parameter {name}; the known ones are: {names}."
            )
    if "DATA" in own and "DATA" not in known:
        raise CoMCError("No notebook of this run takes a data folder; leave out --data.")
    return {
        path: {
            **{name: value for name, value in own.items() if name in defaults},
            **{
                name: _fit(name, value, defaults[name], path.stem)
                for name, value in extra.items()
                if name in defaults
            },
        }
        for path, defaults in declared.items()
    }


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
            f"Parameter {name} of notebook {notebook} takes a {type(example).__name__} such as "
            f"{example!r}, not {value!r}."
        )
    return value


class _OwnKernelManager(AsyncKernelManager):
    """Starts ``python3`` with this interpreter, whatever kernels the user has installed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), **settings)


def _run(
    path: Path, parameters: Mapping[str, Any], output: Path, hidden: Mapping[str, Path]
) -> None:
    """Execute one notebook and put the cleaned copy in place."""
    kept = output / "notebooks" / path.name
    failed = kept.with_suffix(".failed.ipynb")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="comc-", ignore_cleanup_errors=True) as temporary:
        executed = Path(temporary) / path.name
        try:
            papermill.execute_notebook(
                path,
                executed,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                cwd=path.parent,
                kernel_manager_class=_OwnKernelManager,
                # The user's own IPython start-up files and history stay out, and so does the
                # kernel's warning that it talks to this process in plain text.
                extra_arguments=[f"--ipython-dir={temporary}", "--log-level=ERROR"],
                # disable=None: shown on a terminal, not in a log
                progress_bar={"desc": f"  {path.stem}", "leave": False, "disable": None},
            )
        except PapermillExecutionError as error:
            _keep(executed, failed, hidden)
            what = error.evalue if error.ename == "CoMCError" else f"{error.ename}: {error.evalue}"
            raise NotebookError(
                f"Notebook {path.stem} stopped in cell [{error.exec_count}].\n{what}\n"
                f"The notebook up to there: {_readable(failed)}"
            ) from None
        # nbclient's DeadKernelError, or jupyter_client's for a process that ends while it starts.
        except RuntimeError:
            _keep(executed, failed, hidden)
            raise NotebookError(
                f"Notebook {path.stem} stopped because its process ended: it was interrupted, or "
                "killed for want of memory. Run the same command again.\n"
                f"The notebook up to there: {_readable(failed)}"
            ) from None
        _keep(executed, kept, hidden)
    failed.unlink(missing_ok=True)


def _keep(executed: Path, place: Path, hidden: Mapping[str, Path]) -> None:
    notebook: NotebookNode = nbformat.read(executed, as_version=4)
    clean_notebook(notebook, hidden)
    with atomic_path(place) as temporary:
        nbformat.write(notebook, temporary)


def _record(path: Path, seconds: Mapping[str, float]) -> None:
    """Write the run times and what they were measured on; notebooks not run now keep theirs."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    except (OSError, ValueError, KeyError):
        earlier = {}
    record = {
        "seconds": dict(sorted({**earlier, **seconds}.items())),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _RECORDED_PACKAGES},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _readable(path: Path) -> str:
    """Name a path from the working folder where it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60:3d} min {seconds % 60:4.1f} s"
