"""The runner, on small notebooks that run in real kernels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import torch
from safetensors.torch import save_file

from comc_utils.errors import CoMCError
from comc_utils.notebooks.files import clean_notebook, declared_parameters, read_source
from comc_utils.notebooks.run import NotebookError, reproduce
from comc_utils.store import fingerprint

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


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put another folder in the place of the package where its files count as inputs."""
    folder = tmp_path / "package"
    (folder / "weights").mkdir(parents=True)
    (folder / "module.py").write_text("x = 1")
    (folder / "unrelated.py").write_text("x = 1")
    (folder / "weights" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(fingerprint, "PACKAGE", folder)
    return folder


# Cells that note each run, that write results as `Outputs` does, and that depend on a module.
NOTE = "open('../ran.txt', 'a').write('{} ')"
WRITE = """
import json, pathlib
from comc_utils.notebooks.manifest import Entry, Manifest, note, write_manifest
write_manifest(pathlib.Path(RESULTS), {0!r}, Manifest())
for kind, file, text in (("metrics", "metrics/" + {0!r} + ".json", json.dumps({{"seed": SEED}})),
                         ("table", "tables/" + {0!r}[:2] + "_table.csv", "map")):
    (pathlib.Path(RESULTS) / file).parent.mkdir(exist_ok=True)
    (pathlib.Path(RESULTS) / file).write_text(text)
    note(pathlib.Path(RESULTS), {0!r}, Entry(kind, [file], "words"))
"""
DEPEND = "if False:\n    import comc_utils.module"


def ran(tmp_path: Path) -> list[str]:
    """Read, and forget, which notebooks ran, in the order of their ends."""
    note = tmp_path / "ran.txt"
    names = note.read_text().split() if note.exists() else []
    note.unlink(missing_ok=True)
    return names


def stored_seconds(output: Path) -> dict[str, float]:
    return run_record(output)["seconds"]


def run_record(output: Path) -> dict:
    return json.loads((output / ".run" / "run.json").read_text())


def wait_until(what, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_runs_in_order_with_declared_parameters(write_notebook, folders, tmp_path, capsys):
    show = "print(PROFILE, SMOKE, RESULTS)\nopen('../order.txt', 'a').write(f'{SEED} ')"
    write_notebook("02_second", PARAMETERS, show)
    write_notebook("01_first", PARAMETERS + "\nDATA = None", show, "print('DATA', DATA)")
    data = tmp_path / "somewhere" / "data"
    data.mkdir(parents=True)
    output = reproduce("coco500", smoke=True, data=data, parameters={"SEED": "7"}, **folders)

    assert output == folders["output"]
    assert (tmp_path / "order.txt").read_text() == "7 7 "
    told = "coco500 True ../results/miniworld\n"
    assert executed_text(output, "01_first") == told + "DATA <data>\n"
    assert executed_text(output, "02_second") == told
    printed = capsys.readouterr().out
    assert printed.index("01_first") < printed.index("02_second") < printed.index("total")
    assert printed.splitlines()[-1] == f"Results: {output}"
    record = run_record(output)
    assert list(record["seconds"]) == ["01_first", "02_second"]
    assert record["packages"]["torch"].startswith("2.13.0")


def test_long_notebooks_start_first(write_notebook, folders, tmp_path):
    for name, metadata in (("01_a", {}), ("02_b", {}), ("03_long", {"starts_first": True})):
        write_notebook(name, PARAMETERS, NOTE.format(name), **metadata)
    reproduce("miniworld", jobs=1, **folders)
    assert ran(tmp_path) == ["03_long", "01_a", "02_b"]


def test_only_runs_what_is_named_and_keeps_the_other_run_times(write_notebook, folders):
    for name in ("01_a", "02_b", "03_c"):
        write_notebook(name, PARAMETERS)
    reproduce("miniworld", only=["01", "03_c"], **folders)
    names = [path.stem for path in sorted((folders["output"] / "notebooks").iterdir())]
    assert names == ["01_a", "03_c"]
    reproduce("miniworld", only=["02"], **folders)
    record = run_record(folders["output"])
    assert list(record["seconds"]) == ["01_a", "02_b", "03_c"]
    with pytest.raises(CoMCError, match=r"No notebook begins with '04'; choose among 01_a, 02_b"):
        reproduce("miniworld", only=["04"], **folders)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"SEDE": 1}, r"takes a parameter SEDE; the known ones are: ALPHA, SEED\."),
        ({"SMOKE": True}, "Parameter SMOKE is set by --smoke"),
        ({"SEED": "one"}, "SEED of notebook 01 takes a value such as 0 \\(int\\), not 'one'"),
        ({"SEED": "True"}, "SEED of notebook 01 takes a value such as 0 \\(int\\), not True"),
        ({"ALPHA": "[0.5]"}, r"ALPHA of notebook 01 takes a value such as 0.7 \(float\), not \[0.5\]"),
    ],
)
def test_wrong_parameter_is_refused_before_anything_runs(write_notebook, folders, parameters, message):
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


