"""Many photos: ``python -m benchmarks.scale keeping rates engines library`` writes results/scale.

``keeping``: what embeddings take on disk by what is kept, and how far scores move. ``rates``: photos that
one core opens and embeds a second. ``engines``: 20,000
files in 40 shards, in one process and with Ray. ``library``: 200,000 files without shards, and the memory on
the way. Leave the machine to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from torch.nn.functional import normalize

from benchmarks.image_encoding import photo_files
from benchmarks.tagging import LABELS, copies_of, scenes
from comc_utils import mean_average_precision
from comc_utils.clip import ImageEmbeddings, load_clip
from comc_utils.clip.cached import CachedClip
from comc_utils.clip.image import make_transforms
from comc_utils.miniworld import load_miniworld
from comc_utils.store.cache import EmbeddingCache
from comc_utils.tagging.engine.tables import KEPT, TableWriter, embedding_columns, read_embeddings
from comc_utils.tagging.library import photos_at_once
from comc_utils.tagging.models import describe_towers
from comc_utils.tagging.photos import Photos
from comc_utils.tagging.tagger import Tagger

RESULTS = Path(__file__).parents[1] / "results" / "scale"
MODEL = "miniworld-RN-small"
WHAT = ("--labels", ",".join(LABELS), "--model", MODEL)
N_PHOTOS, N_SHARDS, N_MANY, N_RATE = 20_000, 40, 200_000, 96
MILLIONS = 10
SHAPES = {"RN50": (1024, 49, False), "RN101": (512, 49, False), "ViT-B/16": (512, 0, True)}
"""Numbers of an embedding, regions, and whether both global embeddings are one."""


def keeping() -> pd.DataFrame:
    """Bytes by what is kept, with OpenAI's shapes, and what rounding does to scores of the embedded models."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model, (d, k, one) in SHAPES.items():
            for keep in KEPT if k else KEPT[:1]:
                whole, other = (normalize(torch.randn(256, d), dim=-1) for _ in range(2))
                local = normalize(torch.randn(256, k, d), dim=-1) if k else None
                norms = torch.rand(256, k) if k else None
                made_up = ImageEmbeddings(whole if one else other, local, whole, norms)
                size = _size(Path(folder) / "t.parquet", embedding_columns(made_up, keep)) / 256
                rows.append({"model": model, "kept": keep, "bytes a photo": round(size)})
            for n in (20, 500):
                scores = np.random.default_rng(0).random((256, n)).astype(np.float16)
                size = _size(Path(folder) / "t.parquet", {"scores": scores}) / 256
                rows.append({"model": model, "kept": f"scores of {n} labels", "bytes a photo": round(size)})
        for model in ("miniworld-RN-small", "miniworld-RN-large"):
            rows += _effects(model, Path(folder) / "t.parquet")
    frame = pd.DataFrame(rows)
    frame[f"GB at {MILLIONS} million"] = (frame["bytes a photo"] * MILLIONS / 1e3).round(1)
    return frame


def _effects(model: str, path: Path) -> list[dict[str, object]]:
    world = load_miniworld("test", 2000)
    tagger = Tagger.learn(list(world.class_names), model=model)
    full = tagger.towers.clip.encode_images(world, progress=True)
    exact = tagger.scores(full)
    least = tagger.scorer.least("auto")
    rows = []
    for keep in (*KEPT[1:], "scores"):
        if keep == "scores":
            size = _size(path, {"scores": exact.astype(np.float16)})
            scores = exact.astype(np.float16).astype(np.float32)
        else:
            size = _size(path, embedding_columns(full, keep), full.global_.shape[1])
            parts = [part for _, part in read_embeddings(str(path))]
            scores = np.concatenate([tagger.scores(part) for part in parts])
        tags, before = scores >= least, exact >= least
        rows.append(
            {
                "model": model,
                "kept": keep if keep in KEPT else f"scores of {len(world.class_names)} labels",
                "bytes a photo": round(size / len(world)),
                "largest change of a score": float(np.abs(scores - exact).max().round(5)),
                "tags that change (%)": round(100 * float((tags != before).sum() / before.sum()), 3),
                "mAP": round(100 * mean_average_precision(scores, world.labels).value, 3),
                "mAP, exact": round(100 * mean_average_precision(exact, world.labels).value, 3),
            }
        )
    return rows


def _size(path: Path, columns: dict[str, np.ndarray], dim: int = 0) -> int:
    n = len(next(iter(columns.values())))
    with TableWriter(path) as table:
        table.write({"file": [f"archive/2026/11/photo-{i:08d}.jpg" for i in range(n)], **columns})
        table.finish({"dim": dim})
    return path.stat().st_size


