"""The runner, on small notebooks that run in real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from comc_utils.errors import CoMCError
from comc_utils.notebook_files import clean_notebook, declared_parameters, read_notebook
from comc_utils.reproduce import NotebookError, reproduce

PARAMETERS = 'PROFILE = "miniworld"\nSMOKE = False\nRESULTS = None\nSEED = 0'


def executed_text(output: Path, name: str) -> str:
    """Read what a notebook printed."""
    notebook = nbformat.read(output / "notebooks" / f"{name}.ipynb", as_version=4)
    return "".join(
        item.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for item in cell.outputs
        if item.output_type == "stream"
    )


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Give the keyword arguments that keep a run in the test's own folder."""
    return {"notebooks": tmp_path / "notebooks", "output": tmp_path / "results" / "miniworld"}


def test_runs_in_order_with_declared_parameters(write_notebook, folders, tmp_path, capsys):
    show = "print(PROFILE, SMOKE, RESULTS)\nopen('../order.txt', 'a').write(f'{SEED} ')"
    write_notebook("02_second", PARAMETERS, show)
    write_notebook("01_first", PARAMETERS + "\nDATA = None", show, "print('DATA', DATA)")
    data = tmp_path / "somewhere" / "data"
    data.mkdir(parents=True)
    output = reproduce("miniworld", smoke=True, data=data, parameters={"SEED": "7"}, **folders)

    assert output == folders["output"]
    assert (tmp_path / "order.txt").read_text() == "7 7 "
    told = "miniworld True ../results/miniworld\n"
    assert executed_text(output, "01_first") == told + "DATA <data>\n"
    assert executed_text(output, "02_second") == told
    printed = capsys.readouterr().out
    assert printed.index("01_first") < printed.index("02_second") < printed.index("total")
    assert printed.splitlines()[-1] == f"Results: {output}"
    record = json.loads((output / "run.json").read_text())
    assert list(record["seconds"]) == ["01_first", "02_second"]
    assert record["packages"]["torch"].startswith("2.13.0")


def test_only_runs_what_is_named_and_keeps_the_other_run_times(write_notebook, folders):
    for name in ("01_a", "02_b", "03_c"):
        write_notebook(name, PARAMETERS)
    reproduce("miniworld", only=["01", "03_c"], **folders)
    names = [path.stem for path in sorted((folders["output"] / "notebooks").iterdir())]
    assert names == ["01_a", "03_c"]
    reproduce("miniworld", only=["02"], **folders)
    record = json.loads((folders["output"] / "run.json").read_text())
    assert list(record["seconds"]) == ["01_a", "02_b", "03_c"]
    with pytest.raises(CoMCError, match=r"No notebook begins with '04'; choose among 01_a, 02_b"):
        reproduce("miniworld", only=["04"], **folders)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"SEDE": 1}, r"takes a parameter SEDE; the known ones are: ALPHA, SEED\."),
        ({"SMOKE": True}, "Parameter SMOKE is set by --smoke"),
        ({"SEED": "one"}, "SEED of notebook 01 takes a int such as 0, not 'one'"),
        ({"SEED": "True"}, "SEED of notebook 01 takes a int such as 0, not True"),
        ({"ALPHA": "[0.5]"}, r"ALPHA of notebook 01 takes a float such as 0.7, not \[0.5\]"),
    ],
)
def test_wrong_parameter_is_refused_before_anything_runs(
    write_notebook, folders, parameters, message
):
    write_notebook("01", PARAMETERS + "\nALPHA = 0.7")
    with pytest.raises(CoMCError, match=message):
        reproduce("miniworld", parameters=parameters, **folders)
    assert not folders["output"].exists()


def test_parameters_are_read_as_what_the_notebook_declares(write_notebook, folders):
    values = "ALPHA = 0.7\nQUICK = True\nTAU = None\nNAME = 'a'\nSIZES = [1]"
    write_notebook("01", values, "print(ALPHA, QUICK, TAU, repr(NAME), SIZES)")
    given = {"ALPHA": "1", "QUICK": "false", "TAU": "0.01", "NAME": "3", "SIZES": "[2, 3]"}
    reproduce("miniworld", parameters=given, **folders)
    assert executed_text(folders["output"], "01") == "1.0 False 0.01 '3' [2, 3]\n"


