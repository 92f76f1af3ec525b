"""How every notebook begins."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.notebooks.manifest import Manifest, read_manifest, write_manifest
from comc_utils.notebooks.outputs import Outputs, undo_skip, use_style
from comc_utils.notebooks.progress import readable
from comc_utils.notebooks.times import forget_times
from comc_utils.notebooks.trials import TEST_SET, changed_parameters, portable, test_set_of, trial_name
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import get_profile
from comc_utils.store.paths import results_dir

_SHOWN_PACKAGES = ("comc-notebooks", "torch", "open_clip_torch", "numpy", "scikit-learn", "pandas")
# Set by the runner for every notebook, or a place on one machine.
_NOT_SETTINGS = {"PROFILE", "SMOKE", "RESULTS", "DATA"}
_NOT_SET = (None, {}, [], ())


def begin(notebook: str, parameters: Mapping[str, Any]) -> Outputs:
    """Set the figures' style, print versions, and open the notebook's results folder.

    The notebook's manifest begins anew, with its settings. A part of the notebook that `Outputs.skip` turned
    into nothing runs again.

    Parameters
    ----------
    notebook : str
        Name of the notebook, for example ``03_inference``.
    parameters : mapping of str to object
        The notebook's ``globals()``, of which the UPPERCASE ones count that hold plain values and were not
        imported from this package: ``PROFILE``, a key of `profiles.PROFILES`; ``RESULTS``, the results folder,
        None or missing for the profile's own in the repository; ``SMOKE`` and whatever is not as the notebook
        has it, with which that is another folder, so that trials never replace published results.

    Returns
    -------
    Outputs

    Raises
    ------
    CoMCError
        ``PROFILE`` is missing or unknown, or ``OPTIONS`` holds an unknown name.

    Examples
    --------
    >>> outputs = begin("03_inference", globals())  # doctest: +SKIP
    """
    if "PROFILE" not in parameters:
        raise CoMCError(
            f"Notebook {notebook} has no PROFILE; set it in the cell tagged `parameters`, for example "
            'PROFILE = "miniworld", and run that cell first.'
        )
    profile = get_profile(parameters["PROFILE"]).name
    ExperimentOptions.of(parameters.get("OPTIONS") or {})
    undo_skip()
    use_style()
    print(f"Python {platform.python_version()}")
    for package in _SHOWN_PACKAGES:
        print(f"{package} {version(package)}")
    test_set = test_set_of(profile, parameters.get("DATA"))
    folder = Path(parameters.get("RESULTS") or _default_folder(notebook, profile, parameters, test_set))
    _refuse_two_test_sets(folder, notebook, test_set)
    write_manifest(folder, notebook, Manifest(_settings(parameters) | test_set))
    forget_times(folder, notebook)
    return Outputs(folder, notebook, smoke=bool(parameters.get("SMOKE")))


def _default_folder(
    notebook: str, profile: str, parameters: Mapping[str, Any], test_set: Mapping[str, str]
) -> Path:
    """Choose the profile's folder, or one of its own for a trial, which is then said."""
    trial = trial_name(changed_parameters(notebook, parameters) | test_set)
    folder = results_dir(profile, smoke=parameters.get("SMOKE", False), trial=trial)
    if trial:
        print(
            f"A trial, since this is not as the notebook has it: {trial}. Its results go to {readable(folder)}."
        )
    return folder


def _refuse_two_test_sets(folder: Path, notebook: str, test_set: Mapping[str, str]) -> None:
    """Refuse to put numbers of different test sets side by side: a folder becomes one report."""
    ours = test_set.get(TEST_SET)
    for path in sorted(folder.glob("manifest/[!.]*.json")) if ours else ():
        other = read_manifest(folder, path.stem).settings.get(TEST_SET, ours)
        if path.stem != notebook and other != ours:
            raise CoMCError(
                f"{readable(folder)} holds results of {path.stem} on another test set ({other}) than that of "
                f"this run ({ours}); their scores cannot be compared. Give this run another folder for its "
                "results: in a notebook by RESULTS, on the command line by --results."
            )


def _settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: portable(value)
        for name, value in parameters.items()
        if name.isupper()
        and not name.startswith("_")
        and name not in _NOT_SETTINGS
        and _is_plain(value)
        and value not in _NOT_SET
        and not _is_ours(name, value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(v) for key, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _is_ours(name: str, value: object) -> bool:
    """Tell whether a name was imported from a module of this package."""
    ours = [m for place, m in sys.modules.items() if place.startswith("comc_utils")]
    return any(vars(module).get(name) is value for module in ours if name in vars(module))
