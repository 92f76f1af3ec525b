"""Names of weights: prefixes that training leaves, and transformers' names for CLIP's towers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PREFIXES = ("module.", "_orig_mod.", "model.", "clip.")
"""Of distributed training, `torch.compile`, and modules that hold the model."""
_TRANSFORMERS = "vision_model.embeddings.patch_embedding.weight"
_LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IN_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_ALONE = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    # The misspelling is transformers' own.
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_BUFFERS = re.compile(r".*\.position_ids")


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights the names that open_clip has for them.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        As a file holds them: with prefixes that all names share, in transformers' names for a CLIP model with a
        vision transformer, or as they are.

    Returns
    -------
    dict of str to Tensor
        Where transformers keeps query, key and value apart, open_clip has them in one.
    """
    tensors = dict(tensors)
    while prefix := next((p for p in _PREFIXES if tensors and all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return _from_transformers(tensors) if _TRANSFORMERS in tensors else tensors


def _from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in _ALONE:
            state[_ALONE[name]] = tensor
        elif name in _TRANSPOSED:
            state[_TRANSPOSED[name]] = tensor.T.contiguous()
        elif layer := _LAYER.fullmatch(name):
            tower, number, part, kind = layer.groups()
            block = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{number}"
            if part in _IN_LAYER:
                state[f"{block}.{_IN_LAYER[part]}.{kind}"] = tensor
            elif part == "self_attn.q_proj":
                parts = [tensors[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
                state[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
        elif not _BUFFERS.fullmatch(name):
            state[name] = tensor  # what is unknown is named when the weights are loaded
    return state
