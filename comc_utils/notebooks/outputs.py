"""What a notebook leaves behind: tables, figures with their data, metrics, and how it ends early."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comc_utils.errors import CoMCError
from comc_utils.notebooks.manifest import Entry, note
from comc_utils.notebooks.times import note_time
from comc_utils.store.atomic import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "comc.mplstyle"
"""Matplotlib style of every figure."""
# What stands in the cells with which a notebook is begun anew, perhaps on another profile.
_BEGINNING = re.compile(r"^PROFILE\s*=|\bbegin\(")


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
    """

    folder: Path
    notebook: str

    def table(
        self, frame: pd.DataFrame, name: str, caption: str, *, paper_table: int | None = None
    ) -> pd.DataFrame:
        """Write a table as CSV (full precision) and Markdown (one decimal), and return it.

        Parameters
        ----------
        frame : pandas.DataFrame
            Percentages and counts, as a reader is to see them; the index is not written.
        name : str
            Without suffix.
        caption : str
            What it shows, in words; the report shows it.
        paper_table : int, optional
            The paper's table that the report sets it beside, 1 to 6.
        """
        csv, markdown = (f"tables/{self.notebook[:2]}_{name}.{kind}" for kind in ("csv", "md"))
        self._write(csv, frame.to_csv(index=False, lineterminator="\n"))
        self._write(markdown, _markdown(frame))
        self._note("table", [csv, markdown], caption, paper_table)
        return frame

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

    def skip(self, reason: str) -> None:
        """Say why the notebook ends here, as its only metric too, and turn the cells that follow into nothing.

        The notebook then ends well wherever it runs: in JupyterLab, under papermill and under nbval. The next
        `begin` in the same kernel undoes it; cells with it, or with ``PROFILE = ...``, run all the same.

        Parameters
        ----------
        reason : str
            A sentence for the reader.
        """
        from IPython import get_ipython

        self.metrics({"skipped": reason})
        print(reason)
        get_ipython().input_transformers_cleanup.append(_only_beginnings)

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


def undo_skip() -> None:
    """Let all cells of this kernel run again."""
    from IPython import get_ipython

    transformers = getattr(get_ipython(), "input_transformers_cleanup", [])
    while _only_beginnings in transformers:
        transformers.remove(_only_beginnings)


def _only_beginnings(lines: list[str]) -> list[str]:
    return lines if any(_BEGINNING.search(line) for line in lines) else []


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


def _markdown(frame: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.1f}"
        return str(value).replace("|", "\\|")

    lines = [
        "| " + " | ".join(str(c) for c in frame.columns) + " |",
        "|" + "|".join("---:" if frame[c].dtype.kind in "fi" else "---" for c in frame) + "|",
    ]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"
