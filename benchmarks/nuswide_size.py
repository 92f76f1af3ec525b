"""NUS-WIDE's size by simulation: ``python -m benchmarks.nuswide_size --folder DIR --only 03 05``.

The profile nuswide runs on 107,859 files that exist, with made-up embeddings of 49 regions of 1,024 numbers
each, kept on disk and read from there as real ones are: what they take of memory and time, their scores say
nothing. Of the training split 2,000 images are made up, and everything learns for a tenth of its epochs: how
long learning takes at full size is reckoned in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from PIL import Image
from safetensors.torch import save_model

from comc_utils.clip import load_clip
from comc_utils.datasets.nuswide import N_IMAGES, N_TAGS
from comc_utils.sentences.labels import NUSWIDE

N_TRAIN = 2_000
LINKS = 50_000
"""Names that one file is given; a file system allows some more."""
MODEL = "RN50-quickgelu"
RESULTS = Path(__file__).parents[1] / "results" / "scale"

# Run by each Python that starts, kernels among them: the notebooks, and all else, are the package's own.
MADE_UP = f"""
import os

import torch
from torch.nn.functional import normalize

import comc_utils.experiment
from comc_utils import baselines
from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.model import Clip
from comc_utils.datasets import nuswide

nuswide.N_IMAGES["train"] = {N_TRAIN}


def encode_images(self, images, **_):
    n, rng = len(images), torch.Generator().manual_seed(int(images.fingerprint[:12], 16))
    local = torch.empty(n, 49, self.embedding_dim).normal_(generator=rng)
    norms = local.norm(dim=2)
    local /= norms[..., None]
    whole = normalize(local.mean(dim=1), dim=1)
    return ImageEmbeddings(whole, local, whole.clone(), norms)


Clip.encode_images = encode_images
learn = comc_utils.experiment.learn
comc_utils.experiment.learn = lambda method, *given, **named: learn(method.shortened(10), *given, **named)
if names := os.environ.get("COMC_SIMULATED_METHODS"):
    chosen = tuple(m for m in baselines.TRAINED_ON_SEEN if m.__name__ in names.split(","))
    baselines.TRAINED_ON_SEEN = chosen
"""

EMBED = f"""
import sys

from comc_utils import load_experiment

