"""What a notebook leaves behind: tables, figures with their data, metrics, and how it ends early."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comc_utils.errors import CoMCError
from comc_utils.notebooks.files import read_source
from comc_utils.notebooks.manifest import Entry, note
from comc_utils.notebooks.times import note_time
from comc_utils.store.atomic import atomic_path
from comc_utils.store.paths import repository_root

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import Markdown
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "comc.mplstyle"
"""Matplotlib style of every figure."""
# What stands in the cells with which a notebook is begun anew, perhaps on another profile.
_BEGINNING = re.compile(r"^PROFILE\s*=|\bbegin\(", re.MULTILINE)


@dataclass(frozen=True)
class Outputs:
    """The results folder of one notebook on one profile.

    Files are written whole or not at all, so that a stop leaves no half of one behind. What is left is
    noted in the notebook's manifest.

    Attributes
    ----------
    folder : Path
        The profile's results folder.
    notebook : str
        The notebook's name, for example ``03_inference``; names of tables and figures begin with its number.
    smoke : bool
        Whether it runs on little data, so that its answer says nothing.
    """

    folder: Path
    notebook: str
    smoke: bool = False

    def table(
        self,
        frame: pd.DataFrame,
        name: str,
        caption: str,
        *,
        paper_table: int | None = None,
        decimals: int | None = None,
    ) -> pd.DataFrame:
        """Write a table as CSV and Markdown, and return it to be shown.

        Parameters
        ----------
        frame : pandas.DataFrame
            Percentages and counts, not rounded: twice rounded is wrongly rounded. The index is not written.
        name : str
            Without suffix.
        caption : str
            What it shows, in words; the report shows it.
        paper_table : int, optional
            The paper's table that the report sets it beside, 1 to 6.
        decimals : int, optional
            Of Markdown and of what is returned; by default one and two. CSV has four.
        """
        csv, markdown = (f"tables/{self.notebook[:2]}_{name}.{kind}" for kind in ("csv", "md"))
        self._write(csv, frame.round(4).to_csv(index=False, lineterminator="\n"))
        self._write(markdown, _markdown(frame, 1 if decimals is None else decimals))
        self._note("table", [csv, markdown], caption, paper_table)
        return frame.round(2 if decimals is None else decimals)

    def figure(self, figure: Figure, name: str, data: pd.DataFrame, caption: str) -> Figure:
        """Write a figure as PNG and PDF with the data behind it as CSV, and return it.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
        name : str
            Without suffix.
        data : pandas.DataFrame
            Every value that the figure shows.
        caption : str
            What it shows, in words; the report shows it.
        """
        png, pdf, csv = (f"figures/{self.notebook[:2]}_{name}.{kind}" for kind in ("png", "pdf", "csv"))
        # No date and no version of the writer: the same figure gives the same file.
        for file, metadata in ((png, {"Software": None}), (pdf, {"CreationDate": None})):
            with atomic_path(self.folder / file) as temporary:
                figure.savefig(temporary, format=file[-3:], metadata=metadata)
        self._write(csv, data.to_csv(index=False, lineterminator="\n"))
        self._note("figure", [png, pdf, csv], caption)
        return figure

    def metrics(self, values: dict) -> dict:
        """Write the notebook's numbers to ``metrics/<notebook>.json`` and return them.

        Parameters
        ----------
        values : dict
            Numbers, strings, lists and dicts of these; NumPy scalars are converted.

        Raises
        ------
        CoMCError
            A number is NaN or infinite.
        """
        try:
            text = json.dumps(values, indent=2, default=_plain, allow_nan=False)
        except CoMCError:
            raise
        except ValueError as error:
            raise CoMCError(
                f"The metrics of {self.notebook} hold a number that is not finite: {values}. "
                "Find where it arises; nothing was written."
            ) from error
        file = f"metrics/{self.notebook}.json"
        self._write(file, text + "\n")
        self._note("metrics", [file])
        return values

    def answer(self, text: str) -> Markdown:
        """Note the notebook's answer for the report, and return it to be shown.

        Parameters
        ----------
        text : str
            Markdown, as the functions of `answers` give it.
        """
        from IPython.display import Markdown

        if self.smoke:
            text = f"*A smoke run, on little data and text: its numbers say nothing of the method.* {text}"
        self._note("answer", [], text)
        return Markdown(f"**Answer.** {text}")

    def skip(self, reason: str) -> None:
        """Say why the notebook ends here, as its only metric and its answer too, and pass over its other cells.

        The notebook then ends well wherever it runs: in JupyterLab, under papermill and under nbval. The kernel
        stays as usable as it was: what is not one of the notebook's own later cells runs, and the next `begin`
        lets these run again, too.

        Parameters
        ----------
        reason : str
            A sentence for the reader.
        """
        from IPython import get_ipython
        from IPython.display import Markdown, display

        self.metrics({"skipped": reason})
        display(Markdown(f"**Not asked here.** {reason}"))
        shell = get_ipython()
        running = getattr(shell, "get_parent", dict)().get("content", {}).get("code", "")
        shell.input_transformers_cleanup.append(_PassOver(self._cells_after(running), reason))

    def _cells_after(self, running: str) -> frozenset[str]:
        """List the sources of the notebook's code cells after the running one, or after the first of all."""
        path = repository_root() / "notebooks" / f"{self.notebook}.ipynb"
        cells = ["".join(cell["source"]) for cell in read_source(path)["cells"] if cell["cell_type"] == "code"]
        first = cells.index(running) + 1 if running in cells else 0
        return frozenset(cell.strip() for cell in cells[first:] if not _BEGINNING.search(cell))

    def time(self, name: str, seconds: float) -> float:
        """Note a time that was measured in this run, and give the one to show.

        Times differ from run to run, so results show those of one run, kept in ``times.json``; what this run
        measured goes to a file that git ignores.

        Parameters
        ----------
        name : str
            What took so long, for example a method's name.
        seconds : float

        Returns
        -------
        float
            Seconds: the reference's, or those measured now where it has none of this name and where the
            reference itself is being recorded (``reproduce --record-times``).
        """
        return note_time(self.folder, self.notebook, name, seconds)

    def _write(self, file: str, text: str) -> None:
        with atomic_path(self.folder / file) as temporary:
            Path(temporary).write_text(text, encoding="utf-8", newline="\n")

    def _note(self, kind: str, files: list[str], caption: str = "", paper_table: int | None = None) -> None:
        note(self.folder, self.notebook, Entry(kind, files, caption, paper_table))


