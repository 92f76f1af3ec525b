"""The numbers in results/ come again, on this machine, within the tolerances that are stated."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from compare_results import compare_metrics, differences

from comc_utils.baselines import ClipDpt, TaiDpt, ZeroShotClip
from comc_utils.evaluation.comparison import map_percent
from comc_utils.notebooks.run import reproduce
from comc_utils.sources import load_experiment

RESULTS = Path(__file__).parents[1] / "results"


@pytest.mark.slow
def test_table1_comes_again():
    # By the first of the notebook's five seeds, of which TaI-DPT alone would take minutes.
    experiment = load_experiment("miniworld")
    methods = (ZeroShotClip(), ClipDpt(), experiment.as_published(TaiDpt), experiment.comc())
    scores = {method.name: experiment.fit(method, seed=0).scores() for method in methods}
    again = {name: map_percent(of, experiment.image_labels) for name, of in scores.items()}
    path = RESULTS / "miniworld" / "metrics" / "03_inference.json"
    committed = json.loads(path.read_text(encoding="utf-8"))["map"]
    assert list(differences(committed, again)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "notebook"), [("miniworld", "05"), ("coco500", "02")])
def test_a_full_run_gives_the_committed_numbers(profile, notebook, request, tmp_path):
    # Only the second needs the folder of real data, and is skipped without it.
    data = None if profile == "miniworld" else request.getfixturevalue("real_data") / profile
    output = reproduce(profile, only=[notebook], data=data, output=tmp_path / profile)
    assert compare_metrics(RESULTS / profile, output) == []


def test_every_kind_of_difference_is_told():
    committed = {"map": {"CoMC": 58.1}, "seed": 0, "parts": [1.0, 2.0], "kind": "linear"}
    assert list(differences(committed, committed)) == []
    assert list(differences(committed, committed | {"map": {"CoMC": 58.2}})) == []
    for change in (
        {"map": {"CoMC": 58.4}},
        {"map": {"CoMC": float("nan")}},
        {"map": {"other": 58.1}},
        {"parts": [1.0]},
        {"parts": [1.0, 2.3]},
        {"kind": "none"},
    ):
        assert len(list(differences(committed, committed | change))) in (1, 2), change
    assert list(differences({"best_alpha": 0.82}, {"best_alpha": 0.85})) == []
    assert list(differences({"best_alpha": 0.82}, {"best_alpha": 0.90}))


TIMES = json.loads((RESULTS / "miniworld" / "times.json").read_text(encoding="utf-8"))["seconds"]


@pytest.mark.parametrize("name", TIMES)
def test_a_header_says_how_long_the_notebook_took(name):
    """The notebook and its executed copies say what times.json holds."""
    seconds = TIMES[name]
    minutes = round(seconds / 60)
    said = "Half a minute" if seconds < 45 else "One minute" if minutes == 1 else f"{minutes} minutes"
    said = "Seconds" if name == "15_report" else f"{said} on one core"
    copies = [RESULTS.parent / "notebooks" / f"{name}.ipynb", *RESULTS.glob(f"*/notebooks/{name}.ipynb")]
    assert len(copies) >= 2
    for path in copies:
        header = "".join(nbformat.read(path, as_version=4).cells[0].source)
        assert f"**Run time.** {said}" in header, path
