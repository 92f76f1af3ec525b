"""What a notebook leaves behind: tables, figures with their data, and metrics."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "comc.mplstyle"
"""Matplotlib style of every figure."""


@dataclass(frozen=True)
class Outputs:
    """The results folder of one notebook on one profile.

    Files are written whole or not at all, so that a stop leaves no half of one behind.

    Attributes
    ----------
    folder : Path
        The profile's results folder.
    notebook : str
        The notebook's name, for example ``03_inference``; every file's name begins with it.
    """

    folder: Path
    notebook: str

    def table(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write a table as CSV (full precision) and Markdown (one decimal), and return it.

        Parameters
        ----------
        frame : pandas.DataFrame
            Percentages and counts, as a reader is to see them; the index is not written.
        name : str
            Without suffix.
        """
        self._write("tables", f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
        self._write("tables", f"{name}.md", _markdown(frame))
        return frame

    def figure(self, figure: Figure, name: str, data: pd.DataFrame) -> Figure:
        """Write a figure as PNG and PDF with the data behind it as CSV, and return it.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
        name : str
            Without suffix.
        data : pandas.DataFrame
            Every value that the figure shows.
        """
        # No date and no version of the writer: the same figure gives the same file.
        for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            path = self._path("figures", f"{name}.{suffix}")
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=suffix, metadata=metadata)
        self._write("figures", f"{name}.csv", data.to_csv(index=False, lineterminator="\n"))
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
        self._write("metrics", f"{self.notebook}.json", text + "\n", prefix=False)
        return values

    def _path(self, kind: str, name: str, *, prefix: bool = True) -> Path:
        return self.folder / kind / (f"{self.notebook[:2]}_{name}" if prefix else name)

    def _write(self, kind: str, name: str, text: str, *, prefix: bool = True) -> None:
        with atomic_path(self._path(kind, name, prefix=prefix)) as temporary:
            Path(temporary).write_text(text, encoding="utf-8", newline="\n")


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
    lines += [
        "| " + " | ".join(cell(v) for v in row) + " |" for row in frame.itertuples(index=False)
    ]
    return "\n".join(lines) + "\n"
