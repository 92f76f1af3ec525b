"""The embedded world: scenes that we draw, captions, and small CLIP models that we trained on both."""

from comc_utils.miniworld.models import (
    MODEL_NAMES,
    describe_model,
    register_models,
    training_history,
    weights_path,
)
from comc_utils.miniworld.renderer import render
from comc_utils.miniworld.vocabulary import tokenizer
from comc_utils.miniworld.world import (
    N_PAIRS,
    N_TEST,
    WORLD_SEED,
    dominant_objects,
    load_icons,
    load_miniworld,
    miniworld_scenes,
    object_boxes,
    scene_captions,
    shown_names,
)

__all__ = [
    "MODEL_NAMES",
    "N_PAIRS",
    "N_TEST",
    "WORLD_SEED",
    "describe_model",
    "dominant_objects",
    "load_icons",
    "load_miniworld",
    "miniworld_scenes",
    "object_boxes",
    "register_models",
    "render",
    "scene_captions",
    "shown_names",
    "tokenizer",
    "training_history",
    "weights_path",
]
