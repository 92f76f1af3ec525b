"""What a notebook's results come from, and whether those results are there already."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from comc_utils.notebooks.files import read_notebook
from comc_utils.store.atomic import atomic_path
from comc_utils.store.fingerprint import code_fingerprint


def inputs_fingerprint(
    path: Path,
    parameters: Mapping[str, Any],
    *,
    versions: Mapping[str, str],
    tables: Path,
    data: Sequence[Path] = (),
    results: Path | None = None,
) -> str:
    """Sum up in one string all that a notebook's results depend on.

    Parameters
    ----------
    path : Path
        The notebook's file.
    parameters : mapping of str to object
        The values it gets, by name.
    versions : mapping of str to str
        Of Python and the packages that can move a number.
    tables : Path
        The folder with the paper's own numbers. It may not exist.
    data : sequence of Path
        Files and folders of data, of which names, sizes and times of change count: they may be large.
    results : Path, optional
        The results' folder, for a notebook that reads what the others left there: their metrics, their tables
        and the data behind their figures.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    inputs = {
        "notebook": _sha256(path),
        "parameters": repr(sorted(parameters.items())),
        "versions": dict(versions),
        "package": code_fingerprint(*_code(path)),
        "tables": _contents(tables, _files(tables)),
        "data": [
            (str(file.relative_to(path)), _stamp(file)) for path in data for file in _files(path)
        ],
        "results": results and _contents(results, _results_of_others(results, path.stem)),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def write_finished(results: Path, notebook: str, inputs: str, seconds: float) -> None:
    """Record that a notebook ended well, once all that it gave is in place.

    Parameters
    ----------
    results : Path
        The results' folder; the record is ``.finished/<notebook>.json`` in it.
    notebook : str
        Name of the notebook.
    inputs : str
        Its `inputs_fingerprint` from before it started, so that a change during the run is noticed.
    seconds : float
        Its run time.
    """
    record = {
        "inputs": inputs,
        "results": _contents(results, _results_of(results, notebook)),
        "seconds": seconds,
    }
    with atomic_path(_record_path(results, notebook)) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_finished(results: Path, notebook: str, inputs: str) -> float | None:
    """Tell whether a notebook need not run again.

    Parameters
    ----------
    results : Path
        The results' folder.
    notebook : str
        Name of the notebook.
    inputs : str
        Its `inputs_fingerprint` now.

    Returns
    -------
    float or None
        The seconds it took when it last ended well; None where it never did, where its inputs were
        others then, and where a file that it left has been changed or removed since.
    """
    try:
        record = json.loads(_record_path(results, notebook).read_text(encoding="utf-8"))
        then, left, seconds = record["inputs"], dict(record["results"]), float(record["seconds"])
    except (OSError, ValueError, TypeError, KeyError):  # absent or damaged
        return None
    now = _contents(results, _results_of(results, notebook))
    return seconds if then == inputs and left.items() <= now.items() else None


def forget_finished(results: Path, notebook: str) -> None:
    """Remove the record of a notebook that is about to write its results anew.

    Parameters
    ----------
    results : Path
        The results' folder.
    notebook : str
        Name of the notebook.
    """
    _record_path(results, notebook).unlink(missing_ok=True)


def _code(notebook: Path) -> list[ast.Module]:
    """Parse a notebook's code; nothing, which stands for the whole package, where it is not plain Python."""
    cells = [cell for cell in read_notebook(notebook).cells if cell.cell_type == "code"]
    try:
        return [ast.parse(cell.source) for cell in cells]
    except SyntaxError:
        return []


def _record_path(results: Path, notebook: str) -> Path:
    return results / ".finished" / f"{notebook}.json"


def _results_of(results: Path, notebook: str) -> list[Path]:
    """List the files that a notebook left, named as `outputs.Outputs` names them."""
    named = [results / "notebooks" / f"{notebook}.ipynb", results / "metrics" / f"{notebook}.json"]
    drawn = [
        file
        for kind in ("tables", "figures")
        for file in (results / kind).glob(f"{notebook[:2]}_*")
    ]
    return [file for file in named if file.exists()] + drawn


def _results_of_others(results: Path, notebook: str) -> set[Path]:
    """List the numbers that the other notebooks left; pictures only show them again."""
    found = {
        file
        for pattern in ("metrics/*.json", "tables/*.csv", "figures/*.csv")
        for file in results.glob(pattern)
        if not file.name.startswith(".")  # what a killed process was writing
    }
    return found - set(_results_of(results, notebook))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in (folder, *folder.rglob("*")) if file.is_file())


def _contents(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    return {str(file.relative_to(folder)): _sha256(file) for file in files}


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