def test_what_would_be_ignored_or_cannot_be_is_refused_before_a_kernel_starts(
    write_notebook, folders, tmp_path
):
    write_notebook("01_text", PARAMETERS + "\nDATA = None\nOPTIONS = {}", reads_text_alone=True)
    write_notebook("03_images", PARAMETERS + "\nDATA = None\nOPTIONS = {}")
    (tmp_path / "file").write_text("")
    for profile, given, message in (
        ("miniworld", {"data": tmp_path}, "'miniworld' draws its images; leave --data"),
        ("miniworld", {"options": {"weights": "RN50.pt"}}, "'miniworld' has its own weights"),
        ("coco500", {"options": {"limit": 5}}, "'coco500' is small and has no trials"),
        ("voc2007", {"data": tmp_path, "options": {"limit": 0}}, "The limit is 0 images; give 1 or more"),
        ("voc2007", {}, "The images of voc2007 are yours to bring: say where they are by --data DIR"),
        (
            "miniworld",
            {"output": tmp_path / "file" / "below"},
            "Nothing can be written to .*; choose another --results",
        ),
    ):
        with pytest.raises(CoMCError, match=message):
            reproduce(profile, **folders | given)
        assert not (folders["output"] / "notebooks").exists()
    assert reproduce("voc2007", only=["01"], **folders) == folders["output"]


def test_data_folder_must_exist_and_be_wanted(write_notebook, folders, tmp_path):
    write_notebook("01", PARAMETERS)
    with pytest.raises(CoMCError, match=r"no data folder .*absent; give an existing one"):
        reproduce("coco500", data=tmp_path / "absent", **folders)
    with pytest.raises(CoMCError, match="No notebook of this run takes DATA; leave out --data"):
        reproduce("coco500", data=tmp_path, **folders)


def test_options_reach_the_notebooks_and_count_as_inputs(write_notebook, folders, tmp_path):
    weights = tmp_path / "RN50.safetensors"
    save_file({"a": torch.zeros(1)}, weights)
    values = PARAMETERS + "\nOPTIONS = {}"
    write_notebook("01", values, NOTE.format("a"), "print(sorted(OPTIONS.items()))")
    given = {"limit": 3, "weights": os.path.relpath(weights), "backbone": None}
    write_notebook("02", PARAMETERS + "\nDATA = None", "print('without')")
    data = tmp_path / "data"
    data.mkdir()
    for _ in range(2):
        reproduce("voc2007", data=data, options=given, **folders)
    shown = executed_text(folders["output"], "01")
    assert shown == "[('limit', 3), ('weights', '<weights>')]\n"
    assert executed_text(folders["output"], "02") == "without\n"
    assert (tmp_path / "ran.txt").read_text() == "a "
    save_file({"a": torch.ones(1)}, weights)
    reproduce("voc2007", data=data, options=given, **folders)
    assert (tmp_path / "ran.txt").read_text() == "a a "


