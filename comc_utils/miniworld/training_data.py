"""Rendered scenes and tokenized captions, on disk, for the embedded models' training."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from comc_utils.miniworld.captions import write_caption
from comc_utils.miniworld.drawings import DRAWINGS
from comc_utils.miniworld.icons import icon_drawings
from comc_utils.miniworld.renderer import render
from comc_utils.miniworld.scenes import SHORT_SIDE, sample_scene
from comc_utils.miniworld.vocabulary import CONTEXT_LENGTH, tokenizer
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.fingerprint import code_fingerprint
from comc_utils.store.shards import ShardedEmbeddings, store_in_shards

CAPTIONS_PER_SCENE = 5
"""As many as MS-COCO has."""
CHUNK = 500
"""Scenes that one worker renders at a time."""


def vocabulary(split: str) -> list[str]:
    """The V nouns of a split's captions: the world's classes, and for ``icons`` the names of icons, too."""
    return [*DRAWINGS, *(icon_drawings() if split == "icons" else ())]


@dataclass(frozen=True)
class TrainingData:
    """Arrays of n scenes, on disk; `store.shards.ShardedEmbeddings.rows` reads a batch.

    Attributes
    ----------
    images : uint8 [n, 96, 96, 3]
    tokens : int16 [n, C, 64]
        C captions a scene as the embedded tokenizer writes them.
    nouns : bool [n, C, V]
        Which of `vocabulary` each caption names.
    """

    images: ShardedEmbeddings
    tokens: ShardedEmbeddings
    nouns: ShardedEmbeddings

    def __len__(self) -> int:
        return len(self.images)


def prepare_training_data(folder: Path, n_scenes: int, *, split: str, seed: int) -> TrainingData:
    """Render scenes of a split once, or open them on disk where that has been done.

    A stop at any moment loses the shard in the making, some 10,000 scenes at most.

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
    """
    key = {"what": "scenes", "split": split, "seed": seed, "code": data_hash()}
    stored = store_in_shards(
        EmbeddingCache(folder),
        key,
        n_scenes,
        SHORT_SIDE * SHORT_SIDE * 3,
        partial(_render, split, seed),
        description=f"scenes of {split}",
        progress=True,
    )
    return TrainingData(**stored)


def data_hash() -> str:
    """Hash the code that scenes and captions follow from: a change makes them anew."""
    return code_fingerprint(__name__)


def _render(split: str, seed: int, scenes: range) -> dict[str, torch.Tensor]:
    """Make the arrays of some scenes on all cores."""
    chunks = [scenes[start : start + CHUNK] for start in range(0, len(scenes), CHUNK)]
    # Here and not in the workers, which inherit what it finds among the icons.
    columns = {name: place for place, name in enumerate(vocabulary(split))}
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(partial(_render_chunk, split, seed, columns), chunks))
    return {name: torch.from_numpy(np.concatenate([part[name] for part in made])) for name in made[0]}


def _render_chunk(split: str, seed: int, columns: dict[str, int], scenes: range) -> dict[str, np.ndarray]:
    n_captions = 1 if split == "icons" else CAPTIONS_PER_SCENE  # an icon has its name and no more
    nouns = np.zeros((len(scenes), n_captions, len(columns)), dtype=np.bool_)
    images, texts = [], []
    for row, index in enumerate(scenes):
        scene = sample_scene(seed, split, index)
        images.append(np.asarray(render(scene)))
        rng = np.random.default_rng((seed, index))
        for i in range(n_captions):
            text, mentioned = (
                (scene.class_names[0], scene.class_names) if split == "icons" else write_caption(scene, rng)
            )
            texts.append(text)
            nouns[row, i, [columns[name] for name in mentioned]] = True
    tokens = tokenizer()(texts).numpy().astype(np.int16)
    tokens = tokens.reshape(len(scenes), n_captions, CONTEXT_LENGTH)
    return {"images": np.stack(images), "tokens": tokens, "nouns": nouns}
