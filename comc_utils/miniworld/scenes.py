"""What stands in a scene of the embedded world, before a pixel is drawn.

A scene is sampled from (seed, split, index) alone: the same three numbers give the same scene on any
machine, in any order, in any process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from comc_utils.errors import CoMCError
from comc_utils.miniworld.drawings import (
    DRAWINGS,
    VOC_DRAWINGS,
    Drawing,
    test_drawings,
    training_drawings,
    varied_drawings,
)
from comc_utils.miniworld.icons import icon_drawings

SHORT_SIDE = 96
"""Pixels of a scene's short side: the input resolution of the embedded models."""
LONG_SIDE = 112
"""Pixels of the long side of the half of the test scenes that is not square."""

SPLITS = {
    "vocabulary": 0, "test": 1, "pairs": 2, "few_shot": 3, "validation": 4, "objects": 5, "train": 6,
    "plain": 7, "icons": 8,
}  # fmt: skip
"""Splits and the number that keeps their random streams apart. Only `test` shows held-out drawings.
The models learn from `plain` (one large object, upright, in the middle of a studio), `objects` (one object
anywhere), `icons` (the same, but every other time one that is none of the world's) and `train` (full scenes);
`icons` and `train` have more drawings, stronger distortions and bare silhouettes. Of `vocabulary` the captions
alone are used, for the tokenizer."""
LEARNED_SPLITS = ("vocabulary", "plain", "objects", "icons", "train")

N_OBJECTS = (1, 2, 3, 4)
N_OBJECTS_PROBABILITY = (0.2, 0.3, 0.3, 0.2)
DOMINANT_SIZE = (0.42, 0.62)
"""Range of the first object's longer side, as a share of the scene's short side."""
OTHER_SIZE = (0.24, 0.38)
SINGLE_SIZE = (0.3, 0.85)
"""The same for the only object of a scene of the splits `objects` and `icons`."""
PLAIN_SIZE = (0.8, 0.9)
"""The same for the split `plain`."""
ICON_PROBABILITY = 0.5
"""Of an object of the split `icons` that is none of the world's."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (204, 36, 41),
    "orange": (240, 130, 30),
    "yellow": (242, 206, 48),
    "green": (52, 150, 66),
    "blue": (44, 98, 190),
    "purple": (124, 66, 160),
    "pink": (238, 130, 170),
    "brown": (122, 78, 44),
    "black": (28, 28, 30),
    "white": (244, 244, 240),
    "grey": (128, 130, 134),
}
"""Colour word and its RGB value in 0 to 255."""

PLACES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "meadow": ((150, 200, 235), (110, 170, 80)),
    "beach": ((120, 190, 230), (226, 204, 150)),
    "street": ((190, 200, 210), (120, 120, 122)),
    "snow": ((205, 220, 235), (240, 242, 246)),
    "room": ((232, 214, 186), (170, 126, 84)),
    "kitchen": ((240, 238, 228), (186, 192, 196)),
    "forest": ((88, 122, 84), (62, 84, 46)),
    "desert": ((236, 190, 130), (206, 150, 92)),
    "lake": ((170, 205, 225), (70, 120, 160)),
    "studio": ((226, 226, 228), (210, 210, 214)),
}
"""Place and the RGB colours of its upper and lower part."""

LIGHTS: dict[str, tuple[tuple[int, int, int], float]] = {
    "day": ((255, 255, 255), 0.0),
    "night": ((14, 18, 46), 0.68),
    "sunset": ((246, 120, 70), 0.45),
    "fog": ((214, 216, 220), 0.6),
}
"""Light and the tint that it lays over a place, with its strength in 0 to 1."""
LIGHT_PROBABILITY = (0.7, 0.1, 0.1, 0.1)


Technique = Literal["ink", "filled", "silhouette"]
"""The drawing alone, over its filled silhouette, or the silhouette alone."""


@dataclass(frozen=True)
class Variety:
    """How far drawings are distorted.

    Attributes
    ----------
    rotation : float
        Largest angle, in degrees.
    shear : float
        Largest horizontal shift, as a share of the height.
    log_aspect : float
        Largest natural logarithm of height over width.
    techniques : tuple of float
        Chances of "ink" and "filled"; the rest is "silhouette".
    """

    rotation: float
    shear: float
    log_aspect: float
    techniques: tuple[float, float]


NONE = Variety(rotation=0, shear=0, log_aspect=0, techniques=(0.4, 0.6))
USUAL = Variety(rotation=20, shear=0.15, log_aspect=0.2, techniques=(0.4, 0.6))
STRONG = Variety(rotation=30, shear=0.3, log_aspect=0.35, techniques=(0.35, 0.45))


@dataclass(frozen=True)
class SceneObject:
    """One drawing in a scene; lengths in pixels, angles in degrees."""

    class_name: str
    drawing: Drawing
    centre: tuple[float, float]
    size: float
    rotation: float
    shear: float
    aspect: float
    mirrored: bool
    colour: str
    fill: tuple[int, int, int]
    line: tuple[int, int, int]
    technique: Technique


@dataclass(frozen=True)
class Scene:
    """Everything that a renderer or a caption needs to know; objects in order of size."""

    width: int
    height: int
    place: str
    light: str
    horizon: float
    noise: float
    noise_seed: int
    objects: tuple[SceneObject, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the scene, distractors included, the dominant one first."""
        return tuple(o.class_name for o in self.objects)


