"""Get a public file: whole, of the right content, or not at all."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import requests
from filelock import FileLock
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential
from tqdm.auto import tqdm

from comc_utils.errors import CoMCError
from comc_utils.store.checksum import sha256_of
from comc_utils.store.paths import cache_dir

ATTEMPTS = 5
TIMEOUT_SECONDS = (10, 30)
"""To connect, and between two pieces of the answer."""

_PIECE_BYTES = 1 << 18
_TOO_MANY_REQUESTS = 429
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


class FetchError(CoMCError):
    """A file that its address does not give.

    Parameters
    ----------
    message : str
        What went wrong, where, and what to do.
    reason : str
        The first of these in a few words, for a list of several addresses.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def fetch(url: str, path: str | os.PathLike[str], *, sha256: str, progress: bool = False) -> Path:
    """Download a file unless it is there already; what has the name has the checksum.

    The download goes to ``<name>.part``, from whose end a later call goes on where the server allows
    it. The file gets its name in one step, after its SHA-256 has been checked. A file whose SHA-256
    differs, found or downloaded, is kept aside as ``<name>.rejected`` and never used; one that was
    found is then downloaded anew. Timeouts, broken connections, HTTP 429 and 5xx are tried again,
    five times in all with growing pauses.

    Parameters
    ----------
    url : str
        http or https address.
    path : str or PathLike
        Where the file is to be. The folder is made where it is missing.
    sha256 : str
        The expected SHA-256 of the content, 64 hexadecimal digits.
    progress : bool
        Show a progress bar in bytes.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    FetchError
        The server does not give the file, or what it gives has another SHA-256.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two notebooks that run side by side may want the same file: the second waits for the first.
    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
    locks = cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{name}.lock"):
        return _fetch(url, path, sha256=sha256, progress=progress)


def _fetch(url: str, path: Path, *, sha256: str, progress: bool) -> Path:
    if path.exists():
        actual = sha256_of(path, progress=progress)
        if actual == sha256:
            return path
        os.replace(path, _rejected(path))
        warnings.warn(
            f"{path} was damaged (SHA-256 {actual}, expected {sha256}); it is kept aside as "
            f"{_rejected(path)} and fetched again.",
            stacklevel=2,
        )
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists()
    actual = _download(url, part, progress=progress)
    if actual != sha256 and resumed:
        # The old beginning may be what is wrong: of another version, or damaged by a crash.
        part.unlink()
        actual = _download(url, part, progress=progress)
    if actual != sha256:
        os.replace(part, _rejected(path))
        raise FetchError(
            f"{url} does not hold the expected file: its SHA-256 is {actual}, expected {sha256}. It is "
            f"kept aside as {_rejected(path)} and not used; put the right file at {path} by hand.",
            "another file",
        )
    os.replace(part, path)
    return path


def _rejected(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejected")


def _download(url: str, part: Path, *, progress: bool) -> str:
    """Complete `part`, resuming at each attempt where the last one broke off; give its SHA-256."""
    retrying = Retrying(
        retry=retry_if_exception(_is_passing),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.25, max=8),
        reraise=True,
    )
    try:
        retrying(_append, url, part, progress=progress)
    except requests.RequestException as error:
        status = error.response.status_code if error.response is not None else None
        raise FetchError(
            f"{url} cannot be fetched: {error}. Check the network and the address, then run again; or "
            f"put the file at {part.with_suffix('')} by hand.",
            f"HTTP {status}" if status else "no connection",
        ) from None
    return sha256_of(part, progress=progress)


def _is_passing(error: BaseException) -> bool:
    """Whether an error may go away by itself."""
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return status >= 500 or status == _TOO_MANY_REQUESTS
    return isinstance(
        error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError
    )


def _append(url: str, part: Path, *, progress: bool) -> None:
    start = part.stat().st_size if part.exists() else 0
    # Byte ranges count what is sent, and a compressed answer cannot be put behind a plain beginning.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code == _RANGE_NOT_SATISFIABLE:
            return  # Nothing follows: the part is the whole file, or no part of it. The SHA-256 tells.
        response.raise_for_status()
        if response.status_code != _PARTIAL_CONTENT:
            start = 0  # The server ignores ranges and sends the file from its beginning.
        remaining = response.headers.get("Content-Length")
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(
                desc=part.stem,
                initial=start,
                total=start + int(remaining) if remaining else None,
                unit="B",
                unit_scale=True,
                disable=not progress,
            ) as bar,
        ):
            for piece in response.iter_content(_PIECE_BYTES):
                file.write(piece)
                bar.update(len(piece))
            file.flush()
            # Without the fsync a power cut after the rename can leave an empty file under the name.
            os.fsync(file.fileno())
