"""What a notebook left in a results folder, in order; written by `Outputs`, read by runner and report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path


@dataclass(frozen=True)
class Entry:
    """One thing that a notebook left.

    Attributes
    ----------
    kind : {"figure", "table", "metrics", "page", "answer"}
    files : list of str
        Relative to the results folder: first what to show (a figure's PNG, a table's CSV), then the same in
        other forms; none for an answer.
    caption : str
        In words; '' for metrics and pages; of an answer, all of it.
    paper_table : int or None
        Of a table: the number of the paper's own that it stands beside.
    """

    kind: str
    files: list[str]
    caption: str = ""
    paper_table: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The settings that a notebook ran with, and what it left.

    Attributes
    ----------
    settings : dict of str to object
        Its parameters by name, as JSON holds them.
    left : list of Entry
        In the order of the notebook.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    left: list[Entry] = field(default_factory=list)

    def files(self) -> list[str]:
        """List all files, relative to the results folder."""
        return [file for entry in self.left for file in entry.files]


def manifest_path(folder: Path, notebook: str) -> Path:
    """Name the file of a notebook's manifest in a results folder."""
    return folder / "manifest" / f"{notebook}.json"


def read_manifest(folder: Path, notebook: str) -> Manifest:
    """Read what a notebook left.

    Parameters
    ----------
    folder : Path
        The results folder.
    notebook : str
        Its name, for example ``03_inference``.

    Returns
    -------
    Manifest
        Without entries where the notebook has not run.

    Raises
    ------
    CoMCError
        The file is not a manifest.
    """
    path = manifest_path(folder, notebook)
    if not path.exists():
        return Manifest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(dict(content["settings"]), [Entry(**entry) for entry in content["left"]])
    except (ValueError, TypeError, KeyError):
        raise CoMCError(f"{path} is not a manifest; run the notebook {notebook} again.") from None


def write_manifest(folder: Path, notebook: str, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all."""
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    with atomic_path(manifest_path(folder, notebook)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def note(folder: Path, notebook: str, entry: Entry) -> None:
    """Add to a notebook's manifest; what is left again, as by a cell that runs twice, keeps its place.

    Parameters
    ----------
    folder : Path
        The results folder.
    notebook : str
    entry : Entry
    """
    manifest = read_manifest(folder, notebook)
    places = [i for i, earlier in enumerate(manifest.left) if earlier.files == entry.files]
    at = slice(places[0], places[0] + 1) if places else slice(len(manifest.left), None)
    manifest.left[at] = [entry]
    write_manifest(folder, notebook, manifest)
