"""How every notebook begins, and how one that does not apply ends."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from comc_utils.notebooks.outputs import Outputs, use_style
from comc_utils.profiles import get_profile
from comc_utils.store.paths import results_dir

_SHOWN_PACKAGES = ("comc-notebooks", "torch", "open_clip_torch", "numpy", "scikit-learn", "pandas")


def begin(
    notebook: str,
    *,
    profile: str,
    smoke: bool,
    results: str | os.PathLike[str] | None,
    limit: int | None = None,
) -> Outputs:
    """Set the figures' style, print versions, and open the notebook's results folder.

    Parameters
    ----------
    notebook : str
        Name of the notebook, for example ``03_inference``.
    profile : str
        A key of `profiles.PROFILES`.
    smoke : bool
        Results of a smoke run go to a folder of their own, so that they never replace full ones.
    results : str or PathLike or None
        The results folder; None for the profile's own in the repository.
    limit : int, optional
        Of a trial on so many images: its results, too, go to a folder of their own.

    Returns
    -------
    Outputs

    Raises
    ------
    CoMCError
        For an unknown profile.
    """
    get_profile(profile)
    use_style()
    print(f"Python {platform.python_version()}")
    for package in _SHOWN_PACKAGES:
        print(f"{package} {version(package)}")
    folder = Path(results) if results else results_dir(profile, smoke=smoke, limit=limit)
    return Outputs(folder, notebook)


def skip_rest(sentence: str) -> None:
    """Say why the notebook ends here, and turn the cells that follow into nothing.

    The notebook then ends well wherever it runs: in JupyterLab, under papermill and under nbval. Restart
    the kernel to run it with other parameters.

    Parameters
    ----------
    sentence : str
        For the reader.
    """
    from IPython import get_ipython

    print(sentence)
    get_ipython().input_transformers_cleanup.append(lambda _lines: [])
