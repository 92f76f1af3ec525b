"""Embeddings in shards: the same rows as from one piece, computed once, resumed where a run was stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from comc_utils.errors import CoMCError
from comc_utils.store import shards as sharded_embeddings
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.shards import store_in_shards

N, KEY = 23, {"images": "abc"}
LOCAL = torch.randn(N, 3, 4, generator=torch.Generator().manual_seed(0)).half()
GLOBAL = torch.randn(N, 4, generator=torch.Generator().manual_seed(1))


class Tower:
    """Computes rows, remembers which, and can be stopped after some."""

    def __init__(self, stop_at: int = N + 1) -> None:
        self.asked: list[range] = []
        self.stop_at = stop_at

    def __call__(self, rows: range) -> dict[str, torch.Tensor]:
        if rows.stop > self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(rows)
        return {"local": LOCAL[rows.start : rows.stop], "global": GLOBAL[rows.start : rows.stop]}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(sharded_embeddings, "SHARD_BYTES", 5 * 24)  # five rows of LOCAL


def store(folder, tower):
    return store_in_shards(EmbeddingCache(folder), KEY, N, row_bytes=24, compute=tower)


def test_slices_are_the_rows_and_nothing_is_computed_twice(tmp_path):
    tower = Tower()
    stored = store(tmp_path, tower)
    assert [len(rows) for rows in tower.asked] == [5, 5, 5, 5, 3]
    for name, whole in (("local", LOCAL), ("global", GLOBAL)):
        sharded = stored[name]
        assert (len(sharded), sharded.shape, sharded.dtype) == (N, whole.shape, whole.dtype)
        for rows in (slice(0, N), slice(0, 5), slice(3, 12), slice(20, 99), slice(7, 7), slice(-2, None)):
            assert torch.equal(sharded[rows], whole[rows])
    again = Tower()
    assert torch.equal(store(tmp_path, again)["local"][:], LOCAL)
    assert again.asked == []


def test_a_stopped_run_goes_on_with_the_shard_it_was_at(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, Tower(stop_at=12))
    tower = Tower()
    assert torch.equal(store(tmp_path, tower)["local"][:], LOCAL)
    assert [rows.start for rows in tower.asked] == [10, 15, 20]


def test_a_damaged_shard_is_noticed_when_it_is_read_and_computed_again(tmp_path):
    store(tmp_path, Tower())
    _, *others = sorted(tmp_path.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    content = bytearray(others[2].read_bytes())
    content[-1] ^= 1
    others[2].write_bytes(content)
    tower = Tower()
    stored = store(tmp_path, tower)
    assert tower.asked == []
    with pytest.warns(UserWarning, match="cannot be used .its checksum differs.; computing them again"):
        assert torch.equal(stored["global"][:], GLOBAL)
    assert [rows.start for rows in tower.asked] == [15]


def test_rows_in_any_order_and_each_file_checked_once(tmp_path, monkeypatch):
    store(tmp_path, Tower())
    stored = store(tmp_path, Tower())
    checks = []
    get = EmbeddingCache.get
    monkeypatch.setattr(
        EmbeddingCache, "get", lambda *of, check: (checks.append(check), get(*of, check=check))[1]
    )
    places = np.array([22, 0, 7, 7, 14])
    for name, whole in (("local", LOCAL), ("global", GLOBAL)):
        for _ in range(2):
            assert torch.equal(stored[name].rows(places), whole[places])
    assert checks == [True] * 4 + [False] * 4


@pytest.mark.parametrize("rows", [3, [1, 2], slice(0, 9, 2)])
def test_anything_but_consecutive_rows_is_refused(rows, tmp_path):
    with pytest.raises(CoMCError, match="read (by slices|in order)"):
        store(tmp_path, Tower())["local"][rows]


def test_the_next_shard_is_read_ahead(tmp_path):
    embeddings = store(tmp_path, Tower())["local"]
    rows = embeddings.rows_per_shard
    first = embeddings[:rows]
    assert torch.equal(first, LOCAL[:rows])
    (ahead,) = embeddings._ahead.values()
    assert torch.equal(ahead.result(timeout=60), LOCAL[rows : 2 * rows])
    assert torch.equal(embeddings[:], LOCAL)
    assert embeddings._ahead == {}
