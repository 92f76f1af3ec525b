"""What a language model is: it is asked, and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from comc_utils.sentences.instructions import comc_instruction

LENGTH = "length"
CONTENT_FILTER = "content_filter"


@dataclass(frozen=True)
class Answer:
    """What a language model gave for one instruction.

    Attributes
    ----------
    text : str
        As it came; empty where the model said nothing.
    stopped_by : str
        "stop" where it ended by itself, `LENGTH` where its tokens were used up, `CONTENT_FILTER` where the
        server refused the instruction or the answer, '' if unknown.
    tokens : int or None
        Tokens of instruction and answer together, None where the server does not say.
    """

    text: str
    stopped_by: str = ""
    tokens: int | None = None


class PassingFaultError(Exception):
    """A question that went wrong in a way that may pass: worth asking again.

    Parameters
    ----------
    message : str
        What went wrong, without what to do.
    retry_after : float
        Seconds that the server asks to wait, 0 where it says nothing.
    answer : Answer, optional
        An answer without text, which is what counts if it stays so.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.answer = answer


class LanguageModel(Protocol):
    """Whatever answers instructions: a server or a model on this machine.

    Attributes
    ----------
    name : str
        Stands in `Record.generator`.
    settings : mapping
        All that shapes the answers beside the instruction, as JSON knows it; no secrets.
    batch_size : int
        Number of instructions for each call of `ask`.
    concurrency : int
        Number of calls of `ask` at once, from threads.
    max_tokens : int or None
        Most tokens that an answer has.
    """

    name: str
    settings: Mapping[str, Any]
    batch_size: int
    concurrency: int
    max_tokens: int | None

    def ask(self, instructions: Sequence[str], *, seeds: Sequence[int]) -> list[Answer]:
        """Answer instructions, once.

        Parameters
        ----------
        instructions : sequence of str
            1 to `batch_size`.
        seeds : sequence of int
            For each, a number in [0, 2^31).

        Returns
        -------
        list of Answer
            One for each instruction.

        Raises
        ------
        PassingFaultError
            Asking again may help.
        CoMCError
            It will not.
        """
        ...

    def close(self) -> None:
        """Release connections or memory."""
        ...


@dataclass(frozen=True)
class Answered:
    """A finished question, as the journal keeps it.

    Attributes
    ----------
    index : int
        Number of the label set in the draw.
    attempt : int
        0 for the first question about this label set.
    labels : tuple of str
    prompt : str
        The instruction, by the name that it has in the files.
    answer : str
    stopped_by : str
        See `Answer`.
    requests : int
        Requests that it took, failed ones included.
    tokens : int
        Of instruction and answer, and of empty answers before it.
    tokens_estimated : bool
        The server reported none; words were counted in their place.
    """

    index: int
    attempt: int
    labels: tuple[str, ...]
    prompt: str
    answer: str
    stopped_by: str = ""
    requests: int = 1
    tokens: int = 0
    tokens_estimated: bool = False


def read_answers(path: Path) -> list[Answered]:
    """Read raw answers from a file, as those that others have published.

    Parameters
    ----------
    path : Path
        A JSON object a line: "labels", a list, and "captions", the lines of the answer.

    Returns
    -------
    list of Answered
        In the file's order, each to the paper's instruction.
    """
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [
        Answered(
            index=index,
            attempt=1,
            labels=tuple(line["labels"]),
            prompt=comc_instruction(line["labels"]),
            answer="\n".join(line["captions"]),
        )
        for index, line in enumerate(lines)
    ]
