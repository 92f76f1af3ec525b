"""The notebooks' figures: every function draws one, from tables, and gives it back."""

from comc_utils.notebooks.figures import palette
from comc_utils.notebooks.figures.methods import by_shots, methods_by_source
from comc_utils.notebooks.figures.shared import dots_with_intervals, forest_plot, image_grid, spread_labels

__all__ = [
    "by_shots",
    "dots_with_intervals",
    "forest_plot",
    "image_grid",
    "methods_by_source",
    "palette",
    "spread_labels",
]
