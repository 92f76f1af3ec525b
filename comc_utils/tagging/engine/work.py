"""What a worker does: it opens the photos of a shard, embeds and tags them, and leaves one table."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyarrow import ArrowException
from torch import Tensor

from comc_utils import __version__
from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.cached import CachedClip
from comc_utils.errors import CoMCError, printable
from comc_utils.store.atomic import atomic_path
from comc_utils.store.fingerprint import hash_tensors, hash_texts
from comc_utils.tagging.about import About
from comc_utils.tagging.embeddings import PHOTOS_A_CHUNK, Towers
from comc_utils.tagging.engine.reading import open_shard
from comc_utils.tagging.engine.shards import Shard
from comc_utils.tagging.engine.tables import (
    EMBEDDINGS,
    SCORES,
    TableWriter,
    about_of,
    embedding_columns,
    read_embeddings,
    read_faults,
    towers_of,
)
from comc_utils.tagging.exports import Tagged
from comc_utils.tagging.library import as_kept, in_parts, photos_at_once
from comc_utils.tagging.models import check_same, describe_towers
from comc_utils.tagging.scoring import Scorer
from comc_utils.tagging.thresholds import Threshold

FAULTY = "faulty"
"""The folder, beside the tables, with a table of the faulty photos of each shard that has any."""
UNREACHABLE = frozenset({"missing", "may not be read", "not readable"})
"""Kinds of faults that are a disk's or a path's, and may be over another time."""


@dataclass(frozen=True)
class Job:
    """What is done to every shard.

    Attributes
    ----------
    to : Path
        Folder of the tables.
    keep : str
        "tags", "scores", or one of `tables.KEPT`.
    towers : Towers
    load : callable
        Gives the CLIP model, on whichever machine; it must travel there by pickle.
    about : About, optional
        Of the tagger, with its ``tensors``, the ``least`` score of a tag, ``top_k``, and the ``choice`` in
        words.
    """

    to: Path
    keep: str
    towers: Towers
    load: Callable[[], CachedClip]
    about: About | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    least: float | str | Threshold | None = None
    top_k: int | None = None
    choice: str = ""

    @cached_property
    def depends_on(self) -> dict[str, Any]:
        """What the tables depend on beside the photos; a table of other things is made anew."""
        if self.about is None:
            return {"what": EMBEDDINGS, "keep": self.keep, "towers": asdict(self.towers)}
        tagged = Tagged((), [], self.about, self.choice).metadata
        del tagged["unreadable"]
        return {
            "what": self.keep,
            **tagged,
            "tagger": self.about.to_json(),
            "tensors' SHA-256": hash_tensors(self.tensors),
            "least": asdict(self.least) if isinstance(self.least, Threshold) else self.least,
            "at most": self.top_k,
            "labels in order": list(self.about.names),
        }

    def path(self, shard: Shard) -> Path:
        """Where a shard's table goes."""
        return self.to / f"{shard.name}.parquet"

    def fingerprint(self, shard: Shard) -> str:
        """Stands for the shard and for all that its table depends on."""
        return hash_texts([shard.fingerprint, json.dumps(self.depends_on, sort_keys=True)])

    def is_done(self, shard: Shard, about: Mapping[str, Any]) -> bool:
        """Whether the table that says this of itself is that of these photos by this job.

        No photo is opened. Of those that could not be reached it is seen whether they can be by now: then the
        shard is not done.
        """
        if about.get("fingerprint") != self.fingerprint(shard):
            return False
        if shard.kind != "photos" or not UNREACHABLE & about["faulty"].keys():
            return True
        places = dict(zip(map(printable, shard.paths), shard.paths, strict=True))
        faults = read_faults(self.to / FAULTY / f"{shard.name}.parquet")
        unreached = [places[name] for name, kind in faults if kind in UNREACHABLE]
        return not any(os.access(os.path.join(shard.folder, path), os.R_OK) for path in unreached)

    def refuse_others(self, shard: Shard, about: Mapping[str, Any]) -> None:
        """Refuse to write where something else lies, by what it says of itself, than a table of this kind.

        Raises
        ------
        CoMCError
            A table of somebody else, or the embeddings that are to be tagged.
        """
        path, own = self.path(shard), self.depends_on
        if path.exists() and any(about.get(key) != own.get(key) for key in ("what", "keep")):
            raise CoMCError(
                f"{printable(str(path))} is there and holds something else than {self.keep}; choose another "
                "--to, or take it away."
            )


