"""Run the notebooks side by side and keep what they gave."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError
from comc_utils.notebooks.committed import compare_with_committed
from comc_utils.notebooks.plan import Plan, Planned, make_plan
from comc_utils.notebooks.progress import duration, readable, say
from comc_utils.notebooks.times import RECORD_VARIABLE, describe_machine, record_run
from comc_utils.notebooks.unchanged import forget_finished, inputs_fingerprint, read_finished, write_finished
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import get_profile
from comc_utils.store.paths import repository_root


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
    record_times: bool = False,
) -> Path:
    """Run the notebooks on a profile and write its results.

    Each notebook runs in a kernel of the running interpreter, with the notebooks' folder as working
    folder. It gets those of ``PROFILE``, ``SMOKE``, ``RESULTS`` (the output folder, relative to the
    notebooks' folder), ``DATA`` (absolute) and ``OPTIONS`` that it declares. The executed
    copy, without time stamps, progress bars and absolute paths, is written in one step to
    ``<output>/notebooks``. Every parameter is checked before the first notebook starts. At the end the
    metrics are compared with the committed ones, and the outcome is printed. Run times, the machine and
    how the backbones' weights were trained go to ``<output>/.run``, which git ignores: an equal run leaves
    what is committed as it was.

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
        Fields of `options.ExperimentOptions`. Paths that exist are made absolute.
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
    record_times : bool
        Make this run's times those that the results refer to, ``<output>/times.json``; the unchanged notebooks
        run, too.

    Returns
    -------
    Path
        The results' folder.

    Raises
    ------
    CoMCError
        The profile, a notebook, the data folder, an option or a parameter does not exist, a parameter's value
        is not of the kind that the notebook declares, the weights do not fit, or ``jobs`` is below 1.
    NotebookError
        Notebooks stopped with an error; raised when all others have ended. What each did until then
        is kept beside the executed notebooks as ``<name>.failed.ipynb``.
    """
    if jobs is not None and jobs < 1:
        raise CoMCError(f"The number of jobs is {jobs}; choose 1 or more.")
    plan = make_plan(
        profile,
        data=data,
        options=options or {},
        smoke=smoke,
        only=only,
        output=output,
        parameters=parameters or {},
        notebooks=notebooks,
    )
    started = time.monotonic()
    run = _Run(plan, min(jobs or _usable_cores(), len(plan.notebooks)), record_times)
    # Other notebooks than the repository's may want other data.
    run.machine |= _looked_at(profile, data, options or {}, images=notebooks is None)
    plan.output.mkdir(parents=True, exist_ok=True)
    print(f"Profile {profile}, notebooks from {readable(plan.folder)}", flush=True)
    independent, readers = plan.groups()
    all_ran = run.group(independent, again=again or record_times) and plan.whole
    if all_ran:
        run.machine |= {"total_seconds": round(time.monotonic() - started, 1), "jobs": run.jobs}
    run.record()
    run.group(readers, again=again or record_times)
    run.record()
    say("total", duration(time.monotonic() - started))
    if run.seconds:
        print(f"To read: {readable(_to_read(plan.output, min(run.seconds)))}")
    for line in [] if smoke else compare_with_committed(plan.output, sorted(run.seconds)):
        print(line)
    if run.seconds:
        print(f"Results: {readable(plan.output)}", flush=True)
    if run.failures:
        head = f"{len(run.failures)} notebooks failed.\n" if len(run.failures) > 1 else ""
        raise NotebookError(head + "\n".join(sorted(run.failures)))
    return plan.output


@dataclass
class _Run:
    """What a run has come to so far."""

    plan: Plan
    jobs: int
    reference: bool
    machine: dict[str, Any] = field(default_factory=describe_machine)
    seconds: dict[str, float] = field(default_factory=dict)  # of the notebooks that ended well
    failures: list[str] = field(default_factory=list)

    def group(self, notebooks: Sequence[Planned], *, again: bool) -> bool:
        """Run those of some notebooks that have changed; tell whether all of them ran, and ended well."""
        output, waiting = self.plan.output, {}
        for notebook in notebooks:
            inputs = inputs_fingerprint(
                notebook,
                versions={"python": self.machine["python"], **self.machine["packages"]},
                shared=repository_root() / "results",
                results=output,
            )
            earlier = None if again else read_finished(output, notebook.name, inputs)
            if earlier is None:
                forget_finished(output, notebook.name)
                waiting[notebook.name] = notebook, inputs
            else:
                self.seconds[notebook.name] = earlier
                say(notebook.name, f"{duration(earlier)}, unchanged")
        failed_before = len(self.failures)
        if waiting:
            self._run(waiting)
        return len(waiting) == len(notebooks) and len(self.failures) == failed_before

    def _run(self, waiting: Mapping[str, tuple[Planned, str]]) -> None:
        # Not at the top: papermill takes seconds to import, more than a run in which nothing has changed.
        from comc_utils.notebooks.kernels import Kernels

        threads = max(1, _usable_cores() // self.jobs)
        environment = {RECORD_VARIABLE: "1"} if self.reference else {}
        with Kernels(self.jobs, threads, environment) as kernels:
            runs = {kernels.submit(of[0], self.plan): name for name, of in waiting.items()}
            for run in as_completed(runs):
                name = runs[run]
                took, failure = run.result()
                if failure is None:
                    self.seconds[name] = took
                    record_run(self.plan.output, {name: took}, self.machine, reference=False)
                    write_finished(self.plan.output, name, waiting[name][1], took)
                else:
                    self.failures.append(failure)
                say(name, duration(took) + (", failed" if failure else ""))

    def record(self) -> None:
        """Write down the times of all that ended well."""
        if self.seconds:
            record_run(self.plan.output, self.seconds, self.machine, reference=self.reference)


def _looked_at(
    profile: str, data: str | os.PathLike[str] | None, options: Mapping[str, Any], *, images: bool
) -> dict[str, Any]:
    """Look once at data and weights that the user brings, rather than notebook after notebook."""
    about, given = get_profile(profile), ExperimentOptions.of(options)
    if about.images == "drawn":
        return {}
    # Not at the top: they bring torch.
    from comc_utils.sources import load_experiment
    from comc_utils.sources.backbones import describe_backbones

    of_files = about.images == "files"
    described = {"backbones": describe_backbones(about, given)} if of_files else {}
    if images:
        few = {"limit": 1} if of_files and given.limit is None else {}
        _ = load_experiment(profile, data=data, **{**vars(given), **few}).images
    return described


def _to_read(output: Path, notebook: str) -> Path:
    """Choose where a reader begins: the report of all notebooks, or what one notebook left."""
    report = output / "report.html"
    return report if report.exists() else output / "notebooks" / f"{notebook}.ipynb"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
