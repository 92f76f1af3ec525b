"""Photos from files through CLIP's image tower, against Pillow, open_clip's transform and encode_image."""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.paired import Case
from comc_utils.clip import Clip, ImageEmbeddings, load_clip
from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.image_files import open_image

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

N_PHOTOS = 276
BATCH_SIZE = 64
PHOTOS = Path(__file__).parents[2] / "shared" / "real" / "voc2007_sample"

_drawn = tempfile.TemporaryDirectory(prefix="drawn-photos-")


def photo_files() -> list[Path]:
    """List photos of VOC2007 where a sample of them is there, else JPEGs of the same size drawn here.

    Returns
    -------
    list of Path
        `N_PHOTOS` of them.
    """
    found = sorted(PHOTOS.rglob("*.jpg"))[:N_PHOTOS]
    if len(found) == N_PHOTOS:
        return found
    rng = np.random.default_rng(0)
    paths = [Path(_drawn.name) / f"{number}.jpg" for number in range(N_PHOTOS)]
    for path in paths:
        if not path.exists():
            coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def as_data_set(paths: list[Path]) -> MultiLabelImages:
    """Make a data set that opens files on demand, as those of the package do."""
    return MultiLabelImages(
        name="photos",
        split="all",
        class_names=("anything",),
        labels=np.zeros((len(paths), 1), dtype=np.uint8),
        ids=tuple(str(path) for path in paths),
        load_image=lambda index: open_image(paths[index]),
        fingerprint="photos",
    )


def _prepare(openvino: bool) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    clip = random_rn50()
    reference = copy.deepcopy(clip.model).to(memory_format=torch.contiguous_format)  # open_clip's own
    paths = photo_files()
    photos = as_data_set(paths)
    ours = clip.with_openvino() if openvino else clip
    return (
        lambda: ours.encode_images(photos, batch_size=BATCH_SIZE).with_position,
        lambda: _encode_plainly(reference, paths),
    )


def _prepare_local() -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    clip, photos = random_rn50(), as_data_set(photo_files())

    def embed(local: bool) -> ImageEmbeddings:
        return clip.encode_images(photos, batch_size=BATCH_SIZE, local=local)

    return lambda: embed(True).with_position, lambda: embed(False).with_position


def random_rn50() -> Clip:
    """Make an RN50 of random weights, all of whose branches do something."""
    clip = load_clip("RN50-quickgelu", None)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in clip.model.visual.named_parameters():
        # open_clip starts with residual branches switched off.
        if name.endswith("bn3.weight"):
            parameter.uniform_(0.2, 0.4, generator=generator)
    return clip


def _encode_plainly(model: torch.nn.Module, paths: list[Path]) -> Tensor:
    transform = open_clip.image_transform(model.visual.image_size, is_train=False)
    embeddings = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH_SIZE):
            pixels = []
            for path in paths[start : start + BATCH_SIZE]:
                with Image.open(path) as image:
                    pixels.append(transform(image.convert("RGB")))
            embeddings.append(normalize(model.encode_image(torch.stack(pixels)), dim=-1))
    return torch.cat(embeddings)


def _same(ours: Tensor, reference: Tensor) -> None:
    assert (ours - reference).abs().max() < 1e-5, "image embeddings differ"


_PLAIN = f"global alone: Pillow, open_clip's transform and encode_image, one process, batches of {BATCH_SIZE}"
_WHAT = f"Embed {N_PHOTOS} photos from files, global and local, RN50"

CASES = (
    Case(_WHAT, _PLAIN, 1.25, lambda: _prepare(openvino=False), _same),
    Case(f"{_WHAT}, in one pass", "global alone, the same way", 1.05, _prepare_local, _same, at_most=True),
)
if importlib.util.find_spec("openvino"):
    CASES += (Case(f"{_WHAT}, OpenVINO", _PLAIN, 1.5, lambda: _prepare(openvino=True), _same),)
