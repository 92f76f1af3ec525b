"""Vision transformers: the class token for the whole, the last block's patches for the regions."""

from __future__ import annotations

from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention


def is_plain(visual: VisionTransformer) -> bool:
    """Whether an image tower is CLIP's own: plain blocks, and the class token pooled after them."""
    return (
        visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.final_ln_after_pool
        and visual.proj is not None
        and all(type(block) is ResidualAttentionBlock for block in visual.transformer.resblocks)
    )


def class_features(
    visual: VisionTransformer, pixels: Float[Tensor, "n 3 height width"]
) -> Float[Tensor, "n d"]:
    """Embed images as wholes, with no more work than the class token needs.

    All three projections of a block are one product, where torch's own attention layer turns sequences and
    batch around first; the last block runs for the class token alone, since nothing reads the patches after it.

    Parameters
    ----------
    visual : VisionTransformer
        One for which `is_plain` holds.
    pixels : Tensor [n, 3, height, width]
        Preprocessed images.

    Returns
    -------
    Tensor [n, d]
        What ``encode_image`` gives, but for rounding; not normalised.
    """
    x = visual._embeds(pixels)  # (n, 1 + K, width)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = _run_block(block, x, x)
    return visual.ln_post(_run_block(last, x[:, :1], x)[:, 0]) @ visual.proj


def _run_block(
    block: ResidualAttentionBlock, x: Float[Tensor, "n t width"], seen: Float[Tensor, "n k width"]
) -> Float[Tensor, "n t width"]:
    """Run a block for some tokens that attend to others, themselves among them."""
    attention = block.attn
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias  # query, key and value, stacked
    normed = block.ln_1(seen)
    if x is seen:
        query, key, value = (
            linear(normed, weight, bias).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (n, heads, tokens, width / heads) each
    else:
        both = linear(normed, weight[width:], bias[width:]).unflatten(-1, (2, heads, -1))
        key, value = both.permute(2, 0, 3, 1, 4)
        own = linear(normed[:, : x.shape[1]], weight[:width], bias[:width])
        query = own.unflatten(-1, (heads, -1)).transpose(1, 2)
    attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    x = x + block.ls_1(attention.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def vit_features(
    visual: VisionTransformer, pixels: Float[Tensor, "n 3 height width"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k d"]]:
    """Embed images as wholes and by patch with one pass through the transformer.

    For local embeddings the last block is run on each patch token alone; then ``ln_post`` and the
    projection.

    Parameters
    ----------
    visual : VisionTransformer
        The image tower, one of which `image.why_no_regions` has nothing to say.
    pixels : Tensor [n, 3, height, width]
        Preprocessed images.

    Returns
    -------
    tuple of Tensor [n, d] and Tensor [n, K, d]
        Global embeddings (``encode_image``) and local ones, not normalised.

    """
    last = visual.transformer.resblocks[-1]
    # The patches as they enter the last block.
    output = visual.forward_intermediates(pixels, indices=[-2], output_fmt="NLC")
    patches = _value_path(last, output["image_intermediates"][0])  # (n, K, width)
    return output["image_features"], visual.ln_post(patches) @ visual.proj


def _value_path(block: ResidualAttentionBlock, x: Float[Tensor, "n k width"]) -> Float[Tensor, "n k width"]:
    """Run a block with its attention replaced by each token's own value.

    The residual connection and the MLP stay, as in MaskCLIP: the projection into the embedding
    space was trained on what they give. In CLIP's last layer the patch tokens' attention was never
    trained to keep a region's own content; their values were, through the class token that reads
    them.
    """
    attention = block.attn
    width = attention.embed_dim
    value = linear(  # in_proj stacks query, key and value projections
        block.ln_1(x), attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
    )
    x = x + block.ls_1(attention.out_proj(value))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