def test_weights_are_looked_at_once_before_the_first_notebook(write_notebook, folders, tmp_path):
    write_notebook("01", PARAMETERS + "\nDATA = None\nOPTIONS = {}")
    (tmp_path / "page.pt").write_text("<!DOCTYPE html>")
    for options, message in (
        ({"weights": "openay"}, "'openay' is neither a file nor a weights tag of model 'RN50-quickgelu'"),
        ({"weights": str(tmp_path / "page.pt")}, "page.pt is a web page, not weights"),
        ({"backbone": "RN5O"}, "Unknown model 'RN5O': did you mean RN50"),
        ({"backbone": "RN50"}, "were trained with QuickGELU.*use the model name 'RN50-quickgelu'"),
        ({"tag": "no", "weights": str(tmp_path / "w.safetensors")}, "'no' is no tag of model"),
    ):
        save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
        with pytest.raises(CoMCError, match=message):
            reproduce("voc2007", data=tmp_path, options=options, **folders)
    assert not (folders["output"] / "notebooks").exists()

    def said(**options):
        reproduce("voc2007", data=tmp_path, options=options, **folders)
        return json.loads((folders["output"] / ".run" / "run.json").read_text())["backbones"]

    # As OpenAI publishes: three models, nothing fetched to know how they were trained.
    assert [one["known_from"] for one in said().values()] == ["open_clip's tag openai"] * 3
    (one,) = said(
        backbone="ViT-L-14@336", weights=str(tmp_path / "w.safetensors"), tag="laion2b_s32b_b82k"
    ).values()
    assert one == {
        "weights": "w.safetensors", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic",
        "quick_gelu": False, "known_from": "the tag laion2b_s32b_b82k",
    }  # fmt: skip


def test_options_that_nobody_takes_or_that_are_not_there(write_notebook, folders):
    write_notebook("01", PARAMETERS)
    with pytest.raises(CoMCError, match="No notebook of this run takes OPTIONS; leave out --backbone"):
        reproduce("miniworld", options={"limit": 3}, **folders)
    with pytest.raises(CoMCError, match="There is no corpus nowhere.jsonl; write it first"):
        reproduce("miniworld", options={"sentences": "nowhere.jsonl"}, **folders)


def test_a_trial_has_results_of_its_own(write_notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("COMC_RESULTS_DIR", str(tmp_path / "all"))
    write_notebook("01", PARAMETERS + "\nOPTIONS = {}")
    for options, smoke in (({}, False), ({"limit": 5}, False), ({"limit": 5}, True)):
        reproduce("miniworld", options=options, smoke=smoke, notebooks=tmp_path / "notebooks")
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {"miniworld", "miniworld-trial-limit-5", "miniworld-trial-limit-5-smoke"}


def test_unknown_profile_and_missing_or_damaged_notebooks(write_notebook, folders):
    with pytest.raises(CoMCError, match="miniwordl"):
        reproduce("miniwordl", **folders)
    with pytest.raises(CoMCError, match=r"There are no notebooks in .*notebooks; restore them"):
        reproduce("miniworld", **folders)
    write_notebook("01", PARAMETERS).write_text('{"cells": [')
    with pytest.raises(CoMCError, match=r"01\.ipynb is not a readable notebook; restore it"):
        reproduce("miniworld", **folders)
    with pytest.raises(CoMCError, match="There is no notebook"):
        read_source(folders["notebooks"] / "02.ipynb")


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
        declared_parameters(nbformat.read(path, as_version=4), "01")


def test_parameters_cell_must_be_there_once(write_notebook):
    path = write_notebook("01", "A: int = -1  # kept\nB = (1, 'x')", "")
    notebook = nbformat.read(path, as_version=4)
    assert declared_parameters(notebook, "01") == {"A": -1, "B": (1, "x")}
    notebook.cells[1].metadata["tags"] = ["parameters"]
    with pytest.raises(CoMCError, match="01 has 2 cells tagged"):
        declared_parameters(notebook, "01")
    notebook.cells = []
    with pytest.raises(CoMCError, match="01 has 0 cells tagged"):
        declared_parameters(notebook, "01")


def test_failing_notebook_is_named_and_kept(write_notebook, folders, capsys):
    write_notebook("01_well", PARAMETERS, "1")
    write_notebook("02_ill", PARAMETERS, "print('so far')", "1 / (SEED - 1)", "print('never')")
    write_notebook("03_after", PARAMETERS)
    output = folders["output"]
    with pytest.raises(NotebookError) as caught:
        reproduce("miniworld", parameters={"SEED": 1}, jobs=1, **folders)
    failed = output / "notebooks" / "02_ill.failed.ipynb"
    assert str(caught.value).splitlines() == [
        "Notebook 02_ill stopped in cell [4].",
        "ZeroDivisionError: division by zero",
        f"The notebook up to there: {failed}",
    ]
    kept = sorted(path.name for path in failed.parent.iterdir())
    assert kept == ["01_well.ipynb", failed.name, "03_after.ipynb"]
    assert "so far" in failed.read_text()
    assert list(stored_seconds(output)) == ["01_well", "03_after"]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed if line.endswith("failed")] == ["02_ill"]
    assert printed[-1] == f"Results: {output}"

    reproduce("miniworld", **folders)
    assert not failed.exists()


