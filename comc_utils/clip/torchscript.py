"""Read the tensors of a TorchScript archive without running what is in it.

OpenAI published CLIP as TorchScript archives: a zip with a pickled tree of modules (``data.pkl``),
their tensors' bytes (``data/0``, ``data/1``, ...) and the program that the modules run (``code/``).
`torch.load` with ``weights_only=True`` refuses such an archive, and `torch.jit.load` compiles the
program and may run parts of it. Only the tree's tensors are wanted here, so the pickle is read by
an unpickler that knows tensors and plain containers and refuses every other name; the program is
never opened.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Tell a TorchScript archive from other files by the constants that only it holds.

    Parameters
    ----------
    path : Path
        Any existing file.

    Returns
    -------
    bool
        True for a zip archive with a ``constants.pkl`` one folder deep.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:] == ["constants.pkl"] for name in archive.namelist())


def read_torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """Read parameters and buffers, named as in the module's state dict.

    Parameters
    ----------
    path : Path
        A TorchScript archive. The zip's own checksums are verified.

    Returns
    -------
    dict of str to Tensor
        CPU tensors of the stored dtypes; buffers that a state dict would leave out are included.

    Raises
    ------
    pickle.UnpicklingError
        The archive's pickle holds anything but modules, tensors and plain containers.
    zipfile.BadZipFile, KeyError, RuntimeError, ValueError
        The archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        with archive.open(f"{root}/data.pkl") as file:
            module = _TensorUnpickler(file, archive, root).load()
    if not isinstance(module, _Module):
        raise pickle.UnpicklingError("the archive's root is not a module")
    return _collect_tensors(module)


class _Module:
    """Stands for a module of any class: its attributes, none of its behaviour."""


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        # Typed lists and dicts arrive as a plain container with a note of their type.
        if module == "torch.jit._pickle":
            return _drop_type
        raise pickle.UnpicklingError(f"the name {module}.{name} is not allowed in a weights file")

    def persistent_load(self, reference: tuple[Any, ...]) -> Tensor:
        _, dtype, key, _device, _n_elements = reference
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._root}/data/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype)
        return self._storages[key]


def _rebuild_tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


def _drop_type(container: Any, *_: Any) -> Any:
    return container


def _collect_tensors(module: _Module, prefix: str = "") -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            tensors[prefix + name] = value
        elif isinstance(value, _Module):
            tensors.update(_collect_tensors(value, f"{prefix}{name}."))
    return tensors
