"""The drawings of the embedded world: which glyphs stand for which class.

A *drawing* is one glyph of an open icon font. The fonts come with the pinned packages QtAwesome
(Font Awesome 6, Material Design Icons 6, Phosphor, Remix, Elusive), iconipy (Lucide, Lineicons,
Ligature Symbols, Material Icons) and manimgx-fonts (Noto Emoji); nothing of theirs is copied here,
only code points are listed. Line drawings, solid silhouettes, faces and whole bodies stand side by
side, so that a class is more than one shape.

One drawing of every class with three or more is held out: it appears in the test split alone.
Which one is decided by a hash of the class name, not by what a model makes of it.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_fill_holes

from comc_utils.errors import CoMCError

Drawing = tuple[str, int]
"""Font and code point."""

FONTS: dict[str, tuple[str, str]] = {
    "elusive": ("qtawesome", "fonts/elusiveicons-webfont-2.0.ttf"),
    "fontawesome": ("qtawesome", "fonts/fontawesome6-solid-webfont-6.7.2.ttf"),
    "fontawesome-regular": ("qtawesome", "fonts/fontawesome6-regular-webfont-6.7.2.ttf"),
    "ligature": ("iconipy", "assets/ligature_symbols/LigatureSymbols-2.11.ttf"),
    "lineicons": ("iconipy", "assets/lineicons/lineicons.ttf"),
    "lucide": ("iconipy", "assets/lucide/lucide.ttf"),
    "material": ("iconipy", "assets/material_icons_regular/MaterialIcons-Regular.ttf"),
    "material-outlined": (
        "iconipy",
        "assets/material_icons_outlined_regular/MaterialIconsOutlined-Regular.otf",
    ),
    "materialdesign": ("qtawesome", "fonts/materialdesignicons6-webfont-6.9.96.ttf"),
    "noto": ("manimgx_fonts", "NotoEmoji[wght].ttf"),
    "phosphor": ("qtawesome", "fonts/phosphor-1.3.0.ttf"),
    "remix": ("qtawesome", "fonts/remixicon-2.5.0.ttf"),
}
"""Font name: the package that carries it, and its file inside that package."""

# fmt: off
VOC_DRAWINGS: dict[str, tuple[Drawing, ...]] = {
    "aeroplane": (
        ("fontawesome", 0xF072),
        ("fontawesome", 0xF0FB),
        ("materialdesign", 0xF001D),
        ("materialdesign", 0xF05D5),
        ("phosphor", 0xFADD),
        ("remix", 0xF004),
        ("lucide", 0xE1DE),
        ("lineicons", 0xEA04),
        ("noto", 0x2708),
        ("noto", 0x1F6E9),
    ),
    "bicycle": (
        ("fontawesome", 0xF206),
        ("materialdesign", 0xF109C),
        ("phosphor", 0xF08A),
        ("remix", 0xEABD),
        ("ligature", 0xE015),
        ("noto", 0x1F6B2),
    ),
    "bird": (
        ("fontawesome", 0xF4BA),
        ("fontawesome", 0xF520),
        ("materialdesign", 0xF15C6),
        ("materialdesign", 0xF01E5),
        ("materialdesign", 0xF03D2),
        ("materialdesign", 0xF0EC0),
        ("phosphor", 0xF7F5),
        ("lucide", 0xE3C9),
        ("noto", 0x1F426),
        ("noto", 0x1F54A),
        ("noto", 0x1F986),
    ),
    "boat": (
        ("fontawesome", 0xE4EA),
        ("fontawesome", 0xE445),
        ("materialdesign", 0xF0213),
        ("materialdesign", 0xF0EC8),
        ("phosphor", 0xF7FA),
        ("remix", 0xF0AC),
        ("remix", 0xF10D),
        ("lucide", 0xE3BE),
        ("lucide", 0xE382),
        ("noto", 0x26F5),
        ("noto", 0x1F6A2),
        ("noto", 0x1F6F6),
    ),
    "bottle": (
        ("fontawesome", 0xE4C5),
        ("fontawesome", 0xE4C4),
        ("fontawesome", 0xF72F),
        ("materialdesign", 0xF1070),
        ("materialdesign", 0xF1071),
        ("materialdesign", 0xF112E),
        ("lucide", 0xE67F),
        ("lucide", 0xE39D),
        ("noto", 0x1F37E),
        ("noto", 0x1F37C),
    ),
    "bus": (
        ("fontawesome", 0xF207),
        ("materialdesign", 0xF00E7),
        ("materialdesign", 0xF07A0),
        ("phosphor", 0xF813),
        ("remix", 0xEB10),
        ("ligature", 0xE024),
        ("lucide", 0xE1D4),
        ("lucide", 0xE4FF),
        ("noto", 0x1F68C),
        ("noto", 0x1F68D),
    ),
    "car": (
        ("fontawesome", 0xF1B9),
        ("fontawesome", 0xF5E4),
        ("materialdesign", 0xF010B),
        ("materialdesign", 0xF07AB),
        ("materialdesign", 0xF07A7),
        ("materialdesign", 0xF07AC),
        ("phosphor", 0xF82F),
        ("elusive", 0xF124),
        ("lucide", 0xE1D5),
        ("lucide", 0xE501),
        ("noto", 0x1F697),
        ("noto", 0x1F698),
    ),
    "cat": (
        ("fontawesome", 0xF6BE),
        ("materialdesign", 0xF011B),
        ("phosphor", 0xF831),
        ("lucide", 0xE390),
        ("noto", 0x1F408),
        ("noto", 0x1F431),
    ),
    "chair": (
        ("fontawesome", 0xF6C0),
        ("materialdesign", 0xF0F48),
        ("materialdesign", 0xF0125),
        ("materialdesign", 0xF0CC3),
        ("lucide", 0xE233),
        ("noto", 0x1FA91),
        ("noto", 0x1F4BA),
    ),
    "cow": (
        ("fontawesome", 0xF6C8),
        ("materialdesign", 0xF019A),
        ("noto", 0x1F404),
        ("noto", 0x1F42E),
        ("noto", 0x1F402),
    ),
    "diningtable": (
        ("materialdesign", 0xF05BC),
        ("materialdesign", 0xF1239),
        ("materialdesign", 0xF1743),
        ("material", 0xEAC6),
        ("material", 0xEAD2),
    ),
    "dog": (
        ("fontawesome", 0xF6D3),
        ("materialdesign", 0xF0A43),
        ("materialdesign", 0xF0A44),
        ("phosphor", 0xF8AA),
        ("lucide", 0xE391),
        ("noto", 0x1F415),
        ("noto", 0x1F436),
        ("noto", 0x1F429),
    ),
    "horse": (
        ("fontawesome", 0xF6F0),
        ("fontawesome", 0xF7AB),
        ("materialdesign", 0xF15BF),
        ("materialdesign", 0xF15C1),
        ("phosphor", 0xF939),
        ("noto", 0x1F40E),
        ("noto", 0x1F434),
    ),
    "motorbike": (
        ("fontawesome", 0xF21C),
        ("materialdesign", 0xF037C),
        ("materialdesign", 0xF1086),
        ("remix", 0xEF7A),
        ("material", 0xE9F9),
        ("noto", 0x1F3CD),
        ("noto", 0x1F6F5),
    ),
    "person": (
        ("fontawesome", 0xF183),
        ("fontawesome", 0xF554),
        ("fontawesome", 0xF182),
        ("materialdesign", 0xF02E6),
        ("materialdesign", 0xF0583),
        ("materialdesign", 0xF17C4),
        ("phosphor", 0xF9D4),
        ("phosphor", 0xF9D7),
        ("elusive", 0xF1BC),
        ("lucide", 0xE21E),
        ("noto", 0x1F9CD),
        ("noto", 0x1F6B6),
    ),
    "pottedplant": (
        ("fontawesome", 0xF4D8),
        ("materialdesign", 0xF0E66),
        ("remix", 0xF006),
        ("remix", 0xEB16),
        ("lucide", 0xE1EB),
        ("noto", 0x1FAB4),
        ("noto", 0x1F331),
        ("noto", 0x1F335),
    ),
    "sheep": (
        ("materialdesign", 0xF0CC6),
        ("noto", 0x1F411),
        ("noto", 0x1F40F),
    ),
    "sofa": (
        ("fontawesome", 0xF4B8),
        ("materialdesign", 0xF04B9),
        ("material", 0xE16B),
        ("lucide", 0xE2C4),
        ("noto", 0x1F6CB),
    ),
    "train": (
        ("fontawesome", 0xF238),
        ("fontawesome", 0xE5B4),
        ("materialdesign", 0xF052C),
        ("materialdesign", 0xF06AC),
        ("phosphor", 0xFA9A),
        ("phosphor", 0xFA9B),
        ("remix", 0xF222),
        ("lucide", 0xE50A),
        ("lucide", 0xE2A9),
        ("lineicons", 0xEC15),
        ("noto", 0x1F686),
        ("noto", 0x1F682),
        ("noto", 0x1F684),
    ),
    "tvmonitor": (
        ("fontawesome", 0xF26C),
        ("fontawesome", 0xF390),
        ("materialdesign", 0xF0502),
        ("materialdesign", 0xF07F4),
        ("materialdesign", 0xF0379),
        ("phosphor", 0xFA74),
        ("phosphor", 0xFA75),
        ("remix", 0xF236),
        ("lucide", 0xE195),
        ("lucide", 0xE11D),
        ("noto", 0x1F4FA),
        ("noto", 0x1F5A5),
    ),
}
"""VOC2007's classes, by their official names."""

