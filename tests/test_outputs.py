"""What notebooks leave behind: whole files, plain numbers, the same bytes for the same content."""

from __future__ import annotations

import json

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from comc_utils.errors import CoMCError
from comc_utils.evaluation.reported import reported
from comc_utils.notebooks.begin import begin
from comc_utils.notebooks.figures import dots_with_intervals
from comc_utils.notebooks.manifest import Entry, read_manifest
from comc_utils.notebooks.outputs import Outputs, use_style
from comc_utils.notebooks.times import RECORD_VARIABLE

matplotlib.use("agg")


@pytest.fixture
def outputs(tmp_path):
    return Outputs(tmp_path, "07_example")


def test_a_table_is_csv_in_full_and_markdown_for_reading(outputs, tmp_path):
    frame = pd.DataFrame({"method": ["a|b", "c"], "mAP": [12.3456, np.nan], "n": [1, 2]})
    outputs.table(frame, "main", "What it shows")
    again = pd.read_csv(tmp_path / "tables" / "07_main.csv")
    pd.testing.assert_frame_equal(again, frame)
    lines = (tmp_path / "tables" / "07_main.md").read_text().splitlines()
    assert lines[0] == "| method | mAP | n |"
    assert lines[2:] == ["| a\\|b | 12.3 | 1 |", "| c |  | 2 |"]


def test_a_table_is_rounded_once(outputs, tmp_path):
    frame = pd.DataFrame({"mAP": [72.5471234, 72.5532]})
    shown = outputs.table(frame, "main", "What it shows")
    assert shown["mAP"].tolist() == [72.55, 72.55]
    assert (tmp_path / "tables" / "07_main.md").read_text().splitlines()[2:] == ["| 72.5 |", "| 72.6 |"]
    assert pd.read_csv(tmp_path / "tables" / "07_main.csv")["mAP"].tolist() == [72.5471, 72.5532]
    assert outputs.table(frame, "main", "What it shows", decimals=3)["mAP"].tolist() == [72.547, 72.553]
    assert (tmp_path / "tables" / "07_main.md").read_text().splitlines()[2:] == ["| 72.547 |", "| 72.553 |"]


def test_a_figure_comes_with_its_data_and_the_same_bytes_again(outputs, tmp_path):
    use_style()
    first = {}
    for _ in range(2):
        figure, axis = plt.subplots()
        axis.plot([1, 2, 3])
        outputs.figure(figure, "line", pd.DataFrame({"y": [1, 2, 3]}), "A line")
        plt.close(figure)
        files = {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
        assert set(files) == {"07_line.png", "07_line.pdf", "07_line.csv"}
        assert files == (first or files)
        first = files


def test_metrics_are_plain_numbers(outputs, tmp_path):
    outputs.metrics({"map": np.float64(0.5), "list": np.arange(2), "n": np.int64(3)})
    assert json.loads((tmp_path / "metrics" / "07_example.json").read_text()) == {
        "map": 0.5, "list": [0, 1], "n": 3,
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [float("nan"), np.float64("inf")])
def test_metrics_that_are_not_finite_are_refused(outputs, tmp_path, wrong):
    with pytest.raises(CoMCError, match="07_example.*not finite"):
        outputs.metrics({"map": wrong})
    assert not (tmp_path / "metrics").exists() or not list((tmp_path / "metrics").iterdir())


def test_metrics_of_unknown_kind_are_refused(outputs):
    with pytest.raises(CoMCError, match="type set"):
        outputs.metrics({"map": {1, 2}})


def test_begin_prints_versions_and_knows_its_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COMC_RESULTS_DIR", str(tmp_path))
    for given, name in (
        ({"SMOKE": True, "RESULTS": None}, "miniworld-smoke"),
        ({}, "miniworld"),
        ({"OPTIONS": {"limit": 5}}, "miniworld-trial-limit-5"),
        ({"RESULTS": str(tmp_path / "own")}, "own"),
    ):
        assert begin("03_x", {"PROFILE": "miniworld", **given}).folder == tmp_path / name
    assert "torch 2.13.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"PROFILE": "mars"}, "Unknown profile 'mars'.*miniworld"),
        ({"profile": "miniworld"}, "Notebook 03_x has no PROFILE; set it in the cell tagged"),
        (
            {"PROFILE": "miniworld", "OPTIONS": {"wieghts": "openai"}},
            "There is no option 'wieghts'; did you mean 'weights'?",
        ),
    ],
)
def test_begin_refuses_what_it_does_not_know(tmp_path, monkeypatch, parameters, message):
    monkeypatch.setenv("COMC_RESULTS_DIR", str(tmp_path))
    with pytest.raises(CoMCError, match=message):
        begin("03_x", parameters)
    assert not list(tmp_path.iterdir())


