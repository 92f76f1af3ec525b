"""What a result depends on, in one string: tensors, texts, and the code that made it."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

from comc_utils.errors import CoMCError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = Path(__file__).parent.parent
"""The folder of the package's code."""
_NAME = "comc_utils"


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
    for part in tensor_bytes(tensors):
        digest.update(part)
    return digest.hexdigest()


def tensor_bytes(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Give names, dtypes, shapes and raw bytes of tensors, in the order of their names.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        As for `hash_tensors`.

    Yields
    ------
    bytes or memoryview
        To be hashed one after the other.
    """
    import torch

    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        yield f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode()
        # NumPy knows no bfloat16, so every dtype goes through its bytes.
        yield tensor.reshape(-1).view(torch.uint8).numpy().data


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 of texts in their order, 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def code_fingerprint(*roots: str | ast.Module) -> str:
    r"""Hash the code of this package that something follows from, found by walking imports.

    Followed is what a module imports from this package, at its top or in a function; what it imports for
    type checkers alone is not. A name that a package's ``__init__`` hands on leads to the module that
    defines it, and to no other. Of each module the syntax tree counts: neither docstrings nor comments nor
    formatting. A file of data (in a module's folder, or in a folder there without modules) counts with the
    modules of that folder that name it, or a folder that it lies in, in a string; with all of them where
    none does.

    Parameters
    ----------
    *roots : str or ast.Module
        Modules, named as in an import; a package stands for all that its ``__init__`` imports. One from
        elsewhere that has been imported counts with its own file and what that imports from this package;
        parsed code, such as a notebook's, likewise. None: every module of this package.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits. Versions of other packages are not in it.

    Raises
    ------
    CoMCError
        There is no such module, or no file with its code.

    Examples
    --------
    >>> here = code_fingerprint("comc_utils.errors")
    >>> here == code_fingerprint(ast.parse("def f():\n    from comc_utils.errors import CoMCError"))
    False
    """
    package = _Package()
    parts: dict[str, str] = {}
    waiting: list[str] = []
    for root in roots or package.files:
        if root in package.files:
            waiting.append(root)
        else:
            code = _read(root, "") if isinstance(root, ast.Module) else _from_elsewhere(root)
            parts[f"code {len(parts)}"] = code.digest
            waiting += package.led_to(code)
    named: dict[Path, set[str]] = {}
    while waiting:
        module = waiting.pop()
        if module not in parts:
            code = package.code(module)
            parts[module] = code.digest
            waiting += package.led_to(code)
            named.setdefault(package.files[module].parent, set()).update(code.strings)
    for folder, strings in named.items():
        for file in _data_files(folder):
            names = set(file.relative_to(folder).parts)
            if names & strings or not names & package.strings(folder):
                parts[str(file.relative_to(PACKAGE))] = _hash_file(*_stamp(file))
    return hash_texts(f"{name} {digest}" for name, digest in sorted(parts.items()))


@dataclass(frozen=True)
class _Code:
    """What counts of a module: its tree's hash, (local name, module, name there) it imports, its strings."""

    digest: str
    imports: tuple[tuple[str, str, str], ...]
    strings: frozenset[str]


class _Package:
    """The modules that are there now, by their dotted names."""

    def __init__(self) -> None:
        self.files = {_dotted(file): file for file in PACKAGE.rglob("*.py")}

    def code(self, module: str) -> _Code:
        return _module(*_stamp(self.files[module]))

    def led_to(self, code: _Code) -> set[str]:
        """Give the modules of this package that code imports from."""
        return {self._defining(place, name) for _, place, name in code.imports} & self.files.keys()

    def _defining(self, module: str, name: str) -> str:
        """Give the module that ``from module import name`` leads to."""
        if f"{module}.{name}" in self.files:
            return f"{module}.{name}"
        if module in self.files and self.files[module].name == "__init__.py":
            for here, place, there in self.code(module).imports:
                if here == name:
                    return self._defining(place, there)
        return module

    def strings(self, folder: Path) -> set[str]:
        """Give all strings in the modules of a folder."""
        return {
            text
            for module, file in self.files.items()
            if file.parent == folder
            for text in self.code(module).strings
        }


def _from_elsewhere(module: str) -> _Code:
    """Read a module of somebody else's, a method of one's own for example."""
    imported = sys.modules.get(module)
    file = getattr(imported, "__file__", None)
    if module.split(".")[0] == _NAME or file is None:
        raise CoMCError(
            f"There is no file with the code of a module {module}, neither in {PACKAGE} nor among what was "
            f"imported; name one as in `import {_NAME}.errors`, and keep what is to be fitted in a file."
        )
    return _read(ast.parse(Path(file).read_bytes(), file), imported.__package__ or "")


def _dotted(file: Path) -> str:
    name = ".".join([_NAME, *file.relative_to(PACKAGE).with_suffix("").parts])
    return name.removesuffix(".__init__")


@cache
def _module(file: Path, _size: int, _changed: int) -> _Code:
    return _read(ast.parse(file.read_bytes(), file), _dotted(file.parent / "__init__.py"))


def _read(tree: ast.Module, package: str) -> _Code:
    """Walk a tree once; by hand, for `ast.dump` and `ast.walk` take three times as long."""
    spelled: list[object] = []
    imports: list[tuple[str, str, str]] = []
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            kept = [part for part in node if not _says_nothing(part)]
            spelled.append(len(kept))
            waiting += kept
        elif isinstance(node, ast.AST):
            spelled.append(type(node).__name__)
            waiting += [getattr(node, field) for field in node._fields]
            if isinstance(node, ast.Import):
                imports += [(alias.asname or "", alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = resolve_name("." * node.level + (node.module or ""), package)
                imports += [(alias.asname or alias.name, module, alias.name) for alias in node.names]
        else:
            spelled.append(node)
    if package == _NAME:
        imports += [(name, place, name) for name, place in _lazy_imports(tree)]
    strings = frozenset(part for part in spelled if isinstance(part, str))
    return _Code(hash_texts([repr(spelled)]), tuple(imports), strings)


def _says_nothing(node: object) -> bool:
    """Tell a docstring or another bare string, and what is for type checkers alone."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    only_for_types = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    return only_for_types and not node.orelse


def _lazy_imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Read the package's table of names that are imported when first touched: name, module."""
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="_PLACES")], value=ast.Dict() as table)
                | ast.AnnAssign(target=ast.Name(id="_PLACES"), value=ast.Dict() as table)
            ):
                yield from ast.literal_eval(table).items()


def _data_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith((".", "__pycache__")) or path.suffix == ".py":
            continue
        if path.is_file():
            yield path
        elif not any(path.glob("*.py")):
            yield from _data_files(path)


def _stamp(file: Path) -> tuple[Path, int, int]:
    """Tell one state of a file from another, for what is remembered of it."""
    status = file.stat()
    return file, status.st_size, status.st_mtime_ns


@cache
def _hash_file(file: Path, _size: int, _changed: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
