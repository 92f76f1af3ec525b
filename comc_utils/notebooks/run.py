"""Run the notebooks side by side through papermill and keep what they gave."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from comc_utils.errors import CoMCError
from comc_utils.notebooks.files import (
    clean_notebook,
    declared_parameters,
    read_notebook,
    says,
)
from comc_utils.notebooks.unchanged import (
    forget_finished,
    inputs_fingerprint,
    read_finished,
    write_finished,
)
from comc_utils.profiles import get_profile
from comc_utils.store.atomic import atomic_path
from comc_utils.store.paths import cache_dir, repository_root, results_dir

# Given to every notebook that declares them; the option of the command line that sets each.
_OWN_PARAMETERS = {
    "PROFILE": "--profile",
    "SMOKE": "--smoke",
    "RESULTS": "--results",
    "DATA": "--data",
    "OPTIONS": "--backbone, --weights, --limit, --sentences, --draft, --skip-unreadable and --openvino",
}
# What can move a number of the results from one machine to another.
_RECORDED_PACKAGES = (
    "comc-notebooks",
    "numpy",
    "open_clip_torch",
    "pillow",
    "scikit-learn",
    "timm",
    "torch",
    "torchvision",
)


class NotebookError(CoMCError):
    """Notebooks stopped with an error; the message names each, the cell, the error and the copy."""


def reproduce(
    profile: str,
    *,
    data: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    smoke: bool = False,
    only: Sequence[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    notebooks: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    again: bool = False,
) -> Path:
    """Run the notebooks on a profile and write its results.

    Each notebook runs in a kernel of the running interpreter, with the notebooks' folder as working
    folder. It gets those of ``PROFILE``, ``SMOKE``, ``RESULTS`` (the output folder, relative to the
    notebooks' folder), ``DATA`` (absolute) and ``OPTIONS`` that it declares. The executed
    copy, without time stamps, progress bars and absolute paths, is written in one step to
    ``<output>/notebooks``, the run times to ``<output>/run.json``. Every parameter is checked
    before the first notebook starts.

    Notebooks run side by side, and one that fails stops no other. Those whose file's metadata say
    ``{"comc": {"reads_results": true}}`` start when all others have ended, well or not; those whose
    metadata say ``starts_first`` in the same way, before the others. A notebook
    that ended well before, from the same inputs (its code and the package's, its parameters, the
    data, the versions of packages; where it reads results, these), and whose results are as it left
    them, does not run again.

    Parameters
    ----------
    profile : str
        Name of the profile.
    data : str or PathLike, optional
        Folder with the profile's data.
    options : mapping of str to object, optional
        More of what `experiment.load_experiment` takes: ``backbone``, ``weights``, ``limit``,
        ``sentences``, ``n_sentences``, ``draft``, ``skip_unreadable``, ``openvino``. Paths that exist are
        made absolute.
    smoke : bool
        A run of seconds, on little data.
    only : sequence of str, optional
        Names of notebooks, or how they begin (``"03"``); all of them by default.
    output : str or PathLike, optional
        The results' folder; by default `comc_utils.store.paths.results_dir` of the profile, so that smoke
        runs and trials leave full results alone.
    parameters : mapping of str to object, optional
        More parameters, for the notebooks that declare them. A string is read as a literal where
        the notebook's own value is not a string; files that exist are made absolute.
    notebooks : str or PathLike, optional
        The folder of notebooks, started in the order of their names; by default the repository's.
    jobs : int, optional
        How many notebooks run at once, 1 or more; by default as many as this process may use cores.
        The cores are shared out among the kernels by ``OMP_NUM_THREADS``, unless it is set already.
    again : bool
        Run the unchanged notebooks, too.

    Returns
    -------
    Path
        The results' folder.

    Raises
    ------
    CoMCError
        The profile, a notebook, the data folder or a parameter does not exist, a parameter's value
        is not of the kind that the notebook declares, or ``jobs`` is below 1.
    NotebookError
        Notebooks stopped with an error; raised when all others have ended. What each did until then
        is kept beside the executed notebooks as ``<name>.failed.ipynb``.
    """
    get_profile(profile)
    if jobs is not None and jobs < 1:
        raise CoMCError(f"The number of jobs is {jobs}; choose 1 or more.")
    folder = Path(notebooks) if notebooks else repository_root() / "notebooks"
    folder = folder.absolute()
    options = _absolute_paths(options or {})
    if "sentences" in options and not _is_path(options["sentences"]):
        raise CoMCError(f"There is no corpus {options['sentences']}; write it first.")
    default = results_dir(profile, smoke=smoke, limit=options.get("limit"))
    output = (Path(output) if output else default).absolute()
    own: dict[str, Any] = {
        "PROFILE": profile,
        "SMOKE": smoke,
        "RESULTS": os.path.relpath(output, folder),
    }
    hidden = {
        "results": output,
        "notebooks": folder,
        "repository": repository_root(),
        "cache": cache_dir(),
        "environment": Path(sys.prefix),
        "home": Path.home(),
    }
    if data is not None:
        hidden["data"] = _data_folder(data)
        own["DATA"] = str(hidden["data"])
    if options:
        own["OPTIONS"] = options
        hidden |= {name: Path(value) for name, value in options.items() if _is_path(value)}

    paths = _select(folder, only)
    read = {path: read_notebook(path) for path in paths}
    declared = {path: declared_parameters(read[path], path.stem) for path in paths}
    chosen = _assign(declared, own, parameters or {})
    files = {path: _files_in(chosen[path], parameters or {}) for path in paths}
    given = sorted({file for of_notebook in files.values() for file in of_notebook})
    hidden |= {f"file {number}": file for number, file in enumerate(given, start=1)}
    readers = [path for path in paths if says(read[path], "reads_results")]
    independent = sorted(
        (path for path in paths if path not in readers),
        key=lambda path: not says(read[path], "starts_first"),
    )

    started = time.monotonic()
    cores = _usable_cores()
    jobs = min(jobs or cores, len(paths))
    machine = _machine()
    seconds: dict[str, float] = {}
    unchanged: set[str] = set()
    failures: list[str] = []
    output.mkdir(parents=True, exist_ok=True)
    print(f"Profile {profile}, notebooks from {_readable(folder)}", flush=True)
    with _Kernels(jobs, threads=max(1, cores // jobs)) as kernels:
        for group in (independent, readers):
            running: dict[Future[tuple[float, str | None]], tuple[str, str]] = {}
            for path in group:
                inputs = inputs_fingerprint(
                    path,
                    chosen[path],
                    versions={"python": machine["python"], **machine["packages"]},
                    tables=repository_root() / "results" / "reported",
                    data=[
                        hidden[name]
                        for name in ("data", "weights", "sentences")
                        if name in hidden and {"DATA", "OPTIONS"} & chosen[path].keys()
                    ]
                    + files[path]
                    + ([repository_root() / "results" / "benchmarks"] if path in readers else []),
                    results=output if path in readers else None,
                )
                earlier = None if again else read_finished(output, path.stem, inputs)
                if earlier is None:
                    forget_finished(output, path.stem)
                    run = kernels.pool.submit(
                        _run, path, chosen[path], output, hidden, kernels, show_bar=jobs == 1
                    )
                    running[run] = path.stem, inputs
                else:
                    seconds[path.stem] = earlier
                    unchanged.add(path.stem)
                    _say(path.stem, f"{_duration(earlier)}, unchanged")
            for run in as_completed(running):
                name, inputs = running[run]
                took, failure = run.result()
                if failure is None:
                    seconds[name] = took
                    _record(output / "run.json", seconds, machine)
                    write_finished(output, name, inputs, took)
                else:
                    failures.append(failure)
                _say(name, _duration(took) + (", failed" if failure else ""))
    total = time.monotonic() - started
    if not unchanged and seconds.keys() == {path.stem for path in folder.glob("*.ipynb")}:
        machine |= {"total_seconds": round(total, 1), "jobs": jobs}
    if seconds:
        _record(output / "run.json", seconds, machine)
    _say("total", _duration(total))
    print(f"Results: {_readable(output)}", flush=True)
    if failures:
        head = f"{len(failures)} notebooks failed.\n" if len(failures) > 1 else ""
        raise NotebookError(head + "\n".join(sorted(failures)))
    return output


def _data_folder(data: str | os.PathLike[str]) -> Path:
    folder = Path(data).expanduser().absolute()
    if not folder.is_dir():
        raise CoMCError(f"There is no data folder {folder}; give an existing one with --data.")
    return folder


def _absolute_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Name files from the root, for notebooks run in a folder of their own."""
    return {name: _absolute(value) for name, value in options.items() if value is not None}


def _absolute(value: Any) -> Any:
    """Name a file or folder that exists from the root, also in a list; leave anything else."""
    if isinstance(value, list):
        return [_absolute(member) for member in value]
    if isinstance(value, str | os.PathLike) and Path(value).expanduser().exists():
        return str(Path(value).expanduser().absolute())
    return value


def _files_in(chosen: Mapping[str, Any], extra: Mapping[str, Any]) -> list[Path]:
    """List the files that a notebook's further parameters name."""
    values = [chosen[name] for name in extra if name in chosen]
    flat = [
        member for value in values for member in (value if isinstance(value, list) else [value])
    ]
    return [Path(member) for member in flat if _is_path(member)]


def _is_path(value: object) -> bool:
    return isinstance(value, str) and os.path.isabs(value)


def _select(folder: Path, only: Sequence[str] | None) -> list[Path]:
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        raise CoMCError(f"There are no notebooks in {folder}; restore them from the repository.")
    if only is None:
        return paths
    for start in only:
        if not any(path.stem.startswith(start) for path in paths):
            names = ", ".join(path.stem for path in paths)
            raise CoMCError(f"No notebook begins with {start!r}; choose among {names}.")
    return [path for path in paths if path.stem.startswith(tuple(only))]


def _assign(
    declared: Mapping[Path, Mapping[str, Any]], own: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[Path, dict[str, Any]]:
    """Choose each notebook's parameters; refuse a name that none declares and a value that misfits.

    papermill would only warn of the first and pass the second on.
    """
    known = {name for defaults in declared.values() for name in defaults}
    for name in extra:
        if name in _OWN_PARAMETERS:
            raise CoMCError(f"Parameter {name} is set by {_OWN_PARAMETERS[name]}; use that.")
        if name not in known:
            names = ", ".join(sorted(known - _OWN_PARAMETERS.keys())) or "none"
            raise CoMCError(
                f"No notebook of this run takes a parameter {name}; the known ones are: {names}."
            )
    for name in {"DATA", "OPTIONS"} & own.keys() - known:
        raise CoMCError(f"No notebook of this run takes {name}; leave out {_OWN_PARAMETERS[name]}.")
    return {
        path: {
            **{name: value for name, value in own.items() if name in defaults},
            **{
                name: _absolute(_fit(name, value, defaults[name], path.stem))
                for name, value in extra.items()
                if name in defaults
            },
        }
        for path, defaults in declared.items()
    }


def _fit(name: str, value: Any, example: Any, notebook: str) -> Any:
    """Read a value as what the notebook's own value is."""
    if isinstance(value, str) and not isinstance(example, str):
        with suppress(SyntaxError, ValueError):
            # Left as they are, these would be strings, and any string is true.
            value = ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
    if isinstance(example, float) and type(value) is int:
        value = float(value)
    if example is not None and type(value) is not type(example):
        raise CoMCError(
            f"Parameter {name} of notebook {notebook} takes a {type(example).__name__} such as "
            f"{example!r}, not {value!r}."
        )
    return value


class _Kernels:
    """The kernels of a run and the threads that wait for them; none of either outlives the block.

    Kernels lead sessions of their own, so that Ctrl-C in a terminal reaches this process alone.

    Parameters
    ----------
    jobs : int
        How many run at once, 1 or more.
    threads : int
        Threads for the arithmetic of each kernel, 1 or more.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        self.pool = ThreadPoolExecutor(jobs)
        self.environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        self.stopped = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._starting = threading.Lock()

    def __enter__(self) -> _Kernels:
        return self

    def __exit__(self, *exception: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        with self._starting:
            self.stopped = True
        for process in self._processes:
            with suppress(OSError):  # it has just ended by itself
                if process.poll() is None and hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)  # with what the notebook has started
                elif process.poll() is None:
                    process.kill()
        self.pool.shutdown()

    def manager_class(self, folder: str) -> type[AsyncKernelManager]:
        """Make the class that starts one kernel, whose connection has its files in a folder."""
        kernels = self
        # Two kernels that start at once can take the same port, but not the same file. A socket's
        # path is limited to about a hundred characters.
        transport = "ipc" if os.name == "posix" and len(folder.encode()) < 80 else "tcp"

        class OwnKernelManager(AsyncKernelManager):
            """Starts ``python3`` with this interpreter, whatever kernels the user has installed."""

            def __init__(self, **settings: Any) -> None:
                super().__init__(
                    kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
                    connection_file=os.path.join(folder, "kernel.json"),
                    transport=transport,
                    **settings,
                )

            async def start_kernel(self, **settings: Any) -> None:
                # One after the other, so that none can start unseen once all have been killed.
                with kernels._starting:
                    if kernels.stopped:
                        raise RuntimeError("The run has been stopped.")
                    await super().start_kernel(env=kernels.environment, **settings)
                    kernels._processes.append(self.provisioner.process)

        return OwnKernelManager


def _run(
    path: Path,
    parameters: Mapping[str, Any],
    output: Path,
    hidden: Mapping[str, Path],
    kernels: _Kernels,
    *,
    show_bar: bool,
) -> tuple[float, str | None]:
    """Execute one notebook, put the cleaned copy in place, give the seconds and what went wrong."""
    _say(path.stem, "starts")
    started = time.monotonic()
    kept = output / "notebooks" / path.name
    failed = kept.with_suffix(".failed.ipynb")
    failure = None
    with tempfile.TemporaryDirectory(prefix="comc-", ignore_cleanup_errors=True) as temporary:
        executed = Path(temporary) / path.name
        try:
            papermill.execute_notebook(
                path,
                executed,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                # The kernel's working folder. papermill's `cwd` would change that of this process,
                # which belongs to all threads.
                resources={"metadata": {"path": str(path.parent)}},
                kernel_manager_class=kernels.manager_class(temporary),
                # The user's own IPython start-up files and history stay out, and so do the kernel's
                # words on how it talks to this process and on the interrupt that ends it.
                extra_arguments=[f"--ipython-dir={temporary}", "--log-level=CRITICAL"],
                # The default, 4 s, can be too short where all cores are busy.
                iopub_timeout=60,
                # disable=None: shown on a terminal, not in a log
                progress_bar=show_bar
                and {"desc": f"  {path.stem}", "leave": False, "disable": None},
            )
        except PapermillExecutionError as error:
            what = error.evalue if error.ename == "CoMCError" else f"{error.ename}: {error.evalue}"
            failure = f"Notebook {path.stem} stopped in cell [{error.exec_count}].\n{what}\n"
        # nbclient's DeadKernelError, or jupyter_client's for a process that ends while it starts.
        except RuntimeError:
            if kernels.stopped:
                raise
            failure = (
                f"Notebook {path.stem} stopped because its process ended: it was interrupted, or "
                "killed for want of memory. Run the same command again.\n"
            )
        finally:
            _close_event_loop()
        if failure is None:
            _keep(executed, kept, hidden)
            failed.unlink(missing_ok=True)
        else:
            _keep(executed, failed, hidden)
            failure += f"The notebook up to there: {_readable(failed)}"
    return round(time.monotonic() - started, 1), failure


def _close_event_loop() -> None:
    """Close the loop that nbclient opens for the thread it runs in, and leaves open."""
    with suppress(RuntimeError):  # none was opened
        asyncio.get_event_loop().close()


def _keep(executed: Path, place: Path, hidden: Mapping[str, Path]) -> None:
    notebook: NotebookNode = nbformat.read(executed, as_version=4)
    clean_notebook(notebook, hidden)
    with atomic_path(place) as temporary:
        nbformat.write(notebook, temporary)


def _machine() -> dict[str, Any]:
    """Describe what the run times, and the last digits of the results, depend on."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
        if hasattr(os, "sysconf")
        else None,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _RECORDED_PACKAGES},
    }


def _processor() -> str:
    """Name the processor as the system does; Linux tells it in a file alone."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _record(path: Path, seconds: Mapping[str, float], run: Mapping[str, Any]) -> None:
    """Write the run times and what they were measured on; what this run does not say stays."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        earlier_seconds = dict(earlier["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        earlier, earlier_seconds = {}, {}
    record = {**earlier, "seconds": dict(sorted({**earlier_seconds, **seconds}.items())), **run}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _say(name: str, what: str) -> None:
    # In one piece, for several threads print.
    print(f"  {name:<24} {what}\n", end="", flush=True)


def _readable(path: Path) -> str:
    """Name a path from the working folder where it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60:3d} min {seconds % 60:4.1f} s"