def test_all_failures_are_named_and_what_reads_results_runs_all_the_same(write_notebook, folders, tmp_path):
    see = "import os\nprint(sorted(os.listdir(f'{RESULTS}/metrics')), PROFILE)"
    write_notebook("00_report", PARAMETERS, see, reads_results=True)
    write_notebook("01_ill", PARAMETERS, "raise ValueError('first')")
    write_notebook("02_well", PARAMETERS, "import time\ntime.sleep(1)", WRITE.format("02_well"))
    write_notebook("03_dead", PARAMETERS, "import os\nos._exit(1)")
    with pytest.raises(NotebookError) as caught:
        reproduce("miniworld", jobs=4, **folders)
    lines = str(caught.value).splitlines()
    place = folders["output"] / "notebooks"
    assert lines[:4] == [
        "2 notebooks failed.",
        "Notebook 01_ill stopped in cell [3].",
        "ValueError: first",
        f"The notebook up to there: {place / '01_ill.failed.ipynb'}",
    ]
    assert lines[4].startswith("Notebook 03_dead stopped because its process ended")
    assert lines[5] == f"The notebook up to there: {place / '03_dead.failed.ipynb'}"
    assert executed_text(folders["output"], "00_report") == "['02_well.json'] miniworld\n"
    assert sorted(stored_seconds(folders["output"])) == ["00_report", "02_well"]


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
        "for _ in widget(range(3)): pass\n"
        "for _ in tqdm(range(2)):\n"
        "    for _ in tqdm(range(2)): time.sleep(0.2)",
        "import warnings\nwarnings.warn('worth reading')",
        "print(os.getcwd(), sys.prefix, os.environ['COMC_CACHE_DIR'] + '/x')\nsys.prefix",
    )
    first = reproduce("miniworld", **folders) / "notebooks" / "01.ipynb"
    text = first.read_text()
    folder = str(folders["notebooks"].parent)
    for noise in ("it/s", "\\u001b[A", "widget-view", "start_time", "duration", "papermill"):
        assert noise not in text
    for noise in (folder, str(Path.home()), sys.prefix, "/tmp", "pygments_lexer"):
        assert noise not in text, noise
    assert "<notebooks> <environment> <cache>/x" in text
    assert "<cell>:2: UserWarning: worth reading" in text
    notebook = nbformat.read(first, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4, 5]
    reproduce("miniworld", again=True, **folders)
    assert first.read_text() == text


