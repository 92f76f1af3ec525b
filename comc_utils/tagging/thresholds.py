"""From scores to tags: a threshold that is chosen without labels, or from a few answers of the user."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from comc_utils.errors import CoMCError, printable

KNOWN_DRAWINGS = {"zero-shot": -3.35, "comc": -0.13}
"""Log-odds by method at which micro F1 is highest on scenes of the embedded world whose drawings its models
know; `benchmarks.thresholds` finds them. No scene of a test and no photo was looked at."""
WORDS_A_PHOTO = 3
"""Background words that a photo shows on average, above the threshold that `of_photos` chooses: the number that
is best on the known drawings, found likewise."""

FEWEST_ANSWERS = 10
"""Of each kind, to calibrate by."""


@dataclass(frozen=True)
class Threshold:
    """What score makes a tag.

    Attributes
    ----------
    value : float or None
        Of all labels that `by_label` does not name; a score at or above it is a tag. None where there is none.
    origin : str
        Where it comes from, in words.
    by_label : mapping of str to float
        Of single labels.
    """

    value: float | None
    origin: str
    by_label: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write the value, as far as there is one for all."""
        if self.by_label:
            return "each label's own"
        return "none" if self.value is None else f"{self.value:.4f}"

    def of(self, names: Sequence[str]) -> Float[np.ndarray, " n_labels"]:
        """Give the threshold of each label.

        Raises
        ------
        CoMCError
            It names labels that are not there: it was made for others.
        """
        strangers = sorted(set(self.by_label) - set(names))
        if strangers:
            raise CoMCError(
                f"The thresholds from {self.origin} are for other labels, {strangers[0]!r} among them; choose "
                "them for these labels."
            )
        return np.array([self.by_label.get(name, self.value) for name in names], dtype=float)


@dataclass(frozen=True)
class Calibration:
    """Log-odds to probabilities, by a logistic regression on answers of the user (Platt's scaling).

    Attributes
    ----------
    slope, intercept : float
        Of log-odds.
    answers : int
        How many it was learned from.
    origin : str
        Where the answers come from.
    """

    slope: float
    intercept: float
    answers: int
    origin: str

    def probabilities(self, log_odds: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, "n n_labels"]:
        """Turn log-odds into probabilities that a person would say yes."""
        return expit(self.slope * log_odds + self.intercept)


OWN_SCORES = Threshold(None, "nothing: the method's own scores have none")
"""Of a tagger without a background."""


def threshold_at_first(method: str) -> Threshold:
    """Give the threshold of a tagger that has seen no photo: the best one on drawings that are known."""
    value = float(expit(KNOWN_DRAWINGS[method]))
    return Threshold(value, "known drawings of the embedded world; no photo of yours")


def of_photos(log_odds: Float[np.ndarray, "n n_words"], n_words: int = WORDS_A_PHOTO) -> float:
    """Choose a threshold on photos without labels: as many background words as this lie above it, on average.

    Parameters
    ----------
    log_odds : ndarray [n, B]
        Of the background words, each against the others.
    n_words : int

    Returns
    -------
    float
        Log-odds.
    """
    n_known = log_odds.shape[1]
    return float(np.quantile(log_odds, 1 - min(n_words, n_known - 1) / n_known))


def read_answers(path: str | os.PathLike[str], names: Sequence[str]) -> dict[tuple[str, str], bool]:
    """Read what the user says of some photos and labels.

    Parameters
    ----------
    path : path
        A CSV file (UTF-8) with the header ``file,label,answer``; an answer is 1 or yes, 0 or no.
    names : sequence of str
        The labels that there are.

    Returns
    -------
    dict of (str, str) to bool
        By file and label.

    Raises
    ------
    CoMCError
        The file cannot be read, has another header, an unknown label, an answer of another kind, or two that
        differ.
    """
    try:
        rows = _read_csv(path)
    except OSError as error:
        raise CoMCError(f"The answers {path} cannot be read ({error.strerror}); check the path.") from None
    if not rows or [cell.strip() for cell in rows[0]] != ["file", "label", "answer"]:
        raise CoMCError(f"{path} must begin with the line file,label,answer, with commas between columns.")
    answers: dict[tuple[str, str], bool] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != 3:
            raise CoMCError(f"{path}, line {number} has {len(row)} columns; it must be file,label,answer.")
        file, label, said = row[0], row[1].strip(), row[2].strip().casefold()
        if label not in names:
            raise CoMCError(f"{path}, line {number} is about {label!r}, which is no label of the tagger.")
        if said not in ("0", "1", "yes", "no"):
            raise CoMCError(f"{path}, line {number} answers {row[2]!r}; write 1 or yes, 0 or no.")
        answer = said in ("1", "yes")
        if answers.setdefault((file, label), answer) != answer:
            raise CoMCError(f"{path} answers both yes and no for {printable(file)} and {label}; keep one.")
    return answers


def calibrate(
    log_odds: Float[np.ndarray, " n_answers"], said: Bool[np.ndarray, " n_answers"], origin: str
) -> Calibration:
    """Learn probabilities from answers.

    Parameters
    ----------
    log_odds : ndarray [n_answers]
        Of the photo and the label of each answer.
    said : ndarray of bool [n_answers]
    origin : str
        Where the answers come from.

    Returns
    -------
    Calibration

    Raises
    ------
    CoMCError
        Fewer than ten answers of a kind.
    """
    n_yes = int(said.sum())
    if min(n_yes, len(said) - n_yes) < FEWEST_ANSWERS:
        raise CoMCError(
            f"{origin} holds {n_yes:,} answers that say yes and {len(said) - n_yes:,} that say no; give "
            f"{FEWEST_ANSWERS} of each or more, for photos that show a label and photos that do not."
        )
    found = LogisticRegression(C=1e3).fit(log_odds[:, None], said)
    return Calibration(float(found.coef_[0, 0]), float(found.intercept_[0]), len(said), origin)


def read_thresholds(path: Path, names: Sequence[str]) -> Threshold:
    """Read a file with a threshold for each label.

    Parameters
    ----------
    path : Path
        A CSV file (UTF-8) with the header ``label,threshold`` and a line for each label.
    names : sequence of str
        The labels that there are.

    Returns
    -------
    Threshold

    Raises
    ------
    CoMCError
        The file cannot be read or has another header, a threshold is no number, a label is unknown, there twice
        or missing.
    """
    try:
        rows = [row for row in _read_csv(path) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise CoMCError(
            f"--threshold {path}: neither a number such as 0.05, auto or all, nor a file that can be read "
            f"({error.strerror})."
        ) from None
    if not rows or [cell.strip() for cell in rows[0]] != ["label", "threshold"]:
        raise CoMCError(f"{path} must begin with the line label,threshold.")
    values: dict[str, float] = {}
    for row in rows[1:]:
        name = row[0].strip()
        if name not in names or name in values:
            what = "there twice" if name in values else "no label of the tagger"
            raise CoMCError(f"{path} names {name!r}, which is {what}; correct the file.")
        try:
            (values[name],) = map(float, row[1:])
        except ValueError:
            raise CoMCError(
                f"{path} has no number as the threshold of {name!r}; write label,threshold."
            ) from None
    missing = [name for name in names if name not in values]
    if missing:
        raise CoMCError(
            f"{path} has no threshold for {missing[0]!r} ({len(missing):,} missing); add the lines."
        )
    return Threshold(None, f"the file {path.name}", values)


def _read_csv(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read the rows of a CSV file; that it cannot be opened is for the caller to say."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CoMCError(f"{path} is no CSV file in UTF-8 ({error}); save it as one.") from None
