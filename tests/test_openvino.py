"""The image tower in OpenVINO against the same tower in torch."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from comc_utils.clip import load_clip
from comc_utils.errors import CoMCError
from comc_utils.sources import load_experiment

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed: pip install openvino"
)


@pytest.fixture(scope="module")
def rn50():
    clip = load_clip("RN50-quickgelu", None)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in clip.model.visual.named_parameters():
        # open_clip starts with residual branches switched off.
        if name.endswith("bn3.weight"):
            parameter.uniform_(0.2, 0.4, generator=generator)
    return clip


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((300, 260))
        for _ in range(3)
    ]


@needs_openvino
def test_an_experiment_embeds_with_openvino_where_asked(tmp_path, monkeypatch):
    from comc_utils.clip.openvino import OpenVinoTower

    embedded = {}
    for openvino in (False, True):
        monkeypatch.setenv("COMC_CACHE_DIR", str(tmp_path))
        experiment = load_experiment("miniworld", limit=6, openvino=openvino)
        assert isinstance(experiment.clip.make_tower, OpenVinoTower) == openvino
        embedded[openvino] = experiment.image_embeddings.with_position
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    torch.testing.assert_close(embedded[True], embedded[False], rtol=0, atol=1e-4)


@needs_openvino
def test_openvino_equals_torch(rn50, images):
    with_openvino = rn50.with_openvino()
    assert with_openvino.fingerprint == rn50.fingerprint
    expected = rn50.encode_images(images)
    given = with_openvino.encode_images(images, batch_size=2)  # and a last batch of one
    for kind in ("with_position", "global_", "local"):
        ours, torchs = getattr(given, kind), getattr(expected, kind)
        assert ours.shape == torchs.shape
        assert (ours - torchs).abs().max() < 1e-5
        assert (ours[0] - ours[1]).abs().max() > 1e-4, "too alike to tell images apart"
    assert not torch.equal(given.with_position, expected.with_position), "torch ran it"
    without_regions = with_openvino.encode_images(images, local=False)
    torch.testing.assert_close(given.local_norms, expected.local_norms, rtol=1e-4, atol=0)
    assert without_regions.local is None
    assert (without_regions.with_position - expected.with_position).abs().max() < 1e-5


def test_a_missing_openvino_is_named(rn50, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(CoMCError, match=r"OpenVINO is not installed.*pip install"):
        rn50.with_openvino()


def test_only_resnets_are_converted():
    with pytest.raises(CoMCError, match="VisionTransformer, and only ModifiedResNets"):
        load_clip("ViT-S-32-alt", None).with_openvino()