def test_pictures_are_left_alone_and_stray_paths_are_not():
    picture = nbformat.v4.new_output("display_data", data={"image/png": "/home/me/AAAA"})
    text = nbformat.v4.new_output("execute_result", data={"text/html": ["/home/me.", "/home/me2", "1 / 2"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[picture, text])])
    clean_notebook(notebook, {"home": Path("/home/me"), "repository": Path("/")})
    picture, text = notebook.cells[0].outputs
    assert picture.data["image/png"] == "/home/me/AAAA"
    assert text.data["text/html"] == ["<home>.", "/home/me2", "1 / 2"]


def test_kernel_is_this_interpreter_whatever_the_user_installed(write_notebook, folders, tmp_path, monkeypatch):
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


def start_run(folders: dict[str, Path], jobs: int) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own, on the package folder of this test."""
    package = folders["notebooks"].parent / "package"
    code = (
        "import signal\nfrom pathlib import PosixPath\n"
        "from comc_utils.notebooks.run import reproduce\n"
        "from comc_utils.store import fingerprint\n"
        # As in a shell's foreground, whatever started the tests has set.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"fingerprint.PACKAGE = {package!r}\nreproduce('miniworld', jobs={jobs}, **{folders!r})"
    )
    place = folders["notebooks"].parent
    with open(place / "stdout.txt", "wb") as stdout, open(place / "stderr.txt", "wb") as stderr:
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, start_new_session=True, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize("pause", [0.5, 2.5, 4.0])
def test_a_run_after_a_kill_ends_well(write_notebook, folders, pause):
    sleep = "import time\ntime.sleep(0.3)"
    expected = ["01.ipynb", "02.ipynb"]
    for name in expected:
        write_notebook(name.split(".")[0], PARAMETERS, *[sleep] * 3, "print(sum(range(10)))")
    process = start_run(folders, jobs=1)
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    place = folders["output"] / "notebooks"
    for path in place.glob("*.ipynb"):  # whatever is there is whole
        assert "45\\n" in path.read_text()
    for record in (folders["output"] / ".finished").glob("*.json"):
        assert (place / f"{record.stem}.ipynb").exists()

    reproduce("miniworld", **folders)
    assert sorted(path.name for path in place.glob("*.ipynb")) == expected
    assert executed_text(folders["output"], "02") == "45\n"


def is_running(pid: int) -> bool:
    """Tell whether a process is there and is not only waiting to be collected."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_and_no_record(write_notebook, folders, tmp_path, number):
    long = (
        "import os, pathlib, subprocess\n"
        "child = subprocess.Popen(['sleep', '100'])\n"
        "pathlib.Path(f'../{SEED}.part').write_text(f'{os.getpid()} {child.pid}')\n"
        "os.replace(f'../{SEED}.part', f'../{SEED}.pids')\n"
        "child.wait()"
    )
    for name in ("01", "02", "03"):
        write_notebook(name, f"SEED = '{name}'", NOTE.format(name), long)
    process = start_run(folders, jobs=2)
    started = [tmp_path / "01.pids", tmp_path / "02.pids"]
    wait_until(lambda: all(path.exists() for path in started))
    pids = [int(pid) for path in started for pid in path.read_text().split()]
    assert all(is_running(pid) for pid in pids)
    process.send_signal(number)
    process.wait(timeout=20)
    error = (tmp_path / "stderr.txt").read_text()
    assert error.endswith("KeyboardInterrupt\n") == (number == signal.SIGINT)
    if number == signal.SIGINT:
        assert error.count("Traceback") == 1
        kernels, children = pids, []
    else:  # kernels look after their parent, and nobody after what they started
        kernels, children = pids[::2], pids[1::2]
    wait_until(lambda: not any(is_running(pid) for pid in kernels))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    assert sorted(ran(tmp_path)) == ["01", "02"]
    assert (tmp_path / "stdout.txt").read_text().count("starts") == 2
    assert not list(folders["output"].rglob("*.ipynb"))
    assert not list(folders["output"].rglob(".finished/*"))


