"""Kill runs at random moments, let each go on, and compare the metrics with those of a run left alone.

By hand, for it takes minutes: ``python tests/kill_runs.py 20``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare_results import compare_metrics
from tqdm import tqdm

NOTEBOOKS = ("01", "02", "05", "15")


def command(results: Path) -> list[str]:
    options = ["--smoke", "--only", *NOTEBOOKS, "--results", str(results)]
    return [sys.executable, "-m", "comc_utils", "reproduce", "--profile", "miniworld", *options]


def main(n_kills: int, seed: int = 0) -> int:
    """Print what differs after each kill, and count the runs that did not end as they should.

    Parameters
    ----------
    n_kills : int
    seed : int
        Of the moments.

    Returns
    -------
    int
    """
    moments = random.Random(seed)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        environment = os.environ | {"COMC_CACHE_DIR": str(Path(folder) / "cache")}
        started = time.monotonic()
        subprocess.run(command(alone), env=environment, check=True, stdout=subprocess.DEVNULL)
        usual = time.monotonic() - started
        for number in tqdm(range(n_kills), desc="kills"):
            results = Path(folder) / f"killed {number}"
            # A cache of its own, so that embeddings, too, are being written.
            environment["COMC_CACHE_DIR"] = str(Path(folder) / f"cache {number}")
            run = subprocess.Popen(
                command(results),
                env=environment,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            moment = moments.uniform(0, usual)
            time.sleep(moment)
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            again = subprocess.run(
                command(results), env=environment, capture_output=True, text=True, check=False
            )
            problems = [again.stderr] if again.returncode else compare_metrics(alone, results)
            there = {file.name for file in (results / "metrics").glob("*.json")}
            if there != {file.name for file in (alone / "metrics").glob("*.json")}:
                problems.append(f"metrics of {', '.join(sorted(there))} alone")
            failed += bool(problems)
            for problem in problems:
                tqdm.write(f"killed after {moment:.1f} s: {problem}")
    print(f"{n_kills - failed} of {n_kills} runs ended well, with the same metrics")
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]))))