def rates() -> pd.DataFrame:
    """Photos a second of one core, from files of some 500 x 375 pixels, models with random weights."""
    paths = list(map(str, photo_files()))[:N_RATE]
    torch.set_num_threads(1)
    rows = []
    for model in ("RN50-quickgelu", "RN101-quickgelu", "ViT-B-32-quickgelu", "ViT-B-16-quickgelu"):
        clip = load_clip(model, None)
        towers = describe_towers(CachedClip(clip, model, "", EmbeddingCache(tempfile.gettempdir())))
        photos = Photos(tuple(paths), ("",) * len(paths), draft_size=towers.draft_size)
        crop, _ = make_transforms(clip.model, towers.resize)
        started = time.perf_counter()
        for index in range(len(photos)):
            crop(photos[index])
        opened = time.perf_counter()
        given = {"batch_size": photos_at_once(clip, towers), "local": towers.regions, "num_workers": 0}
        for _ in clip.encode_in_batches(photos, fill=True, **given):
            pass
        ended = time.perf_counter()
        rows.append(
            {
                "model": model,
                "opened a second": round(N_RATE / (opened - started), 1),
                "opened and embedded a second": round(N_RATE / (ended - opened), 2),
            }
        )
    torch.set_num_threads(os.cpu_count() or 1)
    return pd.DataFrame(rows)


def engines() -> pd.DataFrame:
    """Photos a second from the first finished shard to the last, twice in turns; the tables are the same."""
    folder = copies_of(scenes(), N_PHOTOS)
    listed = folder.parent / "engines.txt"
    listed.write_text("".join(f"{path}\n" for path in sorted(folder.iterdir())))
    rows = []
    for number, engine in enumerate(("local", "ray", "ray", "local")):
        to = folder.parent / f"{engine}{number}"
        command = [sys.executable, "-m", "comc_utils", "tag", "--engine", engine, "--list", str(listed), *WHAT]
        command += ["--shard-size", str(N_PHOTOS // N_SHARDS), "--to", str(to)]
        started = time.time()
        subprocess.run(command, check=True)
        ended = sorted(path.stat().st_mtime for path in to.glob("*.parquet"))
        share = 1 - 1 / N_SHARDS
        rate = N_PHOTOS * share / (ended[-1] - ended[0])
        row = {"engine": engine, "photos": N_PHOTOS, "shards": len(ended), "photos a second": round(rate, 1)}
        rows.append(row | {"seconds to the first shard": round(ended[0] - started, 1)})
        for path in sorted(to.glob("*.parquet")):
            first = folder.parent / "local0" / path.name
            assert path.read_bytes() == first.read_bytes(), f"{path} and {first} differ"
    return pd.DataFrame(rows)


def library() -> pd.DataFrame:
    """Memory and open files of ``tag`` without shards, at a tenth, at half and at the end; and again after."""
    folder = copies_of(scenes(), N_MANY)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for run in ("first", "again", "again, other labels"):
            words = ["--labels", "lamp,tree,house", *WHAT[2:]] if "other" in run else WHAT
            command = [sys.executable, "-m", "comc_utils", "tag", str(folder), *words]
            command += ["--to", f"{cache}/tags.csv"]
            started = time.monotonic()
            environment = os.environ | {"COMC_CACHE_DIR": cache}
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            rows += _watched(process, run, Path(cache), started)
    return pd.DataFrame(rows)


def _watched(process: subprocess.Popen, run: str, cache: Path, started: float) -> list[dict[str, object]]:
    rows, wanted, most, files = [], [0.1, 0.5, 1.0] if run == "first" else [], 0.0, 0
    n_parts = N_MANY // 128
    while process.poll() is None:
        memory, n_open = _memory_of(process.pid)
        most, files = max(most, memory), max(files, n_open)
        done = len(list((cache / "photos" / "embeddings").glob("*.safetensors"))) / n_parts if wanted else 0
        if wanted and done >= wanted[0]:
            at = wanted.pop(0)
            row = {"run": run, "at (%)": round(100 * at), "memory (GB)": round(memory, 2), "open files": n_open}
            rows.append(row | {"minutes": round((time.monotonic() - started) / 60, 1)})
        time.sleep(0.5)
    row = {"run": f"{run}, whole", "at (%)": 100, "memory (GB)": round(most, 2), "open files": files}
    return [*rows, row | {"minutes": round((time.monotonic() - started) / 60, 1)}]


def _memory_of(pid: int) -> tuple[float, int]:
    try:
        process = psutil.Process(pid)
        return process.memory_info().rss / 1e9, process.num_fds()
    except psutil.NoSuchProcess:
        return 0.0, 0


PARTS = {"keeping": keeping, "rates": rates, "engines": engines, "library": library}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().parts or PARTS:
        frame = PARTS[name]()
        print(frame.to_string(index=False), flush=True)
        frame.to_csv(RESULTS / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
