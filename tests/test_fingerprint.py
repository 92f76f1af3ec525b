"""Fingerprints: what a change of code, words or data makes anew, and what it leaves alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nbformat
import pytest
import torch

from comc_utils.errors import CoMCError
from comc_utils.miniworld.training_data import data_hash
from comc_utils.miniworld.world import load_miniworld
from comc_utils.notebooks.plan import Planned
from comc_utils.notebooks.unchanged import inputs_fingerprint
from comc_utils.store import fingerprint
from comc_utils.store.fingerprint import code_fingerprint, hash_tensors, hash_texts

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Iterator[Path]:
    """Put a copy of the package in its place."""
    folder = tmp_path_factory.mktemp("copy") / "package"
    shutil.copytree(fingerprint.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "PACKAGE", folder)
        yield folder


def inputs(notebook: str) -> str:
    return inputs_of(REPOSITORY / "notebooks" / f"{notebook}.ipynb")


def inputs_of(path: Path) -> str:
    planned = Planned(path, {}, [], reads_results=False, starts_first=False)
    nowhere = REPOSITORY / "nowhere"
    return inputs_fingerprint(planned, versions={}, shared=nowhere, results=nowhere)


def all_hashes() -> dict[str, str]:
    return {
        "scenes": data_hash(),
        "images": load_miniworld("test", 3).fingerprint,
        "miniworld": inputs("00_miniworld"),
        "training": inputs("02_training"),
        "ConSE": code_fingerprint("comc_utils.baselines.conse"),
        "whole": code_fingerprint(),
    }


@contextmanager
def edited(file: Path, old: bytes, new: bytes) -> Iterator[None]:
    """Replace the first such bytes of a file for a while."""
    content = file.read_bytes()
    assert old in content, file
    file.write_bytes(content.replace(old, new, 1))
    yield
    file.write_bytes(content)


def changed_by(file: Path, old: bytes, new: bytes) -> set[str]:
    """Say which hashes differ after a change of a file."""
    before = all_hashes()
    with edited(file, old, new):
        after = all_hashes()
    return {name for name in before if before[name] != after[name]}


def test_a_changed_synonym_makes_new_scenes_and_trains_again_and_draws_nothing_anew(package):
    changed = changed_by(package / "sentences" / "label_words.py", b'("bike",)', b'("pushbike",)')
    assert changed >= {"scenes", "miniworld", "training"}
    assert "images" not in changed


def test_a_changed_drawing_draws_anew_and_no_method_learns_anew(package):
    changed = changed_by(package / "miniworld" / "renderer.py", b" 255", b" 254")
    assert changed == {"scenes", "images", "miniworld", "training", "whole"}


def test_docstrings_comments_and_formatting_never_count(package):
    edits = (
        (b"    def __len__", b"    'A bare string.'\n\n    def __len__"),
        (b"\n\n\ndef ", b"\n# A remark.\n\n\n\n\ndef "),
        (b'"""', b'"""Otherwise said: '),
        (b"import numpy as np\n", b"import numpy   as np  # a remark\n"),
        (b"if TYPE_CHECKING:\n", b"if TYPE_CHECKING:\n    from comc_utils import cli\n"),
    )
    before = all_hashes()
    with ExitStack() as stack:
        for old, new in edits:
            files = [file for file in package.rglob("*.py") if old in file.read_bytes()]
            assert files
            for file in files:
                stack.enter_context(edited(file, old, new))
        assert all_hashes() == before


def test_what_is_not_imported_does_not_count(package):
    assert changed_by(package / "notebooks" / "report.py", b"import", b"import ftplib, ") == {"whole"}
    new = package / "new.py"
    new.write_text("x = 1")
    assert changed_by(new, b"1", b"2") == {"whole"}
    new.unlink()


def test_data_count_where_they_are_used(package):
    vocabulary = package / "miniworld" / "vocabulary.txt.gz"
    assert changed_by(vocabulary, b"\x1f", b"\x1e") == {"scenes", "miniworld", "training", "whole"}
    # Else the second model's training would render all scenes anew after the first's.
    weights = package / "miniworld" / "weights" / "miniworld-ViT.safetensors"
    assert changed_by(weights, b"{", b"[") == {"miniworld", "training", "whole"}
    # A file that no module names counts with its whole folder.
    (package / "miniworld" / "tables").mkdir()
    (package / "miniworld" / "tables" / "new.csv").write_text("1")
    unnamed = package / "miniworld" / "tables" / "new.csv"
    assert changed_by(unnamed, b"1", b"2") == {"scenes", "images", "miniworld", "training", "whole"}
    shutil.rmtree(unnamed.parent)


def test_each_file_of_data_is_named_by_a_module_of_its_folder():
    package = fingerprint._Package()
    folders = {file.parent for file in package.files.values()}
    data = [(folder, file) for folder in folders for file in fingerprint._data_files(folder)]
    assert len(data) > 10
    for folder, file in data:
        assert set(file.relative_to(folder).parts) & package.strings(folder), file


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        path = folder.joinpath(*name.split("__"))
        path = path / "__init__.py" if text.startswith("#package") else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def reached(source: str, folder: Path) -> set[str]:
    """Say a change of which modules counts for some code."""
    found = set()
    before = code_fingerprint(ast.parse(source))
    for file in folder.rglob("*.py"):
        text = file.read_text()
        file.write_text(text + "\nchanged = 1\n")
        if code_fingerprint(ast.parse(source)) != before:
            found.add(str(file.relative_to(folder)))
        file.write_text(text)
    return found


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import os", ""),
        ("import comc_utils.a", "a.py"),
        ("from comc_utils import a", "a.py"),
        ("from comc_utils.a import anything", "a.py"),
        ("def f():\n    from comc_utils.a import anything", "a.py"),
        # The lazy table: a name, a module under its own name, a package.
        ("from comc_utils import of_b", "room/b.py a.py"),
        ("from comc_utils import c", "room/c.py"),
        ("from comc_utils import room", "room/__init__.py room/b.py a.py"),
        # What an __init__ hands on, its own name, its module, all of it.
        ("from comc_utils.room import B", "room/b.py a.py"),
        ("from comc_utils.room import own", "room/__init__.py room/b.py a.py"),
        ("from comc_utils.room import c", "room/c.py"),
        ("from comc_utils.room import *", "room/__init__.py room/b.py a.py"),
        ("import comc_utils", "__init__.py room/__init__.py room/b.py room/c.py a.py"),
        ("from comc_utils import __version__", "__init__.py room/__init__.py room/b.py room/c.py a.py"),
    ],
)
def test_imports_are_followed_to_the_module_that_defines(tmp_path, monkeypatch, source, modules):
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    write(tmp_path, a="x = 1", unused="x = 1", room__b="from ..a import x", room__c="x = 1")
    table = {"of_b": "comc_utils.room.b", "c": "comc_utils.room.c", "room": "comc_utils.room"}
    (tmp_path / "__init__.py").write_text(f"_PLACES = {table}\n__all__ = [*_PLACES]\n__version__ = '1'")
    (tmp_path / "room" / "__init__.py").write_text("from comc_utils.room.b import b as B\nown = 1")
    assert reached(source, tmp_path) == set(modules.split())


def test_the_lazy_table_leads_from_each_name_to_its_module():
    import comc_utils

    everything = fingerprint._Package()
    for name, place in comc_utils._PLACES.items():
        code = fingerprint._read(ast.parse(f"from comc_utils import {name}"), "")
        assert everything.led_to(code) == {place}, name


def test_the_walk_reaches_where_everything_in_a_module_was_defined():
    package = fingerprint._Package()
    walked, waiting = set(), ["comc_utils.experiment", "comc_utils.miniworld.train"]
    while waiting:
        if (name := waiting.pop()) not in walked:
            walked.add(name)
            waiting += package.led_to(package.code(name))
    assert {"comc_utils.sentences.label_words", "comc_utils.miniworld.icons"} <= walked
    for name in walked:
        for value in vars(importlib.import_module(name)).values():
            home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
            if isinstance(home, str) and home.startswith("comc_utils"):
                assert home in walked, (name, home)


def test_a_method_of_ones_own_counts_with_its_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_alone.py").write_text("from comc_utils.errors import CoMCError\nx = 1\n")
    import mine_alone

    before = code_fingerprint(mine_alone.__name__)
    (tmp_path / "mine_alone.py").write_text("from comc_utils.errors import CoMCError\nx = 1  # so\n")
    assert code_fingerprint("mine_alone") == before
    (tmp_path / "mine_alone.py").write_text("from comc_utils.errors import CoMCError\nx = 2\n")
    assert code_fingerprint("mine_alone") != before
    for name in ("comc_utils.error", "mine_and_nowhere", "builtins"):
        with pytest.raises(CoMCError, match=f"no file with the code of a module {name}, .*keep what"):
            code_fingerprint(name)


def test_a_notebook_that_is_not_plain_python_depends_on_the_whole_package(package, tmp_path):
    def write_notebook(*cells: str) -> None:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(cell, id=f"c{i}") for i, cell in enumerate(cells)]
        notebook.cells.append(nbformat.v4.new_markdown_cell("import comc_utils.cli", id="m"))
        nbformat.write(notebook, tmp_path / "01.ipynb")

    for first, others_count in (("import os", False), ("%matplotlib inline", True)):
        write_notebook(first, "import comc_utils.errors")
        path = tmp_path / "01.ipynb"
        before = inputs_of(path)
        with edited(package / "cli.py", b"\n\n\n", b"\nx = 1\n\n"):
            after = inputs_of(path)
        assert (after != before) == others_count


def test_code_is_hashed_without_torch():
    code = (
        "import sys\nfrom comc_utils.store.fingerprint import code_fingerprint\n"
        "code_fingerprint()\nprint('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"


def test_tensors_and_texts():
    x = torch.arange(6.0).reshape(2, 3)
    same = hash_tensors({"b": x.T.contiguous().T, "a": x.bfloat16()})
    assert same == hash_tensors({"a": x.bfloat16(), "b": x})
    different = [{"b": x}, {"c": x}, {"b": x.double()}, {"b": x.reshape(3, 2)}, {"b": x + 1}]
    assert len({hash_tensors(tensors) for tensors in different}) == len(different)
    assert hash_texts(["a", "b"]) == hash_texts(iter(["a", "b"])) != hash_texts(["b", "a"])
