"""Arrays too large for the memory, in files that nobody sees."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.scores import score_components
from comc_utils.store import large


@pytest.fixture(autouse=True)
def all_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(large, "LARGE_BYTES", 1000)
    monkeypatch.setenv("COMC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files_mapped_from(folder: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(folder))


def test_a_large_array_lies_in_a_file_without_a_name(all_are_large: Path) -> None:
    cpu = torch.device("cpu")
    found = large.empty((3, 100), torch.float32, cpu)
    assert files_mapped_from(all_are_large) == 1
    assert list(all_are_large.iterdir()) == []
    found[:] = torch.arange(300.0).reshape(3, 100)
    assert found.sum() == 300 * 299 / 2
    del found
    assert files_mapped_from(all_are_large) == 0
    large.empty((2, 100), torch.float32, cpu)  # a small one
    assert files_mapped_from(all_are_large) == 0


def test_scores_in_a_file_are_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(4 + 7 + 7 * 9, 16, generator=rng), dim=-1)
    s, whole, local = unit.split([4, 7, 63])
    given = (LinearClassifier(s.clone(), None), whole, local.reshape(7, 9, 16), s)
    in_file = score_components(*given, tau=0.1)
    monkeypatch.undo()
    in_memory = score_components(*given, tau=0.1)
    for alpha in (0.0, 0.5, 1.0):
        assert torch.equal(in_file.at(alpha).final, in_memory.at(alpha).final)


def test_no_room_is_said_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(large.os, "posix_fallocate", full)
    with pytest.raises(CoMCError, match=r"GB in .*cache for a while \(No space left on device\)"):
        large.empty((3, 100), torch.float32, torch.device("cpu"))
