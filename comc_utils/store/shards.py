"""Embeddings of more images than memory holds: on disk in shards, read a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from tqdm import tqdm

from comc_utils.errors import CoMCError
from comc_utils.store.cache import EmbeddingCache, Key

SHARD_BYTES = 2**28
"""Of the largest tensor in a shard: small against memory, and minutes of encoding at most to lose."""


@dataclass(frozen=True, eq=False)
class ShardedEmbeddings:
    """Tensors with one row an image, of which a slice reads only the shards that it touches.

    Made by `store_in_shards`. A shard is checked when it is first read, and computed again where it is
    missing or damaged. Slices are meant to be read in order: one shard is kept open at a time, and while it is
    worked on, a thread reads and checks the one after it. Rows in any order are what `rows` reads.

    Attributes
    ----------
    cache : EmbeddingCache
    key : mapping
        Of all rows; a shard's own key names its rows, too.
    name : str
        Which of the shards' tensors.
    shape : torch.Size
        (n, ...).
    dtype : torch.dtype
    rows_per_shard : int
    compute : callable
        Gives the tensors of a range of rows, by name.
    """

    cache: EmbeddingCache
    key: Key
    name: str
    shape: torch.Size
    dtype: torch.dtype
    rows_per_shard: int
    compute: Callable[[range], Mapping[str, Tensor]] = field(repr=False)
    _checked: set[int] = field(repr=False)
    _open: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _ahead: dict[int, Future[Tensor]] = field(default_factory=dict, repr=False)
    _kept: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Number of rows, n."""
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Shaped[Tensor, "rows ..."]:
        """Read consecutive rows.

        Parameters
        ----------
        rows : slice
            With step 1.

        Returns
        -------
        Tensor
            Of the stored dtype.

        Raises
        ------
        CoMCError
            For anything else than consecutive rows.
        """
        if not isinstance(rows, slice):
            raise CoMCError(
                f"Embeddings in shards are read by slices of consecutive rows, not by {rows!r}; use [a:b] "
                "or rows()."
            )
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise CoMCError(f"Embeddings in shards are read in order, not in steps of {step}.")
        parts = []
        while start < stop:
            shard = start // self.rows_per_shard
            first = shard * self.rows_per_shard
            end = min(stop, first + self.rows_per_shard)
            parts.append(self._shard(shard)[start - first : end - first])
            start = end
        if not parts:
            return torch.empty(0, *self.shape[1:], dtype=self.dtype)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def rows(self, places: Int[np.ndarray, " rows"]) -> Shaped[Tensor, "rows ..."]:
        """Read rows in any order, as for a batch of a training.

        All shards stay mapped: the system keeps of them in memory what fits there.

        Parameters
        ----------
        places : ndarray [rows]
            From 0 to n - 1, at least one.

        Returns
        -------
        Tensor
            Of the stored dtype.
        """
        found = []
        for place in places.tolist():
            shard, row = divmod(place, self.rows_per_shard)
            if shard not in self._kept:
                self._kept[shard] = self._load(shard)
            found.append(self._kept[shard][row])
        return torch.stack(found)

    def _shard(self, shard: int) -> Tensor:
        if shard not in self._open:
            ahead = self._ahead.pop(shard, None)
            tensor = self._load(shard) if ahead is None else ahead.result()
            self._open.clear()  # unmaps the last one's file
            self._open[shard] = tensor
            self._start_to_load(shard + 1)
        return self._open[shard]

    def _load(self, shard: int) -> Tensor:
        rows = self._rows(shard)
        tensors = self.cache.get(
            _shard_key(self.key, rows), partial(self.compute, rows), check=shard not in self._checked
        )
        self._checked.add(shard)
        return tensors[self.name]

    def _start_to_load(self, shard: int) -> None:
        """Read and check a shard in a thread; hashing holds no lock. One to be computed waits for its turn."""
        if shard in self._checked or not self._rows(shard):
            return
        if self.cache.path(_shard_key(self.key, self._rows(shard))).exists():
            self._ahead.clear()
            pool = ThreadPoolExecutor(1)
            self._ahead[shard] = pool.submit(self._load, shard)
            pool.shutdown(wait=False)

    def _rows(self, shard: int) -> range:
        first = shard * self.rows_per_shard
        return range(first, min(len(self), first + self.rows_per_shard))


def store_in_shards(
    cache: EmbeddingCache,
    key: Key,
    n_rows: int,
    row_bytes: int,
    compute: Callable[[range], Mapping[str, Tensor]],
    *,
    description: str = "rows",
    progress: bool = False,
) -> dict[str, ShardedEmbeddings]:
    """Compute what is not there yet, shard by shard, each kept as soon as it is whole.

    A stop at any moment loses the shard in the making; the next call goes on with it.

    Parameters
    ----------
    cache : EmbeddingCache
    key : mapping of str to str, int, float or bool
        Everything that the tensors depend on, as for `EmbeddingCache.get`.
    n_rows : int
        n, at least 1.
    row_bytes : int
        Size of a row of the largest tensor; it decides how many rows make a shard.
    compute : callable
        Given a range of rows, gives tensors by name with one row each, always the same names, dtypes and
        further dimensions.
    description : str
        What the rows are, for the bar.
    progress : bool
        Show a bar over the shards.

    Returns
    -------
    dict of str to ShardedEmbeddings
    """
    rows_per_shard = max(1, SHARD_BYTES // row_bytes)
    with tqdm(total=n_rows, desc=description, disable=not progress) as bar:
        for start in range(0, n_rows, rows_per_shard):
            rows = range(start, min(n_rows, start + rows_per_shard))
            shard_key = _shard_key(key, rows)
            # The first says what the others look like; those that are there are checked when they are read.
            if start == 0 or not cache.path(shard_key).exists():
                layouts = {
                    name: (tensor.shape[1:], tensor.dtype)
                    for name, tensor in cache.get(shard_key, partial(compute, rows)).items()
                }
            bar.update(len(rows))
    checked: set[int] = set()  # a file at once, whichever of its tensors is read first
    return {
        name: ShardedEmbeddings(
            cache, key, name, torch.Size((n_rows, *shape)), dtype, rows_per_shard, compute, checked
        )
        for name, (shape, dtype) in layouts.items()
    }


def _shard_key(key: Key, rows: range) -> Key:
    return {**key, "first row": rows.start, "rows": len(rows)}
