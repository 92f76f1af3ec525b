"""What a notebook's results come from, and whether those results are there already."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from comc_utils.notebooks.files import read_source
from comc_utils.notebooks.manifest import manifest_path, read_manifest
from comc_utils.notebooks.plan import Planned
from comc_utils.notebooks.times import reference_times
from comc_utils.store.atomic import atomic_path
from comc_utils.store.fingerprint import code_fingerprint


def inputs_fingerprint(
    notebook: Planned, *, versions: Mapping[str, str], shared: Path, results: Path
) -> str:
    """Sum up in one string all that a notebook's results depend on.

    Parameters
    ----------
    notebook : Planned
        Of its data names, sizes and times of change count: they may be large.
    versions : mapping of str to str
        Of Python and the packages that can move a number.
    shared : Path
        The folder with what all profiles share: the paper's own numbers in ``reported``, stored learning rates
        in ``rates``, of which the notebook's own count. Neither need exist.
    results : Path
        The results' folder, for a notebook that reads what the others left there: their settings, metrics,
        tables and the data behind their figures, and the times that results refer to.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    inputs = {
        "notebook": _sha256(notebook.path),
        "parameters": repr(sorted(notebook.parameters.items())),
        "versions": dict(versions),
        "code": code_fingerprint(*_code(notebook.path)),
        "reported": _contents(shared, _files(shared / "reported")),
        "rates": [r for f in _files(shared / "rates") if (r := _rates(f, notebook.name))],
        "data": [
            (str(file.relative_to(path)), _stamp(file))
            for path in notebook.data
            for file in _files(path)
        ],
        "results": notebook.reads_results and _read_by(results, notebook.name),
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
    there = [results / file for file in left if (results / file).exists()]
    return seconds if then == inputs and left == _contents(results, there) else None


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
    cells = [cell for cell in read_source(notebook)["cells"] if cell["cell_type"] == "code"]
    try:
        return [ast.parse("".join(cell["source"])) for cell in cells]
    except SyntaxError:
        return []


def _rates(file: Path, notebook: str) -> object:
    """Read what of a file of learning rates is a notebook's; nothing where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))[notebook]
    except (ValueError, TypeError, KeyError):
        return None


def _record_path(results: Path, notebook: str) -> Path:
    return results / ".finished" / f"{notebook}.json"


def _results_of(results: Path, notebook: str) -> list[Path]:
    """List the files that a notebook left: its executed copy, its manifest, and what that names."""
    manifest = manifest_path(results, notebook)
    left = [results / file for file in read_manifest(results, notebook).files()]
    files = [results / "notebooks" / f"{notebook}.ipynb", manifest, *left]
    return [file for file in files if file.exists()]


def _read_by(results: Path, reader: str) -> dict[str, object]:
    """Sum up what others left in numbers; pictures only show them again."""
    manifests = sorted((results / "manifest").glob("[!.]*.json"))
    others = [path.stem for path in manifests if path.stem != reader]
    numbers = {
        file
        for name in others
        for file in _results_of(results, name)
        if file.suffix in (".json", ".csv")
    }
    times = reference_times(results)
    of_others = {name: s for name, s in times.get("seconds", {}).items() if name != reader}
    return _contents(results, sorted(numbers)) | {"times": times | {"seconds": of_others}}


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in (folder, *folder.rglob("*")) if file.is_file())


def _contents(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    return {str(file.relative_to(folder)): _sha256(file) for file in files}


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
