"""The training text: sentences with their labels, and the file that keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from comc_utils.errors import CoMCError
from comc_utils.sentences.labels import LabelSet, check_label_names
from comc_utils.store.atomic import atomic_path


@dataclass(frozen=True)
class Record:
    """A sentence, the labels that it was written for, and where it comes from.

    Attributes
    ----------
    text : str
        The sentence T_i.
    labels : tuple of str
        Names of its positive classes, at least one, none twice.
    generator : str
        Name of what wrote it: a grammar or a language model.
    prompt : str
        What the generator was asked.
    seed : int
        The seed that the generator was given.

    Raises
    ------
    CoMCError
        A field of another type, an empty text, or labels that are missing, empty or repeated.
    """

    text: str
    labels: tuple[str, ...]
    generator: str
    prompt: str
    seed: int

    def __post_init__(self) -> None:
        for name in ("text", "generator", "prompt"):
            if not isinstance(getattr(self, name), str):
                raise CoMCError(f"The {name} of a sentence is {getattr(self, name)!r}; it must be text.")
        if not self.text.strip():
            raise CoMCError("The text of a sentence is empty; leave the sentence out.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise CoMCError(f"The seed of a sentence is {self.seed!r}; it must be an integer.")
        if not isinstance(self.labels, tuple) or not self.labels:
            raise CoMCError(f"The labels of a sentence are {self.labels!r}; give at least one name.")
        if not all(isinstance(label, str) and label.strip() for label in self.labels):
            raise CoMCError(f"The labels of a sentence are {list(self.labels)}; each must be a name.")
        if len(set(self.labels)) < len(self.labels):
            raise CoMCError(f"A label of {list(self.labels)} is repeated; name each label once.")


def write_corpus(path: str | os.PathLike[str], records: Iterable[Record]) -> int:
    """Write a corpus as JSONL: UTF-8, one record a line, the fields of `Record` by name.

    Parameters
    ----------
    path : str or PathLike
        The file. It is replaced in one step, when the last record is written.
    records : iterable of Record
        At least one.

    Returns
    -------
    int
        Number of records written.

    Raises
    ------
    CoMCError
        There are no records; the file is left as it was.
    """
    n = 0
    with atomic_path(path) as temporary:
        # newline="\n": the same bytes on every platform.
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
                n += 1
        if n == 0:
            raise CoMCError(f"There is no sentence to write to {path}; give at least one record.")
    return n


def read_corpus(path: str | os.PathLike[str]) -> list[Record]:
    """Read a corpus that `write_corpus` wrote, checking every line.

    Parameters
    ----------
    path : str or PathLike
        A JSONL file.

    Returns
    -------
    list of Record
        In the order of the file.

    Raises
    ------
    CoMCError
        The file is missing, empty or not UTF-8, a line is not a record, or the last line is cut
        short. The message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise CoMCError(f"The corpus {path} does not exist; generate it first.")
    # Split at "\n" alone: a sentence may hold other line ends, such as U+2028, unescaped.
    *lines, last = path.read_bytes().split(b"\n")
    records = [_parse(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]
    if last:
        place = f"{path}, line {len(lines) + 1}"
        try:
            json.loads(last)
        except ValueError:
            raise CoMCError(
                f"{place}, the last, is cut short: its writer was stopped. Remove that line to keep "
                f"the {len(lines)} sentences before it, or generate the corpus again."
            ) from None
        records.append(_parse(last, place))
    if not records:
        raise CoMCError(f"The corpus {path} is empty; generate it again.")
    return records


def read_corpora(paths: Iterable[str | os.PathLike[str]]) -> dict[str, list[Record]]:
    """Read corpora under names that say who wrote them.

    Parameters
    ----------
    paths : iterable of str or PathLike
        JSONL files.

    Returns
    -------
    dict of str to list of Record
        "<the file's stem> (by <what its records say of their writer>)", in the order of the paths.

    Raises
    ------
    CoMCError
        As `read_corpus`; and where two have one name.
    """
    corpora: dict[str, list[Record]] = {}
    for path in map(Path, paths):
        records = read_corpus(path)
        by = ", ".join(dict.fromkeys(record.generator for record in records))
        name = f"{path.stem} (by {by})"
        if name in corpora:
            raise CoMCError(f"Two corpora are called {name}; rename the file {path.name}.")
        corpora[name] = records
    return corpora


def distinct_share(texts: Sequence[str]) -> float:
    """Number of different texts over the number of texts.

    Parameters
    ----------
    texts : sequence of str
        At least one. Two texts are the same where every character is.

    Returns
    -------
    float
        In (0, 1]; 1 where no text repeats.

    Raises
    ------
    CoMCError
        Without texts.
    """
    if not texts:
        raise CoMCError("The share of distinct texts was asked for without texts; give at least one.")
    return len(set(texts)) / len(texts)


def text_checks(records: Sequence[Record], label_set: LabelSet) -> dict[str, float]:
    """Say what could make a text unfit to train on; its words are read again, and compared with its labels.

    Parameters
    ----------
    records : sequence of Record
        At least one.
    label_set : LabelSet
        Whose names, synonyms and narrower nouns are looked for.

    Returns
    -------
    dict of str to float
        Number of sentences; shares in percent of distinct ones, of distinct ones among those with two labels
        or more (NaN without any), of those that name all their labels, and of those that name no other class
        of the set; words a sentence.
    """
    texts = [record.text for record in records]
    several = [record.text for record in records if len(record.labels) > 1]
    wanted = [{label_set.class_names.index(name) for name in record.labels} for record in records]
    named = [label_set.find(text) for text in texts]
    return {
        "sentences": len(texts),
        "distinct (%)": 100 * distinct_share(texts),
        "distinct with 2 or more labels (%)": 100 * distinct_share(several) if several else float("nan"),
        "names all its labels (%)": 100 * np.mean([w <= n for w, n in zip(wanted, named, strict=True)]),
        "names no other (%)": 100 * np.mean([n <= w for w, n in zip(wanted, named, strict=True)]),
        "words a sentence": np.mean([len(text.split()) for text in texts]),
    }


def label_matrix(records: Sequence[Record], class_names: Sequence[str]) -> UInt8[np.ndarray, "n N"]:
    """Labels of a corpus as the classifier takes them: y_ij of section 3.2.

    Parameters
    ----------
    records : sequence of Record
        The n sentences.
    class_names : sequence of str
        The N classes, in the order of the columns.

    Returns
    -------
    ndarray of uint8 [n, N]
        1 where sentence i was written for class j, else 0.

    Raises
    ------
    CoMCError
        Class names that repeat or are empty, or a label that is none of them.
    """
    check_label_names(class_names)
    column = {name: j for j, name in enumerate(class_names)}
    matrix = np.zeros((len(records), len(class_names)), dtype=np.uint8)
    for i, record in enumerate(records):
        for label in record.labels:
            if label not in column:
                raise CoMCError(
                    f"Label {label!r} of sentence {i} ({record.text!r}) is none of the "
                    f"{len(class_names)} classes; use the corpus of these classes, or rename the label."
                )
            matrix[i, column[label]] = 1
    return matrix


def _parse(line: bytes, place: str) -> Record:
    names = [field.name for field in fields(Record)]
    try:
        values = json.loads(line)
    except ValueError as error:  # not JSON, not UTF-8, or a number of absurd length
        raise CoMCError(f"{place} is not JSON ({error}); correct or remove the line.") from None
    if not isinstance(values, dict) or set(values) != set(names):
        raise CoMCError(
            f"{place} is not a sentence record: it must be a JSON object with just the fields "
            f"{', '.join(names)}; correct or remove the line."
        )
    if isinstance(values["labels"], list):
        values["labels"] = tuple(values["labels"])
    try:
        return Record(**values)
    except CoMCError as error:
        raise CoMCError(f"{place}: {error} Correct or remove the line.") from None
