"""What the tests of taggers share: drawn scenes as files, and the small tagger that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from comc_utils.miniworld import load_miniworld
from comc_utils.tagging.tagger import Tagger

MODEL = "miniworld-RN-small"
LABELS = ("dog", "car", "potted plant")


def write_scenes(folder: Path, n_scenes: int, *, first: int = 0) -> Path:
    """Write test scenes as PNG files; a folder that does not exist is made."""
    world = load_miniworld("test", first + n_scenes)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + n_scenes):
        world[index].save(folder / f"{world.ids[index]}.png")
    return folder


def scene(index: int) -> Image.Image:
    return load_miniworld("test", index + 1)[index]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, so that what is new is new."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("COMC_CACHE_DIR", str(folder))
    yield folder


def learn(labels: object = LABELS, **options: object) -> Tagger:
    return Tagger.learn(labels, model=MODEL, **options)