DISTRACTOR_DRAWINGS: dict[str, tuple[Drawing, ...]] = {
    "umbrella": (
        ("fontawesome", 0xF0E9),
        ("materialdesign", 0xF054A),
        ("phosphor", 0xFAAC),
        ("remix", 0xF242),
        ("lucide", 0xE199),
        ("noto", 0x2602),
        ("noto", 0x1F302),
    ),
    "clock": (
        ("fontawesome", 0xF017),
        ("materialdesign", 0xF0020),
        ("phosphor", 0xF866),
        ("remix", 0xEA1A),
        ("lucide", 0xE03A),
        ("noto", 0x23F0),
        ("noto", 0x1F570),
    ),
    "house": (
        ("fontawesome", 0xF015),
        ("materialdesign", 0xF02DC),
        ("materialdesign", 0xF0B5E),
        ("phosphor", 0xF942),
        ("lucide", 0xE0F5),
        ("noto", 0x1F3E0),
        ("noto", 0x1F3E1),
    ),
    "tree": (
        ("fontawesome", 0xF1BB),
        ("materialdesign", 0xF0531),
        ("materialdesign", 0xF0405),
        ("phosphor", 0xFAA2),
        ("lucide", 0xE2F3),
        ("lucide", 0xE2F4),
        ("noto", 0x1F333),
        ("noto", 0x1F332),
        ("noto", 0x1F334),
    ),
    "fish": (
        ("fontawesome", 0xF578),
        ("materialdesign", 0xF023A),
        ("phosphor", 0xF8E4),
        ("lucide", 0xE3AA),
        ("noto", 0x1F41F),
        ("noto", 0x1F420),
    ),
    "book": (
        ("fontawesome", 0xF02D),
        ("fontawesome", 0xF518),
        ("materialdesign", 0xF14F7),
        ("phosphor", 0xF7FC),
        ("remix", 0xEADA),
        ("lucide", 0xE05F),
        ("noto", 0x1F4D6),
        ("noto", 0x1F4D5),
    ),
    "cup": (
        ("fontawesome", 0xF7B6),
        ("fontawesome", 0xF0F4),
        ("materialdesign", 0xF0176),
        ("phosphor", 0xF876),
        ("lucide", 0xE096),
        ("noto", 0x2615),
        ("noto", 0x1F375),
    ),
    "scissors": (
        ("fontawesome", 0xF0C4),
        ("materialdesign", 0xF0190),
        ("phosphor", 0xFA15),
        ("lucide", 0xE14E),
        ("noto", 0x2702),
    ),
    "apple": (
        ("fontawesome", 0xF5D1),
        ("materialdesign", 0xF025B),
        ("lucide", 0xE352),
        ("noto", 0x1F34E),
        ("noto", 0x1F34F),
    ),
    "pizza": (
        ("fontawesome", 0xF818),
        ("materialdesign", 0xF0409),
        ("phosphor", 0xF9E3),
        ("lucide", 0xE358),
        ("noto", 0x1F355),
    ),
    "camera": (
        ("fontawesome", 0xF030),
        ("fontawesome", 0xF083),
        ("materialdesign", 0xF0100),
        ("remix", 0xEB2E),
        ("lucide", 0xE064),
        ("noto", 0x1F4F7),
    ),
    "key": (
        ("fontawesome", 0xF084),
        ("materialdesign", 0xF0306),
        ("remix", 0xEE70),
        ("lucide", 0xE0FD),
        ("noto", 0x1F511),
        ("noto", 0x1F5DD),
    ),
    "guitar": (
        ("fontawesome", 0xF7A6),
        ("materialdesign", 0xF0771),
        ("materialdesign", 0xF02C4),
        ("lucide", 0xE563),
        ("noto", 0x1F3B8),
    ),
    "truck": (
        ("fontawesome", 0xF0D1),
        ("materialdesign", 0xF053D),
        ("phosphor", 0xFAA8),
        ("lucide", 0xE194),
        ("noto", 0x1F69A),
        ("noto", 0x1F69B),
    ),
    "cake": (
        ("fontawesome", 0xF1FD),
        ("materialdesign", 0xF00EB),
        ("phosphor", 0xF814),
        ("lucide", 0xE348),
        ("noto", 0x1F382),
        ("noto", 0x1F370),
    ),
    "rabbit": (
        ("materialdesign", 0xF0907),
        ("lucide", 0xE4FA),
        ("noto", 0x1F407),
        ("noto", 0x1F430),
    ),
}
"""Things that stand in scenes and captions, and are no label."""

