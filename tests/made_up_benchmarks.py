"""Folders in the benchmarks' official layouts, with drawn scenes for photos and drawn labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from comc_utils.datasets.nuswide import N_TAGS
from comc_utils.miniworld import load_miniworld
from comc_utils.sentences.labels import COCO, NUSWIDE


def write_nuswide(root: Path, *, n_images: int, seed: int = 0) -> Path:
    """NUS-WIDE with so many images in each of both splits, about two concepts and four tags an image."""
    rng = np.random.default_rng(seed)
    (root / "ImageList").mkdir(parents=True)
    (root / "TrainTestLabels").mkdir()
    (root / "NUS_WID_Tags").mkdir()
    tags = [*NUSWIDE.official_names[:75], *(f"tag {i}" for i in range(N_TAGS))]
    (root / "NUS_WID_Tags" / "TagList1k.txt").write_text("\n".join(tags) + "\n")
    for split in ("test", "train"):
        title = split.capitalize()
        scenes = load_miniworld("validation" if split == "train" else "test", n_images)
        names = [f"{'abc'[i % 3]}/{split}_{i:05d}.jpg" for i in range(n_images)]
        for name, scene in zip(names, scenes, strict=True):
            path = root / "Flickr" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            scene.save(path)
        (root / "ImageList" / f"{title}Imagelist.txt").write_text(
            "\r\n".join(names).replace("/", "\\") + "\r\n"
        )
        for concept in NUSWIDE.official_names:
            column = rng.random(n_images) < 2 / 81
            text = "".join(f"{int(value)}\n" for value in column)
            (root / "TrainTestLabels" / f"Labels_{concept}_{title}.txt").write_text(text)
        rows = rng.random((n_images, len(tags))) < 4 / len(tags)
        text = "".join(" ".join(map(str, row.astype(int))) + " \n" for row in rows)
        (root / "NUS_WID_Tags" / f"{title}_Tags1k.dat").write_text(text)
    return root


def write_coco(root: Path, *, n_images: int, seed: int = 0) -> Path:
    """MS-COCO with so many images in each of both splits, about three classes an image."""
    rng = np.random.default_rng(seed)
    classes = [{"id": j + 1, "name": name} for j, name in enumerate(COCO.class_names)]
    (root / "annotations").mkdir(parents=True)
    for split in ("val2014", "train2014"):
        (root / split).mkdir()
        scenes = load_miniworld("validation" if split == "train2014" else "test", n_images)
        images, objects = [], []
        for index, scene in enumerate(scenes):
            name = f"COCO_{split}_{index:012d}.jpg"
            scene.save(root / split / name)
            images.append({"id": index, "file_name": name})
            shown = np.flatnonzero(rng.random(80) < 3 / 80)
            objects += [{"image_id": index, "category_id": int(j) + 1, "iscrowd": 0} for j in shown]
        content = {"images": images, "annotations": objects, "categories": classes}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root
