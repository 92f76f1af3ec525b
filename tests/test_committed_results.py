"""The numbers in results/ come again, on this machine, within the tolerances that are stated."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare_results import compare_metrics, differences

from comc_utils.reproduce import reproduce

RESULTS = Path(__file__).parents[1] / "results"


@pytest.mark.parametrize(("profile", "notebook"), [("miniworld", "03"), ("coco500", "02")])
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