@dataclass(frozen=True)
class _PassOver:
    """Makes nothing of some cells; a person who runs one is told why."""

    cells: frozenset[str]
    reason: str

    def __call__(self, lines: list[str]) -> list[str]:
        if "".join(lines).strip() not in self.cells:
            return lines
        return [f"print({f'Passed over: {self.reason}'!r})\n"] if in_front_end() else []


def undo_skip() -> None:
    """Let all cells of this kernel run again."""
    from IPython import get_ipython

    transformers = getattr(get_ipython(), "input_transformers_cleanup", [])
    transformers[:] = [t for t in transformers if not isinstance(t, _PassOver)]


def in_front_end() -> bool:
    """Whether a person looks at the running cell, in JupyterLab for example.

    A front end says in its request to execute a cell whether somebody is there to answer an `input()`.
    JupyterLab says yes; papermill, nbclient, nbconvert and nbval say no. Environment variables would tell
    less: JupyterLab's are inherited by a headless run that is started from one of its cells.

    Returns
    -------
    bool
        False outside of a kernel, too.
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def use_style() -> None:
    """Draw figures in the collection's style from here on."""
    import matplotlib.pyplot as plt

    plt.style.use(STYLE)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise CoMCError(f"A metric of type {type(value).__name__} cannot be written: {value!r}.")


def _markdown(frame: pd.DataFrame, decimals: int) -> str:
    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.{decimals}f}"
        return str(value).replace("|", "\\|")

    lines = [
        "| " + " | ".join(str(c) for c in frame.columns) + " |",
        "|" + "|".join("---:" if frame[c].dtype.kind in "fi" else "---" for c in frame) + "|",
    ]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"
