"""Arrays on disk, embeddings above all: computed once, checked each time they are read."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path
from comc_utils.store.fingerprint import tensor_bytes
from comc_utils.store.paths import READ_ONLY_VARIABLE

Key = Mapping[str, "str | int | float | bool"]


class EmbeddingCache:
    """A folder of safetensors files, one for each key.

    A file's name is the SHA-256 of its key; the key itself and a CRC-32 of the tensors stand in
    the file's metadata, since safetensors has no checksum of its own. Both are checked on every
    read, so a truncated, damaged or exchanged file is noticed, named in a warning, and computed
    again. Where several processes want the tensors of a key that is not there, one computes them
    and the others wait; the lock, an empty file that stays behind, is free as soon as its holder
    ends, however it ends.

    Parameters
    ----------
    root : str or PathLike
        The folder. It is made by the first write.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def get(
        self, key: Key, compute: Callable[[], Mapping[str, Tensor]], *, check: bool = True
    ) -> dict[str, Tensor]:
        """Read the tensors of a key, or compute and store them.

        Parameters
        ----------
        key : mapping of str to str, int, float or bool
            Everything that the tensors depend on: model name, weights' fingerprint, preprocessing,
            input. The order of its entries does not matter.
        compute : callable
            Gives the tensors by name, of any shapes. Called only where no sound file is there.
        check : bool
            Whether the checksum is computed, for which all bytes are read. Without it the tensors' bytes are
            read from disk when they are used.

        Returns
        -------
        dict of str to Tensor
            Contiguous CPU tensors, bit for bit what ``compute`` gave.

        Raises
        ------
        CoMCError
            The key holds something that JSON cannot hold exactly, or the folder cannot be written.
        """
        path, key_json = self.path(key), _canonical_json(key)
        tensors = _read(path, key_json, check)
        if tensors is not None:
            return tensors
        if os.environ.get(READ_ONLY_VARIABLE):
            return _storable(compute())
        with _naming_the_folder(path):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock")).acquire()
        with lock:
            # Another process may have stored them while this one waited.
            tensors = _read(path, key_json, check)
            if tensors is None:
                tensors = _storable(compute())
                metadata = {"key": key_json, "crc32": _checksum(tensors)}
                with _naming_the_folder(path), atomic_path(path) as temporary:
                    save_file(tensors, temporary, metadata=metadata)
        return tensors

    def path(self, key: Key) -> Path:
        """Name the file of a key, whether it exists or not.

        Parameters
        ----------
        key : mapping of str to str, int, float or bool
            As in `get`.

        Returns
        -------
        Path
            ``<root>/<sha256 of the key's canonical JSON>.safetensors``.

        Raises
        ------
        CoMCError
            The key holds something that JSON cannot hold exactly.
        """
        digest = hashlib.sha256(_canonical_json(key).encode()).hexdigest()
        return self.root / f"{digest}.safetensors"


@contextmanager
def _naming_the_folder(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CoMCError(
            f"Arrays cannot be written to {path}: {error}. Free some space or choose "
            "another folder with the environment variable COMC_CACHE_DIR."
        ) from None


def _canonical_json(key: Key) -> str:
    for name, value in key.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float | bool):
            raise CoMCError(
                f"Cache key entry {name!r}: {value!r} is of type {type(value).__name__}; "
                "use names of type str and values of type str, int, float or bool."
            )
    try:
        return json.dumps(dict(key), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise CoMCError(f"Cache key {dict(key)} holds a NaN or infinity; use a finite value.") from None


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detach, move to CPU, make contiguous; copy what shares memory, which safetensors refuses."""
    storable: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.untyped_storage().data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        storable[name] = tensor
    return storable


def _read(path: Path, key_json: str, check: bool) -> dict[str, Tensor] | None:
    """Read a sound file; without a lock, for files appear whole or not at all."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        if metadata.get("key") != key_json:
            raise SafetensorError("it was stored under another key")
        if check and metadata.get("crc32") != _checksum(tensors):
            raise SafetensorError("its checksum differs")
    except (SafetensorError, OSError) as error:
        warnings.warn(f"Cached arrays {path} cannot be used ({error}); computing them again.", stacklevel=3)
        return None
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32, which is twice as fast as SHA-256 and against accidents as good."""
    checksum = 0
    for part in tensor_bytes(tensors):
        checksum = zlib.crc32(part, checksum)
    return f"{checksum:08x}"
