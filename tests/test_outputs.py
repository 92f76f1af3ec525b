"""What notebooks leave behind: whole files, plain numbers, the same bytes for the same content."""

from __future__ import annotations

import json

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from comc_utils.errors import CoMCError
from comc_utils.evaluation.reported import reported
from comc_utils.notebooks.begin import begin
from comc_utils.notebooks.figures import bars_with_intervals, image_grid, label_points
from comc_utils.notebooks.outputs import Outputs, use_style

matplotlib.use("agg")


@pytest.fixture
def outputs(tmp_path):
    return Outputs(tmp_path, "07_example")


def test_a_table_is_csv_in_full_and_markdown_for_reading(outputs, tmp_path):
    frame = pd.DataFrame({"method": ["a|b", "c"], "mAP": [12.3456, np.nan], "n": [1, 2]})
    outputs.table(frame, "main")
    again = pd.read_csv(tmp_path / "tables" / "07_main.csv")
    pd.testing.assert_frame_equal(again, frame)
    lines = (tmp_path / "tables" / "07_main.md").read_text().splitlines()
    assert lines[0] == "| method | mAP | n |"
    assert lines[2:] == ["| a\\|b | 12.3 | 1 |", "| c |  | 2 |"]


def test_a_figure_comes_with_its_data_and_the_same_bytes_again(outputs, tmp_path):
    use_style()
    first = {}
    for _ in range(2):
        figure, axis = plt.subplots()
        axis.plot([1, 2, 3])
        outputs.figure(figure, "line", pd.DataFrame({"y": [1, 2, 3]}))
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
    assert (
        begin("03_x", profile="miniworld", smoke=True, results=None).folder
        == tmp_path / "miniworld-smoke"
    )
    assert (
        begin("03_x", profile="miniworld", smoke=False, results=None).folder
        == tmp_path / "miniworld"
    )
    assert "torch 2.13.0" in capsys.readouterr().out
    with pytest.raises(CoMCError, match="Unknown profile 'mars'.*miniworld"):
        begin("03_x", profile="mars", smoke=False, results=None)


def test_reported_numbers_are_the_papers():
    assert reported(1, method="CoMC", dataset="MS-COCO")["value"].tolist() == [68.7]
    assert [len(reported(table)) for table in range(1, 7)] == [12, 66, 32, 12, 12, 27]
    for table in range(1, 7):
        assert (reported(table)["table"] == table).all()
        assert reported(table)["value"].between(0, 100).all()
    with pytest.raises(CoMCError, match="Table 1 has no row"):
        reported(1, method="GPT")


def test_shared_figures_draw_what_they_are_given():
    from PIL import Image

    figure = image_grid([Image.new("RGB", (9, 9), "red")] * 3, ["a", "", "b\nc"], columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["a", "", "b\nc", ""]
    plt.close(figure)
    figure, axis = plt.subplots()
    bars_with_intervals(axis, ["x", "y"], [50.0, 60.0], [45.0, 55.0], [52.0, 65.0])
    assert [t.get_text().strip() for t in axis.texts] == ["50.0", "60.0"]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["x", "y"]
    assert axis.patches[0].get_y() > axis.patches[1].get_y()
    plt.close(figure)


def test_labels_of_points_cover_no_point_and_no_label():
    figure, axis = plt.subplots(figsize=(6.4, 4.6))
    axis.set(xlim=(0, 10), ylim=(0, 10))
    named = {
        "low left": (1, 5, "black"),
        "above it": (1, 5.15, "black"),
        "before another": (5, 5, "black"),
        "at the right end": (9.8, 9, "black"),
    }
    others = [(5.9, 5), (6.2, 5.1)]
    label_points(axis, named, others)
    boxes = {text.get_text(): text.get_window_extent() for text in axis.texts}
    assert set(boxes) == set(named)
    points = [(x, y) for x, y, _ in named.values()] + others
    for label, box in boxes.items():
        assert not any(box.contains(*point) for point in axis.transData.transform(points)), label
        assert not box.count_overlaps([other for name, other in boxes.items() if name != label])
        assert axis.get_window_extent().contains(*box.max), label
    plt.close(figure)
