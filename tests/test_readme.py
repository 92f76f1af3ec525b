"""The main table of the README holds what the results hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
BACKBONE = "miniworld-RN-small"
COLUMNS = ("method", "default", "searched", "coco500", "VOC2007", "MS-COCO")
PARTS = {
    "CoMC without mapping": ("global and local, no mapping", "global only, no mapping"),
    "CoMC without regions": ("global only, mapping", "global only, mapping"),
}
"""Row: the names of its scores on miniworld, and on coco500, which has no regions."""


def main_table() -> list[dict[str, str]]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"\| method \| learns from \|.*\n\|[-:| ]+\n((?:\|.*\n)+)", readme)[1]
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines.splitlines()]
    return [dict(zip(COLUMNS, (row[0], *row[2:]), strict=True)) for row in rows]


def metrics(profile: str, notebook: str) -> dict:
    path = ROOT / "results" / profile / "metrics" / f"{notebook}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


@pytest.fixture(scope="module")
def on_miniworld() -> dict[str, float]:
    of_images = metrics("miniworld", "12_seen_and_unseen")["map of unseen classes"]
    return of_images | metrics("miniworld", "11_rivals")["map"]


def test_every_method_is_in_the_main_table(on_miniworld):
    methods = {name.split(", ", 1)[1].rsplit(", ", 1)[0] for name in on_miniworld}
    assert methods <= {row["method"] for row in main_table()}


@pytest.mark.parametrize("row", main_table(), ids=lambda row: row["method"])
def test_numbers_are_those_of_the_results(row, on_miniworld):
    method = row["method"]
    parts = {profile: metrics(profile, "03_inference") for profile in ("miniworld", "coco500")}
    if method in PARTS:
        drawn, photos = PARTS[method]
        assert row["default"] == shown(parts["miniworld"]["parts"][drawn])
        assert row["coco500"] == shown(parts["coco500"]["parts"][photos])
        return
    for rate in ("default", "searched"):
        assert row[rate] == shown(on_miniworld.get(f"{BACKBONE}, {method}, {rate}")), rate
    by_method = {name.split(", ", 1)[1]: of for name, of in metrics("coco500", "11_rivals")["map"].items()}
    on_photos = shown(by_method.get(f"{method}, default"))
    assert row["coco500"] == ("no regions" if method == "CLIP-DPT" else on_photos)
    tables = [ROOT / "results" / "reported" / f"table{number}.csv" for number in (1, 3)]
    reported = pd.concat(map(pd.read_csv, tables)).set_index(["method", "dataset", "setting"])
    shots = metrics("miniworld", "11_rivals")["shots"]
    setting = f"{shots}-shot" if method.startswith("CoOp") else "zero-shot"
    for data_set in ("VOC2007", "MS-COCO"):
        assert row[data_set] == shown(reported.value.get((method, data_set, setting)))
