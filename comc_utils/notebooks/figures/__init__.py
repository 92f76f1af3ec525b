"""The notebooks' figures: every function draws one, from tables, and gives it back."""

from comc_utils.notebooks.figures import palette
from comc_utils.notebooks.figures.inference import (
    along_alpha,
    average_precisions,
    corpus,
    found_and_missed,
    methods_beside_paper,
    top_weights,
    training,
    weight_cosines,
)
from comc_utils.notebooks.figures.shared import (
    dots_with_intervals,
    forest_plot,
    image_grid,
    label_points,
    methods_with_intervals,
    spread_labels,
)
from comc_utils.notebooks.figures.world import drawings, losses, scene_rows, zero_shot

__all__ = [
    "along_alpha",
    "average_precisions",
    "corpus",
    "dots_with_intervals",
    "drawings",
    "forest_plot",
    "found_and_missed",
    "image_grid",
    "label_points",
    "losses",
    "methods_beside_paper",
    "methods_with_intervals",
    "palette",
    "scene_rows",
    "spread_labels",
    "top_weights",
    "training",
    "weight_cosines",
    "zero_shot",
]
