"""Train the three embedded CLIP models: on captions alone, no label is used.

A recipe is a list of stages, each with AdamW, linear warm-up and cosine decay. A stage has one of two tasks:

- *nouns*: the image tower learns to tell which nouns the captions of a scene name (cross-entropy on a linear
  head that is thrown away at the end; the nouns of a scene's five captions share the probability). From
  scratch on so little data the contrastive loss alone learns colours, not shapes.
- *contrast*: both towers with CLIP's symmetric cross-entropy over a batch.

Scenes get harder from stage to stage: one object, then full scenes. For the ResNet every other lone object is
an icon that is none of the world's things: CLIP, too, has seen many hands draw one thing.
The vision transformer, which knows nothing of neighbouring pixels, begins with one large upright object on a
plain ground (with objects anywhere it learns nothing for a very long time), and does without the icons.

The two later models begin with what the first has learned, where it fits by name and shape: the larger
ResNet grows out of it (its additional blocks begin as the identity, since their last batch norm begins
at zero; compare Net2Net, Chen et al., ICLR 2016), the vision transformer takes its text tower.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from comc_utils.clip.text import text_features, text_lengths
from comc_utils.miniworld.models import register_models, weights_path
from comc_utils.miniworld.training_data import TrainingData, data_hash, prepare_training_data, vocabulary
from comc_utils.store.atomic import atomic_path

MAX_SHIFT = 6
"""Pixels by which an image is moved at most, as an augmentation."""
N_SCENES = {"plain": 60_000, "objects": 100_000, "icons": 140_000, "train": 200_000}
"""Scenes that are rendered of each split."""
CHECKPOINT_EVERY = 200
"""Steps between two checkpoints."""


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes
    ----------
    name : str
    task : {"nouns", "contrast"}
    split : str
        A key of `N_SCENES`.
    samples : int
        Scenes that are looked at, repetitions counted.
    learning_rate : float
        Peak, of the image tower and, unless the next is given, of all that is trained.
    text_learning_rate : float, optional
    batch_size : int
    """

    name: str
    task: Literal["nouns", "contrast"]
    split: str
    samples: int
    learning_rate: float
    text_learning_rate: float | None = None
    batch_size: int = 128


@dataclass(frozen=True)
class Recipe:
    """How one model is trained."""

    model: str
    stages: tuple[Stage, ...]
    start_from: str | None = None
    weight_decay: float = 0.05
    warmup: float = 0.05


RECIPES = {
    recipe.model: recipe
    for recipe in (
        Recipe(
            "miniworld-RN-small",
            (
                Stage("plain", "nouns", "plain", 40_000, 1e-3),
                Stage("icons", "nouns", "icons", 280_000, 1e-3),
                Stage("nouns", "nouns", "train", 140_000, 1e-3),
                Stage("contrast", "contrast", "train", 500_000, 1e-3, batch_size=256),
            ),
        ),
        Recipe(
            "miniworld-RN-large",
            (Stage("contrast", "contrast", "train", 120_000, 5e-4, batch_size=256),),
            start_from="miniworld-RN-small",
        ),
        Recipe(
            "miniworld-ViT",
            (
                Stage("plain", "nouns", "plain", 120_000, 1e-3),
                Stage("objects", "nouns", "objects", 400_000, 1e-3),
                Stage("nouns", "nouns", "train", 600_000, 1e-3),
                Stage("contrast", "contrast", "train", 120_000, 7e-4, batch_size=256),
            ),
            start_from="miniworld-RN-small",
        ),
    )
}