root = sys.argv[1]
given = {{"backbone": "{MODEL}", "weights": f"{{root}}/weights.safetensors", "tag": "openai"}}
_ = load_experiment("nuswide", data=root, **given).image_embeddings
"""


def make_up(root: Path) -> None:
    """Write the folder: lists, labels, tags, files, weights drawn at random."""
    rng = np.random.default_rng(0)
    for folder in ("ImageList", "TrainTestLabels", "NUS_WID_Tags", "Flickr"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    tags = [*NUSWIDE.official_names[:75], *(f"tag {i}" for i in range(N_TAGS))]
    (root / "NUS_WID_Tags" / "TagList1k.txt").write_text("\n".join(tags) + "\n")
    source = root / "0.jpg"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(source)
    for split, n in (("test", N_IMAGES["test"]), ("train", N_TRAIN)):
        names = [f"{split}/{i:06d}.jpg" for i in range(n)]
        (root / "Flickr" / split).mkdir()
        for i, name in enumerate(names):
            if i % LINKS == 0:
                source = Path(shutil.copy(source, root / f"{split}{i}.jpg"))
            os.link(source, root / "Flickr" / name)
        title = split.capitalize()
        (root / "ImageList" / f"{title}Imagelist.txt").write_text("\n".join(names) + "\n")
        for concept in NUSWIDE.official_names:
            column = rng.random(n) < 1.88 / 81
            text = "".join(f"{int(value)}\n" for value in column)
            (root / "TrainTestLabels" / f"Labels_{concept}_{title}.txt").write_text(text)
        with open(root / "NUS_WID_Tags" / f"{title}_Tags1k.dat", "w") as file:
            for _ in range(n):
                row = np.full(len(tags), "0")
                row[rng.random(len(tags)) < 6 / len(tags)] = "1"
                file.write(" ".join(row) + "\n")
    save_model(load_clip(MODEL, None).model, str(root / "weights.safetensors"))


def run(root: Path, notebook: str, parameters: list[str], limit: float | None) -> dict[str, object]:
    """Run a notebook in a process of its own, and watch the memory of all that it starts."""
    command = [sys.executable, "-m", "comc_utils", "reproduce", "--profile", "nuswide", "--data", str(root)]
    command += ["--backbone", MODEL, "--weights", str(root / "weights.safetensors"), "--tag", "openai"]
    command += ["--results", str(root / "results"), "--jobs", "1", "--again", "--only", notebook]
    for parameter in parameters:
        command += ["-p", parameter]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(MADE_UP)
        threads = {"OMP_NUM_THREADS": str(os.cpu_count())}
        places = {"PYTHONPATH": folder, "COMC_CACHE_DIR": str(root / "cache")}
        if not (root / "cache").exists():  # what is made up is not to count
            subprocess.run(
                [sys.executable, "-c", EMBED, str(root)], env=os.environ | threads | places, check=True
            )
        started, most = time.monotonic(), {"RssAnon": 0.0, "VmRSS": 0.0}
        group = _group(limit)
        process = subprocess.Popen(
            command,
            env=os.environ | threads | places,
            preexec_fn=None if group is None else lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
        )
        watching = threading.Thread(target=_watch, args=(process, most), daemon=True)
        watching.start()
        rc = process.wait()
        watching.join()
    return {
        "notebook": notebook,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "peak memory (GB)": round(most["RssAnon"], 2),
        "with what is mapped of files (GB)": round(most["VmRSS"], 2),
        "limit (GB)": limit,
        "parameters": " ".join(parameters),
        "finished": "yes" if rc == 0 else "no",
    }


def _group(limit: float | None) -> Path | None:
    """A control group (version 1) that may hold so many GB, files' pages included; None without a limit."""
    if limit is None:
        return None
    group = Path("/sys/fs/cgroup/memory/comc-size")
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(int(limit * 1e9)))
    return group


def _watch(process: subprocess.Popen, most: dict[str, float]) -> None:
    started = psutil.Process(process.pid)
    while process.poll() is None:
        now = dict.fromkeys(most, 0.0)
        with suppress(psutil.NoSuchProcess):
            # Kernels lead sessions of their own, and descend from it all the same.
            for member in (started, *started.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    memory = member.memory_info()
                    now["VmRSS"] += memory.rss / 1e9
                    now["RssAnon"] += (memory.rss - memory.shared) / 1e9
        for name, value in now.items():
            most[name] = max(most[name], value)
        time.sleep(0.5)


def main() -> None:
    """Make what is not there, run, add to the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.nuswide_size", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="some 30 GB go into it")
    parser.add_argument("--only", nargs="+", default=["03", "05", "12", "15"])
    parser.add_argument(
        "--limit", type=float, help="GB of memory that a notebook may take (as root, cgroup v1)"
    )
    parser.add_argument("-p", dest="parameters", action="append", default=[], help="of the notebooks")
    arguments = parser.parse_args()
    if not (arguments.folder / "weights.safetensors").exists():
        make_up(arguments.folder)
    path = RESULTS / "nuswide_size.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    for notebook in arguments.only:
        row = run(arguments.folder.absolute(), notebook, arguments.parameters, arguments.limit)
        print(row, flush=True)
        rows = [*(old for old in rows if old["notebook"] != notebook), row]
        rows.sort(key=lambda row: row["notebook"])
        RESULTS.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1) + "\n")
        pd.DataFrame(rows).to_csv(RESULTS / "nuswide_size.csv", index=False)


if __name__ == "__main__":
    main()
