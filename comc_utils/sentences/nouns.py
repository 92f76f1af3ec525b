"""How a noun counts that somebody wrote: which article it takes in a prompt, and which plural.

The benchmarks' names are in tables, see `lexicon`; for all other nouns there are rules, a library's irregular
plurals, and tables of what neither knows.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import cache
from typing import Any

from comc_utils.sentences import lexicon
from comc_utils.sentences.common import common_things
from comc_utils.sentences.english import article
from comc_utils.sentences.label_words import COCO_NAMES, NAMES_WITHOUT_ARTICLE, NUSWIDE_NAMES, VOC2007_NAMES


class Counting(str, Enum):
    """How a noun stands in a sentence."""

    ONE = "a or an, and a plural"
    PLURAL = "plural already"
    BARE = "no article and no plural: masses, activities, proper names"
    DEFINITE = "the, for there is one"
    QUALITY = "an adjective, which something has"

    __str__ = str.__str__


MASSES = frozenset((
    "art", "asphalt", "bacon", "bamboo", "beef", "beer", "blood", "bread", "butter", "cash", "champagne",
    "cheese", "chess", "chocolate", "clothing", "coal", "coffee", "concrete", "cotton", "cream",
    "cutlery", "darkness", "daylight", "denim", "dirt", "dust", "fabric", "farmland", "firewood", "flour",
    "fog", "foliage", "food", "fruit", "fur", "furniture", "garbage", "glassware", "gold", "graffiti",
    "gravel", "gymnastics", "hair", "hay", "honey", "ice", "ice cream", "ivory", "jam", "jewelry",
    "jewellery", "juice", "ketchup", "lace", "lava", "leather", "litter", "luggage", "machinery",
    "makeup", "marble", "mayonnaise", "meat", "medicine", "metal", "milk", "money", "moss", "mud",
    "music", "mustard", "nature", "news", "oil", "paint", "paper", "pasta", "pepper", "physics",
    "plastic", "pollution", "porcelain", "pork", "pottery", "poultry", "rain", "rice", "rubber",
    "rubbish", "rust", "salt", "sauce", "scenery", "seafood", "seaweed", "silk", "silver", "smoke",
    "soap", "soil", "soup", "spaghetti", "spinach", "steam", "steel", "straw", "stuff", "sugar",
    "sunlight", "sunshine", "sushi", "tea", "tennis", "text", "toast", "tofu", "traffic", "trash",
    "underwear", "vegetation", "velvet", "vinegar", "waste", "wax", "weather", "wheat", "wildlife",
    "wine", "wood", "wool", "yarn", "yogurt", "yoga", "golf", "football", "basketball", "baseball",
    "hockey", "rugby", "volleyball", "cricket", "judo", "karate", "badminton", "gym", "fashion",
))  # fmt: skip
"""Nouns that are not counted."""

PLURALS = frozenset((
    "binoculars", "clothes", "glasses", "goggles", "headphones", "jeans", "leggings", "pajamas", "pants",
    "people", "pliers", "police", "scissors", "shorts", "skis", "stairs", "sunglasses", "tights", "tongs",
    "trousers", "tweezers", "cattle", "fireworks", "ruins", "outdoors", "groceries", "dishes", "pyjamas",
))  # fmt: skip
"""Plurals without a singular, or with one that means something else."""

SINGULAR_IN_S = frozenset((
    "alias", "atlas", "bias", "canvas", "christmas", "gas", "lens", "mars", "pancreas", "series",
    "species", "mattress", "texas", "headquarters", "crossroads", "aids",
))  # fmt: skip
"""Singular nouns that end as plurals do, beside those in -ss, -us and -is."""

NOUNS_IN_ING = frozenset((
    "awning", "bedding", "being", "blessing", "building", "carving", "ceiling", "coating", "covering",
    "crossing", "drawing", "dressing", "dumpling", "duckling", "earring", "engraving", "etching",
    "filling", "gathering", "gosling", "greeting", "herring", "icing", "king", "landing", "meeting",
    "molding", "opening", "painting", "parking", "pudding", "railing", "ring", "sapling", "seedling",
    "setting", "sibling", "sling", "spring", "starling", "stocking", "string", "swing", "thing",
    "topping", "trimming", "turning", "viking", "wedding", "wing", "wrapping", "wiring", "briefing",
))  # fmt: skip
"""Things whose names end as activities do."""

DOING = frozenset((
    "baking", "brushing", "building", "buying", "carrying", "catching", "chasing", "cleaning", "climbing",
    "cooking", "crossing", "cutting", "doing", "drinking", "driving", "eating", "feeding", "flying",
    "holding", "hugging", "jumping", "kicking", "kissing", "lifting", "looking", "making", "mowing",
    "playing", "pulling", "pushing", "reading", "riding", "selling", "shaking", "singing", "sitting",
    "smelling", "smoking", "standing", "taking", "talking", "throwing", "using", "walking", "washing",
    "watching", "watering", "wearing", "writing",
))  # fmt: skip
"""Verbs that begin the name of an activity: "playing football"."""

THINGS_FOR_DOING = frozenset((
    "aid", "area", "bag", "board", "boat", "book", "boots", "bowl", "brush", "building", "card", "cards",
    "chair", "club", "desk", "field", "glass", "glasses", "gown", "jacket", "lamp", "liquid", "machine",
    "machines", "oil", "pan", "path", "pool", "powder", "room", "shoe", "shoes", "stand", "stick",
    "sticks", "suit", "table", "tower", "trail", "vessel", "water", "wheel",
))  # fmt: skip
"""Heads of things that are named after what is done with them: "washing machine"."""

QUALITIES = frozenset((
    "abstract", "ancient", "angry", "beautiful", "beige", "black", "black and white", "blue", "blurry",
    "bright", "broken", "brown", "bumpy", "clean", "cloudy", "cold", "colorful", "colourful", "cosy",
    "cozy", "cracked", "cute", "damaged", "dark", "delicious", "dirty", "dry", "dusty", "elegant",
    "empty", "fluffy", "foggy", "fresh", "fuzzy", "glossy", "gray", "green", "grey", "happy", "heavy",
    "hot", "huge", "indoor", "large", "long", "messy", "metallic", "misty", "modern", "monochrome",
    "moody", "muddy", "natural", "new", "old", "open", "outdoor", "overexposed", "pink", "purple",
    "rainy", "red", "retro", "ripe", "romantic", "rotten", "rough", "round", "rural", "rusty", "sad",
    "scary", "sharp", "shiny", "short", "small", "smiling", "smooth", "snowy", "soft", "spicy", "square",
    "steep", "striped", "sunny", "tall", "tasty", "tidy", "tiny", "transparent", "ugly", "underexposed",
    "urban", "vintage", "violet", "warm", "wet", "white", "wild", "wooden", "yellow", "young",
))  # fmt: skip
"""Adjectives that people use as labels."""

_BENCHMARKS = frozenset((*VOC2007_NAMES.values(), *COCO_NAMES, *NUSWIDE_NAMES))
_LETTERS_LIKE_VOWELS = frozenset("AEFHILMNORSX8")
_SAID_AS_WORDS = frozenset(
    ("NASA", "NATO", "LAN", "RAM", "ROM", "SIM", "LEGO", "LASER", "RADAR", "SONAR", "UNESCO")
)
_LIKE_YOU = ("uk", "uten", "util", "uran")
_DETERMINER = re.compile(r"(a|an|the|some|many|two|three|several|my|our|his|her|their)\s", re.IGNORECASE)
_AFTER_THE_HEAD = re.compile(r"\s(?:in|on|of|with|without|at|under|near|by|from|for|wearing|holding)\s.*")


def counting(name: str) -> Counting:
    """Tell how a noun, or what somebody uses as one, stands in a sentence.

    Parameters
    ----------
    name : str
        Several words have the last for their head; but "playing football" is an activity.

    Returns
    -------
    Counting

    Examples
    --------
    >>> [counting(name).name for name in ("hour", "scissors", "water", "people", "jogging", "Paris", "blurry")]
    ['ONE', 'PLURAL', 'BARE', 'PLURAL', 'BARE', 'BARE', 'QUALITY']
    """
    if name in _BENCHMARKS:
        if name in lexicon.PLURAL_NAMES:
            return Counting.PLURAL
        return Counting.BARE if name in NAMES_WITHOUT_ARTICLE else Counting.ONE
    lower = name.lower()
    words = _AFTER_THE_HEAD.sub("", lower).split(" ")
    first, head = words[0], words[-1]
    if lower in lexicon.DEFINITE_NAMES:
        return Counting.DEFINITE
    if lower in QUALITIES:
        return Counting.QUALITY
    if _DETERMINER.match(name) or not _is_latin(name) or _is_proper(name):
        return Counting.BARE
    if lower in MASSES or head in MASSES or head in lexicon.MASS_NOUNS:
        return Counting.BARE
    if head.endswith("ing") and head not in NOUNS_IN_ING and len(head) > 4:
        return Counting.BARE
    if first in DOING and head not in THINGS_FOR_DOING and (first != head or lower != first):
        return Counting.BARE
    return Counting.PLURAL if is_plural(head) else Counting.ONE


def counting_as_listed(noun: str) -> Counting:
    """As `counting`, by the tables of the benchmarks' classes alone: what is in none of them is counted."""
    if noun in lexicon.MASS_NOUNS:
        return Counting.BARE
    if noun in lexicon.DEFINITE_NAMES:
        return Counting.DEFINITE
    return Counting.PLURAL if noun in lexicon.PLURAL_NAMES else Counting.ONE