def test_the_manifest_holds_settings_and_what_was_left_in_order(tmp_path):
    from comc_utils.method.presets import RELEASED
    from comc_utils.notebooks.figures.palette import MAIN

    settings = {"SEED": 3, "SIZES": [1, 2], "FILES": ["/somewhere/a.jsonl"], "SEARCH": False}
    ignored = {"MAIN": MAIN, "RELEASED": RELEASED, "TAU": None, "CORPORA": [], "seed": 1, "AXES": plt}
    given = {"PROFILE": "miniworld", "RESULTS": str(tmp_path), "SMOKE": False, "DATA": "/data"}
    for _ in range(2):  # a second run begins anew
        outputs = begin("07_example", given | settings | ignored)
        assert read_manifest(tmp_path, "07_example").left == []
        frame = pd.DataFrame({"y": [1]})
        outputs.table(frame, "main", "First words")
        outputs.figure(plt.figure(), "line", frame, "A line")
        outputs.table(frame, "main", "Better words", paper_table=3)  # the cell ran again
        outputs.metrics({"map": 1})
        plt.close("all")
    manifest = read_manifest(tmp_path, "07_example")
    assert manifest.settings == settings | {"FILES": ["a.jsonl"]}
    assert manifest.left == [
        Entry("table", ["tables/07_main.csv", "tables/07_main.md"], "Better words", 3),
        Entry("figure", [f"figures/07_line.{kind}" for kind in ("png", "pdf", "csv")], "A line"),
        Entry("metrics", ["metrics/07_example.json"]),
    ]
    assert all((tmp_path / file).is_file() for file in manifest.files())


def test_a_damaged_manifest_is_named(outputs, tmp_path):
    for content in ("{", "[]", '{"settings": {}, "left": [{"kind": "table"}]}'):
        (tmp_path / "manifest").mkdir(exist_ok=True)
        (tmp_path / "manifest" / "07_example.json").write_text(content)
        with pytest.raises(CoMCError, match="07_example.json is not a manifest; run the notebook"):
            outputs.metrics({"map": 1})


def test_times_are_those_of_the_reference_until_it_is_recorded(outputs, tmp_path, monkeypatch):
    assert outputs.time("CoMC", 1.23456) == 1.23  # there is no reference
    reference = {"seconds": {}, "named": {"07_example": {"CoMC": 9.5}, "08_other": {"x": 1.0}}}
    (tmp_path / "times.json").write_text(json.dumps(reference))
    assert outputs.time("CoMC", 2.0) == 9.5
    assert outputs.time("TaI-DPT", 20.0) == 20.0
    monkeypatch.setenv(RECORD_VARIABLE, "1")
    assert outputs.time("CoMC", 2.0) == 2.0
    notes = json.loads((tmp_path / ".run" / "07_example.json").read_text())
    assert notes == {"CoMC": 2.0, "TaI-DPT": 20.0}
    assert json.loads((tmp_path / "times.json").read_text()) == reference
    (tmp_path / "times.json").write_text("{")
    monkeypatch.delenv(RECORD_VARIABLE)
    with pytest.raises(CoMCError, match="times.json is not JSON; restore it, or record"):
        outputs.time("CoMC", 2.0)


SKIP = """
from comc_utils.notebooks.begin import begin
outputs = begin("03_x", globals())
if PROFILE == "coco500":
    outputs.skip("No towers.")
"""


def test_what_follows_a_skip_is_passed_over_until_the_next_beginning(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMC_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr("comc_utils.notebooks.outputs.repository_root", lambda: tmp_path)
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    cells = ["# Which data\nPROFILE = 'coco500'", SKIP, "print('after', PROFILE)", "1 / 0"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "03_x.ipynb")

    def run_all(profile: str) -> str:
        shell.run_cell(f"# Which data\nPROFILE = '{profile}'")
        for cell in cells[1:]:
            shell.run_cell(cell)
        return capsys.readouterr().out

    assert "after" not in run_all("coco500")
    metrics = json.loads((tmp_path / "coco500" / "metrics" / "03_x.json").read_text())
    assert metrics == {"skipped": "No towers."}
    shell.run_cell("print('my own', PROFILE); 1 / 0")
    printed = capsys.readouterr().out
    assert "my own coco500" in printed and "ZeroDivisionError" in printed
    monkeypatch.setattr("comc_utils.notebooks.outputs.in_front_end", lambda: True)
    shell.run_cell(cells[2])  # a person asks for a cell that was passed over
    assert capsys.readouterr().out == "Passed over: No towers.\n"
    assert "after" not in run_all("coco500")
    printed = run_all("miniworld")
    assert "after miniworld" in printed and "ZeroDivisionError" in printed


def test_reported_numbers_are_the_papers():
    assert reported(1, method="CoMC", dataset="MS-COCO")["value"].tolist() == [68.7]
    assert [len(reported(table)) for table in range(1, 7)] == [12, 66, 32, 12, 12, 27]
    for table in range(1, 7):
        assert (reported(table)["table"] == table).all()
        assert reported(table)["value"].between(0, 100).all()
    with pytest.raises(CoMCError, match="Table 1 has no row"):
        reported(1, method="GPT")


def test_points_have_their_values_beside_them():
    figure, axis = plt.subplots()
    dots_with_intervals(axis, ["x", "y"], [50.0, 60.0], [45.0, 55.0], [52.0, 65.0])
    assert [t.get_text().strip() for t in axis.texts] == ["50.0", "60.0"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["x", "y"]
    assert axis.texts[0].xy[1] > axis.texts[1].xy[1]
    plt.close(figure)