EXTRA_DRAWINGS: dict[str, tuple[Drawing, ...]] = {
    "aeroplane": (
        ("fontawesome", 0xF5B0),
        ("fontawesome", 0xF5AF),
        ("fontawesome", 0xE518),
        ("phosphor", 0xFAE1),
        ("phosphor", 0xFAE0),
        ("phosphor", 0xFADF),
        ("lucide", 0xE3D2),
        ("lucide", 0xE3D1),
        ("ligature", 0xE105),
        ("elusive", 0xF1C4),
        ("noto", 0x1F6EB),
        ("noto", 0x1F6EC),
        ("phosphor", 0xF373),
        ("phosphor", 0xF75F),
        ("remix", 0xF005),
        ("phosphor", 0xF377),
        ("phosphor", 0xF763),
        ("phosphor", 0xF376),
        ("phosphor", 0xF762),
        ("phosphor", 0xF375),
        ("phosphor", 0xF761),
    ),
    "bicycle": (
        ("remix", 0xEABE),
    ),
    "bird": (
        ("fontawesome", 0xF535),
        ("noto", 0x1F989),
        ("noto", 0x1F427),
        ("noto", 0x1F424),
        ("noto", 0x1F99C),
        ("noto", 0x1F9A2),
        ("noto", 0x1F985),
        ("noto", 0x1F413),
        ("noto", 0x1F9A9),
        ("phosphor", 0xF08B),
        ("phosphor", 0xF409),
    ),
    "boat": (
        ("fontawesome", 0xF21A),
        ("remix", 0xF10F),
        ("lineicons", 0xEBD7),
        ("noto", 0x26F4),
        ("noto", 0x1F6E5),
        ("noto", 0x1F6A4),
        ("phosphor", 0xF090),
        ("phosphor", 0xF40E),
        ("remix", 0xF0AD),
        ("remix", 0xF10E),
        ("remix", 0xF110),
    ),
    "bottle": (
        ("materialdesign", 0xF0854),
        ("noto", 0x1F9F4),
        ("materialdesign", 0xF1072),
        ("materialdesign", 0xF1363),
        ("materialdesign", 0xF112F),
        ("materialdesign", 0xF1310),
    ),
    "bus": (
        ("fontawesome", 0xF55E),
        ("materialdesign", 0xF079F),
        ("materialdesign", 0xF079E),
        ("remix", 0xEB12),
        ("lineicons", 0xEA63),
        ("noto", 0x1F68E),
        ("noto", 0x1F690),
        ("phosphor", 0xF0A9),
        ("phosphor", 0xF427),
        ("remix", 0xEB11),
        ("remix", 0xEB13),
    ),
    "car": (
        ("fontawesome", 0xF1BA),
        ("materialdesign", 0xF07A9),
        ("materialdesign", 0xF07A8),
        ("remix", 0xEB38),
        ("remix", 0xF1E9),
        ("ligature", 0xE027),
        ("lineicons", 0xEA6F),
        ("noto", 0x1F695),
        ("noto", 0x1F699),
        ("phosphor", 0xF0B3),
        ("phosphor", 0xF431),
        ("remix", 0xEB39),
        ("remix", 0xF1EA),
    ),
    "cat": (
        ("noto", 0x1F63A),
        ("noto", 0x1F638),
        ("noto", 0x1F640),
    ),
    "chair": (
        ("materialdesign", 0xF0CC4),
    ),
    "cow": (
        ("noto", 0x1F403),
    ),
    "dog": (
        ("noto", 0x1F9AE),
        ("phosphor", 0xF140),
        ("phosphor", 0xF4D8),
    ),
    "horse": (
        ("phosphor", 0xF1CF),
        ("phosphor", 0xF5AB),
    ),
    "motorbike": (
        ("materialdesign", 0xF15B7),
        ("materialdesign", 0xF15BA),
        ("material", 0xEB28),
        ("materialdesign", 0xF15B9),
        ("remix", 0xEF7B),
        ("materialdesign", 0xF15B8),
    ),
    "person": (
        ("fontawesome", 0xF1AE),
        ("fontawesome", 0xF70C),
        ("materialdesign", 0xF064D),
        ("materialdesign", 0xF0649),
        ("materialdesign", 0xF070E),
        ("materialdesign", 0xF02E7),
        ("remix", 0xF2A7),
        ("remix", 0xF0A4),
        ("ligature", 0xE176),
        ("ligature", 0xE175),
        ("elusive", 0xF131),
        ("noto", 0x1F3C3),
        ("phosphor", 0xF26A),
        ("phosphor", 0xF64C),
        ("phosphor", 0xF26D),
        ("phosphor", 0xF64F),
        ("remix", 0xF2A8),
        ("remix", 0xF0A5),
    ),
    "pottedplant": (
        ("materialdesign", 0xF09F1),
        ("materialdesign", 0xF0DB5),
        ("noto", 0x1F33F),
        ("lucide", 0xE2D4),
        ("materialdesign", 0xF0E67),
        ("remix", 0xF007),
        ("remix", 0xEB17),
        ("materialdesign", 0xF09F2),
    ),
    "sofa": (
        ("materialdesign", 0xF156D),
    ),
    "train": (
        ("materialdesign", 0xF052D),
        ("materialdesign", 0xF08C4),
        ("phosphor", 0xFA9C),
        ("remix", 0xF1B0),
        ("lineicons", 0xEC16),
        ("noto", 0x1F68A),
        ("noto", 0x1F687),
        ("noto", 0x1F68B),
        ("fontawesome", 0xF239),
        ("phosphor", 0xF330),
        ("phosphor", 0xF71C),
        ("phosphor", 0xF331),
        ("phosphor", 0xF71D),
        ("remix", 0xF223),
        ("phosphor", 0xF332),
        ("phosphor", 0xF71E),
        ("remix", 0xF1B1),
    ),
    "tvmonitor": (
        ("phosphor", 0xF987),
        ("phosphor", 0xF898),
        ("remix", 0xF234),
        ("remix", 0xEBC9),
        ("lucide", 0xE203),
        ("phosphor", 0xF30A),
        ("phosphor", 0xF6F6),
        ("phosphor", 0xF30B),
        ("phosphor", 0xF6F7),
        ("remix", 0xF237),
        ("phosphor", 0xF21D),
        ("phosphor", 0xF5F9),
        ("phosphor", 0xF12E),
        ("phosphor", 0xF4C0),
        ("remix", 0xF235),
        ("remix", 0xEBCA),
    ),
    "umbrella": (
        ("phosphor", 0xF342),
        ("phosphor", 0xF72E),
        ("remix", 0xF243),
    ),
    "clock": (
        ("phosphor", 0xF0F9),
        ("phosphor", 0xF478),
        ("remix", 0xEA1B),
    ),
    "house": (
        ("materialdesign", 0xF06A1),
        ("phosphor", 0xF1D8),
        ("phosphor", 0xF5B4),
    ),
    "tree": (
        ("materialdesign", 0xF0E69),
        ("phosphor", 0xF337),
        ("phosphor", 0xF723),
    ),
    "fish": (
        ("phosphor", 0xF17A),
        ("phosphor", 0xF556),
    ),
    "book": (
        ("phosphor", 0xF091),
        ("phosphor", 0xF40F),
        ("remix", 0xEADB),
    ),
    "cup": (
        ("materialdesign", 0xF06CA),
    ),
    "scissors": (
        ("phosphor", 0xF2AB),
        ("phosphor", 0xF68E),
    ),
    "apple": (
        ("materialdesign", 0xF0C84),
    ),
    "pizza": (
        ("phosphor", 0xF279),
        ("phosphor", 0xF65B),
    ),
    "camera": (
        ("remix", 0xEB31),
    ),
    "key": (
        ("materialdesign", 0xF0DD6),
        ("remix", 0xEE71),
    ),
    "truck": (
        ("materialdesign", 0xF129D),
        ("phosphor", 0xF33E),
        ("phosphor", 0xF72A),
    ),
    "cake": (
        ("materialdesign", 0xF17F0),
        ("phosphor", 0xF0AA),
        ("phosphor", 0xF428),
    ),
}
"""More drawings of the same classes for the last stage of training: other poses, and the same drawings in
thinner lines. None is a held-out drawing in another weight."""
# fmt: on