def with_article(name: str) -> str:
    """Put a noun as a prompt needs it: "an hour", "scissors", "water", "an LED lamp", "something blurry".

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        For the classes of VOC2007, MS-COCO and NUS-WIDE as `labels.label_prompt` has them.

    Examples
    --------
    >>> with_article("university"), with_article("LED lamp"), with_article("park benches")
    ('a university', 'an LED lamp', 'park benches')
    """
    how = counting(name)
    if how is Counting.ONE:
        return f"{article_of(name)} {name}"
    if how is Counting.DEFINITE:
        return f"the {name}"
    return f"something {name}" if how is Counting.QUALITY else name


def article_of(name: str) -> str:
    """Indefinite article, of abbreviations by the names of their letters: a UFO, an SUV, a NASA rocket."""
    first = re.split(r"[\s-]", name)[0]
    if first.isdecimal():
        return "an" if first.startswith("8") or first in ("11", "18") else "a"
    if name.lower().startswith(_LIKE_YOU):
        return "a"
    if len(first) <= 5 and first.isupper() and first not in _SAID_AS_WORDS:
        return "an" if first[0] in _LETTERS_LIKE_VOWELS else "a"
    return article(name)


def is_plural(noun: str) -> bool:
    """Tell whether a word, in lower case, is a plural: "shoes", "geese", but not "bus" or "lens"."""
    return singular(noun) != noun or noun in PLURALS


