"""Tables on disk: what is kept of photos' embeddings, tags, scores, and what was wrong with photos."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.tagging.embeddings import PHOTOS_A_CHUNK, Towers

EMBEDDINGS, SCORES = "embeddings", "scores"
KEPT = ("global", "regions", "regions-int8")
"""Of embeddings: the whole photo alone, its regions in half precision, too, or these in 8 bits a number."""
_KEY = b"comc"


def need_pyarrow() -> Any:
    """Import pyarrow's Parquet files, or say how to get them."""
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise CoMCError(
            "Tables need pyarrow: pip install pyarrow, or in the checkout pip install -e '.[parquet]'."
        ) from None
    return pyarrow.parquet


def about_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a table says of itself, from its last bytes alone; {} of a table that is not ours, or none.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        ``what`` it holds, the ``fingerprint`` of what it was made of, counts, and more.
    """
    pq = need_pyarrow()
    from pyarrow import ArrowException

    try:
        with open(path, "rb") as file:  # whose name pyarrow wants in UTF-8
            return json.loads((pq.read_metadata(file).metadata or {}).get(_KEY, b"{}"))
    except (OSError, ArrowException):
        return {}


def read_column(path: str, column: str | None, known: Sequence[str]) -> list[str]:
    """Read a table's column of paths.

    Parameters
    ----------
    path : str
    column : str, optional
        By default the first of those that are known.
    known : sequence of str

    Returns
    -------
    list of str

    Raises
    ------
    CoMCError
        It is no table, has no such column, or one without texts.
    """
    pq = need_pyarrow()
    from pyarrow import ArrowException

    try:
        with open(path, "rb") as file:
            names = pq.read_schema(file).names
        wanted = [column] if column else [name for name in known if name in names]
        if not wanted or wanted[0] not in names:
            raise CoMCError(
                f"The table {path} has no column {column or 'of paths'}; it has {', '.join(names)}. Name one "
                "by --column."
            )
        with open(path, "rb") as file:
            values = pq.read_table(file, columns=wanted[:1]).column(0).to_pylist()
    except (OSError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise CoMCError(f"The table {path} cannot be read ({reason}); check its path.") from None
    wrong = next((row for row, value in enumerate(values) if not isinstance(value, str) or not value), None)
    if wrong is not None:
        raise CoMCError(
            f"The table {path} has no path in row {wrong} of column {wanted[0]}, but {values[wrong]!r}; repair "
            "it, or name another --column."
        )
    return values


class TableWriter:
    """Writes a table piece by piece to a path that nobody reads yet; closed when the block ends.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._file, self._writer = open(path, "wb"), None  # noqa: SIM115 - closed at the end of the block

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._file, suppress(Exception):  # after an error, of which the caller is told
            if self._writer is not None:
                self._writer.close()

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add rows: texts, numbers, or arrays [n, ...], whose rows are flattened to lists of one length."""
        import pyarrow as pa

        table = pa.table({name: _column(values) for name, values in columns.items()})
        if self._writer is None:
            # Numbers hardly repeat: a dictionary of them takes half as much again.
            texts = [name for name in ("file", "label") if name in columns]
            self._writer = need_pyarrow().ParquetWriter(
                self._file, table.schema, compression="zstd", use_dictionary=texts
            )
        self._writer.write_table(table)

    def finish(self, about: Mapping[str, Any]) -> None:
        """End the table with what it says of itself; something must have been written, if without rows."""
        self._writer.add_key_value_metadata({_KEY: json.dumps(about, ensure_ascii=False, sort_keys=True)})
        self._writer.close()


def read_faults(path: Path) -> list[tuple[str, str]]:
    """Read name and kind of each faulty photo of a shard; none where there is no table."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        table = need_pyarrow().read_table(file, columns=["file", "kind"])
    return list(zip(*table.to_pydict().values(), strict=True))