DRAWINGS = VOC_DRAWINGS | DISTRACTOR_DRAWINGS

GLYPH_SIZE = 128
"""Side in pixels of the square on which a glyph is prepared."""


def held_out_drawing(class_name: str) -> Drawing | None:
    """Drawing of a class that the test split alone may show.

    Parameters
    ----------
    class_name : str
        A key of `DRAWINGS`.

    Returns
    -------
    tuple of (str, int) or None
        None where the class has fewer than three drawings.
    """
    drawings = DRAWINGS[class_name]
    if len(drawings) < 3:
        return None
    return random.Random(f"held out of training: {class_name}").choice(drawings)


@cache
def training_drawings(class_name: str) -> tuple[Drawing, ...]:
    """Drawings of a class that every split but the test split shows."""
    return tuple(d for d in DRAWINGS[class_name] if d != held_out_drawing(class_name))


@cache
def varied_drawings(class_name: str) -> tuple[Drawing, ...]:
    """Training drawings and the additional ones of the last stage of training."""
    return training_drawings(class_name) + EXTRA_DRAWINGS.get(class_name, ())


@cache
def test_drawings(class_name: str) -> tuple[Drawing, ...]:
    """Drawings of a class in the test split: the held-out one, or all where none is held out."""
    held_out = held_out_drawing(class_name)
    return DRAWINGS[class_name] if held_out is None else (held_out,)


