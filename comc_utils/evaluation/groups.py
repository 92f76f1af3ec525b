"""Names of the groups of comparisons that notebooks leave in their metrics, and by which claims are decided.

A name is a plain name, then perhaps `SEARCHED` or `EQUAL_STEPS`, then perhaps what `elsewhere` gives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from comc_utils.evaluation.comparison import Comparison, compare_each

COMC_OVER = "CoMC over"
COMC_OVER_TRAINED_ON_SEEN = "CoMC over methods trained on seen classes"
CLIP_DPT_OVER = "CLIP-DPT over"
LEARNED_OVER_START = "learned over start on seen classes"
UNSEEN_OVER_START = "learned over start on unseen classes"
MORE_SEEN = "more seen classes"
WITH_OTHER_THINGS = "with images of other things"
NOTHING_OVER_TRAINED_ON_SEEN = "zero-shot CLIP over methods trained on seen classes"
LOCAL_ADDS = "local adds"
MAPPING_ADDS = "mapping adds"
PAPERS_PRESET_OVER = "paper's preset over"
WHOLE_OVER = "CoMC without regions over"
OPTIMUM_OVER = "optimum over"
BEFORE_OVER_CHANCE = "before over chance"
BEFORE_OVER_AFTER = "before over after"
MORE_TEXT = "more text"
ALL_OVER_HALF = "all over half"
BETTER_WRITER = "better writer"
WRITERS_OVER_ZERO_SHOT_CLIP = "over zero-shot CLIP"
BETTER_BACKBONE = "better backbone"
MORE_SHOTS = "more shots"
ALL_SHOTS = "all shots over none"
ZERO_SHOT_OVER_PROMPTS = "zero-shot over learned prompts"
NORMALISED_OVER_AS_IT_IS = "normalised over as it is"
COMC_OVER_COMPARABLE = "CoMC over comparable"
COMC_OVER_IN_KIND = "CoMC over in kind"
"""CoMC with the same normalisation as the other method."""
OTHERS_OVER_COMC = "others over CoMC"

SEARCHED = ", searched rates"
"""Ending: each method at the learning rate that was found best for it here, not at its authors'."""

RATES = {"default": "", "searched": SEARCHED}
"""Endings by the rate that a method ran at."""

EQUAL_STEPS = ", equal steps"
"""Ending: training takes as many steps whatever the size of the text."""

PAPER_PRESET = ", paper"
"""Ending, as `elsewhere` builds it: with the paper's preset where the profile's own is another."""


def comc_over(method: str) -> str:
    """Name CoMC over one method, a comparison for each backbone."""
    return f"{COMC_OVER} {method}"


def zero_shot_over(method: str) -> str:
    """Name CoMC without an image over one method, a comparison for each number of shots."""
    return f"zero-shot over {method}"


def is_known(group: str) -> bool:
    """Whether a group has a name of this module, whatever its ending: any other name is a slip."""
    plain = {value for name, value in globals().items() if name.isupper() and isinstance(value, str)}
    plain |= {comc_over(method) for method in ("Zero-shot CLIP", "CLIP-DPT", "TaI-DPT")}
    plain |= {zero_shot_over(method) for method in ("linear probe", "CoOp", "CoOp-DPT")}
    return group.split(", ")[0] in plain


def of_shots(k: int) -> str:
    """Name a number of images a class: "1 shot", "2 shots"."""
    return f"{k} shot{'s' * (k > 1)}"


def elsewhere(where: str, usual: str) -> str:
    """Build the ending of a group that was measured with another preset or backbone, or on other images.

    Parameters
    ----------
    where, usual : str
        What it was measured with, and what a group without this ending is measured with.

    Returns
    -------
    str
        '' for the usual.
    """
    return "" if where == usual else f", {where}"


def over_each(
    first: str,
    scores: Mapping[tuple[str, str, str], Sequence[Float[np.ndarray, "n n_labels"]]],
    labels: Int[np.ndarray, "n n_labels"],
    *,
    group: str,
    usual: str,
    others: Collection[str],
    seed: int,
) -> dict[str, dict[str, Comparison]]:
    """Compare one method with others, each at the default and at its searched rate, with each backbone.

    Parameters
    ----------
    first : str
        Name of the method whose lead is measured. Where it has no rate, its scores meet both of the others.
    scores : mapping of (str, str, str) to sequence of ndarray of shape (n, N)
        One array a seed, by backbone, method, and rate: a key of `RATES`, or another word for none.
    labels : ndarray of shape (n, N)
        0 or 1.
    group : str
        Name of the comparisons at default rates with the usual backbone; the others' have an ending more.
    usual : str
        That backbone.
    others : collection of str
        Names of the methods to compare with; which a backbone does not have are left out.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to dict of str to Comparison
        A group for each backbone and rate that any method ran at, perhaps an empty one.
    """
    ran_at = {rate for _, _, rate in scores}
    found = {}
    for backbone in dict.fromkeys(backbone for backbone, _, _ in scores):
        for rate in (rate for rate in RATES if rate in ran_at):
            of_rate = {name: of for (where, name, r), of in scores.items() if where == backbone and r == rate}
            without_rate = (of for (where, name, _), of in scores.items() if (where, name) == (backbone, first))
            ours = of_rate.get(first) or next(without_rate)
            compared = {name: of for name, of in of_rate.items() if name in others}
            ending = RATES[rate] + elsewhere(backbone, usual)
            found[group + ending] = compare_each(ours, compared, labels, seed=seed)
    return found


def tabulate(comparisons: Mapping[str, Mapping[str, Comparison]], group: str, of: str) -> pd.DataFrame:
    """Lay out groups of comparisons as a table, in their order.

    Parameters
    ----------
    comparisons : mapping of str to mapping of str to Comparison
        Of groups to their comparisons.
    group, of : str
        What to call the columns with the names of both.

    Returns
    -------
    pandas.DataFrame
        These two columns, then difference, low, high, lowest seed, highest seed (NaN where nothing is
        random), and seeds above 0.
    """
    rows = []
    for name, members in comparisons.items():
        for member, c in members.items():
            seeds = c["over_seeds"]
            ends = (min(seeds), max(seeds)) if seeds else (np.nan, np.nan)
            interval = (c["difference"], c["low"], c["high"])
            rows.append((name, member, *interval, *ends, sum(d > 0 for d in seeds)))
    columns = ["difference", "low", "high", "lowest seed", "highest seed", "seeds above 0"]
    return pd.DataFrame(rows, columns=[group, of, *columns])