def _column(values: Any) -> Any:
    import pyarrow as pa

    if not isinstance(values, np.ndarray) or values.ndim == 1:
        texts = not isinstance(values, np.ndarray)
        return pa.array(values, pa.string() if texts else None)
    if values.dtype == np.int8:  # Parquet itself has no integers of fewer than 32 bits
        buffer = pa.py_buffer(np.ascontiguousarray(values))
        kind = pa.binary(int(np.prod(values.shape[1:])))
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [None, buffer])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), int(np.prod(values.shape[1:])))


def embedding_columns(embeddings: ImageEmbeddings, keep: str) -> dict[str, np.ndarray]:
    """Turn embeddings into columns of a table.

    Parameters
    ----------
    embeddings : ImageEmbeddings
        Of n photos.
    keep : str
        One of `KEPT`; photos without regions have none to keep.

    Returns
    -------
    dict of str to ndarray
        ``with_position`` [n, d]; ``global`` [n, d] where it is another; ``local`` [n, K, d] in half precision,
        or in 8 bits with ``local_scale`` [n, K], by the largest number of a region; ``local_norms`` [n, K].
    """
    columns = {"with_position": embeddings.with_position.numpy()}
    if not torch.equal(embeddings.global_, embeddings.with_position):
        columns["global"] = embeddings.global_.numpy()
    if keep == "global" or embeddings.local is None:
        return columns
    if keep == "regions":
        columns["local"] = embeddings.local.half().numpy()
    else:
        columns["local"], columns["local_scale"] = to_int8(embeddings.local)
    if embeddings.local_norms is not None:
        columns["local_norms"] = embeddings.local_norms.numpy()
    return columns


def to_int8(local: Float[Tensor, "n k d"]) -> tuple[np.ndarray, np.ndarray]:
    """Round regions to 8 bits: integers [n, K, d], and what each region's are to be multiplied by, [n, K]."""
    scale = local.abs().amax(dim=-1).clamp_min(1e-12) / 127
    return (local / scale[..., None]).round().to(torch.int8).numpy(), scale.numpy()


def read_embeddings(path: str) -> Iterator[tuple[list[str], ImageEmbeddings]]:
    """Read embeddings that were kept, some photos at a time, in single precision.

    Parameters
    ----------
    path : str
        Of a table that `embedding_columns` gave.

    Yields
    ------
    list of str
        The photos' names.
    ImageEmbeddings

    Raises
    ------
    CoMCError
        The table is damaged.
    """
    pq = need_pyarrow()
    from pyarrow import ArrowException

    d = about_of(path)["dim"]
    try:
        with open(path, "rb") as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(PHOTOS_A_CHUNK):
                arrays = {
                    name: torch.from_numpy(_values(batch.column(name)).copy())
                    for name in batch.schema.names
                    if name != "file"
                }
                yield batch.column("file").to_pylist(), _embeddings(arrays, d)
    except (OSError, ArrowException) as error:
        raise CoMCError(
            f"The embeddings {path} are damaged ({str(error).splitlines()[0]}); delete the file and embed "
            "again."
        ) from None


def _values(column: Any) -> np.ndarray:
    import pyarrow as pa

    if not pa.types.is_fixed_size_binary(column.type):
        return column.flatten().to_numpy().reshape(len(column), -1)
    width = column.type.byte_width
    bytes_ = np.frombuffer(column.buffers()[1], np.int8)[column.offset * width :]
    return bytes_[: len(column) * width].reshape(len(column), width)


def _embeddings(arrays: dict[str, Tensor], d: int) -> ImageEmbeddings:
    whole, local = arrays["with_position"], arrays.get("local")
    if local is not None:
        local = local.float().reshape(len(local), -1, d)
    if "local_scale" in arrays:
        local *= arrays["local_scale"][..., None]
    return ImageEmbeddings(arrays.get("global", whole), local, whole, arrays.get("local_norms"))


def towers_of(about: Mapping[str, Any]) -> Towers:
    """The towers that kept embeddings are of."""
    return Towers(**about["towers"])
