"""A whole run over shards: what is there is left alone, what is finished is counted, faults get a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError, printable
from comc_utils.store.atomic import atomic_path, make_writable
from comc_utils.tagging.engine.shards import ABOUT, Shard
from comc_utils.tagging.engine.tables import about_of
from comc_utils.tagging.engine.work import FAULTY, Job, Worker, attempt

MOST_FAILED = 10
"""Shards that cannot be worked on until a run ends: then it is not the shard's fault."""

Engine = Callable[[Sequence[Shard], Job], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Totals:
    """What lies in the folder of a run, all shards together.

    Attributes
    ----------
    shards : int
    before : int
        Shards that were finished before, whose photos were not looked at.
    anew : tuple of str
        Shards whose table was there, of other photos, another tagger or model.
    strange : tuple of str
        Tables in the folder that are of none of the shards.
    counts, by_label, faulty : Counter
        Photos, tags, photos without any; tags by label; faulty photos by kind.
    """

    shards: int
    before: int
    anew: tuple[str, ...]
    strange: tuple[str, ...]
    counts: Counter[str]
    by_label: Counter[str]
    faulty: Counter[str]

    def __str__(self) -> str:
        """Say it in some lines."""
        n, n_tags = self.counts["photos"], self.counts["tags"]
        lines = [f"{n:,} photos in {self.shards:,} shards"]
        if self.before:
            lines[0] += f", {self.before:,} of them finished before"
        if self.by_label:
            lines[0] += f"; {n_tags / max(1, n):.2f} tags a photo"
            lines.append("commonest: " + ", ".join(f"{k} {v:,}" for k, v in self.by_label.most_common(10)))
        if self.counts["without"]:
            lines.append(f"{self.counts['without']:,} photos without any tag")
        if self.faulty:
            by_kind = ", ".join(f"{kind} {number:,}" for kind, number in self.faulty.most_common())
            lines.append(f"{self.faulty.total():,} faulty: {by_kind}; each in {FAULTY}/")
        if self.counts["passed over"]:
            lines.append(f"{self.counts['passed over']:,} members of tar files that are no photos, passed over")
        if self.anew:
            lines.append(
                f"{len(self.anew):,} shards done anew, for photos or settings had changed: "
                f"{name_some(self.anew)}"
            )
        if self.strange:
            lines.append(
                f"{len(self.strange):,} tables there that are of none of these shards: "
                f"{name_some(list(map(printable, self.strange)))}"
            )
        return "\n".join(lines)


def here(shards: Iterable[Shard], job: Job) -> Iterator[dict[str, Any]]:
    """Work on one shard after the other in this process."""
    worker = Worker(job)
    for shard in shards:
        yield attempt(worker, shard)


def run_shards(shards: Sequence[Shard], job: Job, engine: Engine, *, progress: bool = False) -> Totals:
    """Work on the shards that are not finished, and count what all of them hold.

    Parameters
    ----------
    shards : sequence of Shard
    job : Job
    engine : callable
        Such as `here`, or `on_ray.on_ray`.
    progress : bool
        Show a bar over the shards, with photos and faulty ones.

    Returns
    -------
    Totals

    Raises
    ------
    CoMCError
        The folder cannot be written, a shard cannot be worked on, or not one photo opens.
    """
    make_writable(job.to.absolute(), "--to")
    done = []
    for shard in shards:
        about = about_of(job.path(shard))
        job.refuse_others(shard, about)
        if job.is_done(shard, about):
            done.append(shard)
    names = {shard.name for shard in done}
    waiting = [shard for shard in shards if shard.name not in names]
    anew = tuple(shard.name for shard in waiting if job.path(shard).exists())
    of_these = {job.path(shard).name for shard in shards}
    strange = tuple(
        sorted(
            path.name for path in job.to.glob("*.parquet") if path.name[0] != "." and path.name not in of_these
        )
    )
    about = job.depends_on | {"shards": [shard.name for shard in shards]}
    with atomic_path(job.to / ABOUT) as temporary:
        temporary.write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    photos = faulty = 0
    failed: dict[str, str] = {}
    with (
        closing(engine(waiting, job)) if waiting else nullcontext(()) as results,
        tqdm(total=len(shards), initial=len(done), desc="shards", unit="shard", disable=not progress) as bar,
    ):
        for result in results:
            if "error" in result:
                failed[result["name"]] = result["error"]
                if len(failed) == MOST_FAILED:
                    break
                continue
            photos += result["counts"]["photos"]
            faulty += sum(result["faulty"].values())
            bar.set_postfix_str(
                f"{photos:,} photos" + (f", {faulty:,} faulty" if faulty else ""), refresh=False
            )
            bar.update()
    if failed:
        name, why = next(iter(failed.items()))
        more = f" ({len(failed):,} such shards: {name_some(list(failed))})" if len(failed) > 1 else ""
        raise CoMCError(
            f"Shard {name} is not done: {why}{more}. Finished shards stay; run the same command again when "
            "that is mended, or leave such shards out."
        )
    _take_away_halves(job, {shard.name for shard in shards})
    counts, by_label, by_kind = Counter(), Counter(), Counter()
    for shard in shards:
        about = about_of(job.path(shard))
        counts.update(about["counts"])
        by_label.update(about["by label"])
        by_kind.update(about["faulty"])
    with atomic_path(job.to / f"{FAULTY}.csv") as temporary:
        pd.DataFrame(by_kind.most_common(), columns=["kind", "files"]).to_csv(temporary, index=False)
    if not counts["photos"] and not by_kind:
        raise CoMCError(
            f"The shards hold no photo; {counts['passed over']:,} members that are none were passed over. See "
            "that names of photos end as photos do: .jpg, .png, ..."
        )
    if not counts["photos"]:
        raise CoMCError(
            f"Not one of the photos opens: {', '.join(f'{kind} {n:,}' for kind, n in by_kind.most_common())}; "
            f"why stands in {job.to / FAULTY}. Check the list's paths: they begin where the command runs."
        )
    return Totals(len(shards), len(done), anew, strange, counts, by_label, by_kind)


def _take_away_halves(job: Job, names: set[str]) -> None:
    """Remove what workers that were killed had begun to write of these shards, which are finished by now."""
    for folder in (job.to, job.to / FAULTY):
        for path in folder.glob(".*.partial.parquet"):
            if path.name[1:].rsplit(".", 3)[0] in names:
                path.unlink(missing_ok=True)
