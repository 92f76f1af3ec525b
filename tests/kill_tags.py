"""Kill `tag` and `embed` at random moments, let each go on, and compare the tags with those of a run left
alone.

By hand, for it takes minutes: ``python tests/kill_tags.py 20``.
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

from tagging import MODEL, write_scenes
from tqdm import tqdm

N_PHOTOS = 1200


def run(folder: Path, cache: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "comc_utils", *words, "--model", MODEL]
    environment = os.environ | {"COMC_CACHE_DIR": str(cache)}
    # The photos are named as they are given, so that all outputs can be compared.
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(n_kills: int, seed: int = 0) -> int:
    """Print what differs after each kill, and count the runs that did not end as they should.

    Parameters
    ----------
    n_kills : int
        Of each command.
    seed : int
        Of the moments.

    Returns
    -------
    int
    """
    moments = random.Random(seed)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scenes(folder / "photos", N_PHOTOS)
        (folder / "labels.txt").write_text("dog\ncar\nboat\n")
        tag = ("tag", "photos", "--labels", "labels.txt", "--threshold", "all", "--to")
        started = time.monotonic()
        assert run(folder, folder / "cache", *tag, "alone.csv").wait() == 0
        usual = time.monotonic() - started
        for number in tqdm(range(2 * n_kills), desc="kills"):
            cache, output = folder / f"cache {number}", f"tags {number}.csv"
            first = (*tag, output) if number < n_kills else ("embed", "photos")
            killed = run(folder, cache, *first)
            moment = moments.uniform(0, usual)
            time.sleep(moment)
            os.killpg(killed.pid, signal.SIGKILL)
            killed.wait()
            whole = run(folder, cache, *tag, output).wait() == 0
            if not whole or (folder / output).read_bytes() != (folder / "alone.csv").read_bytes():
                failed += 1
                print(
                    f"{first[0]} killed after {moment:.1f} s: {'other tags' if whole else 'it did not go on'}"
                )
    print(f"{2 * n_kills - failed} of {2 * n_kills} ended as they should")
    return failed


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
