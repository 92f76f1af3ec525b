"""What it is worth to correct tags: a person who knows the labels is played by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.special import logit

from comc_utils.clip import ImageEmbeddings
from comc_utils.evaluation.tags import calibration_error, f1_of_tags
from comc_utils.tagging.embeddings import PhotoEmbeddings
from comc_utils.tagging.tagger import Tagger
from comc_utils.tagging.thresholds import FEWEST_ANSWERS, SHARES, calibrate, expected_calibration

CHOICES = ("at random", "least sure")
"""Of what is asked: tags that are shown, drawn by lot; or scores nearest to the threshold, tags or none."""


def after_corrections(
    tagger: Tagger,
    images: PhotoEmbeddings | ImageEmbeddings,
    labels: Bool[np.ndarray, "n n_labels"],
    numbers: Sequence[int],
    *,
    n_photos: int,
    seed: int,
) -> pd.DataFrame:
    """Look through some photos, answer about tags, calibrate, and measure.

    Parameters
    ----------
    tagger : Tagger
        With a background, not calibrated.
    images : PhotoEmbeddings or ImageEmbeddings
        Of n photos.
    labels : ndarray of bool [n, N]
        What the person would say; seen one answer at a time.
    numbers : sequence of int
        How many answers are given; with fewer than ten nothing is calibrated.
    n_photos : int
        How many photos are looked through, drawn by lot.
    seed : int

    Returns
    -------
    pandas.DataFrame
        Columns chosen (of `CHOICES`), answers; micro F1 in percent on the photos looked through, where answers
        stand, and on all other photos; and on these the expected calibration error in percent: after the
        answers, and, the same in each row, by what is expected before any.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    looked, others = np.sort(order[:n_photos]), np.sort(order[n_photos:])
    odds = tagger.scorer.log_odds(images)
    least = float(logit(tagger.threshold.value))
    before = expected_calibration(tagger.about.method).probabilities(odds[others])
    expected = calibration_error(before, labels[others])
    rows = []
    for choice in CHOICES:
        asked = _asked(choice, odds[looked] - least, rng)
        for n in numbers:
            at, columns = np.unravel_index(asked[:n], (len(looked), len(tagger.labels)))
            said = labels[looked[at], columns]
            found = SHARES
            if n >= FEWEST_ANSWERS:
                names = [tagger.labels[column] for column in columns]
                found = calibrate(odds[looked[at], columns], names, said, choice, tagger.about.method)
            scores = found.probabilities(odds, tagger.labels)
            tags = scores >= found.probabilities(np.array(least))
            tags[looked[at], columns] = said
            rows.append(
                {
                    "chosen": choice,
                    "answers": len(at),
                    "F1 where looked": f1_of_tags(tags[looked], labels[looked])[0],
                    "F1 elsewhere": f1_of_tags(tags[others], labels[others])[0],
                    "calibration error": calibration_error(scores[others], labels[others]),
                    "expected before": expected,
                }
            )
    return pd.DataFrame(rows)


def of_most_answers(draws: Sequence[pd.DataFrame]) -> dict[str, list[float]]:
    """Compare the two choices after the most answers that were given, draw by draw.

    Parameters
    ----------
    draws : sequence of DataFrame
        As `after_corrections` gives them, of different seeds.

    Returns
    -------
    dict of str to list of float
        By measure, how much more it is where the least sure were asked about: mean over draws and its standard
        error.
    """
    ends = [draw.groupby("chosen").last() for draw in draws]
    measures = ("F1 where looked", "F1 elsewhere", "calibration error")
    more = {m: np.array([end.loc["least sure", m] - end.loc["at random", m] for end in ends]) for m in measures}
    return {m: [float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))] for m, d in more.items()}


def _asked(choice: str, over: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Places of photos and labels [n, N], flattened, in the order in which they are asked about."""
    if choice == "least sure":
        return np.argsort(np.abs(over), axis=None, kind="stable")
    return rng.permutation(np.flatnonzero(over >= 0))
