"""The embedded world: scenes of VOC2007's 20 classes, drawn by our own renderer."""

from comc_utils.datasets.miniworld.world import (
    N_PAIRS,
    N_TEST,
    WORLD_SEED,
    load_miniworld,
    miniworld_scenes,
    scene_captions,
)

__all__ = [
    "N_PAIRS",
    "N_TEST",
    "WORLD_SEED",
    "load_miniworld",
    "miniworld_scenes",
    "scene_captions",
]
