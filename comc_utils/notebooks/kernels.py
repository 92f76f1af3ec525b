"""Kernels of a run: each executes one notebook through papermill, and none outlives the run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from comc_utils.notebooks.files import clean_notebook
from comc_utils.notebooks.plan import Plan, Planned
from comc_utils.notebooks.progress import readable, say
from comc_utils.store.atomic import atomic_path


class Kernels:
    """The kernels of a run and the threads that wait for them; none of either outlives the block.

    Kernels lead sessions of their own, so that Ctrl-C in a terminal reaches this process alone.

    Parameters
    ----------
    jobs : int
        How many run at once, 1 or more.
    threads : int
        Threads for the arithmetic of each kernel, 1 or more.
    environment : mapping of str to str
        Variables that they see beside those of this process.
    """

    def __init__(self, jobs: int, threads: int, environment: Mapping[str, str]) -> None:
        self.jobs = jobs
        self.pool = ThreadPoolExecutor(jobs)
        self.environment = {"OMP_NUM_THREADS": str(threads), **os.environ, **environment}
        self.stopped = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._starting = threading.Lock()

    def __enter__(self) -> Kernels:
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

    def submit(self, notebook: Planned, plan: Plan) -> Future[tuple[float, str | None]]:
        """Have a notebook run, and its cleaned copy put in place; gives the seconds and what went wrong."""
        return self.pool.submit(_run, notebook, plan, self)

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


def _run(notebook: Planned, plan: Plan, kernels: Kernels) -> tuple[float, str | None]:
    say(notebook.name, "starts")
    started = time.monotonic()
    path, kept = notebook.path, plan.output / "notebooks" / notebook.path.name
    failed = kept.with_suffix(".failed.ipynb")
    failure = None
    with tempfile.TemporaryDirectory(prefix="comc-", ignore_cleanup_errors=True) as temporary:
        executed = Path(temporary) / path.name
        try:
            papermill.execute_notebook(
                path,
                executed,
                parameters=notebook.parameters,
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
                progress_bar=kernels.jobs == 1
                and {"desc": f"  {notebook.name}", "leave": False, "disable": None},
            )
        except PapermillExecutionError as error:
            what = error.evalue if error.ename == "CoMCError" else f"{error.ename}: {error.evalue}"
            failure = f"Notebook {notebook.name} stopped in cell [{error.exec_count}].\n{what}\n"
        # nbclient's DeadKernelError, or jupyter_client's for a process that ends while it starts.
        except RuntimeError:
            if kernels.stopped:
                raise
            failure = (
                f"Notebook {notebook.name} stopped because its process ended: it was interrupted, or "
                "killed for want of memory. Run the same command again.\n"
            )
        finally:
            _close_event_loop()
        if failure is None:
            _keep(executed, kept, plan.hidden)
            failed.unlink(missing_ok=True)
        else:
            _keep(executed, failed, plan.hidden)
            failure += f"The notebook up to there: {readable(failed)}"
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