@cache
def singular(noun: str) -> str:
    """Find the singular of a noun in lower case: the noun itself where there is none or it has another sense.

    Parameters
    ----------
    noun : str

    Returns
    -------
    str

    Examples
    --------
    >>> singular("park benches"), singular("geese"), singular("bus"), singular("scissors")
    ('park bench', 'goose', 'bus', 'scissors')
    """
    *rest, head = noun.split(" ")
    known = head in PLURALS | MASSES | SINGULAR_IN_S | lexicon.MASS_NOUNS
    if known or head.endswith(("ss", "us", "is")) or not head.isascii() or not head.isalpha():
        return noun
    one = _inflect().singular_noun(head)
    return " ".join([*rest, one]) if one else noun


@cache
def _inflect() -> Any:
    import inflect  # takes a second, and only here is it needed

    return inflect.engine()


def _is_proper(name: str) -> bool:
    """Whether a word begins with a capital that is no abbreviation, and the noun is not known in lower case."""
    words = [word for word in re.split(r"[\s-]", name) if word]
    capital = any(word[0].isupper() and not word.isupper() for word in words)
    known = _BENCHMARKS | MASSES | PLURALS | set(common_things())
    return capital and name.lower() not in known and singular(name.lower()) not in known


def _is_latin(name: str) -> bool:
    letters = [letter for letter in name if letter.isalpha()]
    return all("LATIN" in unicodedata.name(letter, "") for letter in letters)
