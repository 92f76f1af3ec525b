"""The embedding cache: computed once, never trusted blindly, never half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path
from comc_utils.store.cache import EmbeddingCache

KEY = {"model": "RN50-quickgelu", "images": 3, "positional_embedding": False, "scale": 0.1}


def make_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "global": torch.randn(3, 8, generator=generator),
        "local": torch.randn(3, 8, 4, generator=generator).transpose(1, 2),  # not contiguous
        "half": torch.randn(5, generator=generator).to(torch.bfloat16),
        "ids": torch.arange(3),
    }


def never() -> dict[str, torch.Tensor]:
    raise AssertionError("computed although cached")


def assert_same(given: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert given.keys() == expected.keys()
    for name, tensor in expected.items():
        assert given[name].dtype == tensor.dtype
        assert given[name].is_contiguous()
        assert torch.equal(given[name], tensor)


def test_a_hit_is_bit_exact_and_not_computed_again(tmp_path):
    cache = EmbeddingCache(tmp_path / "deep" / "cache")
    assert_same(cache.get(KEY, make_tensors), make_tensors())
    assert_same(cache.get(dict(reversed(KEY.items())), never), make_tensors())


def test_special_values_survive(tmp_path):
    bits = torch.tensor([0x7FC00001, 0x7F800000, -0x80000000, 1], dtype=torch.int32)
    cache = EmbeddingCache(tmp_path)
    cache.get(KEY, lambda: {"x": bits.view(torch.float32)})  # NaN with payload, inf, -0, subnormal
    assert torch.equal(cache.get(KEY, never)["x"].view(torch.int32), bits)


def test_tensors_that_share_memory_are_stored(tmp_path):
    x = torch.arange(6.0)
    cache = EmbeddingCache(tmp_path)
    cache.get(KEY, lambda: {"all": x, "same": x, "part": x[2:4]})
    assert_same(cache.get(KEY, never), {"all": x, "same": x, "part": x[2:4]})


def test_each_key_has_its_file(tmp_path):
    cache = EmbeddingCache(tmp_path)
    keys = [KEY, {**KEY, "images": 4}, {**KEY, "images": "3"}, {**KEY, "positional_embedding": 0}]
    assert len({cache.path(key) for key in keys}) == len(keys)
    for value, key in enumerate(keys):
        cache.get(key, lambda value=value: {"x": torch.tensor([value])})
    assert [cache.get(key, never)["x"].item() for key in keys] == [0, 1, 2, 3]


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def flip_last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def flip_header_length(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def rename_tensor(content: bytes) -> bytes:
    return content.replace(b'"global"', b'"glabal"')


def change_key(content: bytes) -> bytes:
    return content.replace(b"RN50-quickgelu", b"RN51-quickgelu")


@pytest.mark.parametrize(
    "damage", [truncate, empty, flip_last_byte, flip_header_length, rename_tensor, change_key]
)
def test_a_damaged_file_is_named_and_rebuilt(tmp_path, damage):
    cache = EmbeddingCache(tmp_path)
    cache.get(KEY, make_tensors)
    path = cache.path(KEY)
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    assert path.read_bytes() != sound
    with pytest.warns(UserWarning, match=path.name):
        assert_same(cache.get(KEY, make_tensors), make_tensors())
    assert_same(cache.get(KEY, never), make_tensors())


def test_no_flipped_byte_gives_a_wrong_tensor(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.get({"k": 1}, lambda: {"x": torch.tensor([1.0, 2.0])})
    path = cache.path({"k": 1})
    sound = path.read_bytes()
    for position in range(len(sound)):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 4]) + sound[position + 1 :])
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            given = cache.get({"k": 1}, lambda: {"x": torch.tensor([1.0, 2.0])})
        # Padding of the header carries nothing: what counts is that no wrong tensor comes back.
        assert_same(given, {"x": torch.tensor([1.0, 2.0])})


def test_a_file_under_another_keys_name_is_not_used(tmp_path):
    cache = EmbeddingCache(tmp_path)
    other = {**KEY, "images": 4}
    cache.get(other, lambda: {"x": torch.zeros(1)})
    os.replace(cache.path(other), cache.path(KEY))
    with pytest.warns(UserWarning, match="another key"):
        assert_same(cache.get(KEY, make_tensors), make_tensors())


def test_the_file_says_its_key(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.get(KEY, make_tensors)
    with safe_open(cache.path(KEY), framework="pt") as file:
        assert '"model":"RN50-quickgelu"' in file.metadata()["key"]


@pytest.mark.parametrize("value", [None, [1], torch.zeros(1), float("nan")])
def test_a_key_that_json_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(CoMCError, match=r"[Cc]ache key"):
        EmbeddingCache(tmp_path).get({"x": value}, make_tensors)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CoMCError, match="COMC_CACHE_DIR"):
        EmbeddingCache(tmp_path / "file").get(KEY, make_tensors)


def test_an_interrupted_compute_leaves_nothing(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path).get(KEY, interrupted)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    assert_same(EmbeddingCache(tmp_path).get(KEY, make_tensors), make_tensors())


GET = """
    import sys, time
    from pathlib import Path
    import torch
    from comc_utils.store.cache import EmbeddingCache

    folder, name = Path(sys.argv[1]), sys.argv[2]

    def compute():
        print("computing", flush=True)
        (folder / f"{name} computes").touch()
        while not (folder / "go on").exists():
            time.sleep(0.01)
        return {"x": torch.tensor([1.0, 2.0])}

    print("ready", flush=True)
    print(EmbeddingCache(folder / "cache").get({"k": 1}, compute)["x"].tolist(), flush=True)
"""


def start_get(folder: Path, name: str) -> subprocess.Popen[str]:
    """Start a process that gets a key; its computing lasts until the file ``go on`` is there."""
    command = [sys.executable, "-c", textwrap.dedent(GET), str(folder), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_at_once_compute_once(tmp_path):
    first = start_get(tmp_path, "first")
    assert first.stdout.readline() == "computing\n"
    second = start_get(tmp_path, "second")
    time.sleep(0.5)  # for the second to begin, if nothing holds it back
    (tmp_path / "go on").touch()
    assert first.communicate()[0] == second.communicate()[0] == "[1.0, 2.0]\n"
    assert not (tmp_path / "second computes").exists()


def test_a_process_killed_while_computing_holds_nobody_back(tmp_path):
    with start_get(tmp_path, "first") as first:
        assert first.stdout.readline() == "computing\n"
        first.kill()
    (tmp_path / "go on").touch()
    second = start_get(tmp_path, "second")
    assert second.communicate()[0] == "computing\n[1.0, 2.0]\n"


def test_what_is_stored_needs_no_lock(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.get(KEY, make_tensors)
    lock = cache.path(KEY).with_suffix(".lock")
    with FileLock(lock):
        assert_same(cache.get(KEY, never), make_tensors())


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_process_killed_while_writing_leaves_no_half_file(tmp_path):
    script = """
        import sys, time
        from comc_utils.store.atomic import atomic_path
        with atomic_path(sys.argv[1]) as temporary, open(temporary, "wb") as file:
            file.write(b"half")
            file.flush()
            print("writing", flush=True)
            time.sleep(60)
    """
    path = tmp_path / "embeddings.safetensors"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    # What the killed process left does not stand in the way of the next one.
    assert any(".partial" in left.name for left in tmp_path.iterdir())
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
