"""Names to models: the embedded ones, files, folders, resolutions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from comc_utils.clip import load_clip
from comc_utils.errors import CoMCError
from comc_utils.profiles import get_profile
from comc_utils.sources.backbones import backbones_at_hand, load_backbone

NAME = "tiny-backbone"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Give a folder with random weights of a small model that this test makes known to open_clip."""
    import open_clip  # after comc_utils, which makes it importable without torchvision's own operators

    folder = tmp_path_factory.mktemp("weights")
    (folder / "configs").mkdir()
    config = (
        '{"embed_dim": 16, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}, '
        '"text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}'
    )
    (folder / "configs" / f"{NAME}.json").write_text(config)
    open_clip.add_model_config(folder / "configs")
    state = load_clip(NAME, None).model.state_dict()
    (folder / "weights").mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "weights" / f"{NAME}.safetensors")
    return folder / "weights"


def test_a_folder_stands_for_the_file_named_after_the_model(weights):
    by_folder = load_backbone(NAME, weights)
    by_file = load_backbone(NAME, weights / f"{NAME}.safetensors")
    assert by_folder.fingerprint == by_file.fingerprint
    assert by_folder.image_size == 64


def test_a_resolution_after_the_name(weights, tmp_path):
    larger = load_backbone(f"{NAME}@128", weights)
    assert larger.image_size == 128
    assert larger.fingerprint != load_backbone(NAME, weights).fingerprint
    with pytest.raises(CoMCError, match="'tiny-backbone@big' has no resolution after the @"):
        load_backbone(f"{NAME}@big", weights)


def test_missing_and_doubtful_weights_are_told(weights, tmp_path):
    with pytest.raises(CoMCError, match="needs weights; give a tag of open_clip's, a file or a folder"):
        load_backbone(NAME)
    with pytest.raises(CoMCError, match=f"holds 0 files named {NAME}"):
        load_backbone(NAME, tmp_path)
    for suffix in ("pt", "bin"):
        (tmp_path / f"{NAME}.{suffix}").touch()
    with pytest.raises(CoMCError, match=f"holds 2 files named {NAME}"):
        load_backbone(NAME, tmp_path)


def test_which_backbones_can_be_compared(tmp_path):
    profile = get_profile("voc2007")
    assert backbones_at_hand(profile) == list(profile.backbones)
    assert backbones_at_hand(profile, weights="openai") == list(profile.backbones)
    assert backbones_at_hand(profile, backbone="ViT-L-14-quickgelu") == ["ViT-L-14-quickgelu"]
    with pytest.raises(CoMCError, match="holds no weights named after RN50-quickgelu"):
        backbones_at_hand(profile, weights=tmp_path)
    path = tmp_path / "ViT-B-32-quickgelu.pt"
    path.touch()
    assert backbones_at_hand(profile, weights=tmp_path) == ["ViT-B-32-quickgelu"]
    assert backbones_at_hand(profile, weights=path) == ["RN50-quickgelu"]
    assert len(backbones_at_hand(get_profile("miniworld"))) == 3


def test_embedded_models_bring_their_weights():
    clip = load_backbone("miniworld-RN-small")
    assert clip.device == torch.device("cpu")
