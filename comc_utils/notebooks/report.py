"""One HTML page of a profile's results that a person can mail: claims, tables, figures, the run."""

from __future__ import annotations

import ast
import base64
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from nbformat import NotebookNode
from PIL import Image

from comc_utils.errors import CoMCError
from comc_utils.evaluation.claims import CLAIMS, Claim, Judgement, Metrics, Verdict, judge
from comc_utils.evaluation.reported import reported
from comc_utils.evaluation.rules import MARGIN
from comc_utils.notebooks.figures import ACCENT, MAIN, MUTED
from comc_utils.notebooks.files import INJECTED_TAG, PARAMETERS_TAG, read_notebook
from comc_utils.profiles import get_profile
from comc_utils.store.atomic import atomic_path

_TEMPLATE = "report.html.jinja"
_REPORT_NOTEBOOK = "11_report"
_ROWS_SHOWN = 25
# A PNG above this many bytes is a photograph or a sheet of drawings: as JPEG it is a fraction of it.
_LARGE_PNG = 150_000
_JPEG_QUALITY = 80
# Set by the runner for every notebook, or a place on one machine.
_NOT_SETTINGS = {"PROFILE", "SMOKE", "RESULTS", "DATA"}
_VERDICT_COLOURS = {Verdict.HOLDS: MAIN, Verdict.FAILS: ACCENT, Verdict.WITHIN_NOISE: MUTED}


@dataclass(frozen=True)
class _PaperTable:
    """How to lay out one of the paper's tables, and which notebook reproduces it."""

    number: int
    title: str
    notebook: str
    rows: list[str]
    columns: list[str]
    dataset: str | None = None  # None: the profile's nearest


_PAPER_TABLES = (
    _PaperTable(1, "zero-shot methods", "03_inference", ["method"], ["metric"]),
    _PaperTable(
        2, "the K highest scores", "03_inference", ["method"], ["setting", "metric"], "NUS-WIDE"
    ),
    _PaperTable(3, "few labelled images", "10_few_shot", ["method"], ["setting"]),
    _PaperTable(4, "ablations", "04_ablations", ["setting"], ["metric"]),
    _PaperTable(5, "writers of the text", "08_language_models", ["method", "setting"], ["metric"]),
    _PaperTable(6, "visual backbones", "09_backbones", ["setting"], ["method"]),
)


@dataclass(frozen=True)
class _Grid:
    """A table as the page shows it: cells are text."""

    caption: str
    columns: list[tuple[str, bool]]  # name, whether its values are numbers
    rows: list[list[str]]
    rows_left_out: int
    file: str  # relative to the page; '' for none


@dataclass(frozen=True)
class _Picture:
    caption: str
    uri: str
    width: int
    height: int
    data_file: str


@dataclass(frozen=True)
class _Section:
    """What one notebook left."""

    notebook: str
    title: str
    question: str
    link: str  # relative to the page; '' for none
    settings: str
    missing: list[str]  # sentences
    pictures: list[_Picture]
    grids: list[_Grid]


@dataclass(frozen=True)
class _Beside:
    """One of the paper's tables with what a notebook has in its place."""

    table: _PaperTable
    theirs: _Grid
    ours: list[_Grid]
    section: _Section


@dataclass(frozen=True)
class _Speed:
    """The benchmark's table and figure."""

    grid: _Grid
    picture: _Picture


