"""One HTML page of a profile's results that a person can mail: claims, tables, figures, the run."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mistune
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from comc_utils.datasets.nuswide import THE_PAPERS
from comc_utils.errors import CoMCError
from comc_utils.evaluation.claims import CLAIMS, Metrics, Verdict, judge
from comc_utils.evaluation.reported import reported
from comc_utils.evaluation.rules import MARGIN
from comc_utils.notebooks import answers
from comc_utils.notebooks.files import read_source
from comc_utils.notebooks.manifest import Entry, note, read_manifest
from comc_utils.notebooks.times import reference_times
from comc_utils.notebooks.trials import TEST_SET
from comc_utils.profiles import get_profile
from comc_utils.store.atomic import atomic_path

_TEMPLATE = "report.html.jinja"
REPORT = "15_report"
"""The notebook that writes the page."""
# With more rows a table is folded.
_MANY_ROWS = 9
# Letters in a line of half the page's width, and of all of it.
_HALF, _WHOLE = 62, 130
# A picture of more pixels than this across, 200 an inch, takes the page's whole width.
_WIDE_PIXELS = 1600
# What spans orders of magnitude; other numbers are percentages, or small.
_WITH_THREE_DIGITS = {"seconds", "ratio", "factor", "pull", "peak memory (GB)"}
# A PNG above this many bytes is a photograph or a sheet of drawings: as JPEG it is a fraction of it.
_LARGE_PNG = 150_000
_JPEG_QUALITY = 80


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
    _PaperTable(2, "the K highest scores", "12_seen_and_unseen", ["method"], ["setting", "metric"], "NUS-WIDE"),
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
    file: str  # relative to the page; '' for none
    paper_table: int | None  # that it stands beside
    wide: bool  # it takes the page's whole width
    tight: bool  # its cells need no second line
    long: bool


@dataclass(frozen=True)
class _Picture:
    caption: str
    uri: str
    width: int
    height: int
    data_file: str
    wide: bool


@dataclass(frozen=True)
class _Section:
    """What one notebook left."""

    notebook: str
    title: str
    question: str
    answer: str  # Markdown
    link: str  # relative to the page; '' for none
    settings: str
    absent: str  # a sentence on why it has left nothing; '' where it has
    shown: list[_Picture | _Grid]  # in reading order


@dataclass(frozen=True)
class _Beside:
    """One of the paper's tables with what a notebook has in its place."""

    table: _PaperTable
    theirs: _Grid | None
    ours: list[_Grid]
    why_none: str


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
    manifests = [read_manifest(folder, name) for name in sections]
    test_sets = {manifest.settings.get(TEST_SET, THE_PAPERS) for manifest in manifests} - {THE_PAPERS}
    paper_tables = [
        _beside_the_paper(table, sections, about.reported_dataset, test_sets) for table in _PAPER_TABLES
    ]
    claims = [(claim, judge(claim, metrics)) for claim in CLAIMS]
    counts = Counter(judgement.verdict for _, judgement in claims)
    drawn = [_shown(folder, e) for e in read_manifest(folder, REPORT).left if e.kind == "figure"]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": _markdown, "where": _where}
    page = environment.get_template(_TEMPLATE).render(
        profile=about,
        smoke=smoke,
        claims=claims,
        counts=[(verdict, counts[verdict]) for verdict in Verdict],
        margin=MARGIN,
        report=REPORT,
        forest=drawn[0] if drawn else None,
        first_words=answers.report(dict(claims)),
        ablations=metrics.get("04_ablations", {}),
        paper_tables=paper_tables,
        beside={grid.file: beside.table.number for beside in paper_tables for grid in beside.ours},
        sections=sections,
        run=reference_times(folder),
        speed=_speed(folder.parent / "benchmarks"),
    )
    path = folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    note(folder, REPORT, Entry("page", [path.name]))
    return path


def _speed(folder: Path) -> _Speed | None:
    """Read what ``make bench`` has measured, on whatever machine; it is the same for every profile."""
    table, growth = folder / "benchmarks.csv", folder / "growth.png"
    if not (table.exists() and growth.exists()):
        return None
    grid = _grid(pd.read_csv(table), "Each line in turns with its reference", f"../benchmarks/{table.name}")
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
    left = {path.stem for path in folder.glob("manifest/[!.]*.json")}
    asked = {claim.notebook for claim in CLAIMS} | {table.notebook for table in _PAPER_TABLES}
    return sorted((left | asked) - {REPORT})


def _section(folder: Path, name: str, metrics: Metrics) -> _Section:
    executed = folder / "notebooks" / f"{name}.ipynb"
    title, question = _introduction(executed) if executed.exists() else ("", "")
    manifest = read_manifest(folder, name)
    absent = ""
    if name not in metrics and not manifest.left:
        absent = "It has not run here."
    elif "skipped" in metrics.get(name, {}):
        absent = f"Not asked here: {metrics[name]['skipped']}"
    return _Section(
        notebook=name,
        title=title or name[3:].replace("_", " ").capitalize(),
        question=question,
        answer="\n\n".join(entry.caption for entry in manifest.left if entry.kind == "answer"),
        link=f"notebooks/{name}.ipynb" if executed.exists() else "",
        settings=", ".join(f"{key} = {value!r}" for key, value in manifest.settings.items()),
        absent=absent,
        shown=[_shown(folder, entry) for entry in manifest.left if entry.kind in ("figure", "table")],
    )


