"""The notebooks: clean in their files, running in smoke mode, giving what they gave before."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from safetensors.torch import load_file

from comc_utils.notebooks.files import INJECTED_TAG, declared_parameters
from comc_utils.notebooks.run import NotebookError, reproduce

TESTS = Path(__file__).parent
NOTEBOOKS = sorted((TESTS.parent / "notebooks").glob("*.ipynb"))
SMOKE_NOTEBOOKS = TESTS / "smoke_notebooks"
MARK = "# NBVAL_CHECK_OUTPUT"
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.>])(/(home|root|Users|work|workspace|content|tmp|mnt|opt|var|usr)/|[A-Z]:\\)"
)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_notebooks_are_there():
    # Without this, an empty folder would make every test below pass by not running.
    numbers = range(16)
    assert [path.stem[:3] for path in NOTEBOOKS] == [f"{number:02d}_" for number in numbers]


@each_notebook
def test_file_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not ABSOLUTE_PATH.search(cell.source), cell.source
        if cell.cell_type == "code":
            assert cell.outputs == [], f"stored output of: {cell.source}"
            assert cell.execution_count is None, f"stored execution count of: {cell.source}"


@each_notebook
def test_takes_the_runners_parameters(path):
    parameters = declared_parameters(nbformat.read(path, as_version=4), path.stem)
    assert parameters["PROFILE"] == "miniworld"
    assert parameters["SMOKE"] is False
    assert "RESULTS" in parameters


@pytest.fixture(scope="module")
def smoke_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run all notebooks on the embedded world, side by side; those that fail are the tests' to name."""
    output = tmp_path_factory.mktemp("results") / "miniworld"
    with suppress(NotebookError):
        reproduce("miniworld", smoke=True, output=output)
    return output


@each_notebook
def test_runs_on_the_embedded_world(path, smoke_results):
    assert json.loads((smoke_results / "metrics" / f"{path.stem}.json").read_text(encoding="utf-8"))
    assert not (smoke_results / "notebooks" / f"{path.stem}.failed.ipynb").exists()
    executed = (smoke_results / "notebooks" / path.name).read_text(encoding="utf-8")
    assert not ABSOLUTE_PATH.search(executed)


@pytest.fixture
def kernel():
    """Give a kernel in the folder of the notebooks, as JupyterLab starts it."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(TESTS.parent / "notebooks"))
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run_all_cells(client, path: Path, **parameters: object) -> str:
    """Run a notebook's cells as they stand, and give what they put out as text."""
    shown: list[str] = []

    def note(message: dict) -> None:
        content = message["content"]
        shown.append(content.get("text") or content.get("data", {}).get("text/markdown", ""))
        shown.extend(content.get("traceback", ()))

    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            client.execute_interactive(cell.source, output_hook=note, timeout=300)
            if "parameters" in cell.metadata.get("tags", ()):
                given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
                client.execute_interactive(given, output_hook=note, timeout=300)
    return "".join(shown)


def test_a_kernel_that_passed_over_cells_runs_them_for_another_profile(kernel, tmp_path):
    path = TESTS.parent / "notebooks" / "09_backbones.ipynb"
    given = {"SMOKE": True, "RESULTS": str(tmp_path), "DATA": str(tmp_path)}
    first = run_all_cells(kernel, path, PROFILE="coco500", **given)
    assert "**Not asked here.**" in first and "**Answer.**" not in first
    own: list[dict] = []
    kernel.execute_interactive("print(6 * 7); 1 / 0", output_hook=own.append, timeout=60)
    assert any(message["content"].get("text") == "42\n" for message in own)
    assert any(message["content"].get("ename") == "ZeroDivisionError" for message in own)
    second = run_all_cells(kernel, path, PROFILE="miniworld", **given | {"DATA": None})
    assert "**Answer.**" in second and "Not asked" not in second


