"""What language models are asked and answer, and the journal that keeps every answer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from filelock import FileLock, Timeout

from comc_utils.errors import CoMCError
from comc_utils.sentences.instructions import INSTRUCTION

_BEGINNING = b'{"model": '


@dataclass(frozen=True)
class Answer:
    """What a language model gave for one prompt.

    Attributes
    ----------
    text : str
        As it came; empty where the model said nothing.
    stopped_by : str
        "stop" where it ended by itself, "length" where its tokens were used up, '' if unknown.
    tokens : int or None
        Tokens of prompt and answer together, None where the server does not say.
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

    def __init__(
        self, message: str, *, retry_after: float = 0.0, answer: Answer | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.answer = answer


class LanguageModel(Protocol):
    """Whatever answers prompts: a server or a model on this machine.

    Attributes
    ----------
    name : str
        Stands in `Record.generator`.
    settings : mapping
        All that shapes the answers beside the prompt, as JSON knows it; no secrets.
    batch_size : int
        Number of prompts for each call of `ask`.
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

    def ask(self, prompts: Sequence[str], *, seeds: Sequence[int]) -> list[Answer]:
        """Answer prompts, once.

        Parameters
        ----------
        prompts : sequence of str
            1 to `batch_size`.
        seeds : sequence of int
            For each, a number in [0, 2^31).

        Returns
        -------
        list of Answer
            One for each prompt.

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
    answer : str
    stopped_by : str
        See `Answer`.
    requests : int
        Requests that it took, failed ones included.
    tokens : int
        Of prompt and answer, and of empty answers before it.
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


@dataclass(frozen=True)
class Origin:
    """What all answers of one journal have in common.

    Attributes
    ----------
    model : str
    settings : mapping
        `LanguageModel.settings`.
    label_set : str
        Its name.
    class_names : tuple of str
    seed : int
        Of the label sets.
    instruction : str
        The prompt up to the label names.
    """

    model: str
    settings: Mapping[str, Any]
    label_set: str
    class_names: tuple[str, ...]
    seed: int
    instruction: str = INSTRUCTION


@dataclass
class Journal:
    """A JSONL file of answers that grows by whole lines: the first says `Origin`, each further one `Answered`.

    Use it as a context manager. Within, no other process can write to it. A line that a kill cut short is
    taken away when the journal is opened again.

    Parameters
    ----------
    path : Path
        Made where it is missing.
    origin : Origin

    Attributes
    ----------
    answered : list of Answered
        In the order in which the answers came.

    Raises
    ------
    CoMCError
        On entering: the file is of another origin, damaged, or in use.
    """

    path: Path
    origin: Origin
    answered: list[Answered] = field(default_factory=list, init=False, repr=False)

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f"{self.path.name}.lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise CoMCError(
                f"The journal {self.path} is being written by another process; wait for its end, "
                "or choose another --to."
            ) from None
        self._lock = lock
        try:
            self._open()
        except BaseException:
            lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._lock.release()

    def append(self, answers: Sequence[Answered]) -> None:
        """Put answers on disk; when this returns they outlast a kill and a power cut.

        Parameters
        ----------
        answers : sequence of Answered
        """
        self._write([asdict(answered) for answered in answers])
        self.answered += answers

    def _open(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        # What follows the last line end is the beginning of a line that a kill cut short.
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        if lines:
            self._check_origin(lines[0])
            self.answered = [
                self._parse(line, number) for number, line in enumerate(lines[1:], start=2)
            ]
        elif not content.startswith(_BEGINNING[: len(content)]):
            raise CoMCError(f"{self.path} is no journal of answers; choose another --to.")
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed in __exit__
        self._file.truncate(len(whole))
        if not lines:
            self._write([asdict(self.origin)])

    def _write(self, objects: Sequence[Mapping[str, Any]]) -> None:
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in objects)
        try:
            self._file.write(lines.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CoMCError(
                f"The journal {self.path} cannot be written ({error}); make room, then run again."
            ) from None

    def _check_origin(self, line: bytes) -> None:
        expected = json.loads(json.dumps(asdict(self.origin)))
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or set(found) != set(expected):
            raise CoMCError(f"{self.path} is no journal of answers; choose another --to.")
        for name, value in expected.items():
            if found[name] != value:
                said = (
                    f"is {found[name]!r} there and {value!r} now"
                    if name != "class_names"
                    else "are others now"
                )
                raise CoMCError(
                    f"The journal {self.path} belongs to another run: its {name} {said}. Go on with the "
                    "options it was begun with, or choose another --to."
                )

    def _parse(self, line: bytes, number: int) -> Answered:
        try:
            values = json.loads(line)
            if set(values) != {field.name for field in fields(Answered)}:
                raise ValueError("it has other fields")
            return Answered(**values | {"labels": tuple(values["labels"])})
        except (ValueError, TypeError) as error:
            raise CoMCError(
                f"{self.path}, line {number} is no answer ({error}); remove the line to have its label "
                "set asked about again."
            ) from None
