"""The notebooks' figures: every function draws one, from tables, and gives it back."""

from comc_utils.notebooks.figures import palette
from comc_utils.notebooks.figures.ablations import along_alpha, alpha_and_tau, parts, switches
from comc_utils.notebooks.figures.forest import forest_plot
from comc_utils.notebooks.figures.gap import before_and_after, gap_along_alpha, layout_grid, layout_points
from comc_utils.notebooks.figures.shared import (
    dots_with_intervals,
    image_grid,
    label_points,
    methods_with_intervals,
    spread_labels,
)
from comc_utils.notebooks.figures.text_and_towers import backbones, sizes, writers

__all__ = [
    "along_alpha",
    "alpha_and_tau",
    "backbones",
    "before_and_after",
    "dots_with_intervals",
    "forest_plot",
    "gap_along_alpha",
    "image_grid",
    "label_points",
    "layout_grid",
    "layout_points",
    "methods_with_intervals",
    "palette",
    "parts",
    "sizes",
    "spread_labels",
    "switches",
    "writers",
]
