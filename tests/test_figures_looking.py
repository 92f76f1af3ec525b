"""Figures of notebook 12: where systems look, and what more seen classes do."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comc_utils.notebooks.figures import by_number_of_classes, where_they_look


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def shares() -> pd.DataFrame:
    rows = [
        {"method": method, "class": name, "kind": kind, "region": region, "share": share}
        for method, shares in {"LESA": (0.1, 0.1, 0.1, 0.7), "MKT": (1.0, 0.0, 0.0, 0.0)}.items()
        for name, kind in (("dog", "unseen"), ("key", "seen"))
        for region, share in enumerate(shares)
    ]
    return pd.DataFrame(rows)


def test_each_panel_is_brightest_where_its_system_looks(shares: pd.DataFrame) -> None:
    figure = where_they_look(Image.new("RGB", (60, 40), (200, 100, 50)), shares, resize="crop")
    panels = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert len(panels) == 2 * 3
    for row in (0, 3):
        image, lesa, mkt = panels[row : row + 3]
        assert (image == (200, 100, 50)).all()
        corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
        assert int(np.argmax([lesa[at].sum() for at in corners])) == 3
        assert int(np.argmax([mkt[at].sum() for at in corners])) == 0
        assert 0 < mkt[-1, -1].sum() < 0.2 * image[0, 0].sum()  # still to be seen
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == ["dog\n(unseen)", "key\n(seen)"]
    assert [axis.get_title() for axis in figure.axes[:3]] == ["", "LESA", "MKT"]


def test_regions_that_do_not_divide_the_picture_are_where_they_are() -> None:
    rows = [
        {"method": "LESA", "class": "dog", "kind": "seen", "region": r, "share": float(r == 48)}
        for r in range(49)
    ]
    figure = where_they_look(Image.new("RGB", (50, 50), (200, 200, 200)), pd.DataFrame(rows), resize="plain")
    drawn = figure.axes[1].get_images()[0].get_array()
    bright = np.flatnonzero(drawn[-1, :, 0] == drawn.max())
    assert len(bright) / len(drawn) == pytest.approx(1 / 7, abs=1 / len(drawn)) and bright[-1] == len(drawn) - 1


def test_a_plain_resize_shows_all_of_the_image(shares: pd.DataFrame) -> None:
    image = Image.new("RGB", (60, 20), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 10, 20))
    drawn = {
        resize: where_they_look(image, shares, resize=resize).axes[0].get_images()[0].get_array()
        for resize in ("crop", "plain")
    }
    assert drawn["crop"].max() == 0 and drawn["plain"].max() == 255


def test_a_line_for_each_method_and_its_name_at_its_end() -> None:
    table = pd.DataFrame(
        [("LESA", "4 classes", 50.0), ("LESA", "8 classes", 52.0), ("DualCoOp", "4 classes", 40.0)],
        columns=["method", "labelled", "mAP"],
    )
    figure = by_number_of_classes(table)
    (axis,) = figure.axes
    lines = [line for line in axis.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in lines] == [[50.0, 52.0], [40.0]]
    assert {text.get_text() for text in axis.texts} == {"LESA", "DualCoOp"}
    assert [label.get_text() for label in axis.get_xticklabels()] == ["4 classes", "8 classes"]