class Worker:
    """Does a job to one shard after the other, with a model that is loaded once.

    Parameters
    ----------
    job : Job
    n_threads : int, optional
        For torch; by default all it takes.
    num_workers : int, optional
        Processes that open photos: see `Clip.encode_images`.
    """

    def __init__(self, job: Job, *, n_threads: int | None = None, num_workers: int | None = None) -> None:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        self.job, self._num_workers = job, num_workers
        self._scorer = None if job.about is None else Scorer(job.about, job.tensors)

    @cached_property
    def _clip(self) -> CachedClip:
        clip = self.job.load()
        check_same(describe_towers(clip), self.job.towers, "The model here is that")
        return clip.clip

    def __call__(self, shard: Shard) -> dict[str, Any]:
        """Work on a shard and put its table, and that of its faulty photos, into place.

        Returns
        -------
        dict
            What the table says of itself, see `tables.about_of`, and its ``name``.

        Raises
        ------
        CoMCError
            The shard cannot be read, holds embeddings of another model, or its table cannot be written.
        """
        job, fingerprint = self.job, self.job.fingerprint(shard)
        faults: list[tuple[str, str, str]] = []
        counts = Counter(photos=0, tags=0, without=0)
        by_label: Counter[str] = Counter()
        parts = self._kept(shard) if shard.kind == "embeddings" else self._embed(shard, faults, counts)
        try:
            with atomic_path(job.path(shard)) as temporary, TableWriter(temporary) as table:
                dim = self._write(parts, table, counts, by_label)
                self._write_faults(shard, faults)
                about = {
                    "made by": f"comc-notebooks {__version__}",
                    **job.depends_on,
                    "fingerprint": fingerprint,
                    "embeddings were": shard.kept,
                    "dim": dim,
                    "counts": dict(counts),
                    "by label": dict(by_label),
                    "faulty": dict(Counter(kind for _, kind, _ in faults)),
                }
                if job.fingerprint(shard) != fingerprint:
                    raise CoMCError(
                        f"{printable(shard.source)} changed while it was read; wait until it is whole, and run "
                        "the same command again."
                    )
                table.finish(about)
        except OSError as error:
            raise CoMCError(
                f"{job.path(shard)} cannot be written ({error.strerror or error}); free some space, or choose "
                "another --to. Finished shards stay."
            ) from None
        return about | {"name": shard.name}

    def _write(
        self,
        parts: Iterator[tuple[list[str], ImageEmbeddings]],
        table: TableWriter,
        counts: Counter[str],
        by_label: Counter[str],
    ) -> int:
        dim, written = self.job.tensors["labels"].shape[1] if self._scorer else 0, False
        for names, embeddings in parts:
            dim, written = embeddings.global_.shape[1], True
            counts["photos"] += len(names)
            if self._scorer is None:
                table.write({"file": names, **embedding_columns(embeddings, self.job.keep)})
                continue
            scores = self._scorer.scores(embeddings)
            if self.job.keep == SCORES:
                table.write({"file": names, "scores": scores.astype(np.float16)})
                continue
            tags = self._scorer.choose(scores, self.job.least, self.job.top_k)
            counts["tags"] += sum(map(len, tags))
            counts["without"] += sum(not of for of in tags)
            by_label.update(str(tag["label"]) for of in tags for tag in of)
            table.write(self._rows(tuple(names), tags))
        if not written and self._scorer is None:
            dim = self._clip.embedding_dim
            table.write({"file": [], "with_position": np.empty((0, dim), np.float32)})
        elif not written:
            none = np.empty((0, len(self.job.about.names)), np.float16)
            table.write({"file": [], "scores": none} if self.job.keep == SCORES else self._rows((), []))
        return dim

    def _rows(self, names: tuple[str, ...], tags: list) -> dict[str, Any]:
        frame = Tagged(names, tags, self.job.about, self.job.choice).frame()
        texts = {name: frame[name].tolist() for name in ("file", "label")}
        return texts | {"score": frame["score"].to_numpy(np.float64)}

    def _kept(self, shard: Shard) -> Iterator[tuple[list[str], ImageEmbeddings]]:
        about = about_of(shard.source)
        check_same(towers_of(about), self.job.towers, f"{shard.source} holds embeddings")
        if self.job.towers.regions and about["keep"] == "global":
            raise CoMCError(
                f"{shard.source} holds embeddings of whole photos alone, and {self.job.towers.model} also "
                "scores regions, so that tags would be others; embed again with --keep regions."
            )
        yield from read_embeddings(shard.source)

    def _embed(
        self, shard: Shard, faults: list[tuple[str, str, str]], counts: Counter[str]
    ) -> Iterator[tuple[list[str], ImageEmbeddings]]:
        """Embed the photos that open, some at a time, and note the others."""
        towers = self.job.towers
        photos, names = open_shard(shard, towers.draft_size)
        if broken := getattr(photos, "broken", ""):
            faults.append((printable(shard.source), "shard cut short", f"{broken}; what comes before is read"))
        counts["passed over"] = getattr(photos, "others", 0)
        if not names:
            return
        left_out: set[int] = set()

        def faulty(index: int, error: CoMCError) -> None:
            left_out.add(index)
            faults.append((names[index], getattr(error, "kind", "damaged"), str(error)))

        batches = self._clip.encode_in_batches(
            photos,
            batch_size=photos_at_once(self._clip, towers),
            local=towers.regions,
            resize=towers.resize,
            num_workers=self._num_workers,
            fill=True,
            faulty=faulty,
        )
        rows = (row for row in range(len(names)) if row not in left_out)
        for part in in_parts(map(as_kept, batches), PHOTOS_A_CHUNK):
            yield [names[next(rows)] for _ in range(len(part))], part

    def _write_faults(self, shard: Shard, faults: list[tuple[str, str, str]]) -> None:
        path = self.job.to / FAULTY / f"{shard.name}.parquet"
        if not faults:
            path.unlink(missing_ok=True)  # of an earlier state of the shard
            return
        with atomic_path(path) as temporary, TableWriter(temporary) as table:
            table.write(
                dict(zip(("file", "kind", "reason"), map(list, zip(*faults, strict=True)), strict=True))
            )
            table.finish({"what": FAULTY, "fingerprint": self.job.fingerprint(shard)})


def attempt(worker: Worker, shard: Shard) -> dict[str, Any]:
    """Work on a shard, and give what its table says; of one that cannot be worked on ``name`` and ``error``."""
    try:
        return worker(shard)
    except CoMCError as error:
        return {"name": shard.name, "error": str(error)}
    # What torch says of a GPU's memory, and pyarrow of a table.
    except (RuntimeError, MemoryError, ArrowException) as error:
        why = f"{type(error).__name__}: {(str(error).splitlines() or ['no reason'])[0]}"
        return {"name": shard.name, "error": f"{why}; with too little memory take a smaller --shard-size"}