def sample_scene(seed: int, split: str, index: int) -> Scene:
    """Scene number `index` of a split.

    Parameters
    ----------
    seed : int
        The world's seed.
    split : str
        A key of `SPLITS`. In ``test`` objects take their class's held-out drawing, every scene has at
        least one of VOC's classes, and half of the scenes are longer than high or higher than long; in
        ``validation`` and ``few_shot`` the same holds with the training drawings.
    index : int
        From 0.

    Returns
    -------
    Scene

    Raises
    ------
    CoMCError
        For an unknown split.
    """
    if split not in SPLITS:
        raise CoMCError(f"Unknown split {split!r} of the embedded world; known: {', '.join(SPLITS)}.")
    rng = np.random.default_rng((seed, SPLITS[split], index))
    width = height = SHORT_SIDE
    labelled = split not in LEARNED_SPLITS
    if labelled:
        width, height = (
            (SHORT_SIDE, SHORT_SIDE),
            (SHORT_SIDE, SHORT_SIDE),
            (LONG_SIDE, SHORT_SIDE),
            (SHORT_SIDE, LONG_SIDE),
        )[rng.integers(4)]
    place = list(PLACES)[rng.integers(len(PLACES))]
    light = list(LIGHTS)[rng.choice(len(LIGHTS), p=LIGHT_PROBABILITY)]
    horizon = float(rng.uniform(0.35, 0.75))

    if split == "plain":
        place, light = "studio", "day"
        size_ranges = [PLAIN_SIZE]
    elif split in ("objects", "icons"):
        size_ranges = [SINGLE_SIZE]
    else:
        count = int(rng.choice(N_OBJECTS, p=N_OBJECTS_PROBABILITY))
        size_ranges = [DOMINANT_SIZE] + [OTHER_SIZE] * (count - 1)
    if split == "icons" and rng.random() < ICON_PROBABILITY:
        class_names = [str(rng.choice(list(icon_drawings())))]
    else:
        class_names = _draw_classes(rng, len(size_ranges), labelled=labelled)
    sizes = [rng.uniform(*size_range) * SHORT_SIDE for size_range in size_ranges]
    centres = [(width / 2, height / 2)] if split == "plain" else _place_objects(rng, sizes, width, height)
    background = background_colours(place, light)
    variety = {"train": STRONG, "icons": STRONG, "plain": NONE}.get(split, USUAL)
    objects = []
    for class_name, size, centre in zip(class_names, sizes, centres, strict=True):
        drawings = _drawings(split, class_name)
        below = background[1] if centre[1] > horizon * height else background[0]
        colour, fill, line = _draw_colours(rng, below)
        objects.append(
            SceneObject(
                class_name=class_name,
                drawing=drawings[rng.integers(len(drawings))],
                centre=centre,
                size=float(size),
                rotation=float(rng.uniform(-variety.rotation, variety.rotation)),
                shear=float(rng.uniform(-variety.shear, variety.shear)),
                aspect=float(np.exp(rng.uniform(-variety.log_aspect, variety.log_aspect))),
                mirrored=bool(rng.integers(2)),
                colour=colour,
                fill=fill,
                line=line,
                technique=_technique(rng.random(), variety),
            )
        )
    return Scene(
        width=width,
        height=height,
        place=place,
        light=light,
        horizon=horizon,
        noise=float(rng.uniform(2, 9)),
        noise_seed=int(rng.integers(2**31)),
        objects=tuple(objects),
    )