def test_data_folder_must_exist_and_be_wanted(write_notebook, folders, tmp_path):
    write_notebook("01", PARAMETERS)
    with pytest.raises(CoMCError, match=r"no data folder .*absent; give an existing one"):
        reproduce("miniworld", data=tmp_path / "absent", **folders)
    with pytest.raises(CoMCError, match="No notebook of this run takes a data folder"):
        reproduce("miniworld", data=tmp_path, **folders)


def test_unknown_profile_and_missing_or_damaged_notebooks(write_notebook, folders):
    with pytest.raises(CoMCError, match="miniwordl"):
        reproduce("miniwordl", **folders)
    with pytest.raises(CoMCError, match=r"There are no notebooks in .*notebooks; restore them"):
        reproduce("miniworld", **folders)
    write_notebook("01", PARAMETERS).write_text('{"cells": [')
    with pytest.raises(CoMCError, match=r"01\.ipynb is not a readable notebook; restore it"):
        reproduce("miniworld", **folders)
    with pytest.raises(CoMCError, match="There is no notebook"):
        read_notebook(folders["notebooks"] / "02.ipynb")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("A = 1\nB = 2 * A", "name and a literal value"),
        ("seed = 1", "found `seed = 1`"),
        ("import os", "found `import os`"),
        ("A = B = 1", "found `A = B = 1`"),
        ("A = ", "invalid syntax"),
    ],
)
def test_parameters_cell_holds_literals_only(write_notebook, source, message):
    path = write_notebook("01", source)
    with pytest.raises(CoMCError, match=message):
        declared_parameters(read_notebook(path), "01")


def test_parameters_cell_must_be_there_once(write_notebook):
    notebook = read_notebook(write_notebook("01", "A: int = -1  # kept\nB = (1, 'x')", ""))
    assert declared_parameters(notebook, "01") == {"A": -1, "B": (1, "x")}
    notebook.cells[1].metadata["tags"] = ["parameters"]
    with pytest.raises(CoMCError, match="01 has 2 cells tagged"):
        declared_parameters(notebook, "01")
    notebook.cells = []
    with pytest.raises(CoMCError, match="01 has 0 cells tagged"):
        declared_parameters(notebook, "01")


def test_failing_notebook_is_named_and_kept(write_notebook, folders):
    write_notebook("01_well", PARAMETERS, "1")
    write_notebook("02_ill", PARAMETERS, "print('so far')", "1 / (SEED - 1)", "print('never')")
    write_notebook("03_after", PARAMETERS)
    output = folders["output"]
    with pytest.raises(NotebookError) as caught:
        reproduce("miniworld", parameters={"SEED": 1}, **folders)
    failed = output / "notebooks" / "02_ill.failed.ipynb"
    assert str(caught.value).splitlines() == [
        "Notebook 02_ill stopped in cell [4].",
        "ZeroDivisionError: division by zero",
        f"The notebook up to there: {failed}",
    ]
    assert sorted(path.name for path in failed.parent.iterdir()) == ["01_well.ipynb", failed.name]
    assert "so far" in failed.read_text()
    assert list(json.loads((output / "run.json").read_text())["seconds"]) == ["01_well"]

    reproduce("miniworld", **folders)
    assert not failed.exists()


def test_an_error_for_people_shows_no_library_name(write_notebook, folders, capfd):
    raising = "from comc_utils.errors import CoMCError\nraise CoMCError('Put the data into place.')"
    write_notebook("01", PARAMETERS, raising)
    with pytest.raises(NotebookError) as caught:
        reproduce("miniworld", **folders)
    assert str(caught.value).splitlines()[1] == "Put the data into place."
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_kernel_that_dies_is_said(write_notebook, folders):
    write_notebook("01", PARAMETERS, "print('here')", "import os\nos._exit(9)")
    with pytest.raises(NotebookError, match="01 stopped because its process ended"):
        reproduce("miniworld", **folders)
    assert "here" in (folders["output"] / "notebooks" / "01.failed.ipynb").read_text()


