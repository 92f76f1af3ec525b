"""The command line and the folders it works in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from comc_utils import __version__
from comc_utils.cli import COMMANDS, main
from comc_utils.errors import CoMCError
from comc_utils.options import ExperimentOptions
from comc_utils.store import paths

REPOSITORY = Path(__file__).parents[1]


def run(*words: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "comc_utils", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_version_and_help_are_quick():
    assert run("--version").stdout == f"comc-notebooks {__version__}\n"
    # The best of three, since the machine may be busy; with torch it would take seconds.
    times = []
    for _ in range(3):
        started = time.perf_counter()
        helped = run("reproduce", "--help")
        times.append(time.perf_counter() - started)
    assert helped.returncode == 0
    assert "--profile" in helped.stdout
    assert min(times) < 0.5


def test_help_needs_no_heavy_import():
    code = (
        "import sys\nfrom comc_utils.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('heavy', {'torch', 'numpy', 'papermill', 'nbformat'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed.endswith("heavy set()\n")
    assert all(name in printed for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--profile", "miniwordl"], "miniwordl"),
        (["--profile", "coco500", "--data", "absent"], "no data folder"),
        (["--data", "."], "Profile 'miniworld' draws its images"),
        (["--only", "77"], "No notebook begins with '77'; choose among 01."),
        (["-p", "SEDE=1"], "takes a parameter SEDE; the known ones are: SEED."),
        (["--jobs", "0"], "The number of jobs is 0; choose 1 or more."),
    ],
)
def test_wrong_input_ends_with_a_message(write_notebook, monkeypatch, capsys, words, message):
    use_notebooks(write_notebook("01", "SEED = 0"), monkeypatch)
    assert main(["reproduce", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert "Traceback" not in printed.err


def use_notebooks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the notebooks of a test the ones of a repository, and work in it."""
    project_file = path.parents[1] / "pyproject.toml"
    project_file.write_text((REPOSITORY / "pyproject.toml").read_text())
    monkeypatch.chdir(path.parents[1])
    monkeypatch.delenv("COMC_RESULTS_DIR", raising=False)


def test_process_of_wrong_input_shows_no_traceback(tmp_path):
    ended = run("reproduce", "--profile", "miniwordl", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["reproduce", "-p", "SEED"], ["reproduce", "-p", "=1"], ["x"]])
def test_unreadable_command_line(capsys, words):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_results_are_named_from_the_working_folder(write_notebook, monkeypatch, capsys):
    path = write_notebook("01_one", 'PROFILE = ""\nSEED = 0\nRESULTS = ""', "assert SEED == 3")
    use_notebooks(path, monkeypatch)
    assert main(["reproduce", "--only", "01", "-p", "SEED=3"]) == 0
    assert capsys.readouterr().out.endswith("Results: results/miniworld-trial-SEED-3\n")
    assert (path.parents[1] / "results/miniworld-trial-SEED-3/notebooks/01_one.ipynb").exists()