def train(
    name: str, work_folder: Path, *, seed: int = 0, bfloat16: bool = False, recipe: Recipe | None = None
) -> Path:
    """Train one embedded model and write its weights and history.

    A stop at any moment loses at most `CHECKPOINT_EVERY` steps: the next call goes on from there, if recipe,
    model, scenes and precision are still the same. At the end the checkpoints are removed.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    work_folder : Path
        For rendered scenes (29 kB each) and checkpoints.
    seed : int
    bfloat16 : bool
        Run the image tower in half precision: about 1.5 times as fast on processors with instructions for it,
        very slow on others.
    recipe : Recipe, optional
        In place of `RECIPES[name]`.

    Returns
    -------
    Path
        The weights (safetensors, float16); the history lies beside them as JSON.
    """
    recipe = recipe or RECIPES[name]
    data = {
        split: prepare_training_data(work_folder, N_SCENES[split], split=split, seed=seed)
        for split in dict.fromkeys(stage.split for stage in recipe.stages)
    }
    import open_clip

    register_models()
    torch.manual_seed(seed)  # open_clip initialises from the global generator
    model = open_clip.create_model(name, pretrained=None)
    model.visual = model.visual.to(memory_format=torch.channels_last)
    history: list[dict] = []
    inputs = repr((recipe, open_clip.get_model_config(name), data_hash(), seed, bfloat16))
    digest = hashlib.sha256(inputs.encode())
    if recipe.start_from:
        digest.update(weights_path(recipe.start_from).read_bytes())
    stamp = digest.hexdigest()[:8]
    checkpoints = [work_folder / f"{name}-{stage.name}-{stamp}.pt" for stage in recipe.stages]
    for number, stage in enumerate(recipe.stages):
        if stage.task == "nouns":
            head = nn.Linear(model.visual.output_dim, len(vocabulary(stage.split)))
            task = _nouns(stage, recipe, model, head, bfloat16)
        else:
            if recipe.start_from and "contrast" not in {s.task for s in recipe.stages[:number]}:
                _take_over(model, recipe.start_from)
            task = _contrast(stage, recipe, model, bfloat16)
        _run(stage, task, data[stage.split], recipe, checkpoints[number], seed, history)
    target = weights_path(name)
    state = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for key, tensor in model.state_dict().items()
    }
    record = {"recipe": asdict(recipe), "seed": seed, "history": history}
    with atomic_path(target) as weights, atomic_path(target.with_suffix(".history.json")) as told:
        save_file(state, weights)
        told.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return target


@dataclass(frozen=True)
class _Task:
    """What a stage trains, and on which loss of (images, tokens, nouns)."""

    module: nn.Module
    parameter_groups: list[dict]
    loss: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, dict]]


def _take_over(model: nn.Module, name: str) -> None:
    """Copy what another model has learned, where it fits by name and shape."""
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    fitting = {
        key: tensor for key, tensor in load_file(weights_path(name)).items() if shapes.get(key) == tensor.shape
    }
    model.load_state_dict(fitting, strict=False)


