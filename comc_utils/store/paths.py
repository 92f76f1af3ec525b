"""Where things live: the cache, the checkout, the results."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from comc_utils.errors import CoMCError

READ_ONLY_VARIABLE = "COMC_CACHE_READ_ONLY"
"""Environment variable with which the cache of embeddings is read, and nothing is kept in it."""

_MARKER = 'name = "comc-notebooks"'


def cache_dir() -> Path:
    """Name the folder of what can be computed or fetched again.

    Returns
    -------
    Path
        The environment variable ``COMC_CACHE_DIR`` where it is set, else the folder ``comc`` among
        the user's caches. It may not exist yet.
    """
    folder = os.environ.get("COMC_CACHE_DIR")
    return Path(folder).expanduser().absolute() if folder else user_cache_path("comc", False)


def repository_root() -> Path:
    """Find the checkout that holds the notebooks and the results.

    The working folder and those above it are asked first, then the one the package lies in, so that
    the notebooks find it from wherever they run.

    Returns
    -------
    Path
        The folder with this project's ``pyproject.toml``.

    Raises
    ------
    CoMCError
        There is none: the package was installed without its repository.
    """
    here, package = Path.cwd(), Path(__file__).resolve().parent
    for folder in (here, *here.parents, *package.parents):
        project_file = folder / "pyproject.toml"
        # Another project's pyproject.toml may lie between here and ours.
        if project_file.is_file() and _MARKER in project_file.read_text(encoding="utf-8"):
            return folder
    raise CoMCError(
        f"The repository with the notebooks was not found from {here} upward; change into a "
        "checkout of comc-notebooks and try again."
    )


def results_dir(profile: str, *, smoke: bool = False, trial: str = "") -> Path:
    """Name the folder of a profile's tables, figures, metrics and executed notebooks.

    Parameters
    ----------
    profile : str
        Name of the profile.
    smoke : bool
        Of a smoke run, whose results never replace full ones.
    trial : str
        What was set otherwise than the profile has it, as `notebooks.trials.trial_name` puts it: such results
        never replace the profile's own either.

    Returns
    -------
    Path
        ``results/<profile>`` in the repository, or ``<profile>`` in the folder that the environment
        variable ``COMC_RESULTS_DIR`` names; with ``-trial-<trial>`` or ``-smoke`` at the end. It may not
        exist yet.

    Raises
    ------
    CoMCError
        Neither that variable nor a repository is there.
    """
    folder = os.environ.get("COMC_RESULTS_DIR")
    root = Path(folder).expanduser().absolute() if folder else repository_root() / "results"
    return root / f"{profile}{f'-trial-{trial}' if trial else ''}{'-smoke' if smoke else ''}"
