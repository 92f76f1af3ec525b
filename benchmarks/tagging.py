"""Own photos from files to tags, against what a person would write or use instead."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.image_encoding import N_PHOTOS, photo_files, random_rn50
from benchmarks.paired import Case
from comc_utils.clip import Clip, load_clip
from comc_utils.clip.cached import CachedClip
from comc_utils.miniworld import load_miniworld
from comc_utils.sources.backbones import load_backbone
from comc_utils.store.cache import EmbeddingCache
from comc_utils.tagging.labels import as_labels
from comc_utils.tagging.library import PhotoLibrary
from comc_utils.tagging.photos import gather_photos
from comc_utils.tagging.tagger import Tagger

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

BATCH_SIZE = 64
LABELS = (
    "dog", "cat", "car", "bus", "train", "bicycle", "person", "chair", "sofa", "bottle", "boat", "bird",
    "horse", "sheep", "cow", "airplane", "dining table", "potted plant", "tv", "motorcycle",
)  # fmt: skip
OTHERS = tuple(f"{colour} {name}" for colour in ("red", "small") for name in LABELS[:10])
N_AGAIN, N_MANY, N_FEW = 2_000, 20_000, 1_000

_folder = tempfile.TemporaryDirectory(prefix="photos-")


def _tagger(clip: Clip, name: str) -> Tagger:
    towers = CachedClip(clip, name, "", EmbeddingCache(Path(_folder.name) / "texts"))
    return Tagger._learn(
        as_labels(LABELS),
        lambda: towers,
        weights="random",
        method="zero-shot",
        templates=("a photo of {}.",),
        background="common",
    )


def _tag(tagger: Tagger, paths: list[Path], library: PhotoLibrary) -> tuple[Tensor, Any]:
    found = library.embed(gather_photos(paths), tagger.about.towers, lambda: tagger.towers.clip)
    whole = torch.cat([part.with_position for _, part in found.in_chunks()])
    return whole, tagger.tag(found)


def _in_new_library(tagger: Tagger, paths: list[Path]) -> Callable[[], tuple[Tensor, Any]]:
    def run() -> tuple[Tensor, Any]:
        with tempfile.TemporaryDirectory() as place:
            return _tag(tagger, paths, PhotoLibrary(Path(place)))

    return run


def _plainly(clip: Clip, paths: list[Path]) -> Callable[[], tuple[Tensor, Any]]:
    """What one writes by hand: a loop over batches, a softmax over the labels' prompts."""
    model = clip.model
    transform = open_clip.image_transform(model.visual.image_size, is_train=False)
    tokens = clip.tokenizer([f"a photo of a {name}." for name in LABELS], model.context_length)

    def run() -> tuple[Tensor, Any]:
        with torch.inference_mode():
            prompts = normalize(model.encode_text(tokens), dim=-1)
            embeddings = []
            for start in range(0, len(paths), BATCH_SIZE):
                pixels = []
                for path in paths[start : start + BATCH_SIZE]:
                    with Image.open(path) as image:
                        pixels.append(transform(image.convert("RGB")))
                embeddings.append(normalize(model.encode_image(torch.stack(pixels)), dim=-1))
            whole = torch.cat(embeddings)
            return whole, (100 * whole @ prompts.T).softmax(dim=-1)

    return run


@cache
def _vit() -> Clip:
    return load_clip("ViT-B-32-quickgelu", None)


def _against_loop(load: Callable[[], Clip], name: str, paths: Callable[[], list[Path]]) -> Callable:
    def prepare() -> tuple[Callable, Callable]:
        clip = load()
        files = paths()
        tagger = _tagger(clip, name)
        return _in_new_library(tagger, files), _plainly(clip, files)

    return prepare


def _against_pipeline() -> tuple[Callable, Callable]:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer, pipeline

    written = open_clip.SimpleTokenizer()
    ranks = sorted(written.bpe_ranks, key=written.bpe_ranks.get)
    ends = {"bos_token": "<start_of_text>", "eos_token": "<end_of_text>"}
    others = {"unk_token": "<end_of_text>", "pad_token": "<end_of_text>"}
    tokenizer = CLIPTokenizer(vocab=dict(written.encoder), merges=ranks, **ends, **others)
    pipe = pipeline(
        "zero-shot-image-classification",
        model=CLIPModel(CLIPConfig()).eval(),
        tokenizer=tokenizer,
        image_processor=CLIPImageProcessor(),
        device="cpu",
    )
    paths = photo_files()
    files = list(map(str, paths))

    def theirs() -> tuple[None, Any]:
        return None, list(pipe(files, candidate_labels=list(LABELS), batch_size=BATCH_SIZE))

    return _in_new_library(_tagger(_vit(), "ViT-B-32-quickgelu"), paths), theirs


