"""The image tower: one forward pass for an image's global embedding and its local ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from open_clip import image_transform
from open_clip.model import get_model_preprocess_cfg
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from PIL import Image
from torch import Tensor, nn

from comc_utils.encoders.resnet import resnet_features
from comc_utils.encoders.vit import vit_features
from comc_utils.errors import CoMCError

# open_clip's words for the two ways to fill the square input.
_RESIZE_MODES = {"crop": "shortest", "plain": "squash"}


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """Unit vectors of n images.

    Attributes
    ----------
    global_embeddings : Tensor [n, d]
        One vector an image, as open_clip's ``encode_image`` gives it.
    global_without_position : Tensor [n, d]
        The same from an attention pool that leaves its positional embedding out, as the authors'
        released code does. A vision transformer adds its own at the input: there both are one.
    local_embeddings : Tensor [n, K, d] or None
        One vector a region, row by row from the top left (v_j^l of the paper).
    """

    global_embeddings: Float[Tensor, "n d"]
    global_without_position: Float[Tensor, "n d"]
    local_embeddings: Float[Tensor, "n k d"] | None


def image_features(
    model: nn.Module,
    pixels: Float[Tensor, "n 3 height width"],
    *,
    local: Literal["value", "patch"] | None,
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "n k d"] | None]:
    """Run the image tower once for global and local embeddings, not yet normalised.

    Parameters
    ----------
    model : nn.Module
        open_clip's model.
    pixels : Tensor [n, 3, height, width]
        Preprocessed images.
    local : {"value", "patch"} or None
        See `Clip.encode_images`.

    Returns
    -------
    tuple of Tensor [n, d], Tensor [n, d] and Tensor [n, K, d] or None
        Global embeddings with and without the attention pool's positional embedding, and local ones.

    Raises
    ------
    CoMCError
        The tower has no such local embeddings.
    """
    visual = model.visual
    if isinstance(visual, ModifiedResNet):
        if local == "patch":
            raise CoMCError(
                'A ModifiedResNet has no patch tokens in the embedding space; use local="value".'
            )
        return resnet_features(visual, pixels, local is not None)
    if local is None:
        whole = model.encode_image(pixels)
        return whole, whole, None
    if isinstance(visual, VisionTransformer):
        whole, regions = vit_features(visual, pixels, local)
        return whole, whole, regions
    raise CoMCError(
        f"Local embeddings of the image tower {type(visual).__name__} are not known; use "
        "local=None or a model with a ModifiedResNet or a VisionTransformer."
    )


def make_transform(
    model: nn.Module, resize: Literal["crop", "plain"]
) -> Callable[[Image.Image], Float[Tensor, "3 height width"]]:
    """Build open_clip's evaluation preprocessing for a model.

    Parameters
    ----------
    model : nn.Module
        open_clip's model; its input size, interpolation, mean and standard deviation are used.
    resize : {"crop", "plain"}
        Shorter side to the input size and central crop, or the whole image squeezed into the
        square.

    Returns
    -------
    callable
        From an RGB image to pixels [3, height, width].

    Raises
    ------
    CoMCError
        ``resize`` is neither of the two.
    """
    if resize not in _RESIZE_MODES:
        raise CoMCError(f'Unknown resize {resize!r}; use "crop" or "plain".')
    settings = get_model_preprocess_cfg(model)
    return image_transform(
        model.visual.image_size,
        is_train=False,
        mean=settings["mean"],
        std=settings["std"],
        interpolation=settings["interpolation"],
        resize_mode=_RESIZE_MODES[resize],
    )


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
    image = None
    try:
        image = images[index]
        if not isinstance(image, Image.Image):
            raise CoMCError(
                f"Item {index} of the images is of type {type(image).__name__}; "
                "give a sequence of PIL images."
            )
        return image.convert("RGB")
    except CoMCError:
        raise
    # What Pillow raises for damaged files: a SyntaxError for some PNGs, too.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        filename = getattr(image, "filename", "")
        where = f"Image {index}" + (f" ({filename})" if filename else "")
        raise CoMCError(
            f"{where} does not open: {error}. Replace the file or leave it out of the data set."
        ) from None