def read_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what the notebooks of a profile have left as metrics.

    Parameters
    ----------
    folder : Path
        The profile's results folder.

    Returns
    -------
    dict of str to dict
        By notebook, for example ``03_inference``; empty where nothing has run.

    Raises
    ------
    CoMCError
        A file is not JSON.
    """
    return {path.stem: _read_json(path) for path in sorted(folder.glob("metrics/*.json"))}


def forest_plot(judgements: Mapping[Claim, Judgement]) -> tuple[Figure, pd.DataFrame]:
    """Draw the differences behind the claims with their intervals, under each claim's statement.

    Parameters
    ----------
    judgements : mapping of Claim to Judgement

    Returns
    -------
    figure : matplotlib.figure.Figure
        Linear between -1 and 1, logarithmic beyond; coloured by what a difference says for its claim.
    data : pandas.DataFrame
        Columns claim, comparison, verdict, difference, low, high.
    """
    figure, axis = plt.subplots()
    axis.axvline(0, color="black", linewidth=0.8)
    rows, names, place = [], {}, 0
    for claim, judgement in judgements.items():
        differences = [f for f in judgement.findings if f.comparison is not None]
        if not differences:
            continue
        text = axis.annotate(
            claim.statement,
            (0.005, place + 0.12),
            xycoords=("figure fraction", "data"),
            annotation_clip=False,
            va="center",
            fontsize=7.5,
            fontweight="bold",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )
        text.set_in_layout(False)
        for finding in differences:
            place += 1
            c, colour = finding.comparison, _VERDICT_COLOURS[finding.verdict]
            axis.plot([c["low"], c["high"]], [place, place], color=colour, linewidth=1.6)
            axis.plot(c["difference"], place, "o", color=colour, markersize=4)
            names[place] = finding.name
            numbers = (c["difference"], c["low"], c["high"])
            rows.append((claim.identifier, finding.name, finding.verdict.value, *numbers))
        place += 1
    data = pd.DataFrame(
        rows, columns=["claim", "comparison", "verdict", "difference", "low", "high"]
    )
    if data.empty:
        axis.set_title("no difference to show")
    left, right = (
        (1.3 * min(-1, data.low.min()), 1.3 * max(1, data.high.max())) if rows else (-1, 1)
    )
    ticks = [t for t in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if left <= t <= right]
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks], fontsize=8)
    axis.set_xlim(left, right)
    axis.set_xlabel("difference in points (centroid distance: in its own unit)", fontsize=9)
    axis.set_ylim(max(place, 1) - 0.4, -0.6)
    axis.set_yticks(list(names), list(names.values()), fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    figure.set_size_inches(6.4, 0.7 + 0.16 * max(place, 4))
    return figure, data


def write_report(folder: Path, profile: str, *, smoke: bool = False) -> Path:
    """Write ``report.html`` from what lies in a results folder and from the paper's own numbers.

    The page holds its pictures and needs no network. Its links lead to files of the results folder. What is
    missing is said on the page.

    Parameters
    ----------
    folder : Path
        The profile's results folder.
    profile : str
        A key of `profiles.PROFILES`.
    smoke : bool
        Whether the results are a smoke run's; the page then warns of it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    CoMCError
        For an unknown profile, and where a file of the results cannot be read.
    """
    about = get_profile(profile)
    metrics = read_metrics(folder)
    sections = {name: _section(folder, name, metrics) for name in _notebooks(folder)}
    paper_tables = [
        _beside_the_paper(table, sections, about.reported_dataset) for table in _PAPER_TABLES
    ]
    claims = [(claim, judge(claim, metrics)) for claim in CLAIMS]
    counts = Counter(judgement.verdict for _, judgement in claims)
    forest = folder / "figures" / f"{_REPORT_NOTEBOOK[:2]}_claims.png"
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(_TEMPLATE).render(
        profile=about,
        smoke=smoke,
        claims=claims,
        counts=[(verdict, counts[verdict]) for verdict in Verdict],
        margin=MARGIN,
        forest=_picture(forest, "The differences behind the claims") if forest.exists() else None,
        paper_tables=paper_tables,
        above={grid.file for beside in paper_tables for grid in beside.ours},
        sections=sections,
        run=_read_json(run) if (run := folder / "run.json").exists() else None,
        speed=_speed(folder.parent / "benchmarks"),
    )
    path = folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return path


def _speed(folder: Path) -> _Speed | None:
    """Read what ``make bench`` has measured, on whatever machine; it is the same for every profile."""
    table, growth = folder / "benchmarks.csv", folder / "growth.png"
    if not (table.exists() and growth.exists()):
        return None
    grid = _grid(
        pd.read_csv(table), "Each line in turns with its reference", f"../benchmarks/{table.name}"
    )
    picture = _picture(growth, "How time grows")
    return _Speed(grid, replace(picture, data_file="../benchmarks/growth.csv"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise CoMCError(
            f"{path} is not JSON; run the notebook that writes it again, or restore the file."
        ) from None
    return content


def _notebooks(folder: Path) -> list[str]:
    """Name the notebooks that left anything, and those that the claims and tables ask for."""
    left = {path.stem for kind in ("metrics", "notebooks") for path in (folder / kind).glob("*.*")}
    asked = {claim.notebook for claim in CLAIMS} | {table.notebook for table in _PAPER_TABLES}
    known = {name for name in left if re.fullmatch(r"\d\d_\w+", name)}
    return sorted((known | asked) - {_REPORT_NOTEBOOK})


def _section(folder: Path, name: str, metrics: Metrics) -> _Section:
    missing = []
    executed = folder / "notebooks" / f"{name}.ipynb"
    notebook = read_notebook(executed) if executed.exists() else nbformat.v4.new_notebook()
    if not executed.exists():
        missing.append("There is no executed notebook.")
    if name not in metrics:
        missing.append("It has left no metrics.")
    elif "skipped" in metrics[name]:
        missing.append(f"It was skipped: {metrics[name]['skipped']}")
    headings = _headings(notebook)
    pictures = [
        _picture(path, _caption(path, headings))
        for path in sorted(folder.glob(f"figures/{name[:2]}_*.png"))
    ]
    grids = [
        _grid(pd.read_csv(path), _caption(path, headings), f"tables/{path.name}")
        for path in sorted(folder.glob(f"tables/{name[:2]}_*.csv"))
    ]
    if not pictures and not grids:
        missing.append("It has left no figure and no table.")
    title, question = _introduction(notebook)
    return _Section(
        notebook=name,
        title=title or name[3:].replace("_", " ").capitalize(),
        question=question,
        link=f"notebooks/{name}.ipynb" if executed.exists() else "",
        settings=", ".join(f"{key} = {value}" for key, value in _settings(notebook).items()),
        missing=missing,
        pictures=pictures,
        grids=grids,
    )


def _introduction(notebook: NotebookNode) -> tuple[str, str]:
    """Read title and question from a notebook's first cell; '' for what is not there."""
    text = notebook.cells[0].source if notebook.cells else ""
    title = re.search(r"^# (?:\d+ · )?(.+)$", text, flags=re.MULTILINE)
    question = re.search(r"\*\*Question\.\*\*\s*(.+?)(?:\n\n|$)", text, flags=re.DOTALL)
    return title[1] if title else "", " ".join(question[1].split()) if question else ""


