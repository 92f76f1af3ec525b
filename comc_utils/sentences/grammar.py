"""An offline writer: English sentences for label sets, from a grammar of our own.

It stands in for the language model of the paper's section 3.1 where none is at hand, behind the same
interface. It never invents facts about a data set: it knows label names, their synonyms, and how English
puts things side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from comc_utils.errors import CoMCError
from comc_utils.sentences import lexicon
from comc_utils.sentences.corpus import Record
from comc_utils.sentences.english import enumerate_phrases, plural
from comc_utils.sentences.instructions import comc_instruction
from comc_utils.sentences.labels import LabelSet
from comc_utils.sentences.nouns import Counting, article_of, counting_as_listed

RICHNESS = ("list", "relations", "full")
"""From a bare enumeration, over relations, numbers and places, to actions, light and openings."""


class Grammar:
    """Writes one sentence for each label set, naming every label of the set and no other.

    Parameters
    ----------
    label_set : LabelSet
        Names and synonyms. Places, adjectives and actions in whose words a class is named are never used.
    richness : {"list", "relations", "full"}
        How much a sentence may say beyond its labels.
    counting : callable
        How a noun stands in a sentence; `nouns.counting` for names that are in no table.

    Raises
    ------
    CoMCError
        For an unknown richness.
    """

    def __init__(
        self,
        label_set: LabelSet,
        *,
        richness: str = "full",
        counting: Callable[[str], Counting] = counting_as_listed,
    ) -> None:
        if richness not in RICHNESS:
            raise CoMCError(f"Unknown richness {richness!r} of the grammar; known: {', '.join(RICHNESS)}.")
        self.label_set = label_set
        self.richness = richness
        self._counting = counting
        self.name = f"grammar-{richness}"
        self._level = RICHNESS.index(richness)
        self._places = self._without_labels(lexicon.PLACES)
        self._lights = self._without_labels(lexicon.LIGHTS)
        self._openings = self._without_labels(lexicon.OPENINGS)
        self._actions = {k: self._without_labels(v) for k, v in lexicon.ACTIONS.items()}
        self._adjectives = {k: self._without_labels(v) for k, v in lexicon.ADJECTIVES.items()}

    def generate(self, label_sets: Iterable[Sequence[int]], *, seed: int) -> Iterator[Record]:
        """Write a corpus.

        Parameters
        ----------
        label_sets : iterable of sequences of int
            Indices into `label_set.class_names`.
        seed : int
            Sentence number i depends on the seed and i alone.

        Yields
        ------
        Record
            In the order of the label sets.
        """
        for index, labels in enumerate(label_sets):
            names = [self.label_set.class_names[i] for i in labels]
            rng = np.random.default_rng((seed, index))
            yield Record(
                text=self.sentence(names, rng),
                labels=tuple(names),
                generator=self.name,
                prompt=comc_instruction(names),
                seed=seed,
            )

    def sentence(self, names: Sequence[str], rng: np.random.Generator) -> str:
        """One sentence that names every label.

        Parameters
        ----------
        names : sequence of str
            Class names, at least one.
        rng : numpy.random.Generator

        Returns
        -------
        str
            Starts with a capital and ends with a full stop.
        """
        phrases = [self.noun_phrase(names[i], rng) for i in rng.permutation(len(names))]
        if self._level == 0:
            text = f"a photo of {enumerate_phrases([p for p, _, _ in phrases])}"
        else:
            text = self.compose(phrases, rng, setting=self._setting(rng))
        return as_sentence(text)

    def noun_phrase(
        self,
        name: str,
        rng: np.random.Generator,
        *,
        adjective: str | None = None,
        plural_probability: float = 0.25,
    ) -> tuple[str, bool, str]:
        """A class as a noun phrase.

        Parameters
        ----------
        name : str
            Class name.
        rng : numpy.random.Generator
        adjective : str, optional
            Adjective to use, '' for none; drawn at random where it is None.
        plural_probability : float
            Chance of a plural with a number word, where the noun has one.

        Returns
        -------
        text : str
            With article, number or adjective, as the class allows.
        is_plural : bool
        kind : str
            A key of `lexicon.KINDS`, or 'thing'.
        """
        kind = lexicon.kind_of(name)
        noun = name
        synonyms = self.label_set.synonyms.get(name, ())
        if synonyms and self._level > 0 and rng.random() < 0.35:
            noun = choice(rng, synonyms)
        if adjective is None and self._adjectives[kind] and rng.random() < 0.3 * (self._level > 0):
            adjective = choice(rng, self._adjectives[kind])
        adjective = f"{adjective} " if adjective else ""
        how = self._counting(noun)
        if how is Counting.BARE:
            return noun, False, kind
        if how is Counting.QUALITY:
            return f"something {noun}", False, kind
        if how is Counting.DEFINITE:
            return f"the {noun}", False, kind
        if how is Counting.PLURAL:
            number = choice(rng, ("some ", "many ", "")) if self._level > 0 else ""
            return f"{number}{adjective}{noun}", True, kind
        if self._level > 0 and rng.random() < plural_probability:
            return f"{choice(rng, lexicon.NUMBERS)} {adjective}{plural(noun)}", True, kind
        return f"{article_of(adjective + noun)} {adjective}{noun}", False, kind

    def compose(
        self, phrases: Sequence[tuple[str, bool, str]], rng: np.random.Generator, *, setting: str
    ) -> str:
        """Noun phrases joined by relations, verbs and company, in one of six constructions.

        Parameters
        ----------
        phrases : sequence of (str, bool, str)
            What `noun_phrase` gives, the subject first.
        rng : numpy.random.Generator
        setting : str
            Place and light, with a leading space, or ''.

        Returns
        -------
        str
            Without capital and full stop.
        """
        subject, is_plural, kind = phrases[0]
        verb = "are" if is_plural else "is"
        rest = [text for text, _, _ in phrases[1:]]
        relation = choice(rng, lexicon.RELATIONS)
        action = choice(rng, self._actions[kind]) if self._level > 1 else ""
        construction = rng.integers(6) if self._level > 1 else rng.integers(3)
        if construction == 0:
            text = f"{choice(rng, self._openings)} {enumerate_phrases([subject, *rest])}{setting}"
        elif construction == 1:
            text = f"there {verb} {subject}{_tail(rest, relation)}{setting}"
        elif construction == 2:
            text = f"{subject}{_tail(rest, relation)}{setting}"
        elif construction == 3:
            text = f"{subject} {verb} {action}{_tail(rest, relation)}{setting}"
        elif construction == 4:
            text = f"{subject} {action}{setting}{_tail(rest, relation)}"
        elif rest:
            other, other_plural, other_kind = phrases[1]
            other_action = choice(rng, self._actions[other_kind])
            text = (
                f"{subject} {verb} {action}{_tail(rest[1:], relation)} while {other} "
                f"{'are' if other_plural else 'is'} {other_action}{setting}"
            )
        else:
            text = f"{choice(rng, self._openings)} {subject} {action}{setting}"
        return text

    def _setting(self, rng: np.random.Generator) -> str:
        place = f" {choice(rng, self._places)}" if rng.random() < 0.45 else ""
        if self._level > 1 and rng.random() < 0.25:
            place += f" {choice(rng, self._lights)}"
        return place

    def _without_labels(self, phrases: Sequence[str]) -> tuple[str, ...]:
        return tuple(p for p in phrases if not self.label_set.find(p))


def as_sentence(text: str) -> str:
    """Capital first, full stop last."""
    return text[0].upper() + text[1:] + "."


def _tail(phrases: Sequence[str], relation: str) -> str:
    return f" {relation} {enumerate_phrases(phrases)}" if phrases else ""


def choice(rng: np.random.Generator, options: Sequence[str]) -> str:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]
