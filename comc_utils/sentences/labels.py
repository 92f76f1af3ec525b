"""Label sets of VOC2007, MS-COCO and NUS-WIDE: names, prompts, and finding classes in text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from comc_utils.errors import CoMCError
from comc_utils.sentences import label_words as words
from comc_utils.sentences.english import article, plural

PROMPT_TEMPLATE = "a photo of {}."
"""The paper's template (section 3.3), filled with article and class name."""

_WORD_OR_MARK = re.compile(r"[a-z0-9]+|[^\sa-z0-9'\u2019-]")


def label_prompt(class_name: str) -> str:
    """Write a class's prompt, "a photo of a/an [c].", with its article.

    Parameters
    ----------
    class_name : str
        Display name of a class.

    Returns
    -------
    str
        With "a" or "an" as the name sounds; plural and uncountable names take no article.

    References
    ----------
    CoMC (ICML 2024), section 3.3.

    Examples
    --------
    >>> label_prompt("umbrella"), label_prompt("potted plant"), label_prompt("scissors")
    ('a photo of an umbrella.', 'a photo of a potted plant.', 'a photo of scissors.')
    """
    if class_name in words.NAMES_WITHOUT_ARTICLE:
        return PROMPT_TEMPLATE.format(class_name)
    return PROMPT_TEMPLATE.format(f"{article(class_name)} {class_name}")


def check_label_names(names: Sequence[str]) -> None:
    """Refuse label names that cannot tell classes apart.

    Parameters
    ----------
    names : sequence of str
        Class names, in the order of the label matrix's columns.

    Raises
    ------
    CoMCError
        Where there is no name, a name is empty, or a name repeats (upper case and surrounding
        spaces aside).
    """
    if not names:
        raise CoMCError("The label set is empty; give at least one class name.")
    first_position: dict[str, int] = {}
    for position, name in enumerate(names):
        key = name.strip().casefold()
        if not key:
            raise CoMCError(
                f"Label name number {position} (counted from 0) is empty; name the class or remove its column."
            )
        if key in first_position:
            raise CoMCError(
                f"Label name {name!r} stands at positions {first_position[key]} and {position} "
                "(counted from 0); give each class a name of its own."
            )
        first_position[key] = position


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set, and the words that name them.

    Parameters
    ----------
    name : str
        Name of the set, as messages show it.
    class_names : tuple of str
        Display names, as texts use them, in the official order.
    synonyms : mapping of str to tuple of str
        Class name: countable nouns in the singular that a sentence may use in its place.
    official_names : tuple of str
        Identifiers that the data set's files use; the class names where they are the same.
    narrower : mapping of str to tuple of str
        Class name: nouns that name only some of its members ("jockey" for a person), and usual
        spellings. They are recognised in text, never written.
    misleading : tuple of str
        Compounds in which a class's word means something else ("hot dog" where only dogs are a
        class).

    Raises
    ------
    CoMCError
        Where names repeat or are empty, official names do not match the class names in number,
        synonyms belong to no class, or a word names two classes.
    """

    name: str
    class_names: tuple[str, ...]
    synonyms: Mapping[str, tuple[str, ...]]
    official_names: tuple[str, ...] = ()
    narrower: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    misleading: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the names."""
        check_label_names(self.class_names)
        if not self.official_names:
            object.__setattr__(self, "official_names", self.class_names)
        if len(self.official_names) != len(self.class_names):
            raise CoMCError(
                f"Label set {self.name!r} has {len(self.class_names)} class names and "
                f"{len(self.official_names)} official names; give one official name for each class."
            )
        strangers = (set(self.synonyms) | set(self.narrower)) - set(self.class_names)
        if strangers:
            raise CoMCError(
                f"Label set {self.name!r} has synonyms for {sorted(strangers)}, which are no "
                "classes of it; use the class names as keys."
            )
        self._class_of_phrase  # noqa: B018 - a word that names two classes is to be noticed here

    def find(self, text: str) -> set[int]:
        """Classes that the words of a text name.

        Whole words count, in singular and plural, whatever their case; of overlapping names the
        longest wins, so that a "hot dog" is no dog and a "teddy bear" no bear. The colour orange is
        no orange.

        Parameters
        ----------
        text : str
            Any English text; hyphens are read as spaces.

        Returns
        -------
        set of int
            Indices into `class_names`, each in [0, N).

        Examples
        --------
        >>> [COCO.class_names[i] for i in sorted(COCO.find("Two men eat a hot dog on a bench."))]
        ['person', 'bench', 'hot dog']
        """
        tokens = _WORD_OR_MARK.findall(text.lower())
        return {index for index in self._read(tokens) if index is not None}

    def _read(self, tokens: Sequence[str]) -> Iterator[int | None]:
        start = 0
        while start < len(tokens):
            for length in range(min(self._longest_phrase, len(tokens) - start), 0, -1):
                phrase = " ".join(tokens[start : start + length])
                if phrase in self._class_of_phrase:
                    start += length
                    if not _is_colour(phrase, tokens[start:]):
                        yield self._class_of_phrase[phrase]
                    break
            else:
                start += 1

    @cached_property
    def _class_of_phrase(self) -> dict[str, int | None]:
        table: dict[str, int | None] = {}
        for index, class_name in enumerate(self.class_names):
            nouns = (class_name, *self.synonyms.get(class_name, ()), *self.narrower.get(class_name, ()))
            for phrase in (form for noun in nouns for form in forms(noun)):
                other = table.setdefault(phrase, index)
                if other != index:
                    raise CoMCError(
                        f"In label set {self.name!r}, {phrase!r} names both "
                        f"{self.class_names[other]!r} and "
                        f"{class_name!r}; remove it from the synonyms of one of them."
                    )
        for compound in self.misleading:
            for phrase in forms(compound):
                table.setdefault(phrase, None)
        return table

    @cached_property
    def _longest_phrase(self) -> int:
        return max(phrase.count(" ") + 1 for phrase in self._class_of_phrase)


