"""The classifier that the paper's authors trained for MS-COCO and RN50, and their label embeddings.

Both are files of the authors' repository. No code from them runs: they go through `torch.load` with
``weights_only=True``. The checkpoint needs four more names than that allows by itself, because the framework
it was trained in, Dassl, stores its learning-rate scheduler whole, and the scheduler holds the optimizer.
Neither is wanted here, so stand-ins that do nothing are made in their place.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.datasets.base import UNIT_TOLERANCE
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier

SOURCE = "github.com/yic20/CoMC, commit a2d40b8ade940727a09d39e6e004cb5cb0436b82"
"""Where the authors published the files. MIT."""

_WEIGHT = "adapter.0.weight"


def load_official_classifier(path: str | os.PathLike[str]) -> LinearClassifier:
    """Read a classifier that the authors' code saved.

    Parameters
    ----------
    path : str or PathLike
        ``model-best.pth.tar``: a PyTorch checkpoint with ``adapter.0.weight`` [N, d] in its state dict.

    Returns
    -------
    LinearClassifier
        float32, without bias, on the CPU. The published one has N = 80 rows in the order of
        `labels.COCO` and takes RN50's unit vectors, d = 1024.

    Raises
    ------
    CoMCError
        The file is missing or damaged, holds code, holds other weights, or a weight is not finite.

    References
    ----------
    CoMC (ICML 2024), eq. 2, 8 and 9. The preset `presets.RELEASED` says how far its training is known.
    """
    content = _read(path)
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise CoMCError(f"{path} is no checkpoint with a state dict; give model-best.pth.tar of {SOURCE}.")
    if set(state) != {_WEIGHT}:
        names = ", ".join(sorted(map(str, state))[:3]) or "nothing"
        raise CoMCError(
            f"The state dict of {path} holds {names} ({len(state)} entries), expected {_WEIGHT} "
            f"alone; give model-best.pth.tar of {SOURCE}."
        )
    return LinearClassifier(_as_matrix(state[_WEIGHT], f"{_WEIGHT} of {path}"))


def load_official_label_embeddings(path: str | os.PathLike[str]) -> Float[Tensor, "n_labels d"]:
    """Read label embeddings as the authors' code reads them: the numbers of the file, not scaled anew.

    Parameters
    ----------
    path : str or PathLike
        ``coco_templates.pt``: a tensor [N, d] of unit vectors, in half precision.

    Returns
    -------
    Tensor of shape (N, d)
        s_i of eq. 4 and 5: float32, on the CPU, the values of the file. Half precision leaves norms between
        0.9995 and 1.0005; to scale them to 1 would move scores by up to 2.5e-3. The published ones have
        N = 80 rows in the order of `labels.COCO` and d = 1024.

    Raises
    ------
    CoMCError
        The file is missing or damaged, holds code, holds no such tensor, or a row is no unit vector.

    References
    ----------
    CoMC (ICML 2024), section 3.3.
    """
    embeddings = _as_matrix(_read(path), f"content of {path}")
    norms = embeddings.norm(dim=1)
    wrong = ((norms - 1).abs() > UNIT_TOLERANCE).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise CoMCError(
            f"Row {row} (counted from 0) of {path} has the norm {norms[row]:.4g}; label embeddings "
            f"are unit vectors, as in coco_templates.pt of {SOURCE}."
        )
    return embeddings


class _Discarded:
    """Stands for an object of the training: takes its attributes, does nothing."""


def _discarded_dict(*_: Any) -> dict[Any, Any]:
    """Stand for a dictionary with a default factory, which may be any callable."""
    return {}


# Looked up by name while the pickle is read; the real classes, whose methods would run, never are.
_STAND_INS = [
    (_Discarded, "torch.optim.lr_scheduler.CosineAnnealingLR"),
    (_Discarded, "torch.optim.adam.Adam"),
    (_discarded_dict, "collections.defaultdict"),
    (_discarded_dict, "builtins.dict"),
]


def _read(path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise CoMCError(f"There is no file {path}; get it from {SOURCE}, or correct the path.")
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch.load's own message ends in advice to switch its check off.
        raise CoMCError(
            f"{path} is damaged, or holds code or objects other than weights and the optimizer's "
            f"state, which is never loaded; get the file from {SOURCE}."
        ) from None
    # torch.load stumbles over damaged files in a dozen ways, struct.error and AssertionError among them.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CoMCError(f"{path} is damaged or no PyTorch file ({reason}); get it from {SOURCE}.") from None


def _as_matrix(value: Any, what: str) -> Float[Tensor, "n_labels d"]:
    if (
        not isinstance(value, Tensor)
        or value.ndim != 2
        or value.numel() == 0
        or not value.is_floating_point()
        or value.layout != torch.strided
    ):
        given = (
            f"a {value.dtype} tensor of shape {tuple(value.shape)}"
            if isinstance(value, Tensor)
            else f"of type {type(value).__name__}"
        )
        raise CoMCError(
            f"The {what} is {given}; expected a floating-point tensor of shape (N, d), as in the "
            f"files of {SOURCE}."
        )
    broken = (~value.isfinite().all(dim=1)).nonzero()
    if len(broken):
        raise CoMCError(
            f"Row {int(broken[0])} (counted from 0) of the {what} contains NaN or infinity; get the "
            f"file from {SOURCE}."
        )
    return value.detach().float().contiguous()
