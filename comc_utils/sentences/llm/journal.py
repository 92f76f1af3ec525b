"""The journal: every answer on disk as soon as it is there, and what all of them have in common."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from comc_utils.errors import CoMCError
from comc_utils.sentences.instructions import INSTRUCTION
from comc_utils.sentences.llm.answers import Answered

_BEGINNING = b'{"model": '


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
        The instruction up to the label names.
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

    def __exit__(self, *_: object) -> None:
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
            self.answered = [self._parse(line, number) for number, line in enumerate(lines[1:], start=2)]
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
                    f"is {found[name]!r} there and {value!r} now" if name != "class_names" else "are others now"
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
