"""The little English that label names need: articles, plurals and lists."""

from __future__ import annotations

from collections.abc import Sequence

IRREGULAR_PLURALS = {
    "bookshelf": "bookshelves",
    "child": "children",
    "fish": "fish",
    "foot": "feet",
    "goose": "geese",
    "knife": "knives",
    "leaf": "leaves",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "reindeer": "reindeer",
    "sheep": "sheep",
    "shelf": "shelves",
    "deer": "deer",
    "elk": "elk",
    "aircraft": "aircraft",
    "skis": "skis",
    "wife": "wives",
    "wolf": "wolves",
    "woman": "women",
}
"""Plurals of head nouns that no rule gives."""

_SOUNDS_LIKE_CONSONANT = ("uni", "use", "eu", "one")
_SOUNDS_LIKE_VOWEL = ("hour", "honest", "heir")


def article(noun_phrase: str) -> str:
    """Indefinite article of a singular noun phrase.

    Examples
    --------
    >>> article("umbrella"), article("unicorn"), article("hot dog"), article("suv")
    ('an', 'a', 'a', 'a')
    """
    word = noun_phrase.lower()
    if word.startswith(_SOUNDS_LIKE_VOWEL):
        return "an"
    if word.startswith(_SOUNDS_LIKE_CONSONANT):
        return "a"
    return "an" if word[0] in "aeiou" else "a"


def plural(noun: str) -> str:
    """Plural of a singular noun or compound, whose last word is its head.

    Examples
    --------
    >>> plural("bus"), plural("traffic light"), plural("police man"), plural("puppy")
    ('buses', 'traffic lights', 'police men', 'puppies')
    """
    *rest, head = noun.split(" ")
    if head in IRREGULAR_PLURALS:
        head = IRREGULAR_PLURALS[head]
    elif head.endswith(("s", "x", "z", "ch", "sh")):
        head += "es"
    elif head.endswith("y") and head[-2:-1] not in "aeiou":
        head = head[:-1] + "ies"
    elif head.endswith(("ato", "ero")):
        head += "es"
    else:
        head += "s"
    return " ".join([*rest, head])


def enumerate_phrases(phrases: Sequence[str]) -> str:
    """Join phrases as English lists do.

    Examples
    --------
    >>> enumerate_phrases(["a dog"]), enumerate_phrases(["a dog", "a cat", "a bus"])
    ('a dog', 'a dog, a cat and a bus')
    """
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
