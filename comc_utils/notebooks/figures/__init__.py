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

__all__ = [
    "dots_with_intervals",
    "forest_plot",
    "image_grid",
    "label_points",
    "methods_with_intervals",
    "palette",
    "spread_labels",
]
