"""The notebooks' figures: every function draws one, from tables, and gives it back."""

from comc_utils.notebooks.figures import palette
from comc_utils.notebooks.figures.forest import forest_plot
from comc_utils.notebooks.figures.shared import (
    dots_with_intervals,
    image_grid,
    label_points,
    methods_with_intervals,
    spread_labels,
)
from comc_utils.notebooks.figures.text_and_towers import backbones, sizes, writers

__all__ = [
    "backbones",
    "dots_with_intervals",
    "forest_plot",
    "image_grid",
    "label_points",
    "methods_with_intervals",
    "palette",
    "sizes",
    "spread_labels",
    "writers",
]
