"""The embedded world as a data set: scenes with labels, drawn when they are looked at."""

from __future__ import annotations

from itertools import count, islice
from typing import Literal

import numpy as np
import PIL
from jaxtyping import Float, UInt8

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.miniworld.captions import DISPLAY_NAMES, write_caption
from comc_utils.miniworld.drawings import DISTRACTOR_DRAWINGS, DRAWINGS, VOC_DRAWINGS
from comc_utils.miniworld.renderer import object_box, render
from comc_utils.miniworld.scenes import Scene, sample_scene
from comc_utils.store.fingerprint import code_fingerprint, hash_texts

WORLD_SEED = 2024
"""Seed of the splits that are evaluated; the models were trained on scenes of another seed."""
N_TEST = 2000
N_PAIRS = 300


def load_miniworld(
    split: str = "test",
    n_images: int = N_TEST,
    *,
    seed: int = WORLD_SEED,
    classes: Literal["voc", "distractors", "all"] = "voc",
) -> MultiLabelImages:
    """Scenes of a split with their labels.

    Parameters
    ----------
    split : str
        A key of `scenes.SPLITS`; ``test`` shows the drawings that no model has seen.
    n_images : int
        Scenes 0 to n_images - 1 of the split.
    seed : int
    classes : {"voc", "distractors", "all"}
        Which classes are labels: VOC2007's 20, the 16 others that scenes show, or both in this order. The
        images are the same.

    Returns
    -------
    MultiLabelImages
        Images are rendered on demand, 96 pixels on the shorter side.
    """
    scenes = miniworld_scenes(split, n_images, seed=seed)
    names = list({"voc": VOC_DRAWINGS, "distractors": DISTRACTOR_DRAWINGS, "all": DRAWINGS}[classes])
    labels = np.array([[name in s.class_names for name in names] for s in scenes], dtype=np.uint8)
    return MultiLabelImages(
        name="miniworld",
        split=split,
        class_names=tuple(DISPLAY_NAMES[name] for name in names),
        labels=labels,
        ids=tuple(f"{split}-{index:05d}" for index in range(n_images)),
        load_image=lambda index: render(scenes[index]),
        fingerprint=_fingerprint(split, n_images, seed),
    )


def load_icons(n_images: int, *, seed: int = WORLD_SEED) -> MultiLabelImages:
    """Images of single things that are none of the world's, labelled by what icon fonts call them.

    Parameters
    ----------
    n_images : int
        The first so many scenes of the split ``icons`` that show such a thing.
    seed : int

    Returns
    -------
    MultiLabelImages
        A class for each name that an image shows, in alphabetical order; each image has one.
    """
    of_all = ((index, sample_scene(seed, "icons", index)) for index in count())
    others = ((i, scene) for i, scene in of_all if scene.class_names[0] not in {*DRAWINGS, ""})
    indices, scenes = zip(*islice(others, n_images), strict=True)
    shown = [scene.class_names[0] for scene in scenes]
    names = sorted(set(shown))
    return MultiLabelImages(
        name="miniworld's icons",
        split="icons",
        class_names=tuple(names),
        labels=np.array([[name == shows for name in names] for shows in shown], dtype=np.uint8),
        ids=tuple(f"icons-{index:05d}" for index in indices),
        load_image=lambda index: render(scenes[index]),
        fingerprint=_fingerprint("icons alone", n_images, seed),
    )


def miniworld_scenes(split: str, n_scenes: int, *, seed: int = WORLD_SEED) -> tuple[Scene, ...]:
    """The scenes themselves, for those who want to know what was drawn where."""
    return tuple(sample_scene(seed, split, index) for index in range(n_scenes))


def shown_names(scene: Scene) -> list[str]:
    """What a scene shows, the dominant object first, named as texts name it."""
    return [DISPLAY_NAMES.get(name, name) for name in scene.class_names]


def dominant_objects(
    split: str, n_images: int, *, seed: int = WORLD_SEED
) -> UInt8[np.ndarray, "n_images n_labels"]:
    """Which of VOC2007's classes is the dominant object of each scene: 1 for it, 0 for others, 0 for icons."""
    scenes = miniworld_scenes(split, n_images, seed=seed)
    return np.array([[name == s.class_names[0] for name in VOC_DRAWINGS] for s in scenes], dtype=np.uint8)


def object_boxes(
    split: str, n_images: int, *, seed: int = WORLD_SEED
) -> Float[np.ndarray, "n_images n_labels 4"]:
    """Where each of VOC2007's classes is drawn in each scene.

    Parameters
    ----------
    split : str
    n_images : int
        Scenes 0 to n_images - 1 of the split.
    seed : int

    Returns
    -------
    ndarray [n_images, N, 4]
        Left, top, right and bottom in pixels of the scene, as `renderer.object_box` finds them; NaN for classes
        that the scene does not show. No scene shows a class twice.
    """
    columns = {name: column for column, name in enumerate(VOC_DRAWINGS)}
    boxes = np.full((n_images, len(columns), 4), np.nan)
    for row, scene in enumerate(miniworld_scenes(split, n_images, seed=seed)):
        for scene_object in scene.objects:
            if scene_object.class_name in columns and (box := object_box(scene, scene_object)):
                boxes[row, columns[scene_object.class_name]] = box
    return boxes


def scene_captions(scenes: tuple[Scene, ...], *, seed: int = WORLD_SEED) -> list[str]:
    """One caption a scene, for image-text pairs."""
    return [write_caption(scene, np.random.default_rng((seed, index)))[0] for index, scene in enumerate(scenes)]


def _fingerprint(split: str, n_images: int, seed: int) -> str:
    """Stands for the pixels: what draws them, and which are drawn."""
    code = code_fingerprint("comc_utils.miniworld.scenes", "comc_utils.miniworld.renderer")
    return hash_texts([f"{split} {n_images} {seed} Pillow {PIL.__version__}", code])