def test_a_record_is_gone_before_its_notebook_runs_again(write_notebook, folders, tmp_path):
    look = "import os\nprint(os.listdir(f'{RESULTS}/.finished') if SEED else '')\nassert SEED != 2"
    write_notebook("01", PARAMETERS, look)
    reproduce("miniworld", **folders)
    record = folders["output"] / ".finished" / "01.json"
    assert record.exists()
    reproduce("miniworld", parameters={"SEED": 1}, **folders)
    assert executed_text(folders["output"], "01") == "[]\n"
    assert record.exists()
    with pytest.raises(NotebookError):
        reproduce("miniworld", parameters={"SEED": 2}, **folders)
    assert not record.exists()


def test_damaged_record_of_run_times_is_written_anew(write_notebook, folders):
    write_notebook("01", PARAMETERS)
    (folders["output"] / ".run").mkdir(parents=True)
    (folders["output"] / ".run" / "run.json").write_text("{")
    reproduce("miniworld", **folders)
    assert list(run_record(folders["output"])["seconds"]) == ["01"]


def test_notebooks_run_side_by_side(write_notebook, folders, tmp_path):
    # Each waits for what the other writes.
    meet = (
        "import pathlib, time\npathlib.Path(f'../{MINE}').touch()\nend = time.monotonic() + 30\n"
        "while not pathlib.Path(f'../{OTHER}').exists() and time.monotonic() < end:\n"
        "    time.sleep(0.05)\nassert pathlib.Path(f'../{OTHER}').exists()"
    )
    write_notebook("01", "MINE = 'a'\nOTHER = 'b'", meet)
    write_notebook("02", "MINE = 'b'\nOTHER = 'a'", meet)
    here = Path.cwd()
    reproduce("miniworld", jobs=2, **folders)
    assert Path.cwd() == here
    record = run_record(folders["output"])
    assert record["jobs"] == 2
    assert 0 < max(record["seconds"].values()) <= record["total_seconds"] + 0.1


def test_one_job_runs_one_after_the_other(write_notebook, folders, tmp_path):
    alone = (
        "import pathlib, time\nlock = pathlib.Path('../running')\nlock.touch(exist_ok=False)\n"
        "time.sleep(0.5)\nlock.unlink()\n"
    )
    for name in ("01", "02"):
        write_notebook(name, "SEED = 0", alone + NOTE.format(name))
    reproduce("miniworld", jobs=1, **folders)
    assert ran(tmp_path) == ["01", "02"]


