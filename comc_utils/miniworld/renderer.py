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


def object_box(scene: Scene, scene_object: SceneObject) -> tuple[int, int, int, int] | None:
    """Find out where an object is drawn.

    Parameters
    ----------
    scene : Scene
    scene_object : SceneObject
        One of the scene's.

    Returns
    -------
    tuple of int or None
        Left, top, right and bottom of its pixels in the scene, without its shadow; what others cover counts.
        None where none of them is in the scene.
    """
    mask, (left, top) = _placed(_body(scene_object), scene_object)
    within = mask.crop((-left, -top, scene.width - left, scene.height - top))
    return within.getbbox()


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
    ink, _ = _masks(scene_object)
    body, (left, top) = _placed(_body(scene_object), scene_object)
    offset = round(SHADOW_OFFSET * scene_object.size)
    shadow = body.point(lambda value: int(value * SHADOW_OPACITY))
    image.paste((0, 0, 0), (left + offset, top + offset), shadow)
    image.paste(scene_object.fill, (left, top), body)
    if scene_object.technique == "filled":
        image.paste(scene_object.line, (left, top), _transformed(ink, scene_object))


def _body(scene_object: SceneObject) -> Image.Image:
    ink, silhouette = _masks(scene_object)
    return ink if scene_object.technique == "ink" else silhouette


def _placed(mask: Image.Image, scene_object: SceneObject) -> tuple[Image.Image, tuple[int, int]]:
    """An object's mask as it is drawn, and where in the scene its corner lies."""
    mask = _transformed(mask, scene_object)
    x, y = (round(middle - mask.width / 2) for middle in scene_object.centre)
    return mask, (x, y)


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
