"""One SHA-256 for whatever a result depends on: tensors, texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, dtypes, shapes and raw bytes.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Any shapes, dtypes, devices and memory layouts; order and layout do not change the hash.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        # NumPy knows no bfloat16, so every dtype goes through its bytes.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 of texts in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def code_fingerprint(*roots: str) -> str:
    """Stand in until the walk of imports is there."""
    return " ".join(roots)
