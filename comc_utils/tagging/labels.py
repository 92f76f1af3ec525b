"""A user's labels: names to show, and phrases that stand for them in sentences."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from comc_utils.errors import CoMCError, printable
from comc_utils.sentences.labels import LabelSet
from comc_utils.sentences.nouns import singular, with_article

MOST_LABELS = 5_000
_ARTICLE = re.compile(r"^(a|an|the) ")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Label:
    """A label.

    Attributes
    ----------
    name : str
        As it is shown and written to files, in any script.
    phrase : str
        What stands for it in a sentence, with its article: "a dog", "water", "a person jogging".
    noun : str
        The phrase as the grammar takes it: a noun without article, or the phrase where the user gave one.
    """

    name: str
    phrase: str
    noun: str

    @classmethod
    def of(cls, text: str) -> Label:
        """Read "dog", or "jogger = a person jogging": a name, and a phrase where the name alone would not do.

        Raises
        ------
        CoMCError
            A name or a phrase that is empty or holds control characters.
        """
        name, equals, phrase = (part.strip() for part in text.partition("="))
        for part in (name, phrase) if equals else (name,):
            if not part:
                raise CoMCError(f"Label {printable(text)!r} is empty; write a name, or NAME = a phrase for it.")
            if _CONTROL.search(part):
                raise CoMCError(
                    f"Label {printable(text)!r} holds a line break or a control character; write it in one "
                    "line."
                )
        name = unicodedata.normalize("NFC", re.sub(r"\s+", " ", name))
        if equals:
            return cls(name, phrase, phrase)
        return cls(name, with_article(name), name)

    def __str__(self) -> str:
        """Write it as `of` reads it."""
        return self.name if self.noun == self.name else f"{self.name} = {self.phrase}"

    @property
    def key(self) -> str:
        """Same for names that differ by case, spaces or the plural alone; of a given phrase, by the phrase."""
        words = re.sub(r"[\s_-]+", " ", self.noun).casefold()
        return singular(_ARTICLE.sub("", words))


def as_labels(labels: str | os.PathLike[str] | Iterable[str | Label]) -> tuple[Label, ...]:
    """Read labels from wherever a user has them.

    Parameters
    ----------
    labels : str, path, iterable of str or mapping
        Names, "NAME = PHRASE" where a phrase is to stand for a name; as a list, as one string with commas
        between them, or as the path of a text file (UTF-8) with one a line, where a comma belongs to the name;
        or as phrases by name.

    Returns
    -------
    tuple of Label
        In their order.

    Raises
    ------
    CoMCError
        No label, more than 5,000, an empty one in a list, one that is there twice (case, spaces and the plural
        aside), or a file that cannot be read.
    """
    if isinstance(labels, os.PathLike) or (isinstance(labels, str) and _is_file(labels)):
        return _check(_read(Path(labels)), f"{labels}")
    if isinstance(labels, Mapping):
        labels = [f"{name} = {phrase}" for name, phrase in labels.items()]
    if isinstance(labels, str):
        parts = [part for part in labels.split(",") if part.strip()]
        return _check([(f"number {i}", Label.of(part)) for i, part in enumerate(parts, 1)], "the list")
    given = list(labels)
    for part in given:
        if not isinstance(part, str | Label):
            raise CoMCError(f"A label is {part!r}, of type {type(part).__name__}; give names as text.")
    read = [part if isinstance(part, Label) else Label.of(part) for part in given]
    return _check([(f"number {i}", label) for i, label in enumerate(read, 1)], "the list")


def label_set_of(labels: str | os.PathLike[str]) -> LabelSet:
    """Read labels as the writers of sentences take them: `write-sentences` with labels of one's own.

    Parameters
    ----------
    labels : path or str
        Of a text file, as for `as_labels`; a phrase counts among the words that name its label.

    Returns
    -------
    LabelSet

    Raises
    ------
    CoMCError
        There is no such file, as `as_labels`, and where a word names two labels.
    """
    if not os.path.isfile(labels):
        raise CoMCError(f"--labels {labels}: neither voc2007, coco2014 or nuswide, nor a text file of labels.")
    read = as_labels(Path(labels))
    phrases = {label.name: (label.noun,) for label in read if label.noun != label.name}
    return LabelSet(Path(labels).stem, tuple(label.name for label in read), {}, narrower=phrases)


def in_other_scripts(labels: Sequence[Label]) -> list[str]:
    """Names of the labels whose phrases have letters that English does not have."""
    return [
        label.name
        for label in labels
        if any("LATIN" not in unicodedata.name(c, "") for c in label.phrase if c.isalpha())
    ]


def _is_file(text: str) -> bool:
    return "\n" not in text and (text.lower().endswith(".txt") or os.path.isfile(text))


def _read(path: Path) -> list[tuple[str, Label]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CoMCError(f"The file of labels {path} is not in UTF-8; save it as UTF-8 text.") from None
    except OSError as error:
        raise CoMCError(
            f"The file of labels {path} cannot be read ({error.strerror}); check its path, and that it is a "
            "text file with one label a line."
        ) from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue  # an empty line separates groups, as people write lists
        if line.lstrip().startswith(("# ", "- ", "* ")):
            raise CoMCError(
                f"{path}, line {number} looks like a comment or a bullet, and every line here is a label; "
                "remove what is none."
            )
        try:
            found.append((f"line {number}", Label.of(line.rstrip("\r"))))
        except CoMCError as error:
            raise CoMCError(f"{path}, line {number}: {error}") from None
    if len(found) == 1 and "," in found[0][1].name:
        raise CoMCError(
            f"{path} has one line with commas; write a label a line, or give the words themselves: "
            '--labels "dog,cat".'
        )
    return found


def _check(found: Sequence[tuple[str, Label]], place: str) -> tuple[Label, ...]:
    if not found:
        raise CoMCError(f"There is no label in {place}; give at least one, such as dog.")
    if len(found) > MOST_LABELS:
        raise CoMCError(
            f"There are {len(found):,} labels in {place}, and {MOST_LABELS:,} at most can be learned at once; "
            "make several taggers of them."
        )
    first: dict[str, tuple[str, Label]] = {}
    for where, label in found:
        for key in {label.key, f"name {label.name.casefold()}"}:
            if key in first:
                where_first, other = first[key]
                if label.name.casefold() == other.name.casefold():
                    raise CoMCError(
                        f"Label {label.name!r} of {place} is there twice, {where_first} and {where}; remove "
                        "one."
                    )
                raise CoMCError(
                    f"Labels {other.name!r} ({where_first}) and {label.name!r} ({where}) of {place} are the "
                    "same but for case, spaces or the plural, or have the same phrase; remove one, or say what "
                    f"it means: {label.name} = a phrase for it."
                )
            first[key] = (where, label)
    return tuple(label for _, label in found)
