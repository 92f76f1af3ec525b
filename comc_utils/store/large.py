"""Arrays that are computed on the way and too large for the memory: in files that go as they do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Shaped
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.store.paths import cache_dir

LARGE_BYTES = 2**30
"""From so many on an array lies in a file: the regions' logits of NUS-WIDE, not those of MS-COCO."""


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Shaped[Tensor, "*shape"]:
    """Make a tensor without values, a large one on the CPU in a file.

    The file has no name, so that it goes with the tensor, and with the process, whatever ends it. What of it is
    in use is kept in memory by the system as long as there is room.

    Parameters
    ----------
    shape : sequence of int
    dtype : torch.dtype
    device : torch.device

    Returns
    -------
    Tensor

    Raises
    ------
    CoMCError
        The disk that holds the user's cache has no room for it.
    """
    numbers, size = prod(shape), prod(shape) * dtype.itemsize
    # Elsewhere neither a file without a name nor its room can be had.
    if size < LARGE_BYTES or device.type != "cpu" or not hasattr(os, "posix_fallocate"):
        return torch.empty(shape, dtype=dtype, device=device)
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".large-") as file:
            # Room that is missing later would end the process without a word.
            os.posix_fallocate(file.fileno(), 0, size)
            return torch.from_file(file.name, shared=True, size=numbers, dtype=dtype).reshape(*shape)
    except OSError as error:
        raise CoMCError(
            f"Scores of regions need {size / 1e9:.1f} GB in {folder} for a while ({error.strerror}); free some "
            "space, or choose another folder with the environment variable COMC_CACHE_DIR."
        ) from None
