"""Photos' embeddings, kept by what the files hold: embedded once, found again wherever they are moved."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from torch import Tensor
from tqdm.auto import tqdm

from comc_utils.clip import Clip, ImageEmbeddings
from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError, printable
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.checksum import sha256_of
from comc_utils.store.fingerprint import hash_texts
from comc_utils.store.paths import cache_dir
from comc_utils.tagging.embeddings import Changes, PhotoEmbeddings, Towers
from comc_utils.tagging.photos import Photos

PHOTOS_A_PART = 128
"""That are kept together: what a stop can lose."""
BATCH = 64
"""Photos at a time for a tower that looks at 112 pixels or fewer, or on a GPU; of more pixels fewer at a time,
whose layers' results then stay in a processor's cache: a fifth faster at 224 pixels and 16."""
FULL_PRECISION_BYTES = 2**16
"""A photo's local embeddings that take more, in single precision, are kept in half precision."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, content TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_content ON files (content);
CREATE TABLE IF NOT EXISTS rows (
    towers TEXT, content TEXT, part TEXT NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (towers, content)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sidecars (path BLOB PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unreadable (towers TEXT, content TEXT, PRIMARY KEY (towers, content)) WITHOUT ROWID;
"""


_FILE = "SELECT size, modified, content FROM files WHERE path = ?"
_ASKED_AT_ONCE = 500
_UNREADABLE = "SELECT content FROM unreadable WHERE towers = ?"


class PhotoLibrary:
    """What has been embedded, in the user's cache folder.

    A photo is known by the SHA-256 of its file; a file whose size and time of change are those of the last look
    is not opened again.

    Parameters
    ----------
    folder : Path, optional
        By default ``photos`` in `store.paths.cache_dir`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir() / "photos"
        self.cache = EmbeddingCache(self.folder / "embeddings")

    def look_at(self, photos: Photos, *, progress: bool = False) -> tuple[list[str], Changes]:
        """Find out by their content which photos these are.

        Parameters
        ----------
        photos : Photos
        progress : bool

        Returns
        -------
        contents : list of str
            SHA-256 of each photo's file.
        changes : Changes

        Raises
        ------
        CoMCError
            A file cannot be read, or the library's folder cannot be written.
        """
        with self._open() as index:
            contents, seen, counts = [], [], {"new": 0, "changed": 0, "moved": 0}
            paths = [os.fsencode(os.path.abspath(path)) for path in photos.paths]
            for name, path in zip(
                tqdm(photos.paths, desc="files", unit="file", delay=2, disable=not progress), paths, strict=True
            ):
                with _naming(name):
                    status = os.stat(name)
                    before = index.execute(_FILE, (path,)).fetchone()
                    if before and before[:2] == (status.st_size, status.st_mtime_ns):
                        contents.append(before[2])
                        continue
                    content = sha256_of(name)
                contents.append(content)
                seen.append((path, status.st_size, status.st_mtime_ns, content))
                if before:
                    counts["changed"] += before[2] != content
                else:
                    others = index.execute("SELECT path FROM files WHERE content = ?", (content,))
                    gone = any(not os.path.lexists(other) for (other,) in others)
                    counts["moved" if gone else "new"] += 1
                if len(seen) == 1000:  # a stop keeps what was looked at
                    _write_files(index, seen)
            _write_files(index, seen)
            deleted = _forget_deleted(index, photos.folders, set(paths))
        return contents, Changes(**counts, deleted=max(0, deleted - counts["moved"]))

    def embed(
        self,
        photos: Photos,
        towers: Towers,
        clip: Callable[[], Clip],
        *,
        skip_unreadable: bool = False,
        progress: bool = False,
    ) -> PhotoEmbeddings:
        """Embed the photos that are not there yet, and find the others.

        Parameters
        ----------
        photos : Photos
        towers : Towers
        clip : callable
            Loads the towers, where a photo has to be embedded.
        skip_unreadable : bool
            Leave out photos that do not open; otherwise they are an error.
        progress : bool

        Returns
        -------
        PhotoEmbeddings

        Raises
        ------
        CoMCError
            A photo does not open, all of them do not, or the library's folder cannot be written.
        """
        contents, changes = self.look_at(photos, progress=progress)
        with self._open() as index:
            there = self._there(index, towers, contents)
            bad = {c for (c,) in index.execute(_UNREADABLE, (towers.fingerprint,))}
            first = {content: row for row, content in reversed(list(enumerate(contents)))}
            missing = [
                row for content, row in sorted(first.items(), key=lambda i: i[1]) if content not in there
            ]
            # One that did not open before may do so now, with another extra installed; but not among the
            # others, whose batches are to be those of a run that is not stopped.
            again = [row for row in missing if contents[row] in bad and _opens(photos, row)]
            waiting = [row for row in missing if contents[row] not in bad] + again
            if waiting:
                self._embed(index, photos, contents, waiting, towers, clip(), skip_unreadable, progress)
                there = self._there(index, towers, contents)
        kept = [row for row, content in enumerate(contents) if content in there]
        left_out = [name for name, content in zip(photos.names, contents, strict=True) if content not in there]
        if left_out and not skip_unreadable:
            raise _do_not_open(left_out)
        if not kept:
            raise CoMCError(f"None of the {len(photos):,} photos opens: {name_some(left_out)}.")
        parts, rows = zip(*(there[contents[row]] for row in kept), strict=True)
        return PhotoEmbeddings(photos.subset(kept), towers, tuple(left_out), changes, parts, rows, self._part)

    def sidecar(self, path: str) -> list[str]:
        """Give the SHA-256 of what was written to a text sidecar, and of what before; none of others'."""
        with self._open() as index:
            row = index.execute("SELECT content FROM sidecars WHERE path = ?", (os.fsencode(path),)).fetchone()
        return row[0].split() if row else []

    def note_sidecar(self, path: str, contents: Sequence[str]) -> None:
        """Note what is written to a text sidecar, for `sidecar`."""
        with self._open() as index:
            index.execute(
                "INSERT OR REPLACE INTO sidecars VALUES (?, ?)", (os.fsencode(path), " ".join(contents))
            )
            index.commit()

    def _embed(
        self,
        index: sqlite3.Connection,
        photos: Photos,
        contents: Sequence[str],
        waiting: list[int],
        towers: Towers,
        clip: Clip,
        skip_unreadable: bool,
        progress: bool,
    ) -> None:
        """Embed photos in parts with fixed boundaries, each kept as soon as it is whole."""
        with tqdm(total=len(waiting), desc="photos", unit="photo", disable=not progress) as bar:
            while waiting:
                drafts = replace(photos.subset(waiting), draft_size=towers.draft_size)
                batches = clip.encode_in_batches(
                    drafts,
                    batch_size=photos_at_once(clip, towers),
                    local=towers.regions,
                    resize=towers.resize,
                    fill=True,
                )
                try:
                    with closing(batches):
                        for part in in_parts(batches, PHOTOS_A_PART):
                            rows, waiting = waiting[: len(part)], waiting[len(part) :]
                            self._keep(
                                index,
                                [photos.paths[r] for r in rows],
                                [contents[r] for r in rows],
                                towers,
                                part,
                            )
                            bar.update(len(part))
                except CoMCError:
                    # Some image of the next part does not open; which, is found out by opening them.
                    bad = [row for row in waiting[: PHOTOS_A_PART + BATCH] if not _opens(photos, row)]
                    if not bad:
                        raise
                    index.executemany(
                        "INSERT OR IGNORE INTO unreadable VALUES (?, ?)",
                        [(towers.fingerprint, contents[row]) for row in bad],
                    )
                    index.commit()
                    if not skip_unreadable:
                        raise _do_not_open([photos.names[row] for row in bad]) from None
                    waiting = [row for row in waiting if row not in bad]
                    bar.update(len(bad))

    def _keep(
        self,
        index: sqlite3.Connection,
        paths: Sequence[str],
        contents: Sequence[str],
        towers: Towers,
        part: ImageEmbeddings,
    ) -> None:
        for path, content in zip(paths, contents, strict=True):
            with _naming(path):
                status = os.stat(path)
            key = os.fsencode(os.path.abspath(path))
            row = index.execute(_FILE, (key,)).fetchone()
            if row != (status.st_size, status.st_mtime_ns, content):
                raise CoMCError(
                    f"Photo {printable(path)} changed while it was read; run the same command again."
                )
        tensors = {name: tensor for name, tensor in vars(as_kept(part)).items() if tensor is not None}
        name = hash_texts(contents)
        self.cache.get(_key(towers, name), lambda: tensors)
        index.executemany(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)",
            [(towers.fingerprint, content, name, row) for row, content in enumerate(contents)],
        )
        index.commit()

    def _there(
        self, index: sqlite3.Connection, towers: Towers, contents: Sequence[str]
    ) -> dict[str, tuple[str, int]]:
        """Part and row of these photos by their content; parts whose file is gone do not count."""
        found: dict[str, tuple[str, int]] = {}
        parts: dict[str, bool] = {}  # whether its file is there
        # Only these are asked for: the index may know of many more.
        distinct = list(dict.fromkeys(contents))
        for first in range(0, len(distinct), _ASKED_AT_ONCE):
            some = distinct[first : first + _ASKED_AT_ONCE]
            places = ", ".join("?" * len(some))
            query = f"SELECT content, part, row FROM rows WHERE towers = ? AND content IN ({places})"
            for content, part, row in index.execute(query, (towers.fingerprint, *some)):
                if part not in parts:
                    parts[part] = self.cache.path(_key(towers, part)).exists()
                if parts[part]:
                    found[content] = (part, row)
        return found

    def _part(self, towers: Towers, part: str) -> dict[str, Tensor]:
        """Read a part; one that is damaged is forgotten, so that the next run embeds its photos again."""

        def forget() -> NoReturn:
            self.cache.path(_key(towers, part)).unlink(missing_ok=True)
            raise CoMCError(
                f"Embeddings of photos in {self.cache.path(_key(towers, part))} are damaged; they are "
                "forgotten now. Run the same command again: those photos are embedded anew."
            )

        return self.cache.get(_key(towers, part), forget)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The index; whatever goes wrong with it is said in one line."""
        path = self.folder / "index.sqlite"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=60)) as index:
                index.executescript(_SCHEMA)
                yield index
        except (OSError, sqlite3.Error) as error:
            raise CoMCError(
                f"The index of photos {path} cannot be used ({error}). Free some space, or choose another "
                "folder with the environment variable COMC_CACHE_DIR; if it is damaged, delete it: photos are "
                "then embedded anew."
            ) from None


def photos_at_once(clip: Clip, towers: Towers) -> int:
    """How many photos a batch has."""
    on_gpu = clip.device.type == "cuda"
    return BATCH if on_gpu else min(BATCH, max(1, BATCH * 112**2 // towers.image_size**2))


def as_kept(part: ImageEmbeddings) -> ImageEmbeddings:
    """Round local embeddings as they are kept, where they are many: see `FULL_PRECISION_BYTES`."""
    large = part.local is not None and 4 * part.local[0].numel() > FULL_PRECISION_BYTES
    return replace(part, local=part.local.half()) if large else part


def in_parts(batches: Iterable[ImageEmbeddings], size: int) -> Iterator[ImageEmbeddings]:
    """Put batches together until there are so many photos or more; the last part may have fewer."""
    waiting: list[ImageEmbeddings] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= size:
            yield ImageEmbeddings.concatenate(waiting)
            waiting = []
    if waiting:
        yield ImageEmbeddings.concatenate(waiting)


def _key(towers: Towers, part: str) -> dict[str, str]:
    return {"what": "photos", "towers": towers.fingerprint, "photos": part, "drafts": str(towers.draft_size)}


def _write_files(index: sqlite3.Connection, seen: list[tuple[bytes, int, int, str]]) -> None:
    index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", seen)
    index.commit()
    seen.clear()


def _forget_deleted(index: sqlite3.Connection, folders: Sequence[str], there: set[bytes]) -> int:
    gone = set()
    for folder in folders:
        below = os.fsencode(os.path.join(os.path.abspath(folder), ""))
        after = below[:-1] + bytes([below[-1] + 1])  # what begins with neither is not asked for
        known = index.execute("SELECT path FROM files WHERE path >= ? AND path < ?", (below, after))
        gone |= {row for row in known if row[0] not in there}
    index.executemany("DELETE FROM files WHERE path = ?", gone)
    index.commit()
    return len(gone)


def _opens(photos: Photos, row: int) -> bool:
    try:
        photos[row]
    except CoMCError:
        return False
    return True


def _do_not_open(names: Sequence[str]) -> CoMCError:
    n = len(names)
    return CoMCError(
        f"{n:,} {'photo does' if n == 1 else 'photos do'} not open: {name_some(names)}. Repair or remove "
        f"{'it' if n == 1 else 'them'}, or leave such photos out: --skip-unreadable, in Python "
        "skip_unreadable=True."
    )


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CoMCError(
            f"Photo {printable(path)} cannot be read ({error.strerror}); check its path and your right to read "
            "it."
        ) from None
