"""Which of open_clip's models have regions, and that the others run without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_encoders import MODELS

from comc_utils.clip import load_clip
from comc_utils.clip.cached import CachedClip
from comc_utils.clip.survey import Surveyed, as_markdown, survey
from comc_utils.datasets.base import MultiLabelImages
from comc_utils.store.cache import EmbeddingCache

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

FAMILIES = {
    "test-resnet-quickgelu": "",
    "test-vit": "",
    "test-vit-attention-pool": "it pools by attention",
    "test-timm": "is not defined on one location",
}


@pytest.fixture
def families(tmp_path: Path) -> None:
    for name in FAMILIES:
        (tmp_path / f"{name}.json").write_text(json.dumps(MODELS[name]))
    open_clip.add_model_config(tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_of_each_family_runs_with_regions_or_without(name: str, families: None, tmp_path: Path) -> None:
    clip = load_clip(name, None)
    assert FAMILIES[name] in clip.why_no_regions and bool(FAMILIES[name]) == bool(clip.why_no_regions)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    labels, pictures = np.ones((3, 1), np.uint8), [Image.fromarray(p) for p in pixels]
    images = MultiLabelImages("three", "test", ("dog",), labels, tuple("abc"), pictures.__getitem__, name)
    embedded = CachedClip(clip, name, "", EmbeddingCache(tmp_path)).embed_images(images, resize="crop")
    assert embedded.global_.shape == (3, clip.embedding_dim)
    assert (embedded.local is None) == bool(FAMILIES[name])


def test_the_survey_tells_families_apart(families: None, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*FAMILIES, "RN50", "xlm-roberta-base-ViT-B-32"]
    monkeypatch.setattr(open_clip, "list_models", lambda: names)
    rows = {row.name: row for row in survey()}
    assert [*rows] == sorted(names)
    for name, reason in FAMILIES.items():
        assert reason in rows[name].why_no_regions and bool(reason) == bool(rows[name].why_no_regions)
    assert rows["RN50"] == Surveyed("RN50", "ModifiedResNet", 38.3, "", "")
    assert rows["xlm-roberta-base-ViT-B-32"].fetches == "tokenizer, text tower"
    assert "| RN50 | ModifiedResNet | 38.3 | yes |  |" in as_markdown(rows.values())
