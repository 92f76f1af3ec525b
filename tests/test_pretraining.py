"""Weights from a file are read as they were trained, or it is asked how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from test_encoders import MODELS, TINY_VIT
from torch import Tensor

from comc_utils.clip import describe_weights, load_clip
from comc_utils.clip.cached import CachedClip
from comc_utils.errors import CoMCError
from comc_utils.store.cache import EmbeddingCache

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bicubic"}
OPENAI = {
    "mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD, "interpolation": "bicubic",
}  # fmt: skip


PARTS = (
    ("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
)  # fmt: skip


@pytest.fixture
def tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    """Add models of known tags to open_clip, and take them away again."""
    names = {name: MODELS[name] for name in ("test-vit", "test-resnet", "test-resnet-quickgelu")}
    for name, config in names.items():
        (tmp_path / "configs").mkdir(exist_ok=True)
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "configs")
    known: dict[str, dict[str, Any]] = {}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "test-vit", known)
    return known


@pytest.fixture
def weights(tags: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(load_clip("test-vit", None).model.state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def mean_of(path: Path, **given: Any) -> tuple[float, ...]:
    return tuple(load_clip("test-vit", path, **given).model.visual.preprocess_cfg["mean"])


def test_where_all_tags_agree_they_are_followed(tags: dict, weights: Path) -> None:
    assert mean_of(weights) == OPENAI["mean"]  # there is no tag
    tags.update(a={"url": "", **HALVES}, b={"url": "", **HALVES})
    assert mean_of(weights) == HALVES["mean"]


def test_it_is_said_what_tells_how_weights_were_trained(tags: dict, weights: Path) -> None:
    said = lambda **given: describe_weights("test-vit", weights, **given)["known_from"]  # noqa: E731
    assert said() == "the model's own configuration"
    tags.update(a={"url": "", **HALVES})
    assert said() == "open_clip's tags of the model, which all say the same"
    tags.update(b={"url": f"https://x.org/{hashlib.sha256(weights.read_bytes()).hexdigest()}/w.pt", **OPENAI})
    assert said() == "the file's SHA-256, as open_clip records it"
    assert said(tag="a") == "the tag a"
    assert describe_weights("test-vit", weights, tag="a")["mean"] == HALVES["mean"]
    weights.with_name("open_clip_config.json").write_text('{"model_cfg": {}}')
    assert said() == "open_clip_config.json beside the file"
    # What is not recorded is open_clip's default, as the model is built with it.
    assert describe_weights("test-vit", weights)["mean"] == OPENAI["mean"] == mean_of(weights)


def test_where_tags_differ_it_is_asked_and_the_tag_decides(tags: dict, weights: Path) -> None:
    tags.update(a={"url": "", **HALVES}, b={"url": "", **OPENAI})
    with pytest.raises(CoMCError, match=r"does not say how it was trained.*--tag.*one of a, b; or put"):
        load_clip("test-vit", weights)
    assert mean_of(weights, tag="a") == HALVES["mean"]
    assert mean_of(weights, tag="b") == OPENAI["mean"]
    with pytest.raises(CoMCError, match="'c' is no tag of model 'test-vit'; its tags: a, b"):
        load_clip("test-vit", weights, tag="c")


@pytest.mark.parametrize("length", [64, 8])
def test_a_known_hash_decides(tags: dict, weights: Path, length: int) -> None:
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    url = f"https://x.org/{sha256}/w.pt" if length == 64 else f"https://x.org/w-{sha256[:8]}.pt"
    tags.update(a={"url": url, **HALVES}, b={"url": "https://x.org/v-00000000.pt", **OPENAI})
    assert mean_of(weights) == HALVES["mean"]


def test_a_configuration_beside_the_file_decides(tags: dict, weights: Path) -> None:
    tags.update(a={"url": "", **HALVES}, b={"url": "", **OPENAI})
    config = weights.with_name("open_clip_config.json")
    config.write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1]}}))
    assert mean_of(weights) == (0, 0, 0)
    config.write_text("[]")
    with pytest.raises(CoMCError, match="open_clip_config.json is no configuration of open_clip's"):
        load_clip("test-vit", weights)


def test_an_activation_that_is_not_the_models_is_refused(tags: dict, weights: Path) -> None:
    tags.update(a={"url": "", "quick_gelu": True, **OPENAI})
    with pytest.raises(CoMCError, match="were trained with QuickGELU, but model 'test-vit' is built with GELU"):
        load_clip("test-vit", weights, tag="a")


def test_embeddings_of_another_normalisation_have_another_key(
    tags: dict, weights: Path, tmp_path: Path
) -> None:
    tags.update(a={"url": "", **HALVES}, b={"url": "", **OPENAI})
    keys = [
        CachedClip(load_clip("test-vit", weights, tag=tag), "test-vit", "", EmbeddingCache(tmp_path)).key(
            "text"
        )
        for tag in ("a", "b")
    ]
    assert keys[0] != keys[1] and "preprocessing" not in keys[1]


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights as transformers' CLIPModel names and lays them out."""
    named = {"logit_scale": state["logit_scale"], "text_model.embeddings.position_ids": torch.arange(77)}
    for ours, theirs in (("", "text_model"), ("visual.", "vision_model")):
        for i in range(TINY_VIT["vision_cfg" if ours else "text_cfg"]["layers"]):
            block, layer = f"{ours}transformer.resblocks.{i}", f"{theirs}.encoder.layers.{i}"
            for kind in ("weight", "bias"):
                for letter, part in zip("qkv", state[f"{block}.attn.in_proj_{kind}"].chunk(3), strict=True):
                    named[f"{layer}.self_attn.{letter}_proj.{kind}"] = part.contiguous()
                for a, b in PARTS:
                    named[f"{layer}.{b}.{kind}"] = state[f"{block}.{a}.{kind}"]
    for a, b in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        named |= {f"vision_model.{b}.{kind}": state[f"visual.{a}.{kind}"] for kind in ("weight", "bias")}
    named |= {f"text_model.final_layer_norm.{kind}": state[f"ln_final.{kind}"] for kind in ("weight", "bias")}
    embeddings = "vision_model.embeddings"
    return named | {
        f"{embeddings}.class_embedding": state["visual.class_embedding"],
        f"{embeddings}.patch_embedding.weight": state["visual.conv1.weight"],
        f"{embeddings}.position_embedding.weight": state["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
    }


@pytest.fixture
def plain(tags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Give the weights of a model that transformers could have, too."""
    config = {**TINY_VIT, "vision_cfg": {**TINY_VIT["vision_cfg"]}}
    config["vision_cfg"].pop("ls_init_value", None)
    (tmp_path / "configs" / "test-vit-plain.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "configs")
    return dict(load_clip("test-vit-plain", None, seed=3).model.state_dict())


def test_weights_of_transformers_are_the_same_weights(plain: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(to_transformers(plain), tmp_path / "model.safetensors")
    loaded = load_clip("test-vit-plain", tmp_path / "model.safetensors").model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize("prefix", ["_orig_mod.", "model.", "module.", "module._orig_mod.", "clip."])
def test_prefixes_of_training_are_taken_away(plain: dict[str, Tensor], tmp_path: Path, prefix: str) -> None:
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in plain.items()}}, tmp_path / "w.pt")
    loaded = load_clip("test-vit-plain", tmp_path / "w.pt").model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html>\n<html>", "is a web page, not weights: .*fetch the file itself"),
        (b"\n<html><body>", "is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
            "is a pointer of Git LFS.*git lfs pull",
        ),
        (b"", "is empty"),
    ],
)
def test_what_lies_in_the_place_of_weights_is_named(
    tags: Any, tmp_path: Path, content: bytes, message: str
) -> None:
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CoMCError, match=message):
            load_clip("test-vit", tmp_path / name)


def test_half_precision_is_asked_for_and_needs_a_gpu(tags: dict, weights: Path, tmp_path: Path) -> None:
    clip = load_clip("test-vit", weights)
    assert not clip.half
    with pytest.raises(
        CoMCError, match="Half precision is for a GPU, and test-vit runs on the cpu here.*--half"
    ):
        clip.with_half_precision()
    key = CachedClip(replace(clip, half=True), "test-vit", "", EmbeddingCache(tmp_path)).key("images")
    assert key["precision"] == "float16"
    assert "precision" not in CachedClip(clip, "test-vit", "", EmbeddingCache(tmp_path)).key("images")
