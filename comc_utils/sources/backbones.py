"""Which CLIP model a name means here, where its weights are, and at which resolution it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from comc_utils.clip import Clip, describe_weights, load_clip
from comc_utils.errors import CoMCError
from comc_utils.miniworld import MODEL_NAMES, register_models, tokenizer, weights_path
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import Profile


def load_backbone(
    name: str, weights: str | Path | None = None, *, tag: str | None = None, device: str | None = None
) -> Clip:
    """Load a CLIP model by name.

    Parameters
    ----------
    name : str
        One of the embedded models, or any name that open_clip has; "RN50-quickgelu@448" is the model
        RN50-quickgelu on images of 448 pixels.
    weights : str or Path, optional
        A tag of open_clip's for this model, a file, or a folder that holds a file named after the model,
        for example ``RN50-quickgelu.pt``. Without effect on the embedded models, whose weights come with
        the package.
    tag : str, optional
        Of weights in a file, where the file does not say how it was trained.
    device : str, optional
        Where the towers run; by default the GPU where torch finds one, and the CPU for the embedded models.

    Returns
    -------
    Clip

    Raises
    ------
    CoMCError
        Where weights are missing, damaged or of another model, the resolution is no number, or torch has no
        such device here.
    """
    if device is not None:
        _check_device(device)
    if name in MODEL_NAMES:
        register_models()
        return load_clip(name, weights_path(name), tokenizer=tokenizer(), device=device or "cpu")
    model, image_size, weights = _find(name, weights)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return load_clip(model, weights, tag=tag, image_size=image_size, device=device)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    # Of a device that is not there torch says so by exceptions of several kinds.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise CoMCError(
            f"Device {device!r} cannot be used here ({reason}); use cpu, or leave it out."
        ) from None


def describe_backbones(profile: Profile, options: ExperimentOptions) -> dict[str, dict[str, Any]]:
    """See that the weights of a run are there and fit, before it starts, and say how each was trained.

    Parameters
    ----------
    profile : Profile
        One whose images are in files.
    options : ExperimentOptions
        Those of ``backbone``, ``weights`` and ``tag`` count.

    Returns
    -------
    dict of str to dict
        By backbone, as `describe_weights` gives it.

    Raises
    ------
    CoMCError
        As `load_backbone`, as far as can be told without building a model or downloading.
    """
    described = {}
    for name in backbones_at_hand(profile, backbone=options.backbone, weights=options.weights):
        if name in MODEL_NAMES:
            continue  # its weights come with the package
        model, _, weights = _find(name, options.weights or profile.weights)
        described[name] = describe_weights(model, weights, tag=options.tag)
    return described


def _find(name: str, weights: str | Path | None) -> tuple[str, int | None, str | Path]:
    """Take a name apart, into open_clip's and the side of the images; find the file in a folder of weights."""
    model, at, size = name.partition("@")
    if at and not size.isdecimal():
        raise CoMCError(f"{name!r} has no resolution after the @; write for example {model}@448.")
    if weights is None:
        raise CoMCError(
            f"Model {name!r} needs weights; give a tag of open_clip's, a file or a folder (--weights)."
        )
    if Path(weights).is_dir():
        weights = _file_of(model, Path(weights))
    return model, int(size) if at else None, weights


def backbones_at_hand(
    profile: Profile, *, backbone: str | None = None, weights: str | Path | None = None
) -> list[str]:
    """List the backbones to compare.

    Parameters
    ----------
    profile : Profile
    backbone : str, optional
        The only one to use.
    weights : str or Path, optional
        As `load_backbone` takes it. A file holds the weights of one model, the profile's first unless
        `backbone` names it; of a folder, those models of the profile count that it has files of.

    Returns
    -------
    list of str

    Raises
    ------
    CoMCError
        Where a folder holds no file of any of the profile's backbones.
    """
    if backbone is not None:
        return [backbone]
    if weights is None or profile.weights is None:
        return list(profile.backbones)
    path = Path(weights)
    if path.is_file():
        return [profile.backbones[0]]
    if path.is_dir():
        found = [name for name in profile.backbones if _files_of(name, path)]
        if not found:
            raise CoMCError(
                f"The folder {path} holds no weights named after {', '.join(profile.backbones)}; name a "
                f"file {profile.backbones[0]}.pt or the like."
            )
        return found
    return list(profile.backbones)


def _files_of(model: str, folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and file.stem == model)


def _file_of(model: str, folder: Path) -> Path:
    files = _files_of(model, folder)
    if len(files) != 1:
        raise CoMCError(
            f"The folder {folder} holds {len(files)} files named {model}.*; it must be one, with the weights "
            "of that model."
        )
    return files[0]
