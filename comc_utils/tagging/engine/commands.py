"""``--engine``: the commands ``tag`` and ``embed`` over shards, for more photos than one list should hold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from comc_utils.errors import CoMCError, printable

if TYPE_CHECKING:
    from comc_utils.tagging.engine.work import Job

_ALONE = ("column", "shard_size", "workers", "ray_address", "keep")
_NOT_WITH = ("gallery", "sidecars", "remove", "dry_run")


def engine_arguments(parser: argparse.ArgumentParser, keep: tuple[str, ...], default: str) -> None:
    """Add the options of work in shards."""
    group = parser.add_argument_group("millions of photos (docs/scale.md)")
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        help="work in shards, here or with Ray (the extra ray): lists, tables of paths (.parquet), webdataset "
        "shards (.tar) or kept embeddings in, tables in the folder --to out, faulty photos counted",
    )
    group.add_argument("--keep", choices=keep, help=f"what of a photo (default: {default})")
    group.add_argument("--column", metavar="NAME", help="of tables, with the paths (default: path, file, ...)")
    group.add_argument(
        "--shard-size", type=int, metavar="N", help="photos of a list in a shard (default: 1,000)"
    )
    group.add_argument("--workers", type=int, metavar="N", help="of ray (default: one a GPU, or a core)")
    group.add_argument(
        "--ray-address", metavar="ADDRESS", help="a running cluster's, or auto (default: Ray starts here)"
    )


def check_engine(arguments: argparse.Namespace) -> bool:
    """Say whether work is done in shards, and refuse options that this way has not.

    Raises
    ------
    CoMCError
        An option of the other way, or no folder to write to.
    """
    if arguments.engine is None:
        for name in _ALONE:
            if getattr(arguments, name) is not None:
                raise CoMCError(f"--{name.replace('_', '-')} is for work in shards; add --engine local or ray.")
        return False
    for name in _NOT_WITH:
        if getattr(arguments, name, None):
            raise CoMCError(
                f"--{name.replace('_', '-')} is not for work in shards; leave --engine out, which takes the "
                "photos of one machine."
            )
    if arguments.engine == "local":
        for name in ("workers", "ray_address"):
            if getattr(arguments, name) is not None:
                raise CoMCError(f"--{name.replace('_', '-')} is for --engine ray; local is one process.")
    if arguments.keep == "scores" and (arguments.threshold != "auto" or arguments.top_k is not None):
        raise CoMCError("--keep scores keeps those of every label; leave --threshold and --top-k out.")
    if arguments.workers is not None and arguments.workers < 1:
        raise CoMCError(f"--workers {arguments.workers}: give 1 or more.")
    if arguments.to is None or arguments.to.is_file() or arguments.to.suffix in (".csv", ".json", ".parquet"):
        raise CoMCError("--engine writes many tables; name a folder for them: --to DIR.")
    return True


def run_engine(arguments: argparse.Namespace, make_job: Callable[[], Job]) -> int:
    """Find the shards, work on them, and say what came out."""
    from comc_utils.tagging.engine.tables import need_pyarrow

    need_pyarrow()  # which the others take for granted
    from comc_utils.tagging.engine.run import here, run_shards
    from comc_utils.tagging.engine.shards import SHARD_SIZE, find_shards

    shards, passed_over = find_shards(
        arguments.photos,
        listed=arguments.list,
        column=arguments.column,
        shard_size=SHARD_SIZE if arguments.shard_size is None else arguments.shard_size,
        limit=arguments.limit,
    )
    if passed_over:
        print(f"passed over in {passed_over}", file=sys.stderr)
    job, engine = make_job(), here
    if arguments.engine == "ray":
        from comc_utils.tagging.engine.on_ray import on_ray

        engine = partial(on_ray, address=arguments.ray_address, n_workers=arguments.workers)
    print(run_shards(shards, job, engine, progress=True))
    print(f"Tables: {printable(str(arguments.to))}")
    return 0
