"""Rendered scenes and tokenized captions, on disk, for the embedded models' training."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from comc_utils.miniworld.captions import write_caption
from comc_utils.miniworld.drawings import DRAWINGS
from comc_utils.miniworld.icons import icon_drawings
from comc_utils.miniworld.models import CONTEXT_LENGTH, tokenizer
from comc_utils.miniworld.renderer import render
from comc_utils.miniworld.scenes import SHORT_SIDE, sample_scene
from comc_utils.store.code_hash import hash_code

CAPTIONS_PER_SCENE = 5
"""As many as MS-COCO has."""
_CODE = (
    "miniworld",
    "sentences/english.py",
    "sentences/labels.py",
    "sentences/label_words.py",
    "sentences/grammar.py",
    "sentences/lexicon.py",
    "miniworld/vocabulary.txt.gz",
)
"""What scenes, captions and tokens follow from."""
CHUNK = 1000
"""Scenes that one worker renders at a time."""


def vocabulary(split: str) -> list[str]:
    """The V nouns of a split's captions: the world's classes, and for ``icons`` the names of icons, too."""
    return [*DRAWINGS, *(icon_drawings() if split == "icons" else ())]


@dataclass(frozen=True)
class TrainingData:
    """Arrays of n scenes.

    Attributes
    ----------
    images : uint8 [n, 96, 96, 3]
    tokens : int16 [n, C, 64]
        C captions a scene as the embedded tokenizer writes them.
    nouns : bool [n, C, V]
        Which of `vocabulary` each caption names.
    """

    images: np.ndarray
    tokens: np.ndarray
    nouns: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def prepare_training_data(folder: Path, n_scenes: int, *, split: str, seed: int) -> TrainingData:
    """Render scenes of a split once, or map it from disk where that has been done.

    Parameters
    ----------
    folder : Path
        Takes 29 kB a scene.
    n_scenes : int
    split : {"plain", "objects", "icons", "train"}
    seed : int

    Returns
    -------
    TrainingData
        Read-only memory maps.
    """
    target = folder / f"{split}-{n_scenes}-seed-{seed}-{data_hash()[:8]}"
    n_captions = _n_captions(split)
    shapes = {
        "images": ((n_scenes, SHORT_SIDE, SHORT_SIDE, 3), np.uint8),
        "tokens": ((n_scenes, n_captions, CONTEXT_LENGTH), np.int16),
        "nouns": ((n_scenes, n_captions, len(vocabulary(split))), np.bool_),
    }
    done = target / "done.json"
    if not done.is_file():
        target.mkdir(parents=True, exist_ok=True)
        arrays = {
            name: np.lib.format.open_memmap(target / f"{name}.npy", "w+", dtype, shape)
            for name, (shape, dtype) in shapes.items()
        }
        starts = range(0, n_scenes, CHUNK)
        with ProcessPoolExecutor() as pool, tqdm(total=n_scenes, desc=f"scenes of {split}") as bar:
            for start, chunk in zip(
                starts, pool.map(_Chunk(split, seed, n_scenes), starts), strict=True
            ):
                for name, values in zip(arrays, chunk, strict=True):
                    arrays[name][start : start + len(values)] = values
                bar.update(len(chunk[0]))
        for array in arrays.values():
            array.flush()
        done.write_text(json.dumps({"scenes": n_scenes, "seed": seed}))
    return TrainingData(*(np.load(target / f"{name}.npy", mmap_mode="r") for name in shapes))


def data_hash() -> str:
    """Hash the code that scenes and captions follow from: a change makes them anew."""
    return hash_code(*_CODE)


def _n_captions(split: str) -> int:
    """An icon has its name and no more."""
    return 1 if split == "icons" else CAPTIONS_PER_SCENE


@dataclass(frozen=True)
class _Chunk:
    """Renders scenes start to start + CHUNK in a worker process."""

    split: str
    seed: int
    n_scenes: int

    def __call__(self, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        column = {name: place for place, name in enumerate(vocabulary(self.split))}
        n_captions = _n_captions(self.split)
        indices = range(start, min(start + CHUNK, self.n_scenes))
        nouns = np.zeros((len(indices), n_captions, len(column)), dtype=np.bool_)
        images, texts = [], []
        for row, index in enumerate(indices):
            scene = sample_scene(self.seed, self.split, index)
            images.append(np.asarray(render(scene)))
            rng = np.random.default_rng((self.seed, index))
            for i in range(n_captions):
                text, mentioned = (
                    (scene.class_names[0], scene.class_names)
                    if self.split == "icons"
                    else write_caption(scene, rng)
                )
                texts.append(text)
                nouns[row, i, [column[name] for name in mentioned]] = True
        tokens = tokenizer()(texts).numpy().astype(np.int16)
        shape = (len(indices), n_captions, CONTEXT_LENGTH)
        return np.stack(images), tokens.reshape(shape), nouns