def test_failing_notebook_gives_status_1(write_notebook, monkeypatch, capsys):
    use_notebooks(write_notebook("01_ill", "SEED = 0", "assert SEED, 'no seed'"), monkeypatch)
    assert main(["reproduce", "--results", "there"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: Notebook 01_ill stopped in cell [2].",
        "AssertionError: no seed",
        "The notebook up to there: there/notebooks/01_ill.failed.ipynb",
    ]


def test_jobs_and_again_reach_the_runner(write_notebook, monkeypatch, capsys):
    for name in ("01", "02"):
        path = write_notebook(name, "SEED = 0")
    use_notebooks(path, monkeypatch)
    # The package itself may be under work while its tests run.
    monkeypatch.setattr("comc_utils.store.fingerprint.PACKAGE", path.parent)
    words = ["reproduce", "--results", "there"]
    assert main([*words, "--jobs", "1"]) == 0
    assert json.loads(Path("there/.run/run.json").read_text())["jobs"] == 1
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.count(", unchanged") == 2
    assert main([*words, "--again", "--jobs", "2"]) == 0
    assert ", unchanged" not in capsys.readouterr().out
    assert json.loads(Path("there/.run/run.json").read_text())["jobs"] == 2


def test_options_are_those_of_an_experiment(monkeypatch):
    given = {}
    monkeypatch.setattr("comc_utils.notebooks.run.reproduce", lambda _, **words: given.update(words))
    assert main(["reproduce"]) == 0
    assert given["options"] == dict.fromkeys(f.name for f in fields(ExperimentOptions))
    values = {"--backbone": "a", "--weights": "b", "--tag": "t", "--limit": 3, "--sentences": "c"}
    values["--n-sentences"] = 4
    words = [str(word) for pair in values.items() for word in pair]
    words += ["--draft", "--skip-unreadable", "--half", "--openvino", "--record-times"]
    assert main(["reproduce", *words]) == 0
    assert given["record_times"]
    assert ExperimentOptions.of(given["options"]) == ExperimentOptions(
        "a", "b", "t", 3, Path("c"), 4, draft=True, skip_unreadable=True, half=True, openvino=True
    )


def test_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(CoMCError, match="no option 'backbon'; did you mean 'backbone'?"):
        ExperimentOptions.of({"backbon": "RN50"})
    with pytest.raises(CoMCError, match="There is no option 'zzz'; Known: backbone, weights"):
        ExperimentOptions.of({"zzz": 1})


def test_interrupt_gives_status_130(monkeypatch, capsys):
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("comc_utils.notebooks.plan.get_profile", interrupt)
    assert main(["reproduce"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COMC_CACHE_DIR", str(tmp_path))
    assert paths.cache_dir() == tmp_path
    monkeypatch.delenv("COMC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.cache_dir().name == "comc"
    assert paths.cache_dir().is_relative_to(tmp_path)


def test_repository_is_found_from_below_and_from_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(REPOSITORY / "tests")
    assert paths.repository_root() == REPOSITORY
    # Another project's file is passed over.
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    monkeypatch.chdir(tmp_path)
    assert paths.repository_root() == REPOSITORY
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site-packages/comc_utils/paths.py"))
    with pytest.raises(CoMCError, match="change into a checkout"):
        paths.repository_root()


def test_results_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("COMC_RESULTS_DIR", raising=False)
    assert paths.results_dir("coco500") == REPOSITORY / "results" / "coco500"
    monkeypatch.setenv("COMC_RESULTS_DIR", str(tmp_path))
    assert paths.results_dir("coco500") == tmp_path / "coco500"


def test_words_that_a_command_does_not_know_are_named_with_the_nearest(capsys):
    for words, told in (
        (["reproduce", "--smokey"], "unrecognized arguments: --smokey; did you mean --smoke?"),
        (["reproduce", "--seed", "1"], "--seed 1; a seed is a parameter of the notebooks: -p SEED=1"),
        (["download", "voc2007", "--to", "x", "--xyzzy"], "--xyzzy; comc_utils download --help lists"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err


def test_without_what_it_needs_the_package_says_how_to_have_it(tmp_path):
    """As where the system's Python runs it, in which nothing is installed."""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import runpy, sys; sys.path.insert(0, sys.argv.pop(1));"
         "runpy.run_module('comc_utils', run_name='__main__')", str(Path(__file__).parents[1]), "reproduce"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "does not have" in ended.stderr and "source .venv/bin/activate" in ended.stderr


def test_data_in_another_layout_are_refused_before_a_notebook_starts(capsys, tmp_path):
    for profile, told in (("voc2007", "VOC2007 is not in"), ("coco500", "features_clip.npy is missing")):
        results = tmp_path / profile
        assert (
            main(["reproduce", "--profile", profile, "--data", str(tmp_path), "--results", str(results)]) == 2
        )
        said = capsys.readouterr()
        assert told in said.err and "starts" not in said.out and "Results" not in said.out
