"""Notebooks look thin: few imports, in one cell, short functions, no handling of exceptions."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import comc_utils
from comc_utils.notebooks.files import read_notebook

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MOST_PLACES, MOST_NAMES, MOST_LINES = 8, 15, 8
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


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
    code = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    assert any("import" in cell for cell in code)
    assert too_much(code) == []


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