def test_playing_leaves_the_published_results_alone(tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("comc_utils", "notebooks", "results/reported", "results/rates", "results/miniworld/metrics"):
        shutil.copytree(TESTS.parent / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".gitignore"):
        shutil.copy(TESTS.parent / name, checkout)

    def git(*words: str) -> str:
        command = [
            "git",
            "-C",
            str(checkout),
            "-c",
            "user.name=you",
            "-c",
            "user.email=you@example.org",
            *words,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "published")
    command = [sys.executable, "-m", "papermill", "05_alpha_sweep.ipynb", str(tmp_path / "out.ipynb")]
    command += ["-p", "SEED", "1", "-p", "SMOKE", "True", "--log-output"]
    ran = subprocess.run(
        command,
        cwd=checkout / "notebooks",
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Its results go to" in ran.stderr and "miniworld-trial-SEED-1-smoke" in ran.stderr
    assert (checkout / "results" / "miniworld-trial-SEED-1-smoke" / "metrics" / "05_alpha_sweep.json").exists()
    assert git("status", "--porcelain") == ""


@pytest.mark.slow
def test_they_run_on_embeddings_that_memory_cannot_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("COMC_CACHE_DIR", str(tmp_path / "cache"))
    few = "from comc_utils.clip import cached\ncached.FEW_IMAGES = cached.LARGE_BYTES = 1"
    (tmp_path / "notebooks").mkdir()
    for number in ("03", "05", "10"):
        (path,) = (path for path in NOTEBOOKS if path.stem.startswith(number))
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(2, nbformat.v4.new_code_cell(few))
        nbformat.write(notebook, tmp_path / "notebooks" / path.name)
    output = reproduce("miniworld", smoke=True, notebooks=tmp_path / "notebooks", output=tmp_path / "miniworld")
    assert len(list((output / "metrics").glob("*.json"))) == 3
    stored = [load_file(path) for path in (tmp_path / "cache" / "embeddings").glob("*.safetensors")]
    local = [tensors["local"] for tensors in stored if "local" in tensors]
    assert local and all(part.dtype == torch.float16 for part in local)


@pytest.mark.slow
def test_they_run_on_real_embeddings(real_data, tmp_path):
    output = reproduce("coco500", smoke=True, data=real_data / "coco500", output=tmp_path / "coco500")
    for path in NOTEBOOKS:
        executed = (output / "notebooks" / path.name).read_text(encoding="utf-8")
        assert not ABSOLUTE_PATH.search(executed), path.stem


def run_nbval(folder: Path) -> subprocess.CompletedProcess[str]:
    """Execute the notebooks of a folder again; compare the outputs of the marked cells."""
    options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    sanitize = ["--nbval-sanitize-with", str(TESTS / "nbval_sanitize.cfg")]
    command = [sys.executable, "-m", "pytest", *options, *sanitize, "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@each_notebook
def test_stored_smoke_run_is_of_this_notebook(path):
    stored_path = SMOKE_NOTEBOOKS / path.name
    assert stored_path.exists(), "run `make smoke-notebooks`"
    stored = nbformat.read(stored_path, as_version=4)
    cells = [cell for cell in stored.cells if INJECTED_TAG not in cell.metadata.get("tags", [])]
    sources = [(cell.cell_type, cell.source) for cell in cells]
    expected = [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]
    assert sources == expected, "run `make smoke-notebooks`"


@each_notebook
def test_stored_smoke_run_has_something_to_compare(path):
    # nbval compares nothing where a cell has no execution count or no output.
    marked = [
        cell for cell in nbformat.read(SMOKE_NOTEBOOKS / path.name, as_version=4).cells if MARK in cell.source
    ]
    assert marked, f"{path.stem} has no cell with {MARK}"
    for cell in marked:
        assert cell.outputs, f"nothing stored for: {cell.source}"
        assert cell.execution_count, f"no execution count for: {cell.source}"


def test_no_stored_smoke_run_is_left_over():
    stored = {path.name for path in SMOKE_NOTEBOOKS.glob("*.ipynb")}
    assert stored == {path.name for path in NOTEBOOKS}


def sanitized(cell: nbformat.NotebookNode) -> str:
    """Give what a cell put out as text, without what may move: by the rules that nbval is given."""
    rules = configparser.ConfigParser(interpolation=None)
    rules.read(TESTS / "nbval_sanitize.cfg")
    # Joined, for a stream that is printed line by line may be sent in one piece or in two.
    text = "".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
    for rule in rules.values():
        if "regex" in rule:
            text = re.sub(rule["regex"], rule["replace"], text)
    return text


@each_notebook
def test_gives_what_it_gave_before(path, smoke_results):
    """On the one smoke run that all tests here read; nbval runs all of them again where time is no matter."""
    executed, stored = (
        [cell for cell in nbformat.read(folder / path.name, as_version=4).cells if MARK in cell.source]
        for folder in (smoke_results / "notebooks", SMOKE_NOTEBOOKS)
    )
    assert list(map(sanitized, executed)) == list(map(sanitized, stored))


@pytest.mark.slow
@pytest.mark.timeout(3600)  # all notebooks, one after the other
def test_smoke_runs_give_what_they_gave_before_to_nbval(tmp_path):
    # Copied, since the runs write ../results/miniworld.
    shutil.copytree(SMOKE_NOTEBOOKS, tmp_path / "notebooks")
    compared = run_nbval(tmp_path / "notebooks")
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_nbval_sees_a_changed_output_and_only_that(write_notebook, tmp_path):
    harmless = {
        "0.123456": "0.123457",
        "object at 0x7f1200ab": "object at 0x7f1300cd",
        "took 12.3 s on cpu": "took 4 s on cuda:0",
        "torch 2.13.0": "torch 2.13.0+cpu",
        "2026-01-02 10:11": "2026-02-03 04:05",
    }
    changes = {"mAP 61.2": "mAP 61.3", "0.143456": "0.153456"}
    printing = [f"{MARK}\nprint({text!r})" for text in (*harmless, *changes)]
    write_notebook("01", "SEED = 0", *printing)
    output = reproduce("miniworld", notebooks=tmp_path / "notebooks", output=tmp_path / "results")
    stored = output / "notebooks" / "01.ipynb"

    def outcome(replaced: dict[str, str]) -> str:
        notebook = nbformat.read(stored, as_version=4)
        for cell in notebook.cells[-len(printing) :]:
            text = cell.outputs[0].text.rstrip()
            cell.outputs[0].text = replaced.get(text, text) + "\n"
        nbformat.write(notebook, stored)
        return run_nbval(stored.parent).stdout.splitlines()[-1]

    assert "8 passed" in outcome({})
    assert "8 passed" in outcome(harmless)
    assert "2 failed, 6 passed" in outcome(changes)
