"""Weights files of every kind, damaged at random: one clear line, or the tensors; never a traceback."""

from __future__ import annotations

import random
import re

import pytest
import torch
from safetensors.torch import save_file

from comc_utils.clip.weights import read_weights
from comc_utils.errors import CoMCError

TENSORS = {"a.weight": torch.arange(60.0).reshape(4, 15), "a.bias": torch.ones(4).half()}
WRITERS = {
    "safetensors": lambda path: save_file(TENSORS, path),
    "pt": lambda path: torch.save(TENSORS, path),
    "bin": lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False),
}


# torch warns of what it finds odd before it fails on it.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_is_told_in_one_line(kind, tmp_path):
    path = tmp_path / f"weights.{kind}"
    WRITERS[kind](path)
    whole = path.read_bytes()
    assert read_weights(path).tensors.keys() == TENSORS.keys()
    refused = 0
    for seed in range(400):
        draw = random.Random(seed)
        damaged = bytearray(whole[: draw.randrange(len(whole))] if seed % 4 == 0 else whole)
        for _ in range(draw.randrange(1, 8) if damaged else 0):
            damaged[draw.randrange(min(len(damaged), 600))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except CoMCError as error:
            refused += 1
            assert re.match(r"Weights file \S+ (is damaged|holds no state dict)", str(error))
            assert "\n" not in str(error)
    assert refused > 100
