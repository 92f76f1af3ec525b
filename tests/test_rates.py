"""Learning rates: taken as stored, searched where none are, stored where that is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Thread
from types import SimpleNamespace

import pandas as pd
import pytest

from comc_utils.baselines import LabelEM, RidgeClassifier, Sgd, ZeroShotClip
from comc_utils.errors import CoMCError
from comc_utils.method.presets import RELEASED
from comc_utils.notebooks import rates
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import PROFILES

METHODS = (ZeroShotClip(), LabelEM(Sgd(learning_rate=2.0)), RidgeClassifier(RELEASED, 0.7))
FACTORS = [0.1, 1.0, 10.0, 100.0]


class Search:
    """A score that notes whom it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, method) -> float:
        self.asked.append(method.name)
        return method.training.learning_rate if method.name == "LabelEM" else 1 / 3 / method.penalty


def experiment(*, smoke=False, **options):
    given = ExperimentOptions(**options)
    return SimpleNamespace(profile=PROFILES["miniworld"], smoke=smoke, options=given)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COMC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(rates, "repository_root", lambda: tmp_path)
    return tmp_path / "results" / "rates"


def test_a_search_is_stored_and_taken_again(folder):
    search = Search()
    found = rates.searched_rates(experiment(), "11_rivals", METHODS, search, search=True)
    assert search.asked == ["LabelEM"] * 4 + ["Ridge regression"] * 4
    assert [*found.columns] == FACTORS and [*found.index] == ["LabelEM", "Ridge regression"]
    assert found.idxmax(axis=1).to_dict() == {"LabelEM": 100.0, "Ridge regression": 100.0}
    stored = json.loads((folder / "miniworld.json").read_text(encoding="utf-8"))
    assert [*stored["11_rivals"]["LabelEM"]] == ["0.1", "1", "10", "100"]
    for options in ({}, {"backbone": "miniworld-RN-small"}, {"openvino": True}):
        again = rates.searched_rates(experiment(**options), "11_rivals", METHODS, search, search=False)
        pd.testing.assert_frame_equal(again, found, check_exact=True)
    assert len(search.asked) == 8


def test_where_none_are_stored_the_search_runs_and_stores_nothing(folder):
    search = Search()
    found = rates.searched_rates(experiment(), "11_rivals", METHODS, search, search=False)
    assert len(search.asked) == 8 and found.shape == (2, 4)
    assert not folder.exists()


def test_only_what_is_not_stored_is_searched(folder):
    rates.searched_rates(experiment(), "11_rivals", METHODS[:2], Search(), search=True)
    before = (folder / "miniworld.json").read_bytes()
    search = Search()
    found = rates.searched_rates(experiment(), "11_rivals", METHODS[::-1], search, search=False)
    assert search.asked == ["Ridge regression"] * 4
    assert [*found.index] == ["Ridge regression", "LabelEM"]
    assert found.loc["LabelEM"].tolist() == pytest.approx([0.2, 2.0, 20.0, 200.0])
    assert (folder / "miniworld.json").read_bytes() == before


def test_other_notebooks_and_methods_stay(folder):
    for notebook, methods in (("10", METHODS), ("12", METHODS[:2]), ("12", METHODS[2:])):
        rates.searched_rates(experiment(), notebook, methods, Search(), search=True)
    faster = replace(METHODS[1], training=Sgd(learning_rate=3.0))
    rates.searched_rates(experiment(), "12", [faster], Search(), search=True)
    stored = json.loads((folder / "miniworld.json").read_text(encoding="utf-8"))
    assert stored["12"]["LabelEM"]["1"] == 3.0 and stored["10"]["LabelEM"]["1"] == 2.0
    assert stored["12"]["Ridge regression"] == stored["10"]["Ridge regression"]


def test_an_equal_search_leaves_an_equal_file(folder):
    rates.searched_rates(experiment(), "11_rivals", METHODS, Search(), search=True)
    before = (folder / "miniworld.json").read_bytes()
    rates.searched_rates(experiment(), "11_rivals", METHODS[::-1], Search(), search=True)
    assert (folder / "miniworld.json").read_bytes() == before


def test_notebooks_that_store_at_once_lose_nothing(folder):
    def store(notebook: str) -> None:
        rates.searched_rates(experiment(), notebook, METHODS, Search(), search=True)

    threads = [Thread(target=store, args=(f"{i:02d}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = json.loads((folder / "miniworld.json").read_text(encoding="utf-8"))
    assert [*stored] == [f"{i:02d}" for i in range(12)]
    assert [path.name for path in folder.iterdir()] == ["miniworld.json"]


@pytest.mark.parametrize(
    "options",
    [
        {"smoke": True},
        {"limit": 50},
        {"n_sentences": 500},
        {"sentences": ("one",)},
        {"backbone": "miniworld-ViT"},
    ],
)
def test_a_part_or_a_variant_of_a_profile_searches_and_stores_nothing(folder, options):
    rates.searched_rates(experiment(), "11_rivals", METHODS, Search(), search=True)
    before = (folder / "miniworld.json").read_bytes()
    for asked in (False, True):
        search = Search()
        found = rates.searched_rates(experiment(**options), "11_rivals", METHODS, search, search=asked)
        factors = [1.0, 10.0] if "smoke" in options else FACTORS
        assert [*found.columns] == factors and len(search.asked) == 2 * len(factors)
    assert (folder / "miniworld.json").read_bytes() == before


def test_nothing_that_learns_gives_an_empty_table():
    found = rates.searched_rates(experiment(), "11_rivals", [ZeroShotClip()], Search(), search=False)
    assert found.shape == (0, 4) and found.idxmax(axis=1).to_dict() == {}


def test_each_method_runs_at_its_default_and_at_the_rate_that_was_found():
    found = rates.at_both_rates(METHODS, {"LabelEM": 10.0}, without="none")
    of_nothing, label_em, ridge = METHODS
    assert found == {
        ("Zero-shot CLIP", "none"): of_nothing,
        ("LabelEM", "default"): label_em,
        ("LabelEM", "searched"): LabelEM(Sgd(learning_rate=20.0)),
        ("Ridge regression", "none"): ridge,
    }
    assert ("Ridge regression", "default") in rates.at_both_rates(METHODS, {})


def test_a_damaged_file_is_named(folder):
    folder.mkdir(parents=True)
    (folder / "miniworld.json").write_text('{"11_rivals": {', encoding="utf-8")
    with pytest.raises(CoMCError, match="miniworld.json are damaged .* SEARCH=True"):
        rates.searched_rates(experiment(), "11_rivals", METHODS, Search(), search=False)


def test_methods_that_do_best_at_an_end_are_named():
    by_rate = pd.DataFrame([[1, 2, 3.0], [1, 3, 2.0], [4, 3, 2.0]], ["up", "middle", "down"], [0.1, 1.0, 10.0])
    assert rates.at_an_end(by_rate).endswith("may lie beyond: up, down.")
    assert rates.at_an_end(by_rate.loc[["middle"]]).startswith("No method")
