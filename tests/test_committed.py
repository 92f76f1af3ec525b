"""What a run leaves beside the committed results: a comparison with them, times, and else nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from comc_utils.notebooks import times
from comc_utils.notebooks.committed import compare_with_committed, differences, flatten
from comc_utils.notebooks.run import NotebookError, reproduce

REPOSITORY = Path(__file__).parents[1]
PARAMETERS = 'PROFILE = "miniworld"\nSMOKE = False\nRESULTS = None\nVALUE = 70.25'
METRICS = {
    "map": {"CoMC": 70.25, "Zero-shot CLIP": 65.0},
    "interval": [68.0, 72.5],
    "seed": 0,
    "kind": "linear",
    "unknown": None,
}


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "results")


def leave(folder: Path, notebook: str, metrics: dict) -> None:
    path = folder / "metrics" / f"{notebook}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Give results of two notebooks in a repository that holds them."""
    folder = tmp_path / "results" / "miniworld"
    leave(folder, "03_inference", METRICS)
    leave(folder, "04_ablations", {"map": 1.0})
    commit(tmp_path)
    return folder


def test_metrics_are_counted_one_by_one():
    names = ["map.CoMC", "map.Zero-shot CLIP", "interval.0", "interval.1", "seed", "kind", "unknown"]
    assert list(flatten(METRICS)) == names
    committed = [*(REPOSITORY / "results" / "coco500" / "metrics").glob("*.json")]
    assert sum(len(flatten(json.loads(path.read_text()))) for path in committed) > 200


def test_an_equal_run_is_one_line(results):
    both = ["03_inference", "04_ablations"]
    assert compare_with_committed(results, both) == ["8 of 8 metrics as committed"]
    assert compare_with_committed(results, both[1:]) == ["1 of 1 metrics as committed"]


def test_what_differs_is_listed_with_its_size(results):
    here = METRICS | {
        "map": {"CoMC": 70.50, "Zero-shot CLIP": 65.00004, "TaI-DPT": 60.0},
        "interval": [68.04],
        "seed": False,
        "kind": "ridge",
    }
    leave(results, "03_inference", here)
    leave(results, "05_new", {"map": 1.0})
    assert compare_with_committed(results, ["03_inference", "04_ablations", "05_new"]) == [
        "2 of 8 metrics as committed, 3 beyond, 1 missing here, 1 new, 1 within 0.05, 1 within 0.0001"
        " (none are committed of 05_new)",
        "  03_inference  seed: committed 0, here False",
        "  03_inference  kind: committed 'linear', here 'ridge'",
        "  03_inference  map.CoMC: committed 70.25, here 70.5, difference +0.25",
        "  03_inference  interval.1: committed 72.5, missing here",
        "  03_inference  map.TaI-DPT: new, 60.0",
        "  03_inference  interval.0: committed 68.0, here 68.04, difference +0.04",
        "  03_inference  map.Zero-shot CLIP: committed 65.0, here 65.00004, difference +4e-05",
    ]


def test_another_kind_of_processor_is_named(results, monkeypatch):
    """It rounds otherwise: who reads of differences is told so, and of equal metrics nothing."""
    (results / "times.json").write_text(json.dumps({"vectors": "AVX2"}))
    monkeypatch.setattr(times, "_processor", lambda: {"flags": "sse avx2 avx512f"})
    assert compare_with_committed(results, ["03_inference"]) == ["7 of 7 metrics as committed"]
    leave(results, "03_inference", METRICS | {"interval": [68.0, 72.51]})
    head, why, _ = compare_with_committed(results, ["03_inference"])
    assert head == "6 of 7 metrics as committed, 1 within 0.05"
    assert "processor with AVX2, this one has AVX-512" in why
    monkeypatch.setattr(times, "_processor", lambda: {"flags": "sse avx2"})
    assert len(compare_with_committed(results, ["03_inference"])) == 2


def test_a_long_list_is_cut_and_counted(results):
    leave(results, "03_inference", METRICS | {f"more {i}": i for i in range(1_500)})
    lines = compare_with_committed(results, ["03_inference"])
    assert len(lines) == 22
    assert lines[0] == "7 of 7 metrics as committed, 1,500 new"
    assert lines[-1] == "  and 1,480 more"


def test_metrics_that_are_gone_are_missing(results):
    (results / "metrics" / "04_ablations.json").unlink()
    assert compare_with_committed(results, ["04_ablations"]) == [
        "0 of 1 metrics as committed, 1 missing here",
        "  04_ablations  map: committed 1.0, missing here",
    ]


