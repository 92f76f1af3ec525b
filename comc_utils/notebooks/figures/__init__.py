"""The notebooks' figures: every function draws one, from tables, and gives it back."""

from comc_utils.notebooks.figures import palette
from comc_utils.notebooks.figures.ablations import alpha_and_tau, alpha_by_preset, parts, switches
from comc_utils.notebooks.figures.comparable import by_normalisation, settings_without_labels, shift_of_images
from comc_utils.notebooks.figures.forest import forest_plot
from comc_utils.notebooks.figures.gap import before_and_after, gap_along_alpha, layout_grid, layout_points
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
from comc_utils.notebooks.figures.looking import by_number_of_classes, where_they_look
from comc_utils.notebooks.figures.methods import by_shots, methods_by_source
from comc_utils.notebooks.figures.shared import dots_with_intervals, spread_labels
from comc_utils.notebooks.figures.text_and_towers import backbones, sizes, writers
from comc_utils.notebooks.figures.where import after_corrections, on_objects, regions_on
from comc_utils.notebooks.figures.world import drawings, losses, scene_rows, zero_shot

__all__ = [
    "after_corrections",
    "along_alpha",
    "alpha_and_tau",
    "alpha_by_preset",
    "average_precisions",
    "backbones",
    "before_and_after",
    "by_normalisation",
    "by_number_of_classes",
    "by_shots",
    "corpus",
    "dots_with_intervals",
    "drawings",
    "forest_plot",
    "found_and_missed",
    "gap_along_alpha",
    "layout_grid",
    "layout_points",
    "losses",
    "methods_beside_paper",
    "methods_by_source",
    "on_objects",
    "palette",
    "parts",
    "regions_on",
    "scene_rows",
    "settings_without_labels",
    "shift_of_images",
    "sizes",
    "spread_labels",
    "switches",
    "top_weights",
    "training",
    "weight_cosines",
    "where_they_look",
    "writers",
    "zero_shot",
]
