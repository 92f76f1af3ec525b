"""A file's SHA-256, read piece by piece, however large it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tqdm.auto import tqdm

_PIECE_BYTES = 1 << 18


def sha256_of(path: str | os.PathLike[str], *, progress: bool = False) -> str:
    """SHA-256 of a file's content.

    Parameters
    ----------
    path : str or PathLike
        The file.
    progress : bool
        Show a progress bar in bytes, where it takes longer than two seconds.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with (
        open(path, "rb") as file,
        tqdm(
            desc=f"checking {Path(path).name}",
            total=os.path.getsize(path),
            unit="B",
            unit_scale=True,
            delay=2,
            disable=not progress,
        ) as bar,
    ):
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()
