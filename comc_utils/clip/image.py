"""The image tower: one forward pass for an image's global embedding and its local ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import ArrayLike
from open_clip import image_transform
from open_clip.model import get_model_preprocess_cfg
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.transforms import Compose

from comc_utils.clip.resnet import ResNetTower
from comc_utils.clip.vit import class_features, is_plain, vit_features
from comc_utils.errors import CoMCError
from comc_utils.store.rgb import image_errors, to_rgb
from comc_utils.store.shards import ShardedEmbeddings

MOST_STRETCHED = 50
"""Times that an image's longer side may be the shorter one: of a longer image the middle alone is resized.

An image of 1 x 60,000 pixels would take gigabytes on its way to the central crop, a square of which it shows
nothing but the middle.
"""

# open_clip's words for the two ways to fill the square input.
_RESIZE_MODES = {"crop": "shortest", "plain": "squash"}


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """Unit vectors of n images, from the tower to the score.

    Attributes
    ----------
    global_ : Tensor [n, d]
        One vector an image, v^g of the paper, from an attention pool that leaves its positional embedding
        out, as the authors' released code does.
    local : Tensor or ShardedEmbeddings [n, K, d], or None
        One vector a region, v_j^l of the paper, row by row from the top left; None without regions.
    with_position : Tensor [n, d]
        One vector an image as open_clip's ``encode_image`` gives it. A vision transformer adds its
        positional embedding at the input: there both are one.
    local_norms : Tensor [n, K], or None
        Lengths of the local embeddings before they were made unit vectors, where the tower has an attention
        pool: its tokens can be had of them, see `Clip.projected_positions`. None for other towers, and
        without regions.
    """

    global_: Float[Tensor, "n d"]
    local: Float[Tensor, "n k d"] | None
    with_position: Float[Tensor, "n d"]
    local_norms: Float[Tensor, "n k"] | None = None

    def __len__(self) -> int:
        """Number of images, n."""
        return len(self.global_)

    def __getitem__(self, rows: slice | Int[ArrayLike, " m"]) -> ImageEmbeddings:
        """Take some of the images: a slice, or rows in any order."""
        # A list would be read as one index a dimension.
        rows = rows if isinstance(rows, slice) else torch.as_tensor(np.asarray(rows))

        def take(part: Tensor | ShardedEmbeddings | None) -> Tensor | None:
            if part is None or isinstance(part, Tensor) or isinstance(rows, slice):
                return None if part is None else part[rows]
            return part.rows(rows.numpy())

        return ImageEmbeddings(**{name: take(part) for name, part in vars(self).items()})

    @staticmethod
    def concatenate(parts: Sequence[ImageEmbeddings]) -> ImageEmbeddings:
        """Put images together, in memory, that the same tower embedded."""
        loaded = [vars(part.in_memory()) for part in parts]
        return ImageEmbeddings(
            **{
                k: None if whole is None else torch.cat([part[k] for part in loaded])
                for k, whole in loaded[0].items()
            }
        )

    def whole(self, *, positional_embedding: bool) -> Float[Tensor, "n d"]:
        """Global embeddings with the attention pool's positional embedding or without it."""
        return self.with_position if positional_embedding else self.global_

    def in_memory(self) -> ImageEmbeddings:
        """Read local embeddings from their shards, in single precision: to take rows in any order."""
        in_shards = self.local is not None and not isinstance(self.local, Tensor)
        return replace(self, local=self.local[:].float()) if in_shards else self


def why_no_regions(visual: nn.Module) -> str:
    """Say why an image tower has no local embeddings; '' where it has.

    A region has one where the tower's own head is defined on a single location: the value path of a
    ModifiedResNet's attention pool, or of a vision transformer's last block, with the projection behind it.
    """
    if isinstance(visual, ModifiedResNet):
        return ""
    if not isinstance(visual, VisionTransformer):
        return f"the head of its {type(visual).__name__} is not defined on one location"
    if visual.attn_pool is not None:
        return "it pools by attention, so that its patches are not in the embedding space"
    last = visual.transformer.resblocks[-1]
    if not isinstance(last, ResidualAttentionBlock):
        return f"the value path of its last block, a {type(last).__name__}, is not known"
    return ""