def copies_of(paths: list[Path], n: int) -> Path:
    """Write as many files of different content: bytes after the end of an image change no pixel."""
    place = Path(_folder.name) / f"{n}"
    if not place.exists():
        place.mkdir()
        for number in range(n):
            source = paths[number % len(paths)]
            copy = place / f"{number:06d}{source.suffix}"
            shutil.copyfile(source, copy)
            with open(copy, "ab") as file:
                file.write(str(number).encode())
    return place


def _again(load: Callable[[], Clip], name: str) -> Callable:
    def prepare() -> tuple[Callable, Callable]:
        clip, few = load(), photo_files()
        library = PhotoLibrary(Path(_folder.name) / name)
        folder = copies_of(few, N_AGAIN)
        tagger = _tagger(clip, name)
        library.embed(gather_photos(folder), tagger.about.towers, lambda: clip)

        def ours() -> Any:
            other = tagger.with_labels(OTHERS)
            return other.tag(library.embed(gather_photos(folder), other.about.towers, lambda: clip))

        return ours, _in_new_library(tagger, few)

    return prepare


def scenes() -> list[Path]:
    """Write 500 drawn scenes to files."""
    place = Path(_folder.name) / "scenes"
    if not place.exists():
        place.mkdir()
        world = load_miniworld("test", 500)
        for index in range(len(world)):
            world[index].save(place / f"{world.ids[index]}.png")
    return sorted(place.iterdir())


def _many() -> tuple[Callable, Callable]:
    tagger = _tagger(load_backbone("miniworld-RN-small"), "miniworld-RN-small")
    many, few = (sorted(copies_of(scenes(), n).iterdir()) for n in (N_MANY, N_FEW))
    return _in_new_library(tagger, many), _in_new_library(tagger, few)


def _same(ours: tuple[Tensor, Any], reference: tuple[Tensor, Any]) -> None:
    assert (ours[0] - reference[0]).abs().max() < 1e-4, "image embeddings differ"


def _as_many(ours: tuple[Any, Any], reference: tuple[Any, Any]) -> None:
    assert len(ours[1]) == len(reference[1])


def _any(ours: Any, reference: Any) -> None: ...


_LOOP = f"a plain loop: Pillow, open_clip's transform, encode_image and softmax, batches of {BATCH_SIZE}"
_PIPELINE = f"transformers' zero-shot-image-classification pipeline, random weights, batches of {BATCH_SIZE}"
_EMBED = f"embedding and tagging them, by {N_PHOTOS} of the photos"

CASES = (
    Case(
        f"Tag {N_PHOTOS} photos from files, 20 labels, RN50",
        _LOOP,
        1.5,
        _against_loop(random_rn50, "RN50-quickgelu", photo_files),
        _same,
        runs=2,
    ),
    Case(
        f"Tag {N_PHOTOS} photos from files, 20 labels, ViT-B/32",
        _LOOP,
        1.1,
        _against_loop(_vit, "ViT-B-32-quickgelu", photo_files),
        _same,
        runs=2,
    ),
    Case(
        f"Tag {N_PHOTOS} photos from files, 20 labels, ViT-B/32",
        _PIPELINE,
        1.1,
        _against_pipeline,
        _as_many,
        runs=2,
    ),
    Case(
        "Tag 500 drawn scenes from files, 20 labels, the embedded RN-small",
        _LOOP,
        1.0,
        _against_loop(lambda: load_backbone("miniworld-RN-small"), "miniworld-RN-small", scenes),
        _same,
        runs=2,
    ),
    Case(
        f"Tag {N_AGAIN:,} photos with 20 other labels, ViT-B/32",
        _EMBED,
        50,
        _again(_vit, "ViT-B-32-quickgelu"),
        _any,
        runs=2,
        scale=N_AGAIN / N_PHOTOS,
    ),
    Case(
        f"Tag {N_MANY:,} drawn scenes from files, the embedded RN-small",
        f"{N_FEW:,} of them, times {N_MANY // N_FEW}",
        1.2,
        _many,
        _any,
        at_most=True,
        runs=1,
        scale=N_MANY / N_FEW,
        memory_target=1.5e9,
    ),
)
