"""MS-COCO's test split scored from the cache on disk, with embeddings of random numbers."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from benchmarks.paired import Case
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.scores import score_images
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.shards import store_in_shards

N_IMAGES, N_REGIONS, DIM, N_LABELS = 40_504, 49, 1024, 80
_FOLDER = tempfile.TemporaryDirectory(prefix="comc-benchmark-")


def _local(rows: range) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows.start)
    # Drawn as small integers and scaled: ten times as fast as normal numbers, and as good here.
    numbers = torch.randint(-127, 128, (len(rows), N_REGIONS, DIM), generator=generator, dtype=torch.int8)
    return {"local": (numbers.half() * (1 / (73.3 * DIM**0.5)))}


def _store() -> Any:
    folder = EmbeddingCache(_FOLDER.name)
    stored = store_in_shards(folder, {"what": "random"}, N_IMAGES, 2 * N_REGIONS * DIM, _local, progress=True)
    return stored["local"]


@cache
def _inputs() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: normalize(torch.randn(*shape, generator=generator), dim=-1)  # noqa: E731
    return {
        "classifier": LinearClassifier(draw(N_LABELS, DIM)),
        "image_global": draw(N_IMAGES, DIM),
        "label_embeddings": draw(N_LABELS, DIM),
    }


def _forget() -> None:
    """Drop the files from the system's memory, so that they are read from the disk."""
    for path in Path(_FOLDER.name).glob("*.safetensors"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _score() -> torch.Tensor:
    _forget()
    # Opened anew, so that the checksums of all shards are computed again.
    return score_images(**_inputs(), image_local=_store(), alpha=0.7, tau=1 / 100).final


def _multiply() -> torch.Tensor:
    """The matrix product alone that scoring needs, on numbers that are there in single precision."""
    inputs = _inputs()
    both = torch.cat([inputs["classifier"].weight, inputs["label_embeddings"]]).T
    regions = inputs["image_global"][:128].repeat_interleave(N_REGIONS, dim=0)
    for _ in range(N_IMAGES // 128):
        product = regions @ both
    return product


def _read() -> int:
    _forget()
    total = 0
    for path in sorted(Path(_FOLDER.name).glob("*.safetensors")):
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(1 << 24):
                total += len(piece)
    return total


def _read_and_multiply() -> int:
    """Read in one thread, multiply in another: takes as long as the slower of the two, on any disk."""
    with ThreadPoolExecutor(1) as reader:
        n_bytes = reader.submit(_read)
        _multiply()
        return n_bytes.result()


def _prepare() -> tuple[Any, Any]:
    _store()
    return _score, _read_and_multiply


def _whole(scores: torch.Tensor, n_bytes: int) -> None:
    assert scores.shape == (N_IMAGES, N_LABELS) and scores.isfinite().all()
    assert n_bytes > 2 * N_IMAGES * N_REGIONS * DIM


CASES = (
    Case(
        name="scoring 40,504 x 49 x 1024 from the cache on disk, checksums included",
        against="the slower of reading the bytes from the disk and of the matrix product alone, side by side",
        target=3,
        prepare=_prepare,
        same=_whole,
        at_most=True,
        memory_target=2e9,
    ),
)