def _markdown(text: str) -> Markup:
    """Render a notebook's answer; HTML in it stays text."""
    return Markup(mistune.create_markdown(escape=True)(text))


def _where(place: str) -> str:
    """Shorten a place in the paper to its section and its table or figure."""
    return ", ".join([place.split(",")[0], *re.findall(r"(?:Table|Figure) [\w()]+", place)[:1]])


def _shown(folder: Path, entry: Entry) -> _Picture | _Grid:
    file = entry.files[0]
    if entry.kind == "figure":
        return _picture(folder / file, entry.caption)
    try:
        frame = pd.read_csv(folder / file)
    except (OSError, ValueError):
        raise CoMCError(f"{folder / file} is not a readable table; run its notebook again.") from None
    return _grid(frame, entry.caption, file, entry.paper_table)


def _introduction(executed: Path) -> tuple[str, str]:
    """Read title and question from a notebook's first cell; '' for what is not there."""
    cells = read_source(executed)["cells"]
    text = "".join(cells[0]["source"]) if cells else ""
    title = re.search(r"^# (?:\d+ · )?(.+)$", text, flags=re.MULTILINE)
    question = re.search(r"\*\*Question\.\*\*\s*(.+?)(?:\n\n|$)", text, flags=re.DOTALL)
    return title[1] if title else "", " ".join(question[1].split()) if question else ""


def _beside_the_paper(
    table: _PaperTable, sections: Mapping[str, _Section], nearest: str, test_sets: Collection[str]
) -> _Beside:
    """Lay out one of the paper's tables and find ours that are to stand beside it: none of another test set."""
    dataset = table.dataset or nearest
    frame = reported(table.number)
    frame = frame[frame.dataset == dataset].copy()
    if frame.empty:
        return _Beside(table, None, [], f"The paper has none for {dataset}.")
    fullest = frame[frame["method"] == frame["method"].value_counts().idxmax()]
    for column in table.rows + table.columns:  # as categories, which keep their order in a pivot
        first = fullest[column] if column in table.columns else []
        order = list(dict.fromkeys([*first, *frame[column]]))
        frame[column] = pd.Categorical(frame[column], order, ordered=True)
    wide = frame.pivot(index=table.rows, columns=table.columns, values="value")
    wide.columns = [" ".join(c) if isinstance(c, tuple) else c for c in wide.columns]
    theirs = _grid(wide.reset_index(), f"The paper's Table {table.number}, {dataset}, in %", "")
    grids = [what for section in sections.values() for what in section.shown if isinstance(what, _Grid)]
    ours = [grid for grid in grids if grid.paper_table == table.number]
    section = sections[table.notebook]
    why_none = section.absent or f"Notebook {section.notebook} has left no such table."
    if test_sets:
        ours, why_none = [], f"These results are of another test set: {' and '.join(sorted(test_sets))}."
    return _Beside(table, theirs, ours, why_none)


def _grid(frame: pd.DataFrame, caption: str, file: str, paper_table: int | None = None) -> _Grid:
    decimals = _decimals_of_noise(frame)
    cells = [_cells(frame[column], decimals) for column in frame]
    words = zip(map(str, frame.columns), cells, strict=True)
    letters = sum(3 + max(map(len, [*name.split(), *of])) for name, of in words)
    return _Grid(
        caption=caption,
        columns=[(str(name).replace("_", " "), frame[name].dtype.kind in "fi") for name in frame],
        rows=[list(row) for row in zip(*cells, strict=True)],
        file=file,
        paper_table=paper_table,
        wide=letters > _HALF,
        tight=letters <= _WHOLE,
        long=len(frame) > _MANY_ROWS,
    )


def _decimals_of_noise(frame: pd.DataFrame) -> int:
    """Give two decimals where intervals are narrower than what one tells, else one."""
    if not {"low", "high"} <= set(frame):
        return 1
    return 2 if (frame["high"] - frame["low"]).median() / 2 < 0.15 else 1


def _cells(column: pd.Series, decimals: int) -> list[str]:
    """Write numbers as noise allows; what lies between -2 and 2 throughout with two decimals."""
    if column.dtype.kind != "f":
        return ["" if pd.isna(value) else str(value) for value in column]
    if column.name in _WITH_THREE_DIGITS:
        return ["" if pd.isna(value) else f"{value:.3g}" for value in column]
    digits = 2 if column.abs().max() < 2 else decimals
    # Adding 0 turns -0.0 into 0.0.
    return ["" if pd.isna(value) else f"{round(value, digits) + 0:.{digits}f}" for value in column]


def _picture(path: Path, caption: str) -> _Picture:
    try:
        data, kind = path.read_bytes(), "png"
        with Image.open(path) as image:
            width, height = image.size
            buffer, large = io.BytesIO(), len(data) > _LARGE_PNG
            if large:
                image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
            else:  # a drawing of few colours
                few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
                few.save(buffer, "PNG", optimize=True)
            if buffer.tell() < len(data):
                data, kind = buffer.getvalue(), "jpeg" if large else "png"
    except OSError:
        raise CoMCError(f"{path} is not a readable picture; run the notebook that draws it again.") from None
    return _Picture(
        caption=caption,
        uri=f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}",
        width=width,
        height=height,
        data_file=f"figures/{path.with_suffix('.csv').name}",
        wide=width > _WIDE_PIXELS,
    )
