"""Weights files of every kind, damaged at random: one clear line, or the tensors; downloads are announced."""

from __future__ import annotations

import random
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file

from comc_utils.clip import load_clip
from comc_utils.clip.weights import read_weights
from comc_utils.errors import CoMCError

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

TENSORS = {"a.weight": torch.arange(60.0).reshape(4, 15), "a.bias": torch.ones(4).half()}
WRITERS = {
    "safetensors": lambda path: save_file(TENSORS, path),
    "pt": lambda path: torch.save(TENSORS, path),
    "bin": lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False),
}


# torch warns of what it finds odd before it fails on it.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_is_told_in_one_line(kind, tmp_path):
    path = tmp_path / f"weights.{kind}"
    WRITERS[kind](path)
    whole = path.read_bytes()
    assert read_weights(path).tensors.keys() == TENSORS.keys()
    refused = 0
    for seed in range(400):
        draw = random.Random(seed)
        damaged = bytearray(whole[: draw.randrange(len(whole))] if seed % 4 == 0 else whole)
        for _ in range(draw.randrange(1, 8) if damaged else 0):
            damaged[draw.randrange(min(len(damaged), 600))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except CoMCError as error:
            refused += 1
            assert re.match(r"Weights file \S+ (is damaged|holds no state dict)", str(error))
            assert "\n" not in str(error)
    assert refused > 100


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the hub's empty folder on a machine without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("name", "tag", "announced"),
    [
        ("RN50-quickgelu", "openai", "RN50 of OpenAI's CLIP (408 MB, MIT licence) to {}"),
        ("RN101-quickgelu", "openai", "RN101 of OpenAI's CLIP (479 MB, MIT licence) to {}"),
        ("ViT-B-32-quickgelu", "openai", "ViT-B-32 of OpenAI's CLIP (605 MB, MIT licence) to {}"),
        ("ViT-B-16-quickgelu", "openai", "ViT-B-16 of OpenAI's CLIP (599 MB, MIT licence) to {}"),
        (
            "RN50-quickgelu",
            "cc12m",
            "RN50, weights cc12m, to {}; size and licence are on https://huggingface.co/timm/resnet50_clip.cc12m",
        ),
    ],
)
def test_a_download_is_announced_before_it_begins(hub, monkeypatch, capsys, name, tag, announced):
    told = []

    def interrupted(_):
        told.append(capsys.readouterr().err)
        raise ConnectionError

    monkeypatch.setattr("comc_utils.clip.loading.download_pretrained", interrupted)
    with pytest.raises(CoMCError, match="could not be downloaded"):
        load_clip(name, tag)
    assert told == [f"Downloading {announced.format(hub)}\n"]


@pytest.mark.parametrize("name", ["RN50-quickgelu", "ViT-B-32-quickgelu"])
def test_stated_sizes_are_those_of_single_precision(name, hub, capsys):
    with pytest.raises(CoMCError, match="could not be downloaded"):
        load_clip(name, "openai")
    megabytes = int(re.search(r"\((\d+) MB", capsys.readouterr().err)[1])
    with torch.device("meta"):
        state = open_clip.create_model(name, device="meta").state_dict()
    assert megabytes == pytest.approx(sum(4 * tensor.numel() for tensor in state.values()) / 1e6, abs=1)


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_what_the_hub_has_given_before_is_not_announced(hub, capsys, file):
    repository = hub / "models--timm--resnet50_clip.openai"
    for path, content in ((f"snapshots/{'0' * 40}/{file}", "damaged"), ("refs/main", "0" * 40)):
        (repository / path).parent.mkdir(parents=True)
        (repository / path).write_text(content)
    # What open_clip finds there is read: nothing was to be downloaded.
    with pytest.raises(CoMCError, match=f"Weights file .*{file} is damaged"):
        load_clip("RN50-quickgelu", "openai")
    assert capsys.readouterr().err == ""


def test_an_address_is_announced_once(tmp_path, monkeypatch, capsys):
    (tmp_path / "weights.pt").write_bytes(b"damaged")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/weights.pt"
        monkeypatch.setitem(
            open_clip.pretrained._PRETRAINED["RN50-quickgelu"], "elsewhere", {"url": url, "quick_gelu": True}
        )
        folder = tmp_path / "home" / ".cache" / "clip"
        for announced in (
            [f"Downloading RN50, weights elsewhere, to {folder}; size and licence are on {url}"],
            [],
        ):
            with pytest.raises(CoMCError, match=r"weights\.pt is damaged"):
                load_clip("RN50-quickgelu", "elsewhere")
            lines = capsys.readouterr().err.splitlines()
            assert [line for line in lines if line.startswith("Downloading")] == announced
        server.shutdown()
