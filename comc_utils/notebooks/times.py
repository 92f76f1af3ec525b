"""How long notebooks took: of each run, for nobody but its machine, and of the run that results refer to."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path

RECORD_VARIABLE = "COMC_RECORD_TIMES"
"""Environment variable that is set where a run becomes the reference."""
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
"""What can move a number of the results from one machine to another."""


def reference_times(folder: Path) -> dict[str, Any]:
    """Read the times that results refer to, ``times.json``.

    Parameters
    ----------
    folder : Path
        The results folder.

    Returns
    -------
    dict of str to object
        The machine, as `describe_machine` does; ``seconds`` by notebook; ``named``, by notebook and the name
        given to `Outputs.time`; of a run of all notebooks ``jobs`` and ``total_seconds``, until those that read
        the others' results began. Empty where nothing was recorded.

    Raises
    ------
    CoMCError
        The file is not JSON.
    """
    path = folder / "times.json"
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise CoMCError(
            f"{path} is not JSON; restore it, or record the times anew with --record-times."
        ) from None


def note_time(folder: Path, notebook: str, name: str, seconds: float) -> float:
    """Keep a time of this run, and give the reference's: see `Outputs.time`."""
    path = _notes(folder, notebook)
    seconds = float(f"{seconds:.3g}")  # as the reference will have it
    _write(path, _read(path) | {name: seconds})
    named = {} if RECORD_VARIABLE in os.environ else reference_times(folder).get("named", {})
    return named.get(notebook, {}).get(name, seconds)


def forget_times(folder: Path, notebook: str) -> None:
    """Begin a notebook's notes of this run anew."""
    _notes(folder, notebook).unlink(missing_ok=True)


def record_run(folder: Path, seconds: Mapping[str, float], run: Mapping[str, Any], *, reference: bool) -> None:
    """Write what is known of a run to a file that git ignores; what it does not say stays.

    Parameters
    ----------
    folder : Path
        The results folder; the file is ``.run/run.json`` in it.
    seconds : mapping of str to float
        By notebook.
    run : mapping of str to object
        The machine, as `describe_machine` does, and what belongs to the run of all notebooks.
    reference : bool
        Whether ``times.json`` becomes the same, with the notebooks' own notes.
    """
    path = folder / ".run" / "run.json"
    _write(path, _merged(_read(path), seconds, run))
    if reference:
        record = _merged(reference_times(folder), seconds, run)
        notes = {name: _read(_notes(folder, name)) for name in seconds}
        named = {name: of for name, of in (record.get("named", {}) | notes).items() if of}
        _write(folder / "times.json", record | {"named": dict(sorted(named.items()))})


def _merged(earlier: Mapping[str, Any], seconds: Mapping[str, float], run: Mapping[str, Any]) -> dict[str, Any]:
    return {**earlier, **run, "seconds": dict(sorted({**earlier.get("seconds", {}), **seconds}.items()))}


def _notes(folder: Path, notebook: str) -> Path:
    return folder / ".run" / f"{notebook}.json"


def _read(path: Path) -> dict[str, Any]:
    """Read a file of a run; nothing where it is missing or damaged."""
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def describe_machine() -> dict[str, Any]:
    """Describe what run times, and the last digits of results, depend on.

    Returns
    -------
    dict of str to object
        ``cores``, ``machine``, ``processor``, ``vectors`` (the widest vector instructions that matrix products
        use: in another order sums are rounded otherwise), ``memory_gb``, ``python`` and ``packages`` (version
        by name).
    """
    processor = _processor()
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "processor": processor.get("model name") or platform.processor(),
        "vectors": _vectors(processor.get("flags", "").split()),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
        if hasattr(os, "sysconf")
        else None,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _RECORDED_PACKAGES},
    }


def _processor() -> dict[str, str]:
    """Read what Linux tells of the first core, in a file alone; nothing elsewhere."""
    with suppress(OSError):
        of_first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
        pairs = (line.partition(":") for line in of_first.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return {}


def _vectors(flags: Collection[str]) -> str | None:
    """Name the widest vector instructions among a processor's flags; None where none is known."""
    known = {"avx512f": "AVX-512", "avx2": "AVX2"}
    return next((name for flag, name in known.items() if flag in flags), None)
