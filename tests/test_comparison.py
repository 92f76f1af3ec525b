"""A difference between two methods, with both kinds of chance."""

from __future__ import annotations

import numpy as np
import pytest

from comc_utils.errors import CoMCError
from comc_utils.evaluation.comparison import (
    compare,
    compare_each,
    compare_steps,
    map_over_seeds,
    map_percent,
    top_k_over_seeds,
)
from comc_utils.evaluation.groups import over_each, tabulate
from comc_utils.evaluation.metrics import (
    bootstrap_map,
    bootstrap_map_difference,
    mean_average_precision,
    top_k_metrics,
)

RNG = np.random.default_rng(3)
LABELS = (RNG.random((120, 6)) < 0.3).astype(int)
NOISE = [RNG.normal(size=LABELS.shape) for _ in range(3)]
GOOD = [LABELS + 0.4 * noise for noise in NOISE]
POOR = [LABELS + 2.0 * noise for noise in NOISE]


def test_the_interval_is_that_of_the_first_seed_in_points():
    comparison = compare(GOOD, POOR, LABELS, seed=7)
    value, low, high = bootstrap_map_difference(GOOD[0], POOR[0], LABELS, seed=7)
    assert comparison["difference"] == pytest.approx(100 * value, abs=1e-4)
    assert comparison["low"] == pytest.approx(100 * low, abs=1e-4)
    assert comparison["high"] == pytest.approx(100 * high, abs=1e-4)
    assert 0 < comparison["low"] < comparison["difference"] < comparison["high"]


def test_seeds_are_paired_in_order():
    comparison = compare(GOOD, POOR, LABELS, seed=0)
    maps = [[mean_average_precision(s, LABELS).value for s in group] for group in (GOOD, POOR)]
    expected = [100 * (a - b) for a, b in zip(*maps, strict=True)]
    assert comparison["over_seeds"] == pytest.approx(expected, abs=1e-4)
    assert comparison["over_seeds"][0] == comparison["difference"]


def test_a_method_without_chance_meets_every_seed_of_the_other():
    comparison = compare(GOOD, POOR[:1], LABELS, seed=0)
    poor = map_percent(POOR[0], LABELS)
    assert comparison["over_seeds"] == pytest.approx(
        [map_percent(scores, LABELS) - poor for scores in GOOD], abs=1e-4
    )
    assert compare(GOOD[:1], POOR[:1], LABELS, seed=0)["over_seeds"] == []


def test_the_other_way_round_changes_the_sign():
    forth, back = (compare(a, b, LABELS, seed=1) for a, b in ((GOOD, POOR), (POOR, GOOD)))
    assert back["difference"] == -forth["difference"]
    assert back["low"] == pytest.approx(-forth["high"])
    assert back["over_seeds"] == [-d for d in forth["over_seeds"]]


def test_seeds_that_cannot_be_paired_are_refused():
    with pytest.raises(CoMCError, match="3 seeds of the first method cannot be paired with 2"):
        compare(GOOD, POOR[:2], LABELS, seed=0)
    with pytest.raises(CoMCError, match="0 seeds"):
        compare([], POOR, LABELS, seed=0)


def test_steps_go_from_each_to_the_next():
    steps = compare_steps({"poor": POOR, "good": GOOD, "again": GOOD}, LABELS, seed=2)
    assert list(steps) == ["good over poor", "again over good"]
    assert steps["good over poor"] == compare(GOOD, POOR, LABELS, seed=2)
    assert steps["again over good"]["difference"] == 0
    assert compare_steps({"poor": POOR}, LABELS, seed=2) == {}


def test_map_over_seeds_is_the_mean_of_values_and_of_interval_ends():
    row = map_over_seeds(GOOD, LABELS, seed=7)
    intervals = [bootstrap_map(scores, LABELS, seed=7) for scores in GOOD]
    for name, end in (("mAP", "value"), ("low", "low"), ("high", "high")):
        assert row[name] == pytest.approx(100 * np.mean([getattr(i, end) for i in intervals]))
    assert row["spread"] == pytest.approx(100 * np.std([i.value for i in intervals], ddof=1))
    assert map_over_seeds(GOOD[:1], LABELS, seed=7)["spread"] == 0


def test_comparisons_as_a_table():
    chance = compare(GOOD, POOR, LABELS, seed=0)
    none = compare(GOOD[:1], POOR[:1], LABELS, seed=0)
    table = tabulate({"a": {"x": chance, "y": none}, "b": {"x": none}}, "group", "of")
    assert [*table.columns[:5]] == ["group", "of", "difference", "low", "high"]
    assert table.iloc[:, :2].to_numpy().tolist() == [["a", "x"], ["a", "y"], ["b", "x"]]
    first, second = table.iloc[0], table.iloc[1]
    assert first.difference == chance["difference"] and first.low == chance["low"]
    seeds = chance["over_seeds"]
    assert (first["lowest seed"], first["highest seed"]) == (min(seeds), max(seeds))
    assert first["seeds above 0"] == 3 and second["seeds above 0"] == 0
    assert np.isnan(second["lowest seed"]) and np.isnan(second["highest seed"])


def test_one_against_each_is_each_comparison():
    found = compare_each(GOOD, {"poor": POOR, "first": POOR[:1]}, LABELS, seed=2)
    assert found == {
        "poor": compare(GOOD, POOR, LABELS, seed=2),
        "first": compare(GOOD, POOR[:1], LABELS, seed=2),
    }


def test_what_is_on_top_is_the_mean_over_seeds_in_percent():
    found = top_k_over_seeds(POOR, LABELS, (2, 4))
    assert list(found.columns) == ["K", "precision", "recall", "F1"] and list(found.K) == [2, 4]
    for row in found.itertuples():
        of_seeds = [top_k_metrics(of_seed, LABELS, row.K) for of_seed in POOR]
        assert row.precision == pytest.approx(100 * np.mean([of.precision for of in of_seeds]))
        assert row.recall == pytest.approx(100 * np.mean([of.recall for of in of_seeds]))
        assert pytest.approx(100 * np.mean([of.f1 for of in of_seeds])) == row.F1


def test_methods_are_compared_at_their_rate_with_each_backbone():
    scores = {
        ("A", "ours", "default"): GOOD,
        ("A", "ours", "searched"): GOOD[:1],
        ("A", "other", "default"): POOR,
        ("A", "other", "searched"): POOR[:1],
        ("A", "of nothing", "none"): POOR[1:2],
        ("B", "ours", "default"): GOOD,
        ("B", "of nothing", "none"): POOR[:1],
    }
    given = {"group": "lead", "usual": "A", "seed": 0}
    found = over_each("ours", scores, LABELS, others=["other", "of nothing"], **given)
    assert [*found][:3] == ["lead", "lead, searched rates", "lead, B"]
    assert found["lead"] == {"other": compare(GOOD, POOR, LABELS, seed=0)}
    assert found["lead, searched rates"] == {"other": compare(GOOD[:1], POOR[:1], LABELS, seed=0)}
    assert found["lead, B"] == {}
    of_nothing = over_each("of nothing", scores, LABELS, others=["other"], **given)
    assert of_nothing["lead, searched rates"] == {"other": compare(POOR[1:2], POOR[:1], LABELS, seed=0)}
