"""One SHA-256 for parts of this package: what they made is made anew when they have changed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


@cache
def hash_code(*parts: str) -> str:
    """Hash files of the package.

    Parameters
    ----------
    *parts : str
        Files, and folders whose modules count, relative to the package.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for part in parts:
        path = Path(__file__).parent.parent / part
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()
