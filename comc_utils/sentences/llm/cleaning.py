"""From what a language model answered to sentences, with the fate of every piece of the answer.

Language models number, quote, greet, refuse, repeat the question, slip into other languages and stop in
the middle. `clean_answers` takes every answer of a corpus apart and decides on each piece, which may also
repeat another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, get_args, get_type_hints

from tqdm.auto import tqdm

from comc_utils.errors import CoMCError
from comc_utils.sentences.corpus import Record
from comc_utils.sentences.labels import LabelSet
from comc_utils.sentences.llm import answer_text as text_rules
from comc_utils.sentences.llm.answers import CONTENT_FILTER, LENGTH, Answered
from comc_utils.sentences.llm.fates import (
    ASKED_AGAIN,
    BEST_FIRST,
    CUT_SHORT,
    DUPLICATE,
    EXACT,
    FILTERED,
    INCOMPLETE,
    NOT_NEEDED,
    OFF_TOPIC,
    OTHERS_TOO,
    USED_UP,
    CleanedAnswer,
    CleaningReport,
    Piece,
)

_EMPTY_BECAUSE = {LENGTH: USED_UP, CONTENT_FILTER: FILTERED}


@dataclass(frozen=True)
class CleaningPolicy:
    """What to do where there is a choice. What is no sentence is always left out.

    Attributes
    ----------
    sentences : {"first", "all"}
        Of an answer with several sentences, take the first of the best, or all. Best is one that names its
        labels and no other class, then one that names its labels, then one that names some, then any.
    paragraphs : {"split", "keep"}
        Several sentences on one line, or under one number, are candidates each on its own (one that
        begins with "they", "it" and the like is no candidate), or one text together.
    missing_labels : {"keep", "drop", "ask-again"}
        For a sentence that does not name all its labels. "ask-again" drops it, too, after the last
        attempt.
    attempts : int
        How often at most a label set is asked about with "ask-again", the first time included.
    other_labels : {"keep", "drop"}
        For a sentence that names other classes of the label set, too.
    cut_short : {"keep", "drop"}
        For a last sentence without a final mark, where the model was stopped, did not say why it ended,
        or ended on a word that none ends on. Any other sentence without one is given a full stop.
    duplicates : {"keep", "drop"}
        For a sentence that an earlier one of the corpus repeats, case and punctuation aside.
    min_words, max_words : int
        Fewer words are no sentence; many more do not fit into CLIP's 77 tokens.
    max_foreign_share : float
        Largest share of letters of other scripts than Latin, in [0, 1].

    Raises
    ------
    CoMCError
        For another value.
    """

    sentences: Literal["first", "all"] = "first"
    paragraphs: Literal["split", "keep"] = "split"
    missing_labels: Literal["keep", "drop", "ask-again"] = "keep"
    attempts: int = 3
    other_labels: Literal["keep", "drop"] = "keep"
    cut_short: Literal["keep", "drop"] = "drop"
    duplicates: Literal["keep", "drop"] = "drop"
    min_words: int = 3
    max_words: int = 60
    max_foreign_share: float = 0.0

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(CleaningPolicy).items():
            choices = get_args(kind)
            if choices and getattr(self, name) not in choices:
                raise CoMCError(
                    f"The cleaning policy's {name} is {getattr(self, name)!r}; "
                    f"choose among {', '.join(choices)}."
                )
        if self.attempts < 1 or not 1 <= self.min_words <= self.max_words:
            raise CoMCError(
                f"The cleaning policy has {self.attempts} attempts and {self.min_words} to "
                f"{self.max_words} words; give at least 1 attempt, and at least 1 word."
            )
        if not 0 <= self.max_foreign_share <= 1:
            raise CoMCError(
                f"The cleaning policy's max_foreign_share is {self.max_foreign_share}; "
                "give a share from 0 to 1."
            )


def clean_answers(
    answers: Iterable[Answered],
    *,
    label_set: LabelSet,
    generator: str,
    seed: int,
    policy: CleaningPolicy | None = None,
    progress: bool = False,
) -> tuple[list[Record], CleaningReport]:
    r"""Make a corpus of answers.

    Parameters
    ----------
    answers : iterable of Answered
        Several attempts at one label set count as one long answer.
    label_set : LabelSet
    generator : str
        Name of the model.
    seed : int
        Of the label sets.
    policy : CleaningPolicy, optional
    progress : bool
        Show a progress bar.

    Returns
    -------
    records : list of Record
        In the order of the label sets.
    report : CleaningReport

    Raises
    ------
    CoMCError
        A label that is no class of the label set.

    Examples
    --------
    >>> from comc_utils.sentences.labels import VOC2007
    >>> text = "Sure, here you are:\n1. A cat naps.\n2. A dog and a cat nap on a rug."
    >>> answers = [Answered(index=0, attempt=0, labels=("dog", "cat"), prompt="", answer=text)]
    >>> records, report = clean_answers(answers, label_set=VOC2007, generator="a model", seed=0)
    >>> [record.text for record in records]
    ['A dog and a cat nap on a rug.']
    """
    policy = policy or CleaningPolicy()
    report = CleaningReport()
    records: list[Record] = []
    taken: set[str] = set()
    attempts: dict[int, list[Answered]] = {}
    for answered in sorted(answers, key=lambda answered: (answered.index, answered.attempt)):
        attempts.setdefault(answered.index, []).append(answered)
    for of_one_label_set in tqdm(attempts.values(), desc="cleaning", unit="set", disable=not progress):
        judged = [_judge(answered, label_set, policy) for answered in of_one_label_set]
        # All attempts stand for one label set, so the best sentence of them all is wanted.
        pieces = iter(_take([piece for some in judged for piece in some], policy, taken).pieces)
        for answered, some in zip(of_one_label_set, judged, strict=True):
            cleaned = CleanedAnswer(tuple(islice(pieces, len(some))))
            is_last = answered is of_one_label_set[-1]
            report.add(answered, cleaned, cleaned.fate if is_last or cleaned.sentences else ASKED_AGAIN)
            records += (
                Record(
                    text=text, labels=answered.labels, generator=generator, prompt=answered.prompt, seed=seed
                )
                for text in cleaned.sentences
            )
    return records, report


def needs_another_answer(answered: Answered, *, label_set: LabelSet, policy: CleaningPolicy) -> bool:
    """Whether a label set is to be asked about once more after this answer.

    Parameters
    ----------
    answered : Answered
        The last answer for the label set.
    label_set : LabelSet
    policy : CleaningPolicy

    Returns
    -------
    bool
        Only with the policy "ask-again", where no sentence names all labels and attempts are left.
    """
    if policy.missing_labels != "ask-again" or answered.attempt + 1 >= policy.attempts:
        return False
    if answered.stopped_by == CONTENT_FILTER:
        return False
    pieces = _judge(answered, label_set, policy)
    return not _take(pieces, policy, taken=set()).names_its_labels


def _judge(answered: Answered, label_set: LabelSet, policy: CleaningPolicy) -> list[Piece]:
    """Pieces of an answer; those that may be kept are marked as kept."""
    unknown = [label for label in answered.labels if label not in label_set.class_names]
    if unknown:
        raise CoMCError(
            f"Label {unknown[0]!r} is no class of {label_set.name}; give the label set that the "
            "sentences were asked for."
        )
    if not answered.answer.strip() and answered.stopped_by in _EMPTY_BECAUSE:
        return [Piece("", "", _EMPTY_BECAUSE[answered.stopped_by])]
    wanted = {label_set.class_names.index(label) for label in answered.labels}
    fragments = text_rules.split_answer(
        answered.answer,
        instruction=answered.prompt,
        split=policy.paragraphs == "split",
        ended=answered.stopped_by != LENGTH,
    )
    pieces = []
    for position, fragment in enumerate(fragments):
        is_last = position == len(fragments) - 1
        fate = fragment.fate or text_rules.objection(
            fragment.text,
            min_words=policy.min_words,
            max_words=policy.max_words,
            max_foreign_share=policy.max_foreign_share,
        )
        if fate:
            pieces.append(Piece(fragment.raw, fragment.text, fate, repairs=fragment.repairs))
            continue
        text, repairs = fragment.text, fragment.repairs
        if not text_rules.is_finished(text):
            if is_last and (answered.stopped_by != "stop" or text_rules.breaks_off(text)):
                repairs = (*repairs, CUT_SHORT)
                if policy.cut_short == "drop":
                    pieces.append(Piece(fragment.raw, text, CUT_SHORT, repairs=fragment.repairs))
                    continue
            else:
                text = text.rstrip(" ,;:-") + "."
                repairs = (*repairs, "full stop added")
        named = label_set.find(text)
        fate = _naming(wanted, named)
        complete = fate in (EXACT, OTHERS_TOO)
        kept = (complete or policy.missing_labels == "keep") and not (
            named - wanted and policy.other_labels == "drop"
        )
        pieces.append(Piece(fragment.raw, text, fate, kept=kept, repairs=repairs))
    return pieces


def _naming(wanted: set[int], named: set[int]) -> str:
    if wanted <= named:
        return EXACT if wanted == named else OTHERS_TOO
    return INCOMPLETE if wanted & named else OFF_TOPIC


def _take(pieces: list[Piece], policy: CleaningPolicy, taken: set[str]) -> CleanedAnswer:
    """Settle which of the pieces that may be kept are kept, and note their texts as taken."""
    best_first = sorted(
        (i for i, piece in enumerate(pieces) if piece.kept), key=lambda i: BEST_FIRST.index(pieces[i].fate)
    )
    done = False
    for i in best_first:
        key = " ".join(re.findall(r"\w+", pieces[i].text.casefold()))
        if done:
            pieces[i] = replace(pieces[i], fate=NOT_NEEDED, kept=False)
        elif key in taken and policy.duplicates == "drop":
            pieces[i] = replace(pieces[i], fate=DUPLICATE, kept=False)
        else:
            if key in taken:
                pieces[i] = replace(pieces[i], repairs=(*pieces[i].repairs, DUPLICATE))
            taken.add(key)
            done = policy.sentences == "first"
    return CleanedAnswer(tuple(pieces))