def make_image_tower(
    model: nn.Module, local: bool
) -> Callable[
    [Float[Tensor, "n 3 height width"]],
    tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "n k d"] | None],
]:
    """Make the function that runs the image tower once for global and local embeddings.

    Parameters
    ----------
    model : nn.Module
        open_clip's model, whose weights are those of now: a ModifiedResNet's are copied.
    local : bool
        Whether regions are embedded, see `Clip.encode_images`.

    Returns
    -------
    callable
        From preprocessed images [n, 3, height, width] to global embeddings with and without the
        attention pool's positional embedding, [n, d] each, and local ones [n, K, d] or None; not
        normalised.

    Raises
    ------
    CoMCError
        The tower has no such local embeddings.
    """
    visual = model.visual
    if local and (why := why_no_regions(visual)):
        raise CoMCError(
            f"The image tower has no local embeddings, for {why}; use local=False or another model."
        )
    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual, local)

    own = isinstance(visual, VisionTransformer) and is_plain(visual)

    def embed(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        if local:
            whole, regions = vit_features(visual, pixels)
        else:
            whole, regions = class_features(visual, pixels) if own else model.encode_image(pixels), None
        return whole, whole, regions

    return embed


def embed_batches(
    tower: Callable[[Tensor], Sequence[Tensor | None]],
    scale: Callable[[Tensor], Tensor],
    batches: Iterable[UInt8[Tensor, "n height width 3"]],
    device: torch.device,
    *,
    half: bool = False,
) -> Iterator[list[Float[Tensor, "n ..."] | None]]:
    """Run an image tower over batches, one batch behind the reading.

    A batch is given out once the next one is queued, so that a GPU has work while results travel.

    Parameters
    ----------
    tower : callable
        From `make_image_tower`.
    scale : callable
        From 8-bit images to the tower's input, of `make_transforms`.
    batches : iterable of Tensor [n, height, width, 3]
        8-bit images, in pinned memory where the device is a GPU.
    device : torch.device
        Where the tower runs.
    half : bool
        In half precision (torch's autocast, on CUDA), else in float32 throughout.

    Yields
    ------
    list of Tensor or None
        What the tower gives for a batch, as unit vectors, and the local embeddings' lengths [n, K] before;
        in float32 on the CPU.
    """
    queued = None
    for batch in batches:
        waiting, queued = queued, _queue_batch(tower, scale, batch, device, half)
        if waiting is not None:
            yield _wait_for(*waiting)
    if queued is not None:
        yield _wait_for(*queued)


def _queue_batch(
    tower: Callable[[Tensor], Sequence[Tensor | None]],
    scale: Callable[[Tensor], Tensor],
    batch: UInt8[Tensor, "n height width 3"],
    device: torch.device,
    half: bool,
) -> tuple[list[Tensor | None], torch.cuda.Event | None]:
    on_gpu = device.type == "cuda"
    # By default convolutions on a GPU round their inputs to ten bits.
    precision = torch.autocast("cuda", torch.float16) if half else torch.backends.cudnn.flags(allow_tf32=False)
    with torch.inference_mode():
        pixels = scale(batch.to(device, non_blocking=on_gpu))
        with precision:
            parts = tower(pixels)
        parts = [None if part is None else part.float() for part in parts]
        norms = None if parts[-1] is None else parts[-1].norm(dim=-1)
        units = [None if part is None else normalize(part, dim=-1) for part in parts]
        # A copy from a GPU that does not block lands in pinned memory, and may still be on its way.
        embeddings = [None if part is None else part.to("cpu", non_blocking=on_gpu) for part in (*units, norms)]
        if not on_gpu:
            return embeddings, None
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(device))
        return embeddings, done


def _wait_for(embeddings: list[Tensor | None], done: torch.cuda.Event | None) -> list[Tensor | None]:
    if done is not None:
        done.synchronize()
    return embeddings


def make_transforms(
    model: nn.Module, resize: Literal["crop", "plain"]
) -> tuple[
    Callable[[Image.Image], UInt8[Tensor, "height width 3"]],
    Callable[[UInt8[Tensor, "n height width 3"]], Float[Tensor, "n 3 height width"]],
]:
    """Build open_clip's evaluation preprocessing for a model, in two halves.

    The first works image by image and gives a quarter of the bytes that the second does.

    Parameters
    ----------
    model : nn.Module
        open_clip's model; its input size, interpolation, mean and standard deviation are used.
    resize : {"crop", "plain"}
        Shorter side to the input size and central crop, or the whole image squeezed into the
        square.

    Returns
    -------
    crop : callable
        From an RGB image to its resized pixels [height, width, 3].
    scale : callable
        From pixels of n images [n, height, width, 3] to the model's input [n, 3, height, width], in
        torch's channels-last layout.

    Raises
    ------
    CoMCError
        ``resize`` is neither of the two.
    """
    if resize not in _RESIZE_MODES:
        raise CoMCError(f'Unknown resize {resize!r}; use "crop" or "plain".')
    settings = get_model_preprocess_cfg(model)
    steps = image_transform(
        model.visual.image_size,
        is_train=False,
        mean=settings["mean"],
        std=settings["std"],
        interpolation=settings["interpolation"],
        resize_mode=_RESIZE_MODES[resize],
    ).transforms
    # open_clip's last two steps make a float tensor of an image and normalise it.
    to_size, normalise = Compose(steps[:-2]), steps[-1]

    def crop(image: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(to_size(_middle(image) if resize == "crop" else image)))

    def scale(batch: Tensor) -> Tensor:
        return normalise(batch.permute(0, 3, 1, 2).float().div(255))

    return crop, scale


def _middle(image: Image.Image) -> Image.Image:
    """Cut an image's longer side, where it is very long, by as much at either end; else leave it as it is."""
    most = MOST_STRETCHED * min(image.size)
    cut = [max(0, side - most) // 2 for side in image.size]
    return image.crop((*cut, image.width - cut[0], image.height - cut[1])) if any(cut) else image


def seen_part(size: tuple[int, int], resize: Literal["crop", "plain"]) -> tuple[float, float, float, float]:
    """Say which part of an image the tower sees.

    Parameters
    ----------
    size : tuple of int
        The image's width and height, in pixels.
    resize : {"crop", "plain"}
        As `Clip.encode_images` takes it.

    Returns
    -------
    tuple of float
        Left, top, right and bottom, in pixels of the image: its central square, but for rounding, or all of it.
    """
    width, height = size
    if resize == "plain":
        return 0.0, 0.0, float(width), float(height)
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def open_rgb(images: Sequence[Image.Image], index: int) -> Image.Image:
    """Take one image of a sequence and decode it.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        May open its images on demand.
    index : int
        Which one.

    Returns
    -------
    PIL.Image.Image
        In RGB. Converted before any resizing, since Pillow resizes palette images without
        interpolation.

    Raises
    ------
    CoMCError
        The image does not open or decode, or is no image.
    """
    what = f"Image {index}"
    with image_errors(what):
        image = images[index]
    if not isinstance(image, Image.Image):
        raise CoMCError(
            f"Item {index} of the images is of type {type(image).__name__}; give a sequence of PIL images."
        )
    filename = getattr(image, "filename", "")
    with image_errors(f"{what} ({filename})" if filename else what):
        return to_rgb(image)
