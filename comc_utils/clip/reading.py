"""Images read, resized and cropped in processes of their own, ahead of the model."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from comc_utils.clip.image import open_rgb
from comc_utils.errors import CoMCError

_MAX_WORKERS = 16
"""By default: each of them keeps two batches in shared memory."""
_BLACK = Image.new("RGB", (64, 64))
_MIN_IMAGES = 100
"""Fewer are read in this process by default: in the time that starting others takes."""


@contextmanager
def read_batches(
    images: Sequence[Image.Image],
    crop: Callable[[Image.Image], UInt8[Tensor, "height width 3"]],
    *,
    batch_size: int,
    num_workers: int | None,
    pin_memory: bool,
    faulty: Callable[[int, CoMCError], None] | None = None,
) -> Iterator[Iterator[UInt8[Tensor, "n height width 3"]]]:
    """Read a sequence of images in batches, in order, while the caller works on earlier ones.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        At least one.
    crop : callable
        From an RGB image to its pixels; the same shape for all.
    batch_size : int
        Images a batch.
    num_workers : int or None
        See `Clip.encode_images`.
    pin_memory : bool
        Whether batches are copied to memory that a GPU reads from directly.
    faulty : callable, optional
        Told of each image that does not open, by its index and what is wrong, before its batch is given; a
        black one takes its place there. Without it such an image is an error.

    Yields
    ------
    iterator of Tensor [n, height, width, 3]
        Batches. The processes are gone when the context ends, for whatever reason.

    Raises
    ------
    CoMCError
        An image does not open, a process was killed, or a number of processes below 0.
    """
    n_workers = _count_workers(images, batch_size, num_workers)
    with warnings.catch_warnings():
        # More processes than cores are the caller's to ask for; and Python warns of every fork in a process
        # with threads, which torch's always is. The forked ones run on one thread and touch no lock.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        batches = iter(
            DataLoader(
                _Crops(images, crop),
                batch_size=batch_size,
                num_workers=n_workers,
                # Only forked processes can take along a sequence that draws its images by a closure.
                multiprocessing_context="fork" if n_workers else None,
                collate_fn=_stack,
                pin_memory=pin_memory,
                # One of its own: the loader draws a seed for its workers, by default from torch's generator.
                generator=torch.Generator(),
            )
        )
    try:
        yield _pixels(batches, batch_size, faulty)
    except (RuntimeError, EOFError, ConnectionError) as error:
        # The loader says it of a process that it waits for; where a finished batch was being fetched from the
        # process, its end shows as a broken connection.
        told = isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")
        broken = bool(n_workers) and isinstance(error, EOFError | ConnectionError)
        if not (told or broken):
            raise
        reason = str(error).splitlines()[0] if told else "the connection to it broke"
        raise CoMCError(
            f"A process that reads images was killed ({reason}), mostly for lack of memory or of "
            "shared memory; run fewer notebooks at once (--jobs 1), or in Python use a smaller batch_size, or "
            "num_workers=0 to read in this process."
        ) from None
    finally:
        if n_workers:
            # A kept traceback, as notebooks keep the last one, would keep the processes, too.
            batches._shutdown_workers()


class _Crops(Dataset):
    def __init__(self, images: Sequence[Image.Image], crop: Callable[[Image.Image], Tensor]) -> None:
        self._images = images
        self._crop = crop

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, CoMCError | None]:
        try:
            return self._crop(open_rgb(self._images, index)), None
        # Handed over as a value: raised in a worker it would arrive wrapped in the worker's traceback.
        except CoMCError as error:
            return self._crop(_BLACK), error


def _stack(read: list[tuple[Tensor, CoMCError | None]]) -> tuple[Tensor, dict[int, CoMCError]]:
    """Pixels, and by place what does not open."""
    errors = {place: error for place, (_, error) in enumerate(read) if error is not None}
    return torch.stack([pixels for pixels, _ in read]), errors


def _pixels(
    batches: Iterator[tuple[Tensor, dict[int, CoMCError]]],
    batch_size: int,
    faulty: Callable[[int, CoMCError], None] | None,
) -> Iterator[Tensor]:
    for number, (pixels, errors) in enumerate(batches):
        for place, error in errors.items():
            if faulty is None:
                raise error
            faulty(number * batch_size + place, error)
        yield pixels


def _count_workers(images: Sequence[Image.Image], batch_size: int, num_workers: int | None) -> int:
    if num_workers is not None and num_workers < 0:
        raise CoMCError(f"num_workers is {num_workers}; give 0 or more, or None for the default.")
    if (
        # macOS can fork, but its system libraries may crash in what is forked.
        sys.platform != "linux"
        # Open files have one position for all processes.
        or isinstance(images, list | tuple)
        or multiprocessing.current_process().daemon
    ):
        return 0
    if num_workers is None:
        cores = len(os.sched_getaffinity(0))
        num_workers = min(cores, _MAX_WORKERS) if len(images) >= _MIN_IMAGES else 0
    # Nothing is worked on while the first batch is read.
    n_batches = math.ceil(len(images) / batch_size)
    return min(num_workers, n_batches - 1)
