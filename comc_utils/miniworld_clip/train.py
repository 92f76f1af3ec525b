"""Train the three embedded CLIP models: on captions alone, no label is used.

Four stages, each with AdamW, linear warm-up and cosine decay:

1. *Objects*: the image tower learns to tell which noun the captions of a scene with one object name
   (cross-entropy on a linear head that is thrown away after stage 2). From scratch on so little data
   the contrastive loss alone learns colours, not shapes, and crowded scenes teach shapes slowly.
2. *Nouns*: the same on full scenes; the nouns of a scene's five captions share the probability.
3. *Contrast*: both towers with CLIP's symmetric cross-entropy over a batch.
4. *Varied*: the same on scenes with more drawings and stronger distortions, so that what is learned is
   less the drawings than the things.

The two later models begin with what the first has learned, where it fits by name and shape: the larger
ResNet grows out of it (its additional blocks begin as the identity, since their last batch norm begins
at zero; compare Net2Net, Chen et al., ICLR 2016) and needs stage 4 only. The vision transformer, which learns
far more slowly from so little, has stages 1 and 2 and then, in place of 3 and 4, a stage of its own:

5. *Distil*: on the scenes of stage 4, its global and local embeddings learn to be those of the smaller
   ResNet (cosine distance), whose text tower and temperature it takes over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from comc_utils.encoders.resnet import resnet_features
from comc_utils.encoders.text import text_features, text_lengths
from comc_utils.encoders.vit import vit_features
from comc_utils.miniworld_clip.models import register_models, weights_path
from comc_utils.miniworld_clip.training_data import TrainingData, prepare_training_data

MAX_SHIFT = 6
"""Pixels by which an image is moved at most, as an augmentation."""
N_OBJECT_SCENES = 60_000
"""Scenes of one object that are rendered for stage 1."""
CHECKPOINT_EVERY = 200
"""Steps between two checkpoints."""


@dataclass(frozen=True)
class Recipe:
    """How one model is trained; learning rates are peaks."""

    model: str
    n_scenes: int
    object_samples: int
    noun_samples: int
    noun_learning_rate: float
    contrast_samples: int
    image_learning_rate: float
    text_learning_rate: float
    varied_samples: int
    varied_learning_rate: float
    distil_samples: int = 0
    distil_learning_rate: float = 0.0
    noun_batch_size: int = 128
    contrast_batch_size: int = 256
    weight_decay: float = 0.05
    warmup: float = 0.05
    start_from: str | None = None


RECIPES = {
    recipe.model: recipe
    for recipe in (
        Recipe(
            "miniworld-RN-small", 100_000, 120_000, 150_000, 2e-3, 250_000, 7e-4, 1e-3,
            varied_samples=150_000, varied_learning_rate=7e-4,
        ),
        Recipe(
            "miniworld-RN-large", 100_000, 0, 0, 0.0, 0, 0.0, 0.0,
            varied_samples=90_000, varied_learning_rate=5e-4, start_from="miniworld-RN-small",
        ),
        Recipe(
            "miniworld-ViT", 100_000, 180_000, 40_000, 6e-4, 0, 0.0, 0.0,
            varied_samples=0, varied_learning_rate=0.0, distil_samples=100_000,
            distil_learning_rate=1e-3, start_from="miniworld-RN-small",
        ),
    )
}  # fmt: skip


def train(name: str, work_folder: Path, *, seed: int = 0, recipe: Recipe | None = None) -> Path:
    """Train one embedded model and write its weights and history.

    A stop at any moment loses at most `CHECKPOINT_EVERY` steps: the next call goes on from there.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    work_folder : Path
        For rendered scenes (29 kB each) and checkpoints.
    seed : int
    recipe : Recipe, optional
        In place of `RECIPES[name]`.

    Returns
    -------
    Path
        The weights (safetensors, float16); the history lies beside them as JSON.
    """
    recipe = recipe or RECIPES[name]
    objects, scenes, varied = (
        prepare_training_data(work_folder, n, split=split, seed=seed)
        for split, n in (
            ("objects", N_OBJECT_SCENES),
            ("train", recipe.n_scenes),
            ("varied", recipe.n_scenes),
        )
    )
    import open_clip

    register_models()
    torch.manual_seed(seed)  # open_clip initialises from the global generator
    model = open_clip.create_model(name, pretrained=None)
    model.visual = model.visual.to(memory_format=torch.channels_last)
    if recipe.start_from:
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        learned = load_file(weights_path(recipe.start_from))
        fitting = {k: v for k, v in learned.items() if shapes.get(k) == v.shape}
        model.load_state_dict(fitting, strict=False)
    head = nn.Linear(model.visual.output_dim, scenes.nouns.shape[-1])
    history: list[dict] = []
    for stage in (
        _noun_stage("objects", recipe.object_samples, objects, recipe, model, head),
        _noun_stage("nouns", recipe.noun_samples, scenes, recipe, model, head),
        _contrast_stage(
            "contrast",
            recipe.contrast_samples,
            scenes,
            recipe,
            model,
            (recipe.image_learning_rate, recipe.text_learning_rate),
        ),
        _contrast_stage(
            "varied",
            recipe.varied_samples,
            varied,
            recipe,
            model,
            (recipe.varied_learning_rate,) * 2,
        ),
        *([_distil_stage(varied, recipe, model)] if recipe.distil_samples else []),
    ):
        _run(stage, recipe, work_folder, seed, history)
    target = weights_path(name)
    save_file(
        {
            name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in model.state_dict().items()
        },
        target,
    )
    target.with_suffix(".history.json").write_text(
        json.dumps({"recipe": asdict(recipe), "seed": seed, "history": history}, indent=1) + "\n"
    )
    return target


@dataclass(frozen=True)
class _Stage:
    name: str
    samples: int
    batch_size: int
    data: TrainingData
    module: nn.Module
    parameter_groups: list[dict]
    loss: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, dict]]


def _noun_stage(
    name: str,
    samples: int,
    data: TrainingData,
    recipe: Recipe,
    model: nn.Module,
    head: nn.Module,
) -> _Stage:
    def loss(images: Tensor, _tokens: Tensor, nouns: Tensor) -> tuple[Tensor, dict]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = head(model.visual(images))
        return F.cross_entropy(logits.float(), nouns / nouns.sum(1, keepdim=True)), {}

    groups = _groups(model.visual, recipe.noun_learning_rate, recipe.weight_decay)
    groups += _groups(head, recipe.noun_learning_rate, recipe.weight_decay)
    module = nn.ModuleList([model, head])
    return _Stage(name, samples, recipe.noun_batch_size, data, module, groups, loss)


def _contrast_stage(
    name: str,
    samples: int,
    data: TrainingData,
    recipe: Recipe,
    model: nn.Module,
    learning_rates: tuple[float, float],
) -> _Stage:
    image_rate, text_rate = learning_rates

    def loss(images: Tensor, tokens: Tensor, _nouns: Tensor) -> tuple[Tensor, dict]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            image = model.encode_image(images)
            text = text_features(model, tokens[:, : int(text_lengths(model, tokens).max())])
        image, text = F.normalize(image.float(), dim=1), F.normalize(text.float(), dim=1)
        logits = model.logit_scale.exp() * image @ text.T
        target = torch.arange(len(logits))
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return value, {"scale": model.logit_scale.exp().item()}

    text_tower = nn.ModuleDict(
        {"a": model.transformer, "b": model.token_embedding, "c": model.ln_final}
    )
    groups = _groups(model.visual, image_rate, recipe.weight_decay)
    groups += _groups(text_tower, text_rate, recipe.weight_decay)
    bare = [model.positional_embedding, model.text_projection]
    groups.append({"params": bare, "lr": text_rate, "weight_decay": 0.0})
    groups.append({"params": [model.logit_scale], "lr": 1e-2, "weight_decay": 0.0})
    return _Stage(name, samples, recipe.contrast_batch_size, data, model, groups, loss)


def _distil_stage(data: TrainingData, recipe: Recipe, model: nn.Module) -> _Stage:
    import open_clip

    teacher = open_clip.create_model(recipe.start_from, pretrained=None).eval()
    teacher.load_state_dict(load_file(weights_path(recipe.start_from)))

    def loss(images: Tensor, _tokens: Tensor, _nouns: Tensor) -> tuple[Tensor, dict]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                wanted, _, wanted_regions = resnet_features(teacher.visual, images, local=True)
            whole, patches = vit_features(model.visual, images, "value")
        # The transformer's patches are finer than the ResNet's regions.
        rows = math.isqrt(patches.shape[1])
        size = math.isqrt(wanted_regions.shape[1])
        grid = patches.float().unflatten(1, (rows, rows)).permute(0, 3, 1, 2)
        regions = F.adaptive_avg_pool2d(grid, size).flatten(2).transpose(1, 2)
        similarities = (
            F.cosine_similarity(whole.float(), wanted.float(), dim=-1).mean(),
            F.cosine_similarity(regions, wanted_regions.float(), dim=-1).mean(),
        )
        return 2 - sum(similarities), {}

    groups = _groups(model.visual, recipe.distil_learning_rate, recipe.weight_decay)
    return _Stage(
        "distil", recipe.distil_samples, recipe.noun_batch_size, data, model, groups, loss
    )


def _groups(module: nn.Module, learning_rate: float, weight_decay: float) -> list[dict]:
    """Parameter groups: no weight decay on biases, norms and other vectors."""
    vectors = [p for p in module.parameters() if p.ndim < 2]
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    return [
        {"params": matrices, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": vectors, "lr": learning_rate, "weight_decay": 0.0},
    ]


def _run(
    stage: _Stage,
    recipe: Recipe,
    work_folder: Path,
    seed: int,
    history: list[dict],
) -> None:
    steps = stage.samples // stage.batch_size
    optimizer = torch.optim.AdamW(stage.parameter_groups, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate_share(step, steps, recipe.warmup)
    )
    checkpoint = work_folder / f"{recipe.model}-{stage.name}-seed-{seed}.pt"
    first = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        stage.module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        history[:] = state["history"]
        first = state["step"]
    stage.module.train()
    losses: list[float] = []
    batches = _batches(stage, steps, (seed, *stage.name.encode()), first)
    with tqdm(total=steps, initial=first, desc=f"{recipe.model} {stage.name}") as bar:
        for step, (images, tokens, nouns) in zip(range(first, steps), batches, strict=True):
            loss, extra = stage.loss(images, tokens, nouns)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(stage.module.parameters(), 1.0)
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
                partial = checkpoint.with_suffix(".part")
                torch.save(
                    {"module": stage.module.state_dict(), "optimizer": optimizer.state_dict(),
                     "scheduler": scheduler.state_dict(), "history": history, "step": step + 1},
                    partial,
                )  # fmt: skip
                partial.replace(checkpoint)


def _learning_rate_share(step: int, steps: int, warmup: float) -> float:
    ramp = max(1, round(warmup * steps))
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


def _batches(
    stage: _Stage,
    steps: int,
    seed: tuple[int, ...],
    first: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batch number i depends on the seed and i alone, so that a resumed run sees the same ones."""
    data, batch_size = stage.data, stage.batch_size
    per_epoch = len(data) // batch_size
    for step in range(first, steps):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng((*seed, 0, epoch)).permutation(len(data))
        index = np.sort(order[position * batch_size : (position + 1) * batch_size])
        rng = np.random.default_rng((*seed, 1, step))
        caption = rng.integers(data.tokens.shape[1], size=batch_size)
        images = torch.from_numpy(data.images[index]).permute(0, 3, 1, 2)
        yield (
            _augment(images.float(), rng),
            torch.from_numpy(data.tokens[index, caption].astype(np.int64)),
            torch.from_numpy(data.nouns[index].any(axis=1).astype(np.float32)),
        )


def _augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror half of the images, and move each quarter of the batch by a few pixels."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mirrored = torch.from_numpy(rng.random(len(images)) < 0.5)
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    height, width = images.shape[2:]
    padded = F.pad(images, (MAX_SHIFT,) * 4, mode="replicate")
    moved = []
    for quarter in padded.chunk(4):
        top, left = (int(v) for v in rng.integers(0, 2 * MAX_SHIFT + 1, size=2))
        moved.append(quarter[:, :, top : top + height, left : left + width])
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) * 255
        for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    images = (torch.cat(moved) - mean) / std
    return images.contiguous(memory_format=torch.channels_last)
