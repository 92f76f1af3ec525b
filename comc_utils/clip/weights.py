"""Read weights from a file, whatever its format, without running code from it."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from comc_utils.clip.key_names import plain_names
from comc_utils.clip.torchscript import is_torchscript, read_torchscript_tensors
from comc_utils.errors import CoMCError

# Scalars that OpenAI's models carry beside their weights. They mark OpenAI's layout, and
# open_clip's models do not have them.
_OPENAI_SCALARS = ("input_resolution", "context_length", "vocab_size")


_PAGE = (b"<!doctype", b"<html", b"<?xml")
_POINTER = (b"version https://git-lfs",)


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """What a weights file holds.

    Attributes
    ----------
    tensors : mapping of str to Tensor
        By open_clip's names, see `plain_names`, without OpenAI's scalars.
    openai_layout : bool
        Whether the file shows itself to be OpenAI's: a TorchScript archive, or OpenAI's scalars.
    """

    tensors: Mapping[str, Tensor]
    openai_layout: bool


def read_weights(path: Path) -> WeightsFile:
    """Read a safetensors file, a TorchScript archive or a PyTorch checkpoint.

    No pickle is ever loaded with code in it: a checkpoint goes through `torch.load` with
    ``weights_only=True``, and a TorchScript archive through `read_torchscript_tensors`.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a file written by `torch.jit.save` or `torch.save` (a state dict, or a
        dictionary with one under ``state_dict``, as open_clip's training writes).

    Returns
    -------
    WeightsFile
        The tensors, on the CPU, in the stored dtypes.

    Raises
    ------
    CoMCError
        The file is missing, damaged, holds code or objects other than tensors, or holds no weights.
    """
    if not path.is_file():
        raise CoMCError(f"Weights file {path} does not exist; check the path.")
    _refuse_what_is_no_weights(path)
    scripted = False
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        elif scripted := is_torchscript(path):
            content = read_torchscript_tensors(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch.load's own message ends in advice to switch its check off.
        raise CoMCError(
            f"Weights file {path} is damaged, or holds code or objects other than tensors, "
            "which is never loaded; fetch it again, or take the model's .safetensors file."
        ) from None
    except (
        SafetensorError, zipfile.BadZipFile, struct.error, OSError, EOFError, LookupError, RuntimeError,
        TypeError, ValueError, AttributeError, AssertionError,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CoMCError(
            f"Weights file {path} is damaged or not a weights file ({reason}); fetch it again."
        ) from None

    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    ):
        raise CoMCError(
            f"Weights file {path} holds no state dict of named tensors; give a file with CLIP's weights."
        )
    tensors = plain_names(state)
    scalars = [tensors.pop(name) for name in _OPENAI_SCALARS if name in tensors]
    return WeightsFile(tensors, openai_layout=scripted or bool(scalars))


def _refuse_what_is_no_weights(path: Path) -> None:
    """Say what lies in the place of weights where a download went wrong."""
    with path.open("rb") as file:
        beginning = file.read(200).lstrip().lower()
    for what, remedy, marks in (
        ("a web page", "a link that needs a login or a click gives one; fetch the file itself", _PAGE),
        ("a pointer of Git LFS", "run git lfs pull in its folder, or fetch the file itself", _POINTER),
        ("empty", "fetch it again", ()),
    ):
        if beginning.startswith(marks) if marks else not beginning:
            raise CoMCError(f"Weights file {path} is {what}, not weights: {remedy}.")
