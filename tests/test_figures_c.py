"""Figures on text and towers: what is labelled, left out and put where."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from comc_utils.notebooks import figures

SHARES = (1, 2, 5, 10, 25, 50, 75, 100, 200)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def means(shares: tuple[int, ...], n: int, gap: float) -> pd.DataFrame:
    """Make up two trainings, `gap` points apart at the smallest share."""
    rows = [
        (training, share, n * share // 100, 70 - of * (i == 0), 69 - of * (i == 0), 71.0, 70.0, 69.5)
        for training, of in (("equal epochs", gap), ("equal steps", 0))
        for i, share in enumerate(shares)
    ]
    columns = ["training", "share", "sentences", "mAP", "low", "high", "seed 0", "seed 1"]
    return pd.DataFrame(rows, columns=columns)


def table6(*backbones: str) -> pd.DataFrame:
    columns = ["backbone", "method", "mAP", "low", "high", "paper", "image parameters (M)"]
    rows = [
        (backbone, method, 60 + i, 55, 66 + 3 * i, np.nan if method == "TaI-DPT" else 80.0, i)
        for i, backbone in enumerate(backbones, 1)
        for method in ("Zero-shot CLIP", "TaI-DPT", "CoMC")
    ]
    return pd.DataFrame(rows, columns=columns).assign(**{"paper's backbone": "RN50", "paper's (M)": 38.32})


def test_a_size_too_close_to_a_larger_one_has_no_label():
    (axis,) = figures.sizes(means(SHARES, 40_000, 20), 65.0).axes
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels[-3:] == ["", "40,000\n100 %", "80,000\n200 %"]
    assert labels.count("") == 1
    (axis,) = figures.sizes(means((10, 50, 75, 100), 429, 1), 45.0).axes
    assert [label.get_text() for label in axis.get_xticklabels()][-2:] == ["321\n75 %", "429\n100 %"]


def test_the_lines_are_named_on_the_sides_away_from_each_other():
    figure = figures.sizes(means(SHARES, 40_000, 20), 65.0)
    figure.draw_without_rendering()
    above, below = (
        next(t for t in figure.axes[0].texts if t.get_text() == name).get_window_extent()
        for name in ("equal steps", "equal epochs")
    )
    to_pixels = figure.axes[0].transData.transform
    assert above.y0 > to_pixels((400, 71.0))[1]
    assert below.y1 < to_pixels((400, 49.0))[1]


def test_two_trainings_with_equal_numbers_are_named_apart():
    figure = figures.sizes(means((10, 50, 100), 500, 0), 65.0)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_a_backbone_a_row_all_ranges_of_one_length():
    figure = figures.backbones(table6("small", "large"))
    here = figure.axes[::2]
    assert [axis.get_title() for axis in here] == ["small: 1 M image parameters", "large: 2 M image parameters"]
    assert len({round(float(np.ptp(axis.get_xlim())), 6) for axis in here}) == 1
    there = figure.axes[1]
    assert there.get_title() == "RN50: 38.3 M image parameters"
    assert sum("not in its Table 6" in text.get_text() for text in there.texts) == 1


def test_without_the_papers_values_its_half_is_left_out():
    assert len(figures.backbones(table6("small", "large").assign(paper=np.nan)).axes) == 2
    table = table6("small", "large")
    table.loc[table.backbone == "large", ["paper", "paper's backbone"]] = [np.nan, ""]
    *_, last = figures.backbones(table).axes
    assert not last.axison


def test_zero_shot_clip_has_its_own_colour_among_writers():
    table = pd.DataFrame(
        [("Zero-shot CLIP", 0, 65.0, 64.0, 66.0), ("grammar", 1200, 70.0, 69.0, 71.0)],
        columns=["writer", "texts", "mAP", "low", "high"],
    )
    paper = pd.DataFrame(
        [("Zero-shot CLIP", "no sentences", 76.2), ("CoMC", "GPT-3", 89.4)],
        columns=["method", "writer", "value"],
    )
    here, there = figures.writers(table, paper).axes
    assert [label.get_text() for label in here.get_yticklabels()] == ["Zero-shot CLIP", "grammar, 1,200 texts"]
    assert [label.get_text() for label in there.get_yticklabels()] == ["Zero-shot CLIP", "GPT-3, 40,000 texts"]
    for axis in (here, there):
        grey, orange = axis.collections[1].get_facecolor()
        assert not np.allclose(grey, orange)
