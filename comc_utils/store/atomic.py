"""Write a file so that a reader never meets half of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comc_utils.errors import CoMCError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; on success it takes the place of ``path`` in one step.

    Whatever interrupts the writing, ``path`` holds its old content (or stays absent) until the new
    content is complete and on disk. A process killed outright leaves a hidden file named
    ``.<stem>.<random>.partial<suffix>`` behind, which nothing reads.

    Parameters
    ----------
    path : str or PathLike
        The file to write. Its folder is made where it is missing.

    Yields
    ------
    Path
        A path in the same folder with the same suffix (savers that go by the suffix keep working),
        not yet existing. The block must write it.

    Raises
    ------
    OSError
        The folder or the file cannot be written.

    Examples
    --------
    >>> with atomic_path("metrics.json") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("{}")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name rather than an open file from `tempfile`: the writer then creates the file with the
    # user's own permissions, where `tempfile` would make results unreadable for others.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.partial{path.suffix}")
    try:
        yield temporary
        # Without the fsync a power cut after the rename can leave an empty file under the new name.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def make_writable(folder: Path, option: str) -> None:
    """Make a folder where it is missing, and find out now whether files can be written to it.

    Parameters
    ----------
    folder : Path
    option : str
        What names the folder on the command line, for the message.

    Raises
    ------
    CoMCError
        They cannot.
    """
    try:
        with atomic_path(folder / "writable") as temporary:
            temporary.touch()
        (folder / "writable").unlink()
    except OSError as error:
        raise CoMCError(
            f"Nothing can be written to {folder} ({error.strerror}); choose another {option}."
        ) from None
