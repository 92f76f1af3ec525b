"""Measure everything and write results/benchmarks: ``python -m benchmarks [NAME ...]``.

With names, only these files are measured, and the other lines of the results stay as they are. Every case runs
in a process of its own, so that none finds memory or caches that another has left.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from benchmarks.growth import grow
from benchmarks.paired import Case, measure
from comc_utils.notebooks.figures.palette import MAIN, MUTED
from comc_utils.notebooks.outputs import use_style

MODULES = (
    "text_encoding", "image_encoding", "tagging", "training", "loss", "inference", "cache", "metrics",
    "start_up",
)  # fmt: skip
FOLDER = Path(__file__).parents[1] / "results" / "benchmarks"


def cases(module: str) -> tuple[Case, ...]:
    """Read the cases of one file of this folder."""
    return importlib.import_module(f"benchmarks.{module}").CASES


def run_one(module: str, index: int, path: Path) -> None:
    """Measure a case in this process and write what came out as JSON."""
    measured = measure(cases(module)[index])
    case = measured.case
    row = {
        "file": module,
        "what": case.name,
        "against": case.against,
        "ratio": round(measured.ratio, 3),
        "target": f"{'at most' if case.at_most else 'at least'} {case.target:g} x",
        "met": measured.met,
        "peak memory (GB)": round(measured.peak_memory / 1e9, 2),
        "seconds, ours": [round(value, 4) for value in measured.ours],
        "seconds, reference": [round(value, 4) for value in measured.reference],
    }
    if case.memory_target is not None:
        row["target"] += f", under {case.memory_target / 1e9:g} GB"
    path.write_text(json.dumps(row))


def draw(growth: pd.DataFrame) -> plt.Figure:
    """Draw time over number, both logarithmic, a panel for each curve, beside growth in proportion."""
    curves = growth.groupby(["what", "grows"], sort=False)
    figure, axes = plt.subplots(2, 3, figsize=(6.4, 4.0))
    for axis, ((what, grows), curve) in zip(axes.flat, curves, strict=True):
        axis.loglog(curve.number, curve.seconds, "o-", color=MAIN, ms=3)
        axis.set(title=what, xlabel=grows)
        ticks = [curve.number.iloc[0], curve.number.iloc[-1]]
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        in_proportion = curve.seconds.iloc[0] * curve.number / curve.number.iloc[0]
        axis.plot(curve.number, in_proportion, ":", color=MUTED, lw=1)
        low, high = min(curve.seconds) / 1.3, 1.3 * max(*curve.seconds, *in_proportion)
        steps = [step * 10.0**power for power in range(-4, 3) for step in (1, 3)]
        ticks = [tick for tick in steps if low <= tick <= high]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
        axis.set_ylim(low, high)
        axis.minorticks_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("seconds")
    figure.supxlabel("dotted: twice the number, twice the time", fontsize=8, color=MUTED)
    return figure


def main() -> None:
    """Measure, print each line as it comes, write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], help="only these files")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        module, index, path = arguments.one
        run_one(module, int(index), Path(path))
        return
    rows = []
    for module in arguments.names or MODULES:
        for index in range(len(cases(module))):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "row.json"
                command = [sys.executable, "-m", "benchmarks", "--one", module, str(index), str(path)]
                subprocess.run(command, check=True, cwd=FOLDER.parents[1])
                rows.append(json.loads(path.read_text()))
            row = rows[-1]
            print(f"{row['ratio']:8.2f} x  ({row['target']})  {row['what']}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    stored = FOLDER / "benchmarks.json"
    if arguments.names and stored.exists():
        others = json.loads(stored.read_text())["cases"]
        rows += [row for row in others if row["file"] not in arguments.names]
        rows.sort(key=lambda row: MODULES.index(row["file"]))
    machine = {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()}
    stored.write_text(json.dumps({"machine": machine, "cases": rows}, indent=2) + "\n")
    table = pd.DataFrame(rows).drop(columns=["file", "seconds, ours", "seconds, reference"])
    table["met"] = table["met"].map({True: "yes", False: "no"})
    table.to_csv(FOLDER / "benchmarks.csv", index=False)
    (FOLDER / "benchmarks.md").write_text(_markdown(table), encoding="utf-8")
    if arguments.names:
        return
    growth = pd.DataFrame(grow())
    growth.to_csv(FOLDER / "growth.csv", index=False)
    use_style()
    figure = draw(growth)
    figure.savefig(FOLDER / "growth.png")
    figure.savefig(FOLDER / "growth.pdf", metadata={"CreationDate": None})


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def _markdown(table: pd.DataFrame) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


if __name__ == "__main__":
    main()