def forms(noun: str) -> list[str]:
    """Write a noun as `LabelSet.find` looks for it: singular, plural, and the plainest plural."""
    # Captions also write the plain plural of irregular nouns: "persons", "mouses".
    forms = (noun, plural(noun), f"{noun}s")
    return [" ".join(_WORD_OR_MARK.findall(form.lower())) for form in forms]


def _is_colour(phrase: str, following: Sequence[str]) -> bool:
    if phrase not in words.COLOUR_NOUNS or not following or not following[0].isalnum():
        return False
    if following[0] == "and" and len(following) > 1:
        return following[1] in words.COLOURS
    return following[0] not in words.WORDS_AFTER_A_NOUN


def _narrower(coco_name_of: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {
        name: words.NARROWER_NOUNS[coco_name]
        for name, coco_name in coco_name_of.items()
        if coco_name in words.NARROWER_NOUNS
    }


VOC2007 = LabelSet(
    name="VOC2007",
    class_names=tuple(words.VOC2007_NAMES.values()),
    synonyms=words.VOC2007_SYNONYMS,
    official_names=tuple(words.VOC2007_NAMES),
    narrower=_narrower({name: words.COCO_NAME_OF.get(name, name) for name in words.VOC2007_NAMES.values()}),
    misleading=words.MISLEADING_COMPOUNDS,
)
"""PASCAL VOC2007: 20 classes."""

COCO = LabelSet(
    name="MS-COCO",
    class_names=words.COCO_NAMES,
    synonyms=words.COCO_SYNONYMS,
    narrower=words.NARROWER_NOUNS,
    misleading=words.MISLEADING_COMPOUNDS,
)
"""MS-COCO: 80 categories."""

NUSWIDE = LabelSet(
    name="NUS-WIDE",
    class_names=words.NUSWIDE_NAMES,
    synonyms=words.NUSWIDE_SYNONYMS,
    narrower=_narrower({name: words.COCO_NAME_OF.get(name, name) for name in words.NUSWIDE_NAMES})
    | words.NUSWIDE_NARROWER_NOUNS,
    misleading=words.MISLEADING_COMPOUNDS,
)
"""NUS-WIDE: 81 concepts."""