def _image_features(model: nn.Module, images: Tensor, bfloat16: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        return model.visual(images).float()


def _nouns(stage: Stage, recipe: Recipe, model: nn.Module, head: nn.Module, bfloat16: bool) -> _Task:
    def loss(images: Tensor, _tokens: Tensor, nouns: Tensor) -> tuple[Tensor, dict]:
        logits = head(_image_features(model, images, bfloat16))
        return F.cross_entropy(logits, nouns / nouns.sum(1, keepdim=True)), {}

    groups = _groups(model.visual, stage.learning_rate, recipe.weight_decay)
    groups += _groups(head, stage.learning_rate, recipe.weight_decay)
    return _Task(nn.ModuleList([model, head]), groups, loss)


def _contrast(stage: Stage, recipe: Recipe, model: nn.Module, bfloat16: bool) -> _Task:
    text_rate = stage.text_learning_rate or stage.learning_rate

    def loss(images: Tensor, tokens: Tensor, _nouns: Tensor) -> tuple[Tensor, dict]:
        image = _image_features(model, images, bfloat16)
        text = text_features(model, tokens[:, : int(text_lengths(model, tokens).max())])
        image, text = F.normalize(image, dim=1), F.normalize(text, dim=1)
        logits = model.logit_scale.exp() * image @ text.T
        target = torch.arange(len(logits))
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return value, {"scale": model.logit_scale.exp().item()}

    text_tower = nn.ModuleDict({"a": model.transformer, "b": model.token_embedding, "c": model.ln_final})
    groups = _groups(model.visual, stage.learning_rate, recipe.weight_decay)
    groups += _groups(text_tower, text_rate, recipe.weight_decay)
    bare = [model.positional_embedding, model.text_projection]
    groups.append({"params": bare, "lr": text_rate, "weight_decay": 0.0})
    groups.append({"params": [model.logit_scale], "lr": 1e-2, "weight_decay": 0.0})
    return _Task(model, groups, loss)


def _groups(module: nn.Module, learning_rate: float, weight_decay: float) -> list[dict]:
    """Parameter groups: no weight decay on biases, norms and other vectors."""
    vectors = [p for p in module.parameters() if p.ndim < 2]
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    return [
        {"params": matrices, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": vectors, "lr": learning_rate, "weight_decay": 0.0},
    ]


def _run(
    stage: Stage,
    task: _Task,
    data: TrainingData,
    recipe: Recipe,
    checkpoint: Path,
    seed: int,
    history: list[dict],
) -> None:
    steps = stage.samples // stage.batch_size
    optimizer = torch.optim.AdamW(task.parameter_groups, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate_share(step, steps, recipe.warmup)
    )
    first = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        task.module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        history[:] = state["history"]
        first = state["step"]
    task.module.train()
    losses: list[float] = []
    batches = _batches(stage, data, steps, (seed, *stage.name.encode()), first)
    with tqdm(total=steps, initial=first, desc=f"{recipe.model} {stage.name}") as bar:
        for step, (images, tokens, nouns) in zip(range(first, steps), batches, strict=True):
            loss, extra = task.loss(images, tokens, nouns)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(task.module.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            if (step + 1) % 50 == 0:
                history.append(
                    {"stage": stage.name, "samples": (step + 1) * stage.batch_size,
                     "loss": round(float(np.mean(losses[-50:])), 4), **extra}
                )  # fmt: skip
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
                with atomic_path(checkpoint) as partial:
                    torch.save(
                        {"module": task.module.state_dict(), "optimizer": optimizer.state_dict(),
                         "scheduler": scheduler.state_dict(), "history": history, "step": step + 1},
                        partial,
                    )  # fmt: skip


def _learning_rate_share(step: int, steps: int, warmup: float) -> float:
    ramp = max(1, round(warmup * steps))
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


def _batches(
    stage: Stage, data: TrainingData, steps: int, seed: tuple[int, ...], first: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batch number i depends on the seed and i alone, so that a resumed run sees the same ones."""
    per_epoch = len(data) // stage.batch_size
    for step in range(first, steps):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng((*seed, 0, epoch)).permutation(len(data))
        index = np.sort(order[position * stage.batch_size : (position + 1) * stage.batch_size])
        rng = np.random.default_rng((*seed, 1, step))
        caption = rng.integers(data.tokens.shape[1], size=stage.batch_size)
        images = data.images.rows(index).permute(0, 3, 1, 2).float()
        yield (
            _standardize(_shift(images, rng)),
            data.tokens.rows(index)[range(len(index)), caption].long(),
            data.nouns.rows(index).any(dim=1).float(),
        )


def _shift(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror half of the images, and move each quarter of the batch by a few pixels."""
    mirrored = torch.from_numpy(rng.random(len(images)) < 0.5)
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    height, width = images.shape[2:]
    padded = F.pad(images, (MAX_SHIFT,) * 4, mode="replicate")
    moved = []
    for quarter in padded.chunk(4):
        top, left = (int(v) for v in rng.integers(0, 2 * MAX_SHIFT + 1, size=2))
        moved.append(quarter[:, :, top : top + height, left : left + width])
    return torch.cat(moved)


def _standardize(images: Tensor) -> Tensor:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
