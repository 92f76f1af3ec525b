"""What became of a language model's answers: of each piece, of each answer, and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from comc_utils.sentences.llm.answer_text import BESIDE_THE_POINT
from comc_utils.sentences.llm.answers import Answered

EXACT = "names its labels and no other class"
OTHERS_TOO = "names its labels and other classes"
INCOMPLETE = "names some of its labels"
OFF_TOPIC = "names none of its labels"
CUT_SHORT = "cut short"
DUPLICATE = "repeats another sentence"
NOT_NEEDED = "another sentence of the answer was taken"
ASKED_AGAIN = "asked again"
NO_SENTENCE = "no sentence in it"
FILTERED = "refused by the server's content filter"
USED_UP = "tokens used up before the answer"

BEST_FIRST = (EXACT, OTHERS_TOO, INCOMPLETE, OFF_TOPIC)
"""Fates of sentences that may be kept, the best first."""


@dataclass(frozen=True)
class Piece:
    """A piece of an answer and what became of it.

    Attributes
    ----------
    raw : str
        As the model wrote it, apart from white space.
    text : str
        As a sentence; empty where nothing remained.
    fate : str
        One of the reasons that the report counts.
    kept : bool
        Whether it is a sentence of the corpus.
    repairs : tuple of str
        What was taken from it or put right.
    """

    raw: str
    text: str
    fate: str
    kept: bool = False
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class CleanedAnswer:
    """An answer taken apart.

    Attributes
    ----------
    pieces : tuple of Piece
        In the answer's order; together they are the whole answer.
    """

    pieces: tuple[Piece, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences that are kept."""
        return tuple(piece.text for piece in self.pieces if piece.kept)

    @property
    def fate(self) -> str:
        """What became of the answer: its best sentence's fate, or why it has none."""
        kept = [piece.fate for piece in self.pieces if piece.kept]
        if kept:
            return min(kept, key=BEST_FIRST.index)
        # Greetings are beside the point where something else stood there, too.
        fates = [piece.fate for piece in self.pieces]
        told = [fate for fate in fates if fate not in BESIDE_THE_POINT]
        return (told or fates or [NO_SENTENCE])[0]

    @property
    def names_its_labels(self) -> bool:
        """Whether a sentence that is kept names all its labels."""
        return any(piece.kept and piece.fate in (EXACT, OTHERS_TOO) for piece in self.pieces)


@dataclass(frozen=True)
class Fate:
    """What became of one answer of a corpus.

    Attributes
    ----------
    index : int
        Number of the label set.
    attempt : int
        0 for the first question about it.
    labels : tuple of str
    fate : str
    pieces : tuple of Piece
    """

    index: int
    attempt: int
    labels: tuple[str, ...]
    fate: str
    pieces: tuple[Piece, ...]


@dataclass
class CleaningReport:
    """How many answers, pieces and repairs there were, by reason.

    Attributes
    ----------
    answers, pieces, repairs : Counter
        Reason to count.
    fates : list of Fate
        One for each answer, in the order of the label sets.
    """

    answers: Counter[str] = field(default_factory=Counter)
    pieces: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    fates: list[Fate] = field(default_factory=list, repr=False)

    def rows(self) -> list[tuple[str, str, int]]:
        """Table of the counts.

        Returns
        -------
        list of (str, str, int)
            "answers", "pieces" or "repairs"; reason; count. Largest counts first within each.
        """
        return [
            (unit, reason, count)
            for unit in ("answers", "pieces", "repairs")
            for reason, count in getattr(self, unit).most_common()
        ]

    def add(self, answered: Answered, cleaned: CleanedAnswer, fate: str) -> None:
        """Count one answer.

        Parameters
        ----------
        answered : Answered
        cleaned : CleanedAnswer
        fate : str
            Of the answer as a whole.
        """
        self.answers[fate] += 1
        self.pieces.update(piece.fate for piece in cleaned.pieces)
        self.repairs.update(repair for piece in cleaned.pieces for repair in piece.repairs)
        self.fates.append(Fate(answered.index, answered.attempt, answered.labels, fate, cleaned.pieces))
