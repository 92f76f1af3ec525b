"""From scores to tags: a threshold that is chosen without labels, or from a few answers of the user."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import expit, logit

from comc_utils.errors import CoMCError, printable

KNOWN_DRAWINGS = {"zero-shot": -3.35, "comc": -0.13}
"""Log-odds by method at which micro F1 is highest on scenes of the embedded world whose drawings its models
know; `benchmarks.thresholds` finds them. No scene of a test and no photo was looked at."""
WORDS_A_PHOTO = 3
"""Background words that a photo shows on average, above the threshold that `of_photos` chooses: the number that
is best on the known drawings, found likewise."""

FEWEST_ANSWERS = 10
"""To calibrate by."""


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
class Expected:
    """What is expected of a tagger's scores before any answer.

    Attributes
    ----------
    slope : float
        By how much the log-odds that a person says yes grow with those of a score.
    offset : float
        Log-odds that a person says yes at `KNOWN_DRAWINGS`.
    of_label : float
        Standard deviation of single labels' own offsets.
    """

    slope: float
    offset: float
    of_label: float


EXPECTED = {"zero-shot": Expected(1.5, -0.2, 0.6), "comc": Expected(2.5, 0.2, 1.1)}
"""By method, as `benchmarks.thresholds` finds them on the known drawings, of both models, to a digit."""
SLOPE_SPREAD, OFFSET_SPREAD = 0.3, 1.0
"""How far slope and offset may be from what is expected, as standard deviations. Answers that lie close
together, such as those about the least sure tags, say nothing of the slope: alone they leave it to chance."""


@dataclass(frozen=True)
class Calibration:
    """Log-odds to probabilities, by answers of the user (Platt's scaling, with an offset for each label).

    Attributes
    ----------
    slope, intercept : float
        Of log-odds.
    answers : int
        How many it was learned from.
    origin : str
        Where the answers come from.
    by_label : mapping of str to float
        Added to the intercept, for labels that were answered about.
    """

    slope: float
    intercept: float
    answers: int
    origin: str
    by_label: Mapping[str, float] = field(default_factory=dict)

    def probabilities(
        self, log_odds: Float[np.ndarray, "*batch n_labels"], names: Sequence[str] = ()
    ) -> Float[np.ndarray, "*batch n_labels"]:
        """Turn log-odds into probabilities that a person would say yes.

        Parameters
        ----------
        log_odds : ndarray [..., N]
        names : sequence of str
            The N labels, for their own offsets; none for a label like any other.
        """
        own = np.array([self.by_label.get(name, 0.0) for name in names]) if names else 0.0
        return expit(self.slope * log_odds + self.intercept + own)

    def log_odds(self, probabilities: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
        """Undo `probabilities`, of a label like any other."""
        return (logit(probabilities) - self.intercept) / self.slope


SHARES = Calibration(1.0, 0.0, 0, "")
"""Of a tagger without answers: its scores are shares."""
OWN_SCORES = Threshold(None, "nothing: the method's own scores have none")
"""Of a tagger without a background."""


def threshold_at_first(method: str) -> Threshold:
    """Give the threshold of a tagger that has seen no photo: the best one on drawings that are known."""
    value = float(expit(KNOWN_DRAWINGS[method]))
    return Threshold(value, "known drawings of the embedded world; no photo of yours")


def places_of_answers(
    answers: Mapping[tuple[str, str], bool], files: Sequence[str], names: Sequence[str], origin: str
) -> tuple[Int[np.ndarray, " n_answers"], Int[np.ndarray, " n_answers"]]:
    """Find the photos and labels that answers are about.

    Parameters
    ----------
    answers : mapping of (str, str) to bool
        By file and label, as `read_answers` gives them.
    files, names : sequence of str
        Of all photos, and of all labels.
    origin : str
        Where the answers come from.

    Returns
    -------
    rows, columns : ndarray of int [n_answers]

    Raises
    ------
    CoMCError
        There is no answer, or one is about a photo that is not among the files.
    """
    if not answers:
        raise CoMCError(f"{origin} holds no answer; write some lines file,label,answer.")
    row_of = {file: row for row, file in enumerate(files)}
    strange = sorted({file for file, _ in answers} - set(row_of))
    if strange:
        raise CoMCError(
            f"{len(strange):,} of the answers' photos are not among the {len(files):,} given, "
            f"{strange[0]!r} the first; write the paths as the output of `tag` has them."
        )
    places = [(row_of[file], names.index(label)) for file, label in answers]
    rows, columns = np.array(places).T
    return rows, columns


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


def expected_calibration(method: str) -> Calibration:
    """Give what is expected of a method's scores before any answer: see `EXPECTED`."""
    about = EXPECTED[method]
    return Calibration(about.slope, about.offset - about.slope * KNOWN_DRAWINGS[method], 0, "known drawings")


def calibrate(
    log_odds: Float[np.ndarray, " n_answers"],
    labels: Sequence[str],
    said: Bool[np.ndarray, " n_answers"],
    origin: str,
    method: str = "zero-shot",
) -> Calibration:
    """Learn probabilities from answers, beginning with what is expected of scores.

    Parameters
    ----------
    log_odds : ndarray [n_answers]
        Of the photo and the label of each answer.
    labels : sequence of str
        Of each answer.
    said : ndarray of bool [n_answers]
    origin : str
        Where the answers come from.
    method : str
        Of the tagger.

    Returns
    -------
    Calibration
        The likeliest after these answers, where slope, offset and the labels' own offsets are expected to be
        normally distributed: around `EXPECTED`, those of labels around 0.

    Raises
    ------
    CoMCError
        Fewer than ten answers, or answers that say no the more often the higher a score is.
    """
    if len(said) < FEWEST_ANSWERS:
        raise CoMCError(
            f"{origin} holds {len(said):,} answers, and {FEWEST_ANSWERS} or more are needed; say of some more "
            "tags whether they are right."
        )
    about = EXPECTED[method]
    names = list(dict.fromkeys(labels))
    of_label = np.array([names.index(label) for label in labels])
    centred = np.asarray(log_odds, dtype=float) - KNOWN_DRAWINGS[method]
    mean = np.array([about.slope, about.offset, *[0.0] * len(names)])
    spread = np.array([SLOPE_SPREAD, OFFSET_SPREAD, *[about.of_label] * len(names)])

    def unlikely(values: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative logarithm of the likelihood but for a constant, and its gradient."""
        odds = values[0] * centred + values[1] + values[2:][of_label]
        off, away = expit(odds) - said, (values - mean) / spread
        by_label = np.bincount(of_label, off, minlength=len(names))
        gradient = np.array([off @ centred, off.sum(), *by_label]) + away / spread
        return np.logaddexp(0, odds).sum() - odds[said].sum() + (away**2).sum() / 2, gradient

    slope, offset, *own = minimize(unlikely, mean, jac=True).x.tolist()
    if slope <= 0:
        raise CoMCError(
            f"By {origin} a tag is the less often right the higher its score is; see whether yes and no are "
            "exchanged, or the labels mean something else to the model: NAME = a phrase for it."
        )
    intercept = offset - slope * KNOWN_DRAWINGS[method]
    return Calibration(slope, intercept, len(said), origin, dict(zip(names, own, strict=True)))


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