@pytest.mark.parametrize("named", [None, "3"])
def test_cores_are_shared_out_unless_the_user_says_otherwise(write_notebook, folders, monkeypatch, named):
    monkeypatch.setattr("comc_utils.notebooks.run._usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if named:
        monkeypatch.setenv("OMP_NUM_THREADS", named)
    for name in ("01", "02"):
        write_notebook(name, PARAMETERS, "import os\nprint(os.environ['OMP_NUM_THREADS'])")
    reproduce("miniworld", **folders)
    assert executed_text(folders["output"], "01") == f"{named or 4}\n"
    reproduce("miniworld", only=["02"], again=True, **folders)
    assert executed_text(folders["output"], "02") == f"{named or 8}\n"


def test_total_time_is_that_of_a_whole_run(write_notebook, folders):
    for name in ("01", "02"):
        write_notebook(name, PARAMETERS)
    reproduce("miniworld", only=["01"], **folders)
    assert not {"total_seconds", "jobs"} & run_record(folders["output"]).keys()
    reproduce("miniworld", again=True, jobs=1, **folders)
    whole = run_record(folders["output"])
    assert whole["jobs"] == 1
    reproduce("miniworld", only=["01"], again=True, jobs=2, **folders)
    reproduce("miniworld", **folders)
    later = run_record(folders["output"])
    assert [later[key] for key in ("total_seconds", "jobs")] == [whole["total_seconds"], 1]
    assert later.keys() == whole.keys()


def test_files_in_parameters_are_found_and_watched(write_notebook, folders, tmp_path, monkeypatch):
    write_notebook(
        "01_reader",
        PARAMETERS + "\nCORPORA = []\nANSWERS = None",
        "print([open(path).read() for path in [*CORPORA, ANSWERS]])",
        NOTE.format("01"),
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.jsonl").write_text("1")
    (tmp_path / "two.jsonl").write_text("2")
    given = {"CORPORA": '["one.jsonl"]', "ANSWERS": "two.jsonl"}
    output = reproduce("miniworld", parameters=given, **folders)
    assert executed_text(output, "01_reader") == "['1', '2']\n"
    assert str(tmp_path) not in (output / "notebooks" / "01_reader.ipynb").read_text()
    assert ran(tmp_path) == ["01"]
    reproduce("miniworld", parameters=given, **folders)
    assert ran(tmp_path) == []
    (tmp_path / "one.jsonl").write_text("one")
    reproduce("miniworld", parameters=given, **folders)
    assert executed_text(output, "01_reader") == "['one', '2']\n"


def test_unchanged_notebooks_do_not_run_again(write_notebook, folders, tmp_path, capsys):
    for name in ("01_a", "02_b"):
        write_notebook(name, PARAMETERS, NOTE.format(name), WRITE.format(name))
    output = reproduce("miniworld", **folders)
    assert sorted(ran(tmp_path)) == ["01_a", "02_b"]
    seconds = stored_seconds(output)
    (output / ".run" / "run.json").unlink()  # the time comes from the record
    capsys.readouterr()
    reproduce("miniworld", **folders)
    assert ran(tmp_path) == []
    assert stored_seconds(output) == seconds
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith("unchanged")]
    assert [line.split()[0] for line in lines] == ["01_a", "02_b"]
    assert f"{seconds['01_a']:4.1f} s" in lines[0]
    reproduce("miniworld", again=True, only=["02"], **folders)
    assert ran(tmp_path) == ["02_b"]


CHANGES = {
    "source": lambda root: (root / "notebooks" / "01_a.ipynb").write_text(
        (root / "notebooks" / "01_a.ipynb").read_text().replace("print(0)", "print(1)")
    ),
    "module": lambda root: (root / "package" / "module.py").write_text("x = 2"),
    "weights": lambda root: (root / "package/weights/model.safetensors").write_bytes(b"wejghts"),
    "imported module": lambda root: [
        (root / "package" / "new.py").write_text(""),
        (root / "package" / "module.py").write_text("import comc_utils.new\nx = 1"),
    ],
    "new weights": lambda root: (root / "package/weights/more.safetensors").write_bytes(b"1"),
    "paper's numbers": lambda root: (root / "results/reported/table1.csv").write_text("2"),
    "stored rates": lambda root: (root / "results/rates/miniworld.json").write_text('{"01_a": 1}'),
    "data": lambda root: os.utime(root / "data" / "images.npy", ns=(1, 1)),
    "new data": lambda root: (root / "data" / "more.npy").write_text("x"),
    "executed copy": lambda root: (root / "results/miniworld/notebooks/01_a.ipynb").write_text("{"),
    "metrics": lambda root: (root / "results/miniworld/metrics/01_a.json").write_text("{}"),
    "table": lambda root: (root / "results/miniworld/tables/01_table.csv").unlink(),
    "manifest": lambda root: (root / "results/miniworld/manifest/01_a.json").write_text("{"),
    "record": lambda root: (root / "results/miniworld/.finished/01_a.json").write_text('{"inp'),
    "clone": lambda root: shutil.rmtree(root / "results/miniworld/.finished"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_a_notebook_run_again(write_notebook, folders, tmp_path, monkeypatch, change):
    for module in ("run", "plan"):
        monkeypatch.setattr(f"comc_utils.notebooks.{module}.repository_root", lambda: tmp_path)
    (tmp_path / "results" / "reported").mkdir(parents=True)
    (tmp_path / "results" / "reported" / "table1.csv").write_text("1")
    (tmp_path / "results" / "rates").mkdir()
    data = tmp_path / "data"
    data.mkdir()
    (data / "images.npy").write_text("images")
    parameters = PARAMETERS + "\nDATA = None"
    cells = (NOTE.format("01_a"), WRITE.format("01_a"), DEPEND, "print(0)")
    write_notebook("01_a", parameters, *cells)
    reproduce("coco500", data=data, **folders)
    (tmp_path / "package" / "__pycache__").mkdir()
    (tmp_path / "package" / "__pycache__" / "module.pyc").write_text("harmless")
    (tmp_path / "package" / "module.py").write_text('"""Better words."""\n\nx = 1  # a comment')
    (tmp_path / "package" / "unrelated.py").write_text("x = 2")
    (tmp_path / "results" / "rates" / "miniworld.json").write_text('{"02_other": 1}')
    reproduce("coco500", data=data, **folders)
    assert ran(tmp_path) == ["01_a"]
    CHANGES[change](tmp_path)
    reproduce("coco500", data=data, **folders)
    assert ran(tmp_path) == ["01_a"]
    reproduce("coco500", data=data, **folders)
    assert ran(tmp_path) == []


def test_another_parameter_or_version_makes_a_notebook_run_again(
    write_notebook, folders, tmp_path, monkeypatch
):
    write_notebook("01", PARAMETERS, NOTE.format("01"))
    write_notebook("02", "ALPHA = 0.5", NOTE.format("02"))
    reproduce("miniworld", **folders)
    assert sorted(ran(tmp_path)) == ["01", "02"]
    reproduce("miniworld", parameters={"SEED": 1}, **folders)
    assert ran(tmp_path) == ["01"]  # the other does not take it
    reproduce("miniworld", **folders)
    assert ran(tmp_path) == ["01"]
    monkeypatch.setattr("comc_utils.notebooks.times._RECORDED_PACKAGES", ("numpy",))
    reproduce("miniworld", **folders)
    assert sorted(ran(tmp_path)) == ["01", "02"]


def test_what_reads_results_runs_last_and_again_when_they_change(write_notebook, folders, tmp_path):
    slow = "import time\ntime.sleep(0.5)\n"
    for name in ("01_a", "02_b"):
        write_notebook(name, PARAMETERS, WRITE.format(name), slow + NOTE.format(name))
    write_notebook(
        "00_report", PARAMETERS, WRITE.format("00_report"), NOTE.format("00_report"), reads_results=True
    )
    output = reproduce("miniworld", jobs=3, **folders)
    assert ran(tmp_path)[-1] == "00_report"
    # Its own results are no inputs of it, nor are pictures and the rendering of tables.
    for name in ("tables/01_table.md", "figures/01_figure.png"):
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).write_text("other")
    reproduce("miniworld", only=["00"], **folders)
    assert ran(tmp_path) == []
    (output / "tables" / "02_table.csv").write_text("map\n2.5\n")
    reproduce("miniworld", only=["00"], **folders)
    assert ran(tmp_path) == ["00_report"]
    # The changed table is written anew, which makes the report run again, after it.
    reproduce("miniworld", **folders)
    assert ran(tmp_path) == ["02_b", "00_report"]
    reproduce("miniworld", **folders)
    assert ran(tmp_path) == []
    reproduce("miniworld", only=["01"], parameters={"SEED": 5}, **folders)
    assert ran(tmp_path) == ["01_a"]
    reproduce("miniworld", only=["00"], **folders)
    assert ran(tmp_path) == ["00_report"]


def test_many_kernels_start_at_once(write_notebook, folders):
    for number in range(8):
        write_notebook(f"{number:02d}", PARAMETERS, "print(SEED)")
    output = reproduce("miniworld", jobs=8, **folders)
    assert len(stored_seconds(output)) == 8
