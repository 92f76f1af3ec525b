"""Scenes to pixels, with Pillow."""

from __future__ import annotations

from functools import cache
from math import cos, radians, sin

import numpy as np
from PIL import Image

from comc_utils.miniworld.drawings import GLYPH_SIZE, Drawing, glyph
from comc_utils.miniworld.scenes import Scene, SceneObject, background_colours

SHADOW_OFFSET = 0.04
"""Offset of a shadow, as a share of the object's size."""
SHADOW_OPACITY = 0.35


def render(scene: Scene) -> Image.Image:
    """Draw a scene.

    Parameters
    ----------
    scene : Scene

    Returns
    -------
    PIL.Image.Image
        RGB, `scene.width` by `scene.height` pixels; the same scene always gives the same pixels.
    """
    image = Image.fromarray(_background(scene))
    for scene_object in scene.objects:
        _draw(image, scene_object)
    return image


def _background(scene: Scene) -> np.ndarray:
    """A place's two colours meeting softly at the horizon, under luminance noise."""
    upper, lower = background_colours(scene.place, scene.light)
    rows = np.arange(scene.height) / scene.height
    share = 1 / (1 + np.exp(-(rows - scene.horizon) / 0.04))
    column = upper + (lower - upper) * share[:, None] + 24 * (rows - 0.5)[:, None]
    rng = np.random.default_rng(scene.noise_seed)
    noise = rng.standard_normal((scene.height, scene.width, 1), dtype=np.float32) * scene.noise
    return np.clip(column[:, None, :] + noise, 0, 255).astype(np.uint8)


def _draw(image: Image.Image, scene_object: SceneObject) -> None:
    ink, silhouette = (_transformed(m, scene_object) for m in _masks(scene_object))
    side = ink.width
    left = round(scene_object.centre[0] - side / 2)
    top = round(scene_object.centre[1] - side / 2)
    offset = round(SHADOW_OFFSET * scene_object.size)
    body = ink if scene_object.technique == "ink" else silhouette
    shadow = body.point(lambda value: int(value * SHADOW_OPACITY))
    image.paste((0, 0, 0), (left + offset, top + offset), shadow)
    image.paste(scene_object.fill, (left, top), body)
    if scene_object.technique == "filled":
        image.paste(scene_object.line, (left, top), ink)


def _masks(scene_object: SceneObject) -> tuple[Image.Image, Image.Image]:
    """The drawing's masks at the prepared size next above the size on the scene."""
    level = 0
    while GLYPH_SIZE >> (level + 1) >= scene_object.size:
        level += 1
    return _reduced(scene_object.drawing, level)


@cache
def _reduced(drawing: Drawing, level: int) -> tuple[Image.Image, Image.Image]:
    if level == 0:
        return glyph(drawing)
    ink, silhouette = _reduced(drawing, level - 1)
    return ink.reduce(2), silhouette.reduce(2)


def _transformed(mask: Image.Image, scene_object: SceneObject) -> Image.Image:
    """Rotate, shear, stretch and mirror a mask onto a square that holds all of it."""
    side = int(np.ceil(scene_object.size * 1.5))
    scale = mask.width / scene_object.size
    angle = radians(scene_object.rotation)
    stretch = scene_object.aspect**0.5
    flip = -1.0 if scene_object.mirrored else 1.0
    rotation = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    shape = np.array([[flip / stretch, scene_object.shear], [0.0, stretch]])
    matrix = scale * shape @ rotation
    offset = mask.width / 2 - matrix @ np.array([side / 2, side / 2])
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    return mask.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
