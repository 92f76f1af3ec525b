"""What is worked on: pieces of lists, webdataset's tar files, embeddings that were kept; each with a name."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError, printable
from comc_utils.store.fingerprint import hash_texts
from comc_utils.tagging.engine.tables import EMBEDDINGS, about_of, read_column
from comc_utils.tagging.photos import gather_photos, read_list

SHARD_SIZE = 1_000
"""Photos of a list that are worked on together: a minute or two of a core, which a stop can lose."""
ABOUT = "about.json"
"""File of what all tables of a folder depend on, and which there are to be."""
PATH_COLUMNS = ("path", "file", "filename", "filepath", "image_path")
"""Of a table, where it is not said: the first that is there."""


@dataclass(frozen=True)
class Shard:
    """Photos that one worker works on.

    Attributes
    ----------
    name : str
        Of the files that it leaves, without ending: from the input's name, and the place in it.
    kind : {"photos", "tar", "embeddings"}
    source : str
        The file that it comes from, or is.
    paths : tuple of str
        Of photos, as they were given.
    folder : str
        Where the command runs, from which they are taken.
    """

    name: str
    kind: Literal["photos", "tar", "embeddings"]
    source: str
    paths: tuple[str, ...] = field(default=(), repr=False)
    folder: str = field(default_factory=os.getcwd, repr=False)

    @property
    def fingerprint(self) -> str:
        """Stands for what it holds, as far as that can be told without opening it."""
        if self.kind == "photos":
            return hash_texts(map(printable, self.paths))
        if self.kind == "embeddings":
            return about_of(self.source).get("fingerprint", "")
        try:
            status = os.stat(self.source)
        except OSError as error:
            raise CoMCError(
                f"The shard {printable(self.source)} cannot be read ({error.strerror}); check its path."
            ) from None
        return hash_texts([printable(self.source), str(status.st_size), str(status.st_mtime_ns)])

    @property
    def kept(self) -> str:
        """What was kept, one of `tables.KEPT`, where it holds embeddings; '' of photos."""
        return about_of(self.source)["keep"] if self.kind == "embeddings" else ""


def find_shards(
    given: Sequence[str | os.PathLike[str]],
    *,
    listed: str | os.PathLike[str] | None = None,
    column: str | None = None,
    shard_size: int = SHARD_SIZE,
    limit: int | None = None,
) -> tuple[list[Shard], str]:
    """Find what is to be worked on, and cut lists into shards.

    No photo is looked at: one of a list that is missing is found out, and counted, by the worker.

    Parameters
    ----------
    given : sequence of path
        Webdataset shards (``.tar``), tables of paths (``.parquet``), embeddings that `embed` left, or the
        folder of these; patterns of all of them; or folders and photos as `photos.gather_photos` takes them.
    listed : path, optional
        Text file, a photo's path a line.
    column : str, optional
        Of tables, with the paths; by default the first of `PATH_COLUMNS`.
    shard_size : int
        Photos a shard, of lists.
    limit : int, optional
        For a trial: of the lists the first so many photos, in all.

    Returns
    -------
    shards : list of Shard
        A photo that one list names twice is in them once; lists are not compared with each other.
    passed_over : str
        What lies in a folder beside the photos, in words; '' for nothing.

    Raises
    ------
    CoMCError
        Nothing is there, a table has no such column, two inputs would leave files of the same name, or a number
        below 1.
    """
    for name, value in (("--shard-size", shard_size), ("--limit", limit)):
        if value is not None and value < 1:
            raise CoMCError(f"{name} {value}: give 1 or more photos.")
    shards: list[Shard] = []
    lists: list[tuple[str, str, Sequence[str]]] = []  # name, source and paths
    others, passed_over = [], ""
    for item in _expanded(given):
        name = printable(Path(item).stem)
        if item.endswith(".tar"):
            shards.append(Shard(name, "tar", os.path.abspath(item)))
        elif item.endswith(".parquet") and about_of(item).get("what") == EMBEDDINGS:
            shards.append(Shard(name, "embeddings", os.path.abspath(item)))
        elif item.endswith(".parquet"):
            lists.append((name, item, read_column(item, column, PATH_COLUMNS)))
        else:
            others.append(item)
    if limit is not None and shards:
        raise CoMCError("--limit is for lists of photos; of tar files or embeddings name fewer of them.")
    if listed is not None:
        lists.append((printable(Path(listed).stem), os.fspath(listed), read_list(Path(listed))))
    if others:
        one = len(others) == 1 and os.path.isdir(others[0])
        photos = gather_photos(others)
        lists.append((printable(Path(others[0]).resolve().name) if one else "photos", others[0], photos.paths))
        passed_over = photos.passed_over
    for name, source, paths in lists:
        if limit == 0:
            break
        pieces = _pieces(name, source, paths, shard_size, limit)
        shards += pieces
        limit = None if limit is None else limit - sum(len(piece.paths) for piece in pieces)
    if not shards:
        raise CoMCError("No photos are given; name a list (--list FILE), tables, tar files, or a folder.")
    by_name: dict[str, Shard] = {}
    for shard in shards:
        if shard.name in by_name:
            first = by_name[shard.name].source
            raise CoMCError(
                f"{first} and {shard.source} would both leave the file {shard.name}.parquet; rename one of "
                "them, or run them with different --to."
            )
        by_name[shard.name] = shard
    return shards, passed_over


def _expanded(given: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Patterns of files, and folders of embeddings, as the files; all else as it is. None twice."""
    items: dict[str, None] = {}
    for item in map(os.fspath, given):
        if item.endswith((".tar", ".parquet")) and not os.path.lexists(item):
            found = sorted(glob.glob(item, recursive=True))
            if not found:
                raise CoMCError(f"There is no file or pattern {item}; check its path.")
            items |= dict.fromkeys(found)
        elif os.path.isdir(item):
            items |= dict.fromkeys(_embeddings_in(item) or [item])
        else:
            items[item] = None
    return list(items)


def _embeddings_in(folder: str) -> list[str]:
    """Tables of embeddings in a folder, all that `embed` was to leave there; none of a folder of photos."""
    tables = sorted(glob.glob(os.path.join(glob.escape(folder), "*.parquet")))
    kept = [table for table in tables if about_of(table).get("what") == EMBEDDINGS]
    if not kept:
        return []
    try:
        expected = json.loads((Path(folder) / ABOUT).read_text(encoding="utf-8"))["shards"]
    except (OSError, ValueError, KeyError):
        expected = []
    missing = sorted({f"{name}.parquet" for name in expected} - {os.path.basename(table) for table in kept})
    strange = [os.path.basename(table) for table in tables if table not in kept]
    for names, why in ((missing, "are missing, or no embeddings"), (strange, "hold no embeddings")):
        if names:
            raise CoMCError(
                f"Of the tables in {printable(folder)} {len(names):,} {why}: {name_some(names)}. Run embed to "
                "its end, or name the tables to take by a pattern."
            )
    return kept


def _pieces(name: str, source: str, paths: Sequence[str], size: int, limit: int | None) -> list[Shard]:
    paths = list(dict.fromkeys(paths))[:limit]
    if not paths:
        raise CoMCError(f"{source} names no photo; give a list with a path a line.")
    return [
        Shard(f"{name}-{number:05d}", "photos", source, tuple(paths[first : first + size]))
        for number, first in enumerate(range(0, len(paths), size))
    ]
