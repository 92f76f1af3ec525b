"""Figures on parts, switches, mixture and gap: rows, colours, legends; mAP along alpha, and switches tried."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from comc_utils.evaluation.comparison import map_percent
from comc_utils.evaluation.sweep import map_along_alpha
from comc_utils.method.presets import PAPER, RELEASED, SWITCHES, switch_trials
from comc_utils.method.scores import ScoreComponents
from comc_utils.notebooks import figures
from comc_utils.notebooks.figures.palette import PRESETS

LABELS = np.random.default_rng(0).integers(0, 2, (40, 5))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def rows_of(axis: plt.Axes) -> list[str]:
    """Give the names of an axis's rows, the first on top."""
    return [label.get_text() for label in axis.get_yticklabels()][::-1]


def legend_of(figure: plt.Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def components(*, regions: bool) -> ScoreComponents:
    draw = torch.Generator().manual_seed(1)
    whole = torch.randn(2, 40, 5, generator=draw)
    local = torch.randn(2, 40, 3, 5, generator=draw) if regions else (None, None)
    return ScoreComponents(*whole, *local)


def test_parts_are_rows_and_presets_are_colours():
    groups = ["local adds", "local adds, paper", "mapping adds", "mapping adds, paper"]
    table = pd.DataFrame({"what": groups, "where": ["with mapping"] * 2 + ["with local"] * 2})
    figure = figures.parts(table.assign(difference=[7.0, 4.0, 0.1, 0.2], low=-1.0, high=8.0), "released")
    (axis,) = figure.axes
    assert rows_of(axis) == ["regions, with the mapping", "mapping, with regions"]
    assert legend_of(figure) == ["preset released", "preset paper"]
    dots = {
        (round(y), to_hex(line.get_color())): x
        for line in axis.lines
        for x, y in zip(*line.get_data(), strict=True)
    }
    assert dots[1, PRESETS["released"].lower()] == 7.0 and dots[1, PRESETS["paper"].lower()] == 4.0


def test_a_profile_without_regions_has_no_empty_row():
    one = {
        "what": ["mapping adds"],
        "where": ["without local"],
        "difference": [2.0],
        "low": [0.6],
        "high": [3.0],
    }
    (axis,) = figures.parts(pd.DataFrame(one), "released, 1,500 steps").axes
    assert rows_of(axis) == ["mapping, without regions"]


def test_a_switch_that_was_not_measured_has_no_row():
    how = ["switched off in the released preset"]
    table = pd.DataFrame({"switch": ["no bias"], "how": how, "worth": [0.1], "low": [np.nan], "high": [np.nan]})
    figure = figures.switches(table)
    assert rows_of(figure.axes[0]) == ["no bias"] and legend_of(figure) == how


def test_only_lines_that_the_map_has_are_in_its_legend():
    points = {"profile": (0.7, 0.01), "best": (0.8, 0.02)}
    heat = 70 - np.linspace(0, 1.2, 12).reshape(3, 4)
    figure = figures.alpha_and_tau(heat, [0, 0.3, 0.7, 1], [0.001, 0.01, 0.1], points)
    assert legend_of(figure) == ["0.5", "1"]
    flat = figures.alpha_and_tau(np.full((3, 4), 70.0), [0, 0.3, 0.7, 1], [0.001, 0.01, 0.1], points)
    assert legend_of(flat) == []


@pytest.mark.parametrize("tau", [0.001, 0.01, 0.1])
def test_the_names_of_marks_stay_within_the_map(tau):
    heat = 70 - np.linspace(0, 9, 12).reshape(3, 4)
    points = {"profile": (0.7, 0.01), "best": (0.3, tau)}
    figure = figures.alpha_and_tau(heat, [0, 0.3, 0.7, 1], [0.001, 0.01, 0.1], points)
    figure.draw_without_rendering()
    frame = figure.axes[0].get_window_extent()
    for label in figure.axes[0].texts:
        box = label.get_window_extent()
        assert frame.contains(*box.min) and frame.contains(*box.max), label.get_text()


def test_every_switch_is_tried_on_and_off():
    trials = switch_trials(RELEASED, [*SWITCHES], with_paper=True)
    assert len(trials) == 2 * len(SWITCHES)
    for switch, how, with_it, without in trials:
        changed = {name for name in vars(with_it) if getattr(with_it, name) != getattr(without, name)} - {
            "name"
        }
        assert changed <= set(SWITCHES[switch]) and changed
        assert (PAPER if "paper" in how else RELEASED) in (with_it, without)


def test_a_switch_that_is_off_already_is_not_tried():
    own = replace(RELEASED, noise_std=0.0)
    names = [switch for switch, *_ in switch_trials(own, ["noise on the text", "no bias"], with_paper=False)]
    assert names == ["no bias"]


@pytest.mark.parametrize("regions", [True, False])
def test_map_along_alpha_is_that_of_each_alpha(regions):
    of, alphas = components(regions=regions), np.linspace(0, 1, 23)
    curves, kept = map_along_alpha(of, alphas, LABELS, keep=alphas[[0, 11]])
    assert set(curves.score) == ({"global", "regions", "final"} if regions else {"final"})
    final = curves[curves.score == "final"].set_index("alpha")["mAP"]
    assert list(final.index) == list(alphas) and list(kept) == list(alphas[[0, 11]])
    for alpha in alphas:
        assert final[alpha] == pytest.approx(map_percent(of.at(alpha).final.numpy(), LABELS))
    np.testing.assert_allclose(kept[alphas[11]], of.at(alphas[11]).final.numpy())
