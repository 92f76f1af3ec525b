"""CLIP's ModifiedResNet: attention pooling for the whole, value projections for the regions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def resnet_features(
    visual: ModifiedResNet,
    pixels: Float[Tensor, "n 3 height width"],
    local: bool,
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "n k d"] | None]:
    """Embed images as wholes and by region with one pass through the convolutions.

    Parameters
    ----------
    visual : ModifiedResNet
        The image tower.
    pixels : Tensor [n, 3, height, width]
        Preprocessed images.
    local : bool
        Whether regions are embedded.

    Returns
    -------
    tuple of Tensor [n, d], Tensor [n, d] and Tensor [n, K, d] or None
        Global embeddings from the attention pool with its positional embedding (open_clip's
        ``encode_image``) and without it, and local ones, not normalised. A region is a cell of
        layer4's map, projected by the attention pool's value and output projections: what the pool
        would give if it attended to that cell alone.
    """
    x = visual.stem(pixels)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    regions = x.flatten(2).transpose(1, 2)  # (n, K, c)
    pool = visual.attnpool
    # The pool costs little beside the convolutions, so both variants come from one pass.
    with_position, without_position = (
        _attend(pool, regions, positional_embedding) for positional_embedding in (True, False)
    )  # (n, d) each
    local_features = pool.c_proj(pool.v_proj(regions)) if local else None  # (n, K, d)
    return with_position, without_position, local_features


def _attend(
    pool: AttentionPool2d, regions: Float[Tensor, "n k c"], positional_embedding: bool
) -> Float[Tensor, "n d"]:
    tokens = torch.cat([regions.mean(dim=1, keepdim=True), regions], dim=1)  # (n, 1 + K, c)
    if positional_embedding:
        tokens = tokens + pool.positional_embedding

    def heads(x: Float[Tensor, "n t c"]) -> Float[Tensor, "n h t c_h"]:
        return x.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)

    # open_clip computes the output of every token and keeps the first; only the first is needed.
    attended = scaled_dot_product_attention(
        heads(pool.q_proj(tokens[:, :1])), heads(pool.k_proj(tokens)), heads(pool.v_proj(tokens))
    )  # (n, h, 1, c_h)
    return pool.c_proj(attended.flatten(1))
