"""Drawings of other things than the world's: thousands of icons, with the names that their fonts give them.

The embedded models see them in one early stage of training, as CLIP saw far more than any benchmark's classes:
what makes two drawings show one thing is learned from many things. An icon is left out where a word of its name
is one of the world's, and where it looks like a held-out drawing.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from functools import cache

import numpy as np
from matplotlib.ft2font import FT2Font

from comc_utils.miniworld.drawings import DRAWINGS, Drawing, font_path, glyph, held_out_drawing

NAME_LISTS = {
    "elusive": "elusiveicons-webfont-charmap-2.0.json",
    "fontawesome": "fontawesome6-solid-webfont-charmap-6.7.2.json",
    "fontawesome-regular": "fontawesome6-regular-webfont-charmap-6.7.2.json",
    "lineicons": "unicodesMap.json",
    "lucide": "info.json",
    "material": "MaterialIcons-Regular.codepoints",
    "material-outlined": "MaterialIconsOutlined-Regular.codepoints",
    "materialdesign": "materialdesignicons6-webfont-charmap-6.9.96.json",
    "phosphor": "phosphor-charmap-1.3.0.json",
    "remix": "remixicon-charmap-2.5.0.json",
}
"""Font: the file beside it that names its icons. Noto Emoji has Unicode's names."""

MOST_ALIKE = 0.7
"""Overlap (intersection over union of ink) with a held-out drawing from which an icon counts as the same."""

_STYLES = (
    "fill", "filled", "line", "outline", "outlined", "thin", "light", "bold", "duotone", "solid", "variant",
    "alt", "regular", "round", "sharp", "black", "white", "heavy", "symbol", "emoji",
)  # fmt: skip
_WORDS = """
aeroplane airplane aircraft plane jet flight flights airport helicopter takeoff landing bicycle bike
bikes cycling biking pedal bird dove duck owl crow eagle parrot penguin chick chicken rooster swan
flamingo turkey feather twitter kiwi boat boating ship ferry sail sailing sailboat canoe speedboat anchor
rowing bottle soda wine champagne drink bus shuttle car cars taxi cab automobile vehicle oncoming minibus
van rv suv carpool garage cat chair seat seats armchair rocking stool recline cow bull ox buffalo table
tables dining desk restaurant picnic dog poodle guide horse racing unicorn chess motorbike motorcycle
motor scooter moped atv motorsports person people human man woman male female men women boy girl child
children baby user users account accounts walking walk walker running run runner pedestrian standing
hiking face elderly adult family pregnant wheelchair accessible accessibility stroller plant potted pot
flower cactus seedling sprout leaf herb grass nature sheep ram goat ewe lamb sofa couch loveseat weekend
living lounge train tram subway metro railway rail locomotive monorail station transit tv television
monitor monitors screen screens desktop display computer umbrella clock clocks watch alarm time timer
house houses home homes building cottage hut garden tree trees palm forest park fish fishing book books
bible journal bookshelf notebook library cup mug coffee tea cafe teacup scissors cut shears apple fruit
pizza camera cameras photo key keys guitar guitars truck trucks lorry shipping delivery tow cake cakes
birthday cupcake rabbit bunny
"""
_WORLD_WORDS = frozenset(_WORDS.split())
"""What the world's classes are called, and words that icon fonts use for them."""


@cache
def icon_drawings() -> dict[str, tuple[Drawing, ...]]:
    """Find the icons of other things, by name.

    Returns
    -------
    dict of str to tuple of (str, int)
        For each name drawings by at least two hands, in order.

    Raises
    ------
    CoMCError
        A font is missing.
    """
    named = defaultdict(set)
    for font in NAME_LISTS:
        for name, code_point in _names_of(font).items():
            named[_without_style(name)].add((font, code_point))
    for code_point in FT2Font(str(font_path("noto"))).get_charmap():
        if code_point >= 0x2600 and (name := unicodedata.name(chr(code_point), "")):
            named[_without_style(name.lower())].add(("noto", code_point))
    chosen = {}
    for name in sorted(named):
        several = len({_hand(font) for font, _ in named[name]}) > 1
        if several and not _WORLD_WORDS & set(name.split()):
            drawings = tuple(d for d in sorted(named[name]) if not _is_held_out(d))
            if len({_hand(font) for font, _ in drawings}) > 1:
                chosen[name] = drawings
    return chosen


def _hand(font: str) -> str:
    """Take two styles of one font for one hand."""
    return font.split("-")[0]


def _names_of(font: str) -> dict[str, int]:
    """Read the names and code points of a font's icons from the file beside it."""
    text = (font_path(font).parent / NAME_LISTS[font]).read_text(encoding="utf-8")
    if NAME_LISTS[font].endswith(".codepoints"):
        return {name: int(code, 16) for name, code in map(str.split, text.splitlines())}
    return {name: _code_point(value) for name, value in json.loads(text).items()}


def _code_point(value: int | str | dict[str, str]) -> int:
    if isinstance(value, int):
        return value
    digits = value["encodedCode"].removeprefix("\\") if isinstance(value, dict) else value
    return int(digits, 16)


def _without_style(name: str) -> str:
    """Reduce the name of an icon to what it shows, in words."""
    words = re.sub(r"[-_ ]+", " ", name.removeprefix("lni-")).split()
    while words and (words[-1] in _STYLES or words[-1].isdecimal()):
        words.pop()
    return " ".join(words)


@cache
def _held_out_inks() -> np.ndarray:
    """Ink of all held-out drawings and their mirror images, [n, 128 * 128]."""
    held_out = [d for d in map(held_out_drawing, DRAWINGS) if d is not None]
    inks = np.stack([np.asarray(glyph(d)[0]) > 127 for d in held_out])
    return np.concatenate([inks, inks[:, :, ::-1]]).reshape(2 * len(held_out), -1)


def _is_held_out(drawing: Drawing) -> bool:
    """Tell whether a drawing looks like a held-out one, or draws nothing."""
    try:
        ink = (np.asarray(glyph(drawing)[0]) > 127).ravel()
    except ValueError:  # too large for a canvas
        return True
    held_out = _held_out_inks()
    common = (held_out & ink).sum(axis=1)
    return not ink.any() or bool((common > MOST_ALIKE * (held_out | ink).sum(axis=1)).any())
