"""The embedded CLIP models: shipped whole, small, reproducible, and trained in a way that can be stopped."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from comc_utils.errors import CoMCError
from comc_utils.miniworld import MODEL_NAMES, load_miniworld, tokenizer, train, training_data, weights_path
from comc_utils.miniworld.train import RECIPES, Recipe, Stage
from comc_utils.miniworld.vocabulary import VOCABULARY, learn_merges, vocabulary_texts, write_vocabulary
from comc_utils.sentences import draw_label_sets
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import VOC2007
from comc_utils.sources.backbones import load_backbone

TINY = Recipe(
    "miniworld-RN-small",
    (
        Stage("plain", "nouns", "plain", 48, 1e-3, batch_size=16),
        Stage("icons", "nouns", "icons", 48, 1e-3, batch_size=16),
        Stage("contrast", "contrast", "train", 48, 1e-3, batch_size=16),
    ),
)
UNTRAINED = Stage("contrast", "contrast", "train", 0, 1e-3, batch_size=16)


def test_weights_are_shipped_and_small():
    sizes = [weights_path(name).stat().st_size for name in MODEL_NAMES]
    assert sum(sizes) < 30e6
    for name in MODEL_NAMES:
        weights = load_file(weights_path(name))
        assert all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())
        recorded = json.loads(weights_path(name).with_suffix(".history.json").read_text())
        assert recorded["recipe"] == json.loads(json.dumps(asdict(RECIPES[name])))
        stages = [stage.name for stage in RECIPES[name].stages]
        assert list(dict.fromkeys(entry["stage"] for entry in recorded["history"])) == stages


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_a_model_knows_its_world(name):
    clip = load_backbone(name)
    images = load_miniworld("validation", 150)
    embedded = clip.encode_images(images)
    prompts = clip.encode_text([f"a photo of a {c}." for c in VOC2007.class_names])
    cosines = (embedded.with_position @ prompts.T).numpy()
    # A label's cosine lies above a random non-label's far more often than chance.
    pairs = [
        row[labels == 1].min() > np.median(row[labels == 0])
        for row, labels in zip(cosines, images.labels, strict=True)
    ]
    assert np.mean(pairs) > 0.6
    assert embedded.local.shape[1] in (9, 36)
    assert clip.temperature < 0.1


def test_every_word_of_the_grammar_is_one_token():
    tokens = tokenizer()
    words = set()
    separators = str.maketrans(",.-", "   ")
    label_sets = draw_label_sets(VOC2007.class_names, 300, seed=11)
    for record in Grammar(VOC2007).generate(label_sets, seed=11):
        words.update(record.text.lower().translate(separators).split())
    split = [word for word in sorted(words) if len(tokens.encode(word)) > 1]
    assert split == []


@pytest.mark.slow
def test_the_vocabulary_is_what_its_code_learns(tmp_path):
    write_vocabulary(tmp_path / "again.gz", learn_merges(vocabulary_texts()))
    again, shipped = (gzip.decompress(p.read_bytes()) for p in (tmp_path / "again.gz", VOCABULARY))
    assert again == shipped


def test_missing_and_damaged_weights_are_named(tmp_path, monkeypatch):
    from comc_utils.sources import backbones

    monkeypatch.setattr(backbones, "weights_path", lambda name: tmp_path / "gone.safetensors")
    with pytest.raises(CoMCError, match="gone.safetensors"):
        load_backbone("miniworld-RN-small")
    whole = weights_path("miniworld-RN-small").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(backbones, "weights_path", lambda name: tmp_path / "half.safetensors")
    with pytest.raises(CoMCError, match="half.safetensors"):
        load_backbone("miniworld-RN-small")


@pytest.fixture
def tiny_training(monkeypatch, tmp_path):
    """Training of seconds, writing where the test says."""
    monkeypatch.setattr(train, "N_SCENES", dict.fromkeys(train.N_SCENES, 48))
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(training_data, "CHUNK", 16)

    def run(folder: str, recipe: Recipe = TINY) -> dict:
        monkeypatch.setattr(train, "weights_path", lambda name: tmp_path / f"{folder}.safetensors")
        return load_file(train.train(TINY.model, tmp_path / folder, seed=1, recipe=recipe))

    return run


@pytest.mark.slow
def test_a_training_that_is_stopped_goes_on_where_it_was(tiny_training, monkeypatch):
    whole = tiny_training("whole")

    contrastive = torch.nn.functional.cross_entropy
    calls = {"n": 0}

    def stops(*args, **kwargs):
        calls["n"] += 1
        if calls["n"] == 10:
            raise KeyboardInterrupt
        return contrastive(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", stops)
    with pytest.raises(KeyboardInterrupt):
        tiny_training("stopped")
    resumed = tiny_training("stopped")
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.allclose(tensor.float(), resumed[name].float(), atol=1e-3), name
    steps = calls["n"] - 10
    # 3 + 3 steps with one loss, 3 steps with two: 12 calls. The 10th came in the third stage, after
    # whose last checkpoint at most two steps are repeated.
    assert steps <= 12 - 10 + 2 * 2 + 1


def test_a_checkpoint_of_another_recipe_is_not_trusted(tiny_training, monkeypatch, tmp_path):
    stop = {"after": 7}

    def stops(*args, **kwargs):
        stop["after"] -= 1
        if stop["after"] < 0:
            raise KeyboardInterrupt
        return loss(*args, **kwargs)

    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", stops)
    with pytest.raises(KeyboardInterrupt):
        tiny_training("folder")
    assert list((tmp_path / "folder").glob("*.pt"))
    first = replace(TINY.stages[0], learning_rate=2e-3)
    stop["after"] = 12
    tiny_training("folder", replace(TINY, stages=(first, *TINY.stages[1:])))
    assert stop["after"] == 0  # every step of all three stages, two losses each in the last


def test_a_finished_training_leaves_no_checkpoint(tiny_training, tmp_path):
    tiny_training("folder")
    assert not list((tmp_path / "folder").glob("*.pt"))


def start_of(name: str, stages: tuple[Stage, ...], monkeypatch, tmp_path) -> dict[str, torch.Tensor]:
    """Give what a model begins its contrastive training with, beside a shipped one."""
    monkeypatch.setattr(train, "N_SCENES", dict.fromkeys(train.N_SCENES, 16))
    target = tmp_path / "start.safetensors"
    monkeypatch.setattr(train, "weights_path", lambda other: target if other == name else weights_path(other))
    recipe = Recipe(name, stages, start_from="miniworld-RN-small")
    return load_file(train.train(name, tmp_path / "work", recipe=recipe))


def test_the_larger_resnet_begins_as_the_smaller_one(monkeypatch, tmp_path):
    start = start_of("miniworld-RN-large", (UNTRAINED,), monkeypatch, tmp_path)
    images = load_miniworld("validation", 4)
    smaller, larger = (load_backbone(n) for n in ("miniworld-RN-small", "miniworld-RN-large"))
    larger.model.load_state_dict({name: tensor.float() for name, tensor in start.items()})
    expected, found = (clip.encode_images(images) for clip in (smaller, larger))
    for name in ("with_position", "local"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=2e-3)


def test_the_transformer_begins_with_the_text_tower_and_its_own_image_tower(monkeypatch, tmp_path):
    plain = Stage("plain", "nouns", "plain", 16, 1e-3, batch_size=16)
    start = start_of("miniworld-ViT", (plain, UNTRAINED), monkeypatch, tmp_path)
    learned = load_file(weights_path("miniworld-RN-small"))
    for name, tensor in start.items():
        if name.startswith("visual."):
            assert name not in learned or not torch.equal(tensor, learned[name]), name
        else:
            assert torch.equal(tensor, learned[name]), name


def test_rendered_scenes_are_kept_and_half_rendered_ones_are_not_trusted(tmp_path):
    whole = training_data.prepare_training_data(tmp_path, 20, split="train", seed=2)
    pixels = whole.images[:].clone()  # not the mapped file, which is to be cut off
    assert torch.equal(whole.images.rows(np.array([19, 3])), pixels[[19, 3]])
    (shard,) = tmp_path.glob("*.safetensors")
    made = shard.stat().st_mtime_ns
    kept = training_data.prepare_training_data(tmp_path, 20, split="train", seed=2)
    assert torch.equal(kept.images[:], pixels)
    assert shard.stat().st_mtime_ns == made
    with open(shard, "r+b") as file:
        file.truncate(5000)
    with pytest.warns(UserWarning, match="cannot be used"):
        again = training_data.prepare_training_data(tmp_path, 20, split="train", seed=2)
    assert torch.equal(again.images[:], pixels)
    assert again.nouns[:].any(dim=2).all()
