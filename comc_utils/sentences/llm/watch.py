"""A look at the answers of a language model before all of them are paid for, and now and then after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from comc_utils.sentences.llm.answer_text import EMPTY, REASONING, REFUSAL, STRUCTURED
from comc_utils.sentences.llm.answers import LENGTH, Answered
from comc_utils.sentences.llm.fates import (
    ASKED_AGAIN,
    CUT_SHORT,
    DUPLICATE,
    EXACT,
    FILTERED,
    INCOMPLETE,
    OFF_TOPIC,
    OTHERS_TOO,
    USED_UP,
    CleaningReport,
)

FIRST_LOOK = 20
"""Answers that are looked at before more than these are asked for."""
WINDOW = 100
"""Answers of each later look."""

_USABLE = (EXACT, OTHERS_TOO, INCOMPLETE, DUPLICATE, ASKED_AGAIN)
_EXAMPLES = 3
_LONGEST_EXAMPLE = 160


@dataclass(frozen=True)
class Look:
    """What some answers are worth.

    Attributes
    ----------
    counts : Counter
        Of answers, by what becomes of them.
    examples : tuple of str
        Three answers, each with what becomes of it.
    cut : int
        Answers that ended because their tokens were used up.
    """

    counts: Counter[str]
    examples: tuple[str, ...]
    cut: int

    @property
    def unusable(self) -> int:
        """Answers without a sentence that names one of its labels."""
        return sum(count for fate, count in self.counts.items() if fate not in _USABLE)

    @property
    def is_bad(self) -> bool:
        """Whether most are unusable."""
        return 2 * self.unusable > self.counts.total()

    def describe(self) -> str:
        """Numbers and examples, for a person."""
        numbers = ", ".join(f"{count} {fate}" for fate, count in self.counts.most_common())
        return "\n".join([f"A look at {self.counts.total()} answers: {numbers}.", *self.examples])

    def remedy(self) -> str:
        """What to do about answers of which most are unusable."""
        fate = next((fate for fate, _ in self.counts.most_common() if fate not in _USABLE), EMPTY)
        if fate in (REASONING, USED_UP, EMPTY) or (fate == CUT_SHORT and 2 * self.cut > self.counts.total()):
            switch = '{"chat_template_kwargs": {"enable_thinking": false}}'
            return (
                "the model reasons before it answers, or is cut off: raise --max-tokens, or switch its "
                f"reasoning off, for example by --options '{switch}'"
            )
        return {
            STRUCTURED: "leave response_format and the like out of --options, or take another --model",
            REFUSAL: "take another --model",
            FILTERED: "take another --model or --base-url, whose filter lets the labels pass",
            OFF_TOPIC: "the model does not write about the labels: take another --model",
        }.get(fate, "take another --model, or other cleaning options")


def look_at(answers: Sequence[Answered], report: CleaningReport) -> Look:
    """See what some answers are worth.

    Parameters
    ----------
    answers : sequence of Answered
    report : CleaningReport
        What the cleaning made of them.

    Returns
    -------
    Look
    """
    texts = {(answered.index, answered.attempt): answered.answer for answered in answers}
    # Of what is most frequent the first, so that they show what the numbers say.
    by_frequency = sorted(report.fates, key=lambda fate: -report.answers[fate.fate])
    examples = []
    for fate in by_frequency[:_EXAMPLES]:
        text = " ".join(texts[fate.index, fate.attempt].split())
        short = text if len(text) <= _LONGEST_EXAMPLE else f"{text[:_LONGEST_EXAMPLE]} ..."
        examples.append(f"  {' + '.join(fate.labels)}: {short!r} ({fate.fate})")
    return Look(report.answers, tuple(examples), sum(answered.stopped_by == LENGTH for answered in answers))