def test_executed_notebooks_hold_no_noise(write_notebook, folders):
    write_notebook(
        "01",
        PARAMETERS,
        "import sys, time, os, tempfile\n"
        "from tqdm import tqdm\n"
        "from tqdm.auto import tqdm as widget\n"
        "for _ in tqdm(range(3)): pass\n"
        "for _ in tqdm(iter('ab')): pass\n"
        "for _ in widget(range(3)): pass",
        "import warnings\nwarnings.warn('worth reading')",
        "print(os.getcwd(), sys.prefix, os.environ['COMC_CACHE_DIR'] + '/x')\nsys.prefix",
    )
    first = reproduce("miniworld", **folders) / "notebooks" / "01.ipynb"
    text = first.read_text()
    folder = str(folders["notebooks"].parent)
    for noise in ("it/s", "widget-view", "start_time", "duration", "papermill"):
        assert noise not in text
    for noise in (folder, str(Path.home()), sys.prefix, "/tmp", "pygments_lexer"):
        assert noise not in text, noise
    assert "<notebooks> <environment> <cache>/x" in text
    assert "<cell>:2: UserWarning: worth reading" in text
    notebook = nbformat.read(first, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4, 5]
    reproduce("miniworld", **folders)
    assert first.read_text() == text


def test_pictures_are_left_alone_and_stray_paths_are_not():
    picture = nbformat.v4.new_output("display_data", data={"image/png": "/home/me/AAAA"})
    text = nbformat.v4.new_output(
        "execute_result", data={"text/html": ["/home/me.", "/home/me2", "1 / 2"]}
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1", outputs=[picture, text])]
    )
    clean_notebook(notebook, {"home": Path("/home/me"), "repository": Path("/")})
    picture, text = notebook.cells[0].outputs
    assert picture.data["image/png"] == "/home/me/AAAA"
    assert text.data["text/html"] == ["<home>.", "/home/me2", "1 / 2"]


def test_kernel_is_this_interpreter_whatever_the_user_installed(
    write_notebook, folders, tmp_path, monkeypatch
):
    home = tmp_path / "home"
    kernel = home / ".local" / "share" / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    wrong = {"argv": ["/bin/false"], "display_name": "wrong", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(wrong))
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("import builtins\nbuiltins.started_up = True")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    show = (
        f"import builtins, sys\nprint(sys.executable == {sys.executable!r}, "
        f"sys.prefix == {sys.prefix!r}, hasattr(builtins, 'started_up'))"
    )
    write_notebook("01", PARAMETERS, show)
    reproduce("miniworld", **folders)
    assert executed_text(folders["output"], "01") == "True True False\n"


def test_smoke_runs_leave_full_results_alone(write_notebook, folders, tmp_path, monkeypatch):
    monkeypatch.setenv("COMC_RESULTS_DIR", str(tmp_path / "elsewhere"))
    write_notebook("01", PARAMETERS)
    notebooks = folders["notebooks"]
    assert reproduce("miniworld", smoke=True, notebooks=notebooks).name == "miniworld-smoke"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["miniworld-smoke"]


@pytest.mark.parametrize("pause", [0.5, 2.5, 4.0])
def test_a_run_after_a_kill_ends_well(write_notebook, folders, pause):
    sleep = "import time\ntime.sleep(0.3)"
    expected = ["01.ipynb", "02.ipynb"]
    for name in expected:
        write_notebook(name.split(".")[0], PARAMETERS, *[sleep] * 3, "print(sum(range(10)))")
    code = f"from comc_utils.reproduce import reproduce\nreproduce('miniworld', **{folders!r})"
    code = "from pathlib import PosixPath\n" + code
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    place = folders["output"] / "notebooks"
    for path in place.glob("*.ipynb"):  # whatever is there is whole
        assert "45\\n" in path.read_text()

    reproduce("miniworld", **folders)
    assert sorted(path.name for path in place.glob("*.ipynb")) == expected
    assert executed_text(folders["output"], "02") == "45\n"


def test_damaged_record_of_run_times_is_written_anew(write_notebook, folders):
    write_notebook("01", PARAMETERS)
    folders["output"].mkdir(parents=True)
    (folders["output"] / "run.json").write_text("{")
    reproduce("miniworld", **folders)
    assert list(json.loads((folders["output"] / "run.json").read_text())["seconds"]) == ["01"]
