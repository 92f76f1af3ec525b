"""Notebooks look thin: short cells, few imports, nothing caught; what they end in is the answer."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from statistics import median

import nbformat
import pytest

import comc_utils

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MOST_PLACES, MOST_NAMES, MOST_LINES = 8, 15, 8
LONGEST_CELL, MEDIAN_CELL = 15, 7
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def too_much(cells: list[str]) -> list[str]:
    """Say what of a notebook's code belongs to the package, or is spread over it."""
    trees = [ast.parse(cell) for cell in cells]
    found = []
    places, names, with_imports = set(), [], 0
    for tree in trees:
        nodes = list(ast.walk(tree))
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        with_imports += bool(imports)
        for node in imports:
            names += [alias.asname or alias.name for alias in node.names]
            of_import = [alias.name for alias in node.names]
            places |= {node.module} if isinstance(node, ast.ImportFrom) else set(of_import)
        for node in nodes:
            if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno + 1 > MOST_LINES:
                found.append(f"{node.name}() takes {node.end_lineno - node.lineno + 1} lines")
            if isinstance(node, ast.Try | ast.TryStar):
                found.append(f"try in line {node.lineno}")
    if len(places) > MOST_PLACES:
        found.append(f"{len(places)} places")
    if len(names) > MOST_NAMES:
        found.append(f"{len(names)} names")
    if with_imports > 1:
        found.append(f"imports in {with_imports} cells")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_thin(path):
    code = [cell.source for cell in code_cells(path)]
    assert any("import" in cell for cell in code)
    assert too_much(code) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short(path):
    lengths = [sum(map(bool, cell.source.splitlines())) for cell in code_cells(path)]
    assert max(lengths) <= LONGEST_CELL
    assert median(lengths) <= MEDIAN_CELL


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_bookkeeping_is_folded_away_and_the_answer_comes_last(path):
    *_, metrics, answer = code_cells(path)
    for cell, tag, begins in ((metrics, "bookkeeping", "metrics = "), (answer, "answer", "outputs.answer(")):
        assert tag in cell.metadata.get("tags", ()) and cell.metadata.get("jupyter") == {"source_hidden": True}
        assert f"{begins}" in cell.source
    assert nbformat.read(path, as_version=4).cells[-1] == answer


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_explained(path):
    (cell,) = (cell for cell in code_cells(path) if "parameters" in cell.metadata.get("tags", ()))
    assert [line for line in cell.source.splitlines() if "  # " not in line] == []


def test_what_is_not_thin_is_seen():
    of_eight = "import json\nfrom a import " + ", ".join("bcdefgh")
    short = "def f():\n" + "    x\n" * 7
    assert too_much([of_eight, short]) == []
    assert too_much([of_eight, "import os"]) == ["imports in 2 cells"]
    assert too_much(["\n".join(f"import m{i}" for i in range(9))]) == ["9 places"]
    assert too_much(["from a import " + ", ".join("abcdefghijklmnop")]) == ["16 names"]
    assert too_much([short + "    y\n"]) == ["f() takes 9 lines"]
    assert too_much(["x\ntry:\n    y\nexcept E:\n    z"]) == ["try in line 2"]


def test_every_name_that_notebooks_may_import_is_there():
    for name in comc_utils.__all__:
        assert getattr(comc_utils, name) is not None
    for function in (comc_utils.begin, comc_utils.reported, comc_utils.load_experiment):
        assert inspect.isfunction(function)
    for module in (comc_utils.baselines, comc_utils.figures, comc_utils.metrics):
        assert inspect.ismodule(module)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = comc_utils.nothing