def _code(notebook: NotebookNode) -> Iterator[tuple[ast.Module, str, list[str]]]:
    """Give each code cell that is plain Python with the heading that it stands under and its tags."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = re.search(r"^##+ (.+)$", cell.source, flags=re.MULTILINE)
            heading = found[1] if found else heading
        elif cell.cell_type == "code":
            try:
                yield ast.parse(cell.source), heading, cell.metadata.get("tags", [])
            except SyntaxError:  # a magic command
                continue


def _headings(notebook: NotebookNode) -> dict[str, str]:
    """Name what each ``outputs.figure(..., "name")`` or ``outputs.table`` stands under."""
    headings = {}
    for tree, heading, _ in _code(notebook):
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="figure" | "table"),
                    args=[_, ast.Constant(value=name), *_],
                ):
                    headings[str(name)] = heading
    return headings


def _caption(path: Path, headings: Mapping[str, str]) -> str:
    """Name a figure or table: the heading it stands under and its own name, where that says more."""
    name = path.stem[3:]
    heading, words = headings.get(name, ""), name.replace("_", " ")
    if not heading:
        return words.capitalize()
    return (
        heading
        if words.replace(" ", "") in heading.lower().replace(" ", "")
        else f"{heading}: {words}"
    )


def _settings(notebook: NotebookNode) -> dict[str, Any]:
    """Read the parameters that an executed notebook ran with, seeds among them."""
    settings: dict[str, Any] = {}
    for tree, _, tags in _code(notebook):
        if PARAMETERS_TAG in tags or INJECTED_TAG in tags:
            for node in tree.body:
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        settings[name] = ast.unparse(value)
    return {
        name: value
        for name, value in settings.items()
        if name not in _NOT_SETTINGS and value not in ("None", "{}", "[]")  # nothing was set
    }


def _beside_the_paper(
    table: _PaperTable, sections: Mapping[str, _Section], nearest: str
) -> _Beside:
    """Lay out one of the paper's tables and find ours of the same number, ``NN_table<number>.csv``."""
    dataset = table.dataset or nearest
    frame = reported(table.number, dataset=dataset)
    fullest = frame[frame["method"] == frame["method"].value_counts().idxmax()]
    for column in table.rows + table.columns:  # as categories, which keep their order in a pivot
        first = fullest[column] if column in table.columns else []
        order = list(dict.fromkeys([*first, *frame[column]]))
        frame[column] = pd.Categorical(frame[column], order, ordered=True)
    wide = frame.pivot(index=table.rows, columns=table.columns, values="value")
    wide.columns = [" ".join(c) if isinstance(c, tuple) else c for c in wide.columns]
    theirs = _grid(wide.reset_index(), f"The paper's Table {table.number}, {dataset}, in %", "")
    ours = [
        grid
        for section in sections.values()
        for grid in section.grids
        if grid.file.endswith(f"_table{table.number}.csv")
    ]
    return _Beside(table, theirs, ours, sections[table.notebook])


def _grid(frame: pd.DataFrame, caption: str, file: str) -> _Grid:
    shown = frame.head(_ROWS_SHOWN)
    numeric = [bool(frame[column].dtype.kind in "fi") for column in frame]
    cells = [_cells(shown[column]) for column in shown]
    return _Grid(
        caption=caption,
        columns=list(zip(map(str, frame.columns), numeric, strict=True)),
        rows=[list(row) for row in zip(*cells, strict=True)],
        rows_left_out=len(frame) - len(shown),
        file=file,
    )


def _cells(column: pd.Series) -> list[str]:
    """Write percentages with one decimal, what lies between -2 and 2 throughout with three."""
    if column.dtype.kind == "f":
        digits = 3 if column.abs().max() < 2 else 1
        return ["" if pd.isna(value) else f"{value:.{digits}f}" for value in column]
    return ["" if pd.isna(value) else str(value) for value in column]


def _picture(path: Path, caption: str) -> _Picture:
    data, kind = path.read_bytes(), "png"
    try:
        with Image.open(path) as image:
            width, height = image.size
            if len(data) > _LARGE_PNG:
                buffer = io.BytesIO()
                image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
                if buffer.tell() < len(data):
                    data, kind = buffer.getvalue(), "jpeg"
    except OSError:
        raise CoMCError(
            f"{path} is not a readable picture; run the notebook that draws it again."
        ) from None
    return _Picture(
        caption=caption,
        uri=f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}",
        width=width,
        height=height,
        data_file=f"figures/{path.with_suffix('.csv').name}",
    )
