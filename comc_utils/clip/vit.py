"""Vision transformers: the class token for the whole, the last block's patches for the regions."""

from __future__ import annotations

from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor
from torch.nn.functional import linear


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