def font_path(font: str) -> Path:
    """Place of a font file inside the installed package that carries it.

    Raises
    ------
    CoMCError
        Where the package or the file is missing.
    """
    package, file = FONTS[font]
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise CoMCError(
            f"The embedded world draws with the font {Path(file).name} of the package {package}, "
            f"which is not installed in the pinned version. Run: pip install -c constraints.txt -e ."
        )
    return path


@cache
def glyph(drawing: Drawing) -> tuple[Image.Image, Image.Image]:
    """Masks of one drawing.

    Parameters
    ----------
    drawing : tuple of (str, int)
        Font and code point.

    Returns
    -------
    ink, silhouette : PIL.Image.Image
        Two masks (mode L, `GLYPH_SIZE` squared, the longer side of the glyph filling the square): the
        glyph as the font draws it, and the same with every enclosed area filled.
    """
    font, code_point = drawing
    face = ImageFont.truetype(str(font_path(font)), 2 * GLYPH_SIZE)
    canvas = Image.new("L", (5 * GLYPH_SIZE, 5 * GLYPH_SIZE))
    ImageDraw.Draw(canvas).text(
        (2.5 * GLYPH_SIZE, 2.5 * GLYPH_SIZE), chr(code_point), fill=255, font=face, anchor="mm"
    )
    box = canvas.getbbox()
    if box is None:
        raise CoMCError(f"The font {font} draws nothing for code point U+{code_point:04X}.")
    ink = canvas.crop(box)
    filled = binary_fill_holes(np.asarray(ink) > 127)
    silhouette = Image.fromarray(np.maximum(np.asarray(ink), filled.astype(np.uint8) * 255))
    return _square(ink), _square(silhouette)


def _square(mask: Image.Image) -> Image.Image:
    scale = GLYPH_SIZE / max(mask.size)
    width, height = (max(1, round(side * scale)) for side in mask.size)
    square = Image.new("L", (GLYPH_SIZE, GLYPH_SIZE))
    resized = mask.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(resized, ((GLYPH_SIZE - width) // 2, (GLYPH_SIZE - height) // 2))
    return square
