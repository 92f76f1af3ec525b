"""CLIP's ModifiedResNet: attention pooling for the whole, value projections for the regions."""

from __future__ import annotations

import copy
from itertools import chain, pairwise

import torch
from jaxtyping import Float
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ResNetTower(nn.Module):
    """A ModifiedResNet rewritten for speed: the same numbers but for rounding, at about half the time.

    Batch norms are folded into the convolutions before them. The attention pool has one query, so its
    key and value projections are applied to that query and to the attended mean, instead of to every
    token. A region's value and output projections are multiplied into one.

    Parameters
    ----------
    visual : ModifiedResNet
        The image tower, in evaluation mode. It is left as it is; what is not rewritten is shared.
    local : bool
        Whether regions are embedded.
    """

    def __init__(self, visual: ModifiedResNet, local: bool) -> None:
        super().__init__()
        with torch.no_grad():
            self.visual = _fold_batch_norms(visual)
            pool = visual.attnpool
            self.region_projection = _chain_projections(pool.v_proj, pool.c_proj) if local else None

    def forward(
        self, pixels: Float[Tensor, "n 3 height width"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "n k d"] | None]:
        """Embed images as wholes and by region with one pass through the convolutions.

        Parameters
        ----------
        pixels : Tensor [n, 3, height, width]
            Preprocessed images.

        Returns
        -------
        tuple of Tensor [n, d], Tensor [n, d] and Tensor [n, K, d] or None
            Global embeddings from the attention pool with its positional embedding (open_clip's
            ``encode_image``) and without it, and local ones, not normalised. A region is a cell of
            layer4's map, projected by the attention pool's value and output projections: what the
            pool would give if it attended to that cell alone.
        """
        visual = self.visual
        x = visual.stem(pixels)
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        regions = x.flatten(2).transpose(1, 2)  # (n, K, c)
        tokens = torch.cat([regions.mean(dim=1, keepdim=True), regions], dim=1)  # (n, 1 + K, c)
        pool = visual.attnpool
        with_position = _attend(pool, tokens + pool.positional_embedding)  # (n, d)
        without_position = _attend(pool, tokens)  # (n, d)
        if self.region_projection is None:
            return with_position, without_position, None
        return with_position, without_position, self.region_projection(regions)


@torch.no_grad()
def project_positions(pool: AttentionPool2d) -> Float[Tensor, "t d"]:
    """Project the positional embedding of an attention pool's T = 1 + K tokens into the embedding space.

    Value and output projections are affine: this is what a position adds to a token behind both.
    """
    return pool.positional_embedding @ pool.v_proj.weight.T @ pool.c_proj.weight.T


def _fold_batch_norms(visual: ModifiedResNet) -> ModifiedResNet:
    tensors = chain(visual.parameters(), visual.buffers())
    # A copy of the modules alone: deepcopy takes what is in its memo for copied already.
    folded = copy.deepcopy(visual, {id(tensor): tensor for tensor in tensors})
    for parent in list(folded.modules()):
        for (name, module), (next_name, following) in pairwise(list(parent.named_children())):
            if isinstance(module, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(module, following))
                setattr(parent, next_name, nn.Identity())
    return folded


def _chain_projections(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    both = nn.Linear(first.in_features, second.out_features, device="meta")
    both.weight = nn.Parameter(second.weight @ first.weight, requires_grad=False)
    both.bias = nn.Parameter(second(first.bias), requires_grad=False)
    return both


def _attend(pool: AttentionPool2d, tokens: Float[Tensor, "n t c"]) -> Float[Tensor, "n d"]:
    """Give the attention pool's output for the first token, which is the only one that is used."""
    by_head = (pool.num_heads, -1)
    key_weight = pool.k_proj.weight.unflatten(0, by_head)  # (h, c_h, c)
    value_weight = pool.v_proj.weight.unflatten(0, by_head)  # (h, c_h, c)
    query = pool.q_proj(tokens[:, 0]).unflatten(-1, by_head)  # (n, h, c_h)
    # q (W t) = (q W) t. The keys' bias adds the same to all scores of a head: softmax is blind to it.
    query = torch.einsum("nhi,hic->nhc", query * query.shape[-1] ** -0.5, key_weight)
    attention = (query @ tokens.transpose(1, 2)).softmax(dim=-1)  # (n, h, t)
    # sum a (W t + b) = W (sum a t) + b, since the weights a of a head sum to one.
    value = torch.einsum("nhc,hic->nhi", attention @ tokens, value_weight)  # (n, h, c_h)
    return pool.c_proj(value.flatten(1) + pool.v_proj.bias)