def _drawings(split: str, class_name: str) -> tuple[Drawing, ...]:
    if class_name not in DRAWINGS:
        return icon_drawings()[class_name]
    if split == "test":
        return test_drawings(class_name)
    return varied_drawings(class_name) if split in ("train", "icons") else training_drawings(class_name)


def background_colours(place: str, light: str) -> tuple[np.ndarray, np.ndarray]:
    """RGB of a place's upper and lower part under a light, as two float arrays of 3."""
    tint, strength = LIGHTS[light]
    upper, lower = (
        (1 - strength) * np.asarray(colour, float) + strength * np.asarray(tint, float)
        for colour in PLACES[place]
    )
    return upper, lower


def _technique(draw: float, variety: Variety) -> Technique:
    ink, filled = variety.techniques
    if draw < filled:
        return "filled"
    return "ink" if draw < filled + ink else "silhouette"


def _draw_classes(rng: np.random.Generator, count: int, *, labelled: bool) -> list[str]:
    names = list(DRAWINGS)
    while True:
        drawn = [names[i] for i in rng.choice(len(names), size=count, replace=False)]
        if not labelled or any(name in VOC_DRAWINGS for name in drawn):
            return drawn


def _place_objects(
    rng: np.random.Generator, sizes: list[float], width: int, height: int
) -> list[tuple[float, float]]:
    """Centres that keep objects inside the scene and apart where there is room."""
    centres: list[tuple[float, float]] = []
    for size in sizes:
        half = size / 2
        best, best_overlap = (width / 2, height / 2), np.inf
        for _ in range(20):
            x, y = rng.uniform(half, width - half), rng.uniform(half, height - half)
            overlap = sum(
                max(0.0, half + other / 2 - abs(x - cx)) * max(0.0, half + other / 2 - abs(y - cy))
                for (cx, cy), other in zip(centres, sizes, strict=False)
            )
            if overlap < best_overlap:
                best, best_overlap = (float(x), float(y)), overlap
            if best_overlap < 0.1 * size * size:
                break
        centres.append(best)
    return centres


def _draw_colours(
    rng: np.random.Generator, background: np.ndarray
) -> tuple[str, tuple[int, int, int], tuple[int, int, int]]:
    """A colour word, its jittered RGB, and a line colour that can be seen on both."""
    names = list(COLOURS)
    for _ in range(8):
        name = names[rng.integers(len(names))]
        fill = np.clip(np.asarray(COLOURS[name]) + rng.normal(0, 10, 3), 0, 255)
        if np.linalg.norm(fill - background) > 90:
            break
    line = fill * 0.35 if fill.mean() > 110 else 255 - (255 - fill) * 0.35
    return name, tuple(int(v) for v in fill), tuple(int(v) for v in line)
