"""Learning rates are searched once and stored: ``results/rates/<profile>.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd
from filelock import FileLock

from comc_utils.baselines.run import RATE_FACTORS, search_rates
from comc_utils.errors import CoMCError
from comc_utils.experiment import Experiment
from comc_utils.method.protocol import Method
from comc_utils.store.atomic import atomic_path
from comc_utils.store.paths import cache_dir, repository_root

SMOKE_FACTORS = (1.0, 10.0)
"""In a smoke run, in place of `RATE_FACTORS`."""


def searched_rates(
    experiment: Experiment,
    notebook: str,
    methods: Iterable[Method],
    score: Callable[[Method], float],
    *,
    search: bool,
) -> pd.DataFrame:
    """Say how each method does at other learning rates: as stored, or by a search.

    What is stored holds for a profile as it is. Smoke runs, trials on a part of the images, and runs with other
    sentences or another backbone always search, and store nothing.

    Parameters
    ----------
    experiment : Experiment
    notebook : str
        Under whose name the rates are kept, for example ``11_rivals``.
    methods : iterable of Method
        Those that learn nothing are left out.
    score : callable
        From a method to its mAP in percent on images that are neither learned from nor tested on.
    search : bool
        True to search all of them and store what is found in the place of what was stored; False to search
        only for what no rates are stored, and store nothing.

    Returns
    -------
    pandas.DataFrame
        mAP: a row a method, by name; a column a factor of its default learning rate.

    Raises
    ------
    CoMCError
        The stored file is damaged.
    """
    factors = SMOKE_FACTORS if experiment.smoke else RATE_FACTORS
    names = [f"{factor:g}" for factor in factors]
    keeps = _as_it_is(experiment)
    path = repository_root() / "results" / "rates" / f"{experiment.profile.name}.json"
    stored = _read(path).get(notebook, {}) if keeps and not search else {}
    learners = [method for method in methods if method.at_rate(1.0) is not None]
    rates = {m.name: stored.get(m.name) for m in learners}
    if unknown := [m for m in learners if not set(names) <= set(rates[m.name] or ())]:
        found = search_rates(unknown, score, factors)
        rates |= {name: dict(zip(names, map(float, row), strict=True)) for name, *row in found.itertuples()}
    if search and keeps:
        _store(path, notebook, rates)
    rows = {name: [row[factor] for factor in names] for name, row in rates.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(factors), dtype=float)


def at_an_end(by_rate: pd.DataFrame) -> str:
    """Say which methods do best at the lowest or highest factor: better ones may lie beyond.

    Parameters
    ----------
    by_rate : pandas.DataFrame
        As `searched_rates` gives it.

    Returns
    -------
    str
        A sentence.
    """
    best, ends = by_rate.idxmax(axis=1), (by_rate.columns.min(), by_rate.columns.max())
    names = [name for name, factor in best.items() if factor in ends]
    if not names:
        return "No method does best at an end of the range of rates."
    return f"Best at an end of the range, so that a better rate may lie beyond: {', '.join(names)}."


def at_both_rates(
    methods: Iterable[Method], best: Mapping[str, float], *, without: str = "default"
) -> dict[tuple[str, str], Method]:
    """Give each method at its default rate and, where one was searched, at that rate.

    Parameters
    ----------
    methods : iterable of Method
    best : mapping of str to float
        By name, the factor of the default rate that was found.
    without : str
        What to call the rate of a method for which none was searched.

    Returns
    -------
    dict of (str, str) to Method
        By name and "default" or "searched".
    """
    found = {}
    for method in methods:
        found[method.name, "default" if method.name in best else without] = method
        if method.name in best:
            found[method.name, "searched"] = method.at_rate(best[method.name])
    return found


def _as_it_is(experiment: Experiment) -> bool:
    """Whether what is found holds for the profile, and not for a part or a variant of it."""
    given = experiment.options
    changed = (given.limit, given.sentences, given.n_sentences)
    own = given.backbone in (None, experiment.profile.backbones[0])
    return own and not experiment.smoke and all(option is None for option in changed)


def _read(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CoMCError(
            f"The stored learning rates {path} are damaged ({error}); restore the file, or delete it and run "
            "with SEARCH=True."
        ) from error


def _store(path: Path, notebook: str, rates: dict[str, dict[str, float]]) -> None:
    """Keep rates beside those of other notebooks, one of which may be storing its own."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_dir() / f"rates-{path.stem}.lock"):
        everything = _read(path)
        everything[notebook] = everything.get(notebook, {}) | rates
        text = json.dumps(everything, indent=2, sort_keys=True)
        with atomic_path(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