def test_not_a_number_differs():
    (found,) = differences({"map": 1.0}, {"map": float("nan")})
    assert found.kind == "beyond"


def test_where_nothing_can_be_compared_a_line_says_why(results, tmp_path, monkeypatch):
    def line(folder: Path) -> str:
        (only,) = compare_with_committed(folder, ["03_inference"])
        before, reason = only.split(": ", 1)
        assert before == "Metrics are not compared with committed ones"
        return reason

    monkeypatch.chdir(tmp_path)
    leave(tmp_path / "results" / "other", "03_inference", METRICS)
    assert line(tmp_path / "results" / "other") == "git holds none of what ran in results/other."
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / ".git").rename(tmp_path / "no git")
    assert "not a git repository" in line(results)
    git(tmp_path, "init", "-q")
    assert line(results).startswith("git says: fatal: ")  # there is no commit
    monkeypatch.setenv("PATH", str(tmp_path))
    assert line(results) == "git is not installed."


CELLS = (
    "from pathlib import Path\n"
    "from comc_utils.notebooks.manifest import Manifest, write_manifest\n"
    "from comc_utils.notebooks.outputs import Outputs\n"
    "write_manifest(Path(RESULTS), '03_inference', Manifest())\n"
    "outputs = Outputs(Path(RESULTS), '03_inference')",
    "import time\n"
    "seconds = outputs.time('CoMC', time.time() % 1000)\n"
    "outputs.metrics({'map': VALUE, 'seconds shown': seconds})",
)


@pytest.fixture
def project(write_notebook, tmp_path: Path) -> dict[str, Path]:
    """Give the folders of a repository with a notebook and the reference of its times."""
    write_notebook("03_inference", PARAMETERS, *CELLS)
    (tmp_path / ".gitignore").write_text((REPOSITORY / ".gitignore").read_text())
    return {"notebooks": tmp_path / "notebooks", "output": tmp_path / "results" / "miniworld"}


def test_a_run_ends_with_the_comparison(project, tmp_path, capsys):
    reproduce("miniworld", record_times=True, **project)
    commit(tmp_path)
    capsys.readouterr()
    reproduce("miniworld", **project)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == ["2 of 2 metrics as committed", f"Results: {project['output']}"]
    reproduce("miniworld", parameters={"VALUE": 71.0}, **project)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-3:-1] == [
        "1 of 2 metrics as committed, 1 beyond",
        "  03_inference  map: committed 70.25, here 71.0, difference +0.75",
    ]


def test_an_equal_run_leaves_the_work_tree_clean(project, tmp_path):
    reproduce("miniworld", record_times=True, **project)
    times = json.loads((project["output"] / "times.json").read_text())
    assert times["seconds"].keys() == {"03_inference"}
    assert times["named"]["03_inference"].keys() == {"CoMC"}
    assert times["packages"]["torch"].startswith("2.13.0")
    assert times["jobs"] == 1
    commit(tmp_path)
    reproduce("miniworld", again=True, **project)
    assert git(tmp_path, "status", "--porcelain") == ""
    metrics = json.loads((project["output"] / "metrics" / "03_inference.json").read_text())
    assert metrics["seconds shown"] == times["named"]["03_inference"]["CoMC"]
    # Recorded anew when asked, though nothing has changed.
    reproduce("miniworld", record_times=True, **project)
    changed = {line.split("/")[-1] for line in git(tmp_path, "status", "--porcelain").splitlines()}
    assert {"times.json", "03_inference.json"} <= changed


def test_failed_notebooks_are_not_compared(project, write_notebook, tmp_path, capsys):
    reproduce("miniworld", **project)
    commit(tmp_path)
    write_notebook("03_inference", PARAMETERS, *CELLS, "1 / 0")
    with pytest.raises(NotebookError):
        reproduce("miniworld", parameters={"VALUE": 71.0}, **project)
    assert "git holds none of what ran in" in capsys.readouterr().out


def test_a_run_without_changes_is_quick_and_light(project):
    reproduce("miniworld", **project)
    code = (
        "import sys\nfrom comc_utils.cli import main\nfrom comc_utils.notebooks.run import reproduce\n"
        f"reproduce('miniworld', **{ {name: str(path) for name, path in project.items()} })\n"
        "print('heavy', {'torch', 'papermill', 'nbformat', 'pandas'} & set(sys.modules))"
    )
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert ended.stdout.splitlines()[-1] == "heavy set()"
    assert ", unchanged" in ended.stdout
    assert time.perf_counter() - started < 5
