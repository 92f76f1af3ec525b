"""Shards on Ray: as many workers as there are GPUs, or cores, on this machine or on a cluster."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path
from comc_utils.tagging.engine.shards import Shard
from comc_utils.tagging.engine.work import Job, Worker, attempt

TRIES = 3
"""How often a shard is begun; when its worker was killed each time, it is left alone."""
_LONGEST = 40
"""Characters of a folder's path that leave room for those of Ray's sockets in it."""
_SECONDS = 10
_MOST_CORES = 16
_RUN = ".run-"
"""Of a folder, in that of the tables, with the job and with what was begun; it goes when the run ends."""


def on_ray(
    shards: Sequence[Shard], job: Job, *, address: str | None = None, n_workers: int | None = None
) -> Iterator[dict[str, Any]]:
    """Work on shards with Ray Data, and give what is known of each as it is finished.

    Each worker loads the model once. One that is killed is started anew, and its shard is worked on from the
    beginning: its table is not there before it is whole.

    Parameters
    ----------
    shards : sequence of Shard
        On a cluster, their photos have the same paths on each machine.
    job : Job
        Its folder is the same on each machine, too.
    address : str, optional
        Of a running cluster; by default Ray is started here, and ended at the end.
    n_workers : int, optional
        By default one for each GPU; without any, one for each core.

    Yields
    ------
    dict
        As `work.attempt` gives it, in the order in which shards end.

    Raises
    ------
    CoMCError
        Ray is not installed, no cluster answers, it has fewer GPUs or cores, or it gives up.
    """
    folder = _folder_of_run(job.to)
    with _connected(address, n_workers) as ray:
        size, resources = _resources(
            [node["Resources"] for node in ray.nodes() if node["Alive"]], n_workers, len(shards)
        )
        with atomic_path(folder / "job.pickle") as temporary:
            temporary.write_bytes(pickle.dumps((job, os.getcwd())))
        rows = [{"shard": pickle.dumps(shard)} for shard in shards]
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,
            fn_constructor_args=(str(folder), resources["num_cpus"]),
            # One more waits for each worker, so that none has to.
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
            **resources,
        )
        try:
            for row in done.iter_rows():
                yield json.loads(row["done"])
        except ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or ["no reason"]
            raise CoMCError(
                f"Ray gave up ({type(error).__name__}: {lines[-1]}). Finished shards stay: run the same "
                "command again."
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _folder_of_run(to: Path) -> Path:
    """Name a folder of this process, and take away those of processes of this machine that are gone."""
    host = socket.gethostname()
    for left in to.glob(f"{_RUN}*-{host}"):
        pid = left.name[len(_RUN) : -len(host) - 1]
        try:
            if os.name == "posix" and pid.isdecimal():
                os.kill(int(pid), 0)  # asks whether it is there
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except PermissionError:
            continue  # it is, and somebody else's
    return to / f"{_RUN}{os.getpid()}-{host}"


class _Worker:
    """A `Worker` as Ray wants it: from rows of a table to rows."""

    def __init__(self, folder: str, n_cores: int) -> None:
        self._begun = Path(folder) / "begun"
        self._begun.mkdir(exist_ok=True)
        job, place = pickle.loads((Path(folder) / "job.pickle").read_bytes())
        if os.path.isdir(place):  # from where a file of weights may be named
            os.chdir(place)
        # On one core photos are opened in this process, on several in others.
        self._worker = Worker(job, n_threads=n_cores, num_workers=n_cores if n_cores > 1 else 0)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        shard = pickle.loads(row["shard"])
        begun = self._begun / shard.name
        times = begun.stat().st_size if begun.exists() else 0
        if times == TRIES:
            why = (
                f"its worker was killed {TRIES} times, mostly for want of memory; take fewer --workers or a "
                "smaller --shard-size"
            )
            return {"done": json.dumps({"name": shard.name, "error": why})}
        with open(begun, "ab") as file:
            file.write(b".")
        return {"done": json.dumps(attempt(self._worker, shard))}


@contextmanager
def _connected(address: str | None, n_workers: int | None) -> Iterator[Any]:
    """Ray, started here or found, without statistics and without a file in the home folder."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of its own risks, which are not the user's
    token = Path.home() / ".ray" / "auth_token"
    if not (token.exists() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()):
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # otherwise Ray writes one
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise CoMCError(
            "The engine ray needs Ray: pip install 'ray[data]', or in the checkout pip install -e '.[ray]'; or "
            "say --engine local, which works on one shard after the other in this process."
        ) from None
    if ray.is_initialized():
        raise CoMCError("Ray is in use in this process already; end that with ray.shutdown() first.")
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    folder = None
    try:
        if address is None:
            folder = tempfile.mkdtemp(prefix="comc-ray-")
            if len(folder) > _LONGEST:
                os.rmdir(folder)
                folder = tempfile.mkdtemp(prefix="comc-ray-", dir="/tmp")
            cores = max(n_workers or 0, os.cpu_count() or 1)
            try:
                ray.init(num_cpus=cores, include_dashboard=False, _temp_dir=folder, **quiet)
            except (OSError, ValueError, RuntimeError) as error:
                raise CoMCError(
                    f"Ray does not start here ({str(error).splitlines()[0]}); say --engine local, which works "
                    "on one shard after the other in this process."
                ) from None
        else:
            try:
                _knock(address)
                ray.init(address=address, **quiet)
            except (OSError, ValueError, RuntimeError) as error:
                raise CoMCError(
                    f"No Ray cluster answers at {address} ({str(error).splitlines()[0]}); start one with ray "
                    "start --head, and give the address that it says, or leave --ray-address out to start Ray "
                    "here."
                ) from None
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        yield ray
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _knock(address: str) -> None:
    """See that somebody listens there; Ray itself tries for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()


def _resources(
    nodes: Sequence[dict[str, float]], n_workers: int | None, n_shards: int
) -> tuple[int, dict[str, int]]:
    """How many workers, and what each gets: no more cores than there are for it on any machine."""
    gpus, cores = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("GPU", "CPU"))
    size = n_workers or gpus or cores
    for what, number in (("GPUs", gpus), ("cores", cores)):
        if number and size > number:
            raise CoMCError(f"--workers {size}: Ray has {number} {what}; give at most as many workers.")
    of_use = [node for node in nodes if node.get("GPU" if gpus else "CPU", 0)]
    at_most = min(int(node.get("CPU", 1) // max(1, node.get("GPU", 0))) for node in of_use)
    of_each = {"num_cpus": max(1, min(cores // size, at_most, _MOST_CORES))} | ({"num_gpus": 1} if gpus else {})
    return min(size, n_shards), of_each
