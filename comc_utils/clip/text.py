"""The text tower, run on no more tokens than its result depends on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


def is_causal(model: nn.Module) -> bool:
    """Tell whether the embedding of a text depends on no token after the pooled one.

    Parameters
    ----------
    model : nn.Module
        open_clip's model.

    Returns
    -------
    bool
        True for open_clip's own text transformer with a causal mask that pools its end-of-text
        token (all of OpenAI's models); False for Hugging Face towers, SigLIP, CoCa and the like.
    """
    if isinstance(model, CLIP):
        return model.attn_mask is not None and model.text_pool_type in ("argmax", "eos")
    tower = getattr(model, "text", None)
    return (
        isinstance(tower, TextTransformer)
        and tower.attn_mask is not None
        and tower.cls_emb is None
        and tower.pool_type in ("argmax", "eos")
    )


def text_lengths(model: nn.Module, tokens: Int[Tensor, "n context"]) -> Int[Tensor, " n"]:
    """Count the tokens that each text's embedding depends on.

    Parameters
    ----------
    model : nn.Module
        open_clip's model.
    tokens : Tensor [n, context]
        Token ids, padded.

    Returns
    -------
    Tensor [n]
        Position of the end-of-text token plus one where the tower is causal; the whole context
        elsewhere, where padding may take part.
    """
    if not is_causal(model):
        return torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
    # open_clip's own two rules: the highest token id, or the first end-of-text token.
    if isinstance(model, CLIP):
        pool_type, eos_id = model.text_pool_type, model.text_eos_id
    else:
        pool_type, eos_id = model.text.pool_type, model.text.eos_id
    scores = tokens if pool_type == "argmax" else (tokens == eos_id).int()
    return scores.argmax(dim=-1) + 1


def split_by_tokens(lengths: Int[Tensor, " n"], max_texts: int, max_tokens: int) -> list[Int[Tensor, " b"]]:
    """Sort texts by length and split them into batches of about as much work.

    Parameters
    ----------
    lengths : Tensor [n]
        Tokens of each text.
    max_texts : int
        Texts a batch, at most.
    max_tokens : int
        Tokens a batch, at most, all texts padded to its longest; one text is a batch in any case.

    Returns
    -------
    list of Tensor [b]
        Rows of ``lengths``, from the shortest text to the longest.
    """
    order = lengths.argsort(stable=True)
    batches, start = [], 0
    for end, length in enumerate(lengths[order].tolist()):
        n_texts = end - start
        if n_texts == max_texts or (n_texts and (n_texts + 1) * length > max_tokens):
            batches.append(order[start:end])
            start = end
    return [*batches, order[start:]]


def text_features(model: nn.Module, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n d"]:
    """Run the text tower on token ids that may be cut short of the context.

    open_clip's ``encode_text`` adds the positional embedding and the attention mask of the whole
    context, so it takes nothing shorter. In a causal transformer the end-of-text token attends to
    nothing after it: leaving the rest out is exact.

    Parameters
    ----------
    model : nn.Module
        open_clip's model.
    tokens : Tensor [n, length]
        Token ids; shorter than the context only where `is_causal` holds.

    Returns
    -------
    Tensor [n, d]
        Embeddings before normalisation, equal to ``model.encode_text`` of the padded tokens.
    """
    if not is_causal(model):
        return model.encode_text(tokens)
    tower = _tower(model)
    length = tokens.shape[1]
    x = embed_tokens(model, tokens) + tower.positional_embedding[:length]  # (n, length, width)
    lengths = text_lengths(model, tokens)
    blocks = tower.transformer.resblocks
    if all(type(block) is ResidualAttentionBlock for block in blocks):
        for block in blocks[:-1]:
            x = _run_block(block, x)  # (n, length, width)
        x = _run_pooled(blocks[-1], x, lengths)  # (n, width)
    else:
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = x[torch.arange(len(x), device=x.device), lengths - 1]  # (n, width)
    # Pooling before the final norm is the same, since the norm works on each token alone.
    return _project(tower, x)


def embed_tokens(model: nn.Module, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length width"]:
    """Look up the input vectors of token ids, without their positions.

    Parameters
    ----------
    model : nn.Module
        open_clip's model, for which `is_causal` holds.
    tokens : Tensor [n, length]

    Returns
    -------
    Tensor [n, length, width]
    """
    return _tower(model).token_embedding(tokens)


def features_after(
    model: nn.Module,
    prefix: Float[Tensor, "c n_prefix width"],
    suffix: Float[Tensor, "n length width"],
    lengths: Int[Tensor, " n"],
) -> Float[Tensor, "c n d"]:
    """Run the text tower on every suffix after every prefix, as on their concatenations.

    A causal transformer sees the same in a prefix whatever follows, so each prefix is run once, and the
    suffixes attend to it.

    Parameters
    ----------
    model : nn.Module
        open_clip's model, for which `is_causal` holds.
    prefix : Tensor [C, P, width]
        Input vectors without positions, tokens' or learned ones.
    suffix : Tensor [N, L, width]
        Likewise; P + L is at most the context.
    lengths : Tensor [N]
        Position of the end-of-text token in the suffix plus one.

    Returns
    -------
    Tensor [C, N, d]
        Embeddings at the end-of-text tokens before normalisation.
    """
    tower = _tower(model)
    (n_prefixes, n_before), (n, length) = prefix.shape[:2], suffix.shape[:2]
    positions = tower.positional_embedding
    before = prefix + positions[:n_before]  # (C, P, width)
    after = suffix + positions[n_before : n_before + length]
    after = after.expand(n_prefixes, *after.shape)  # (C, N, L, width)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        before, after = _run_with_prefix(block, before, after)
    _, after = _run_with_prefix(last, before, after, prefix_goes_on=False)
    x = after[:, torch.arange(n, device=after.device), lengths - 1]  # (C, N, width)
    return _project(tower, x)


def token_features(model: nn.Module, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length d"]:
    """Run the text tower and keep every token, projected as the end-of-text token is.

    Parameters
    ----------
    model : nn.Module
        open_clip's model, for which `is_causal` holds.
    tokens : Tensor [n, length]
        Token ids; may be shorter than the context.

    Returns
    -------
    Tensor [n, length, d]
        Before normalisation. Those after the end-of-text token mean nothing.
    """
    tower = _tower(model)
    length = tokens.shape[1]
    x = embed_tokens(model, tokens) + tower.positional_embedding[:length]
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    return _project(tower, x)


def _tower(model: nn.Module) -> nn.Module:
    """A `CLIP` holds the text tower's parts itself, a `CustomTextCLIP` holds the tower."""
    return model if isinstance(model, CLIP) else model.text


def _project(tower: nn.Module, x: Float[Tensor, "*n width"]) -> Float[Tensor, "*n d"]:
    x = tower.ln_final(x)
    if tower.text_projection is None:
        return x
    if isinstance(tower.text_projection, nn.Linear):
        return tower.text_projection(x)
    return x @ tower.text_projection


def _run_block(
    block: ResidualAttentionBlock, x: Float[Tensor, "n length width"]
) -> Float[Tensor, "n length width"]:
    """Run a block with a causal mask, all three projections in one product.

    torch's own attention layer turns sequences and batch around first, and then multiplies slices.
    """
    query, key, value = _project_heads(block, x)
    return _finish(block, x, scaled_dot_product_attention(query, key, value, is_causal=True))


def _run_with_prefix(
    block: nn.Module,
    before: Float[Tensor, "c n_prefix width"],
    after: Float[Tensor, "c n length width"],
    *,
    prefix_goes_on: bool = True,
) -> tuple[Float[Tensor, "c n_prefix width"], Float[Tensor, "c n length width"]]:
    """Run a block on prefixes, if what becomes of them is asked for, and on what follows them.

    A suffix attends to its prefix and to itself under one softmax. The prefix's keys and values are not
    repeated for each suffix: those are many times the attention logits.
    """
    query, key, value = _project_heads(block, before)  # (C, h, P, c_h)
    if prefix_goes_on:
        before = _finish(block, before, scaled_dot_product_attention(query, key, value, is_causal=True))
    n, length = after.shape[1:3]
    flat = after.flatten(0, 1)  # (C N, L, width)
    own_query, own_key, own_value = _project_heads(block, flat)  # (C N, h, L, c_h)
    by_suffix = (len(key), n, *own_query.shape[1:])
    # All suffixes of a prefix are as one long one to it: (C, h, N L, c_h)
    together = own_query.view(by_suffix).transpose(1, 2).flatten(2, 3)
    to_prefix = (together @ key.transpose(2, 3)).unflatten(2, (n, length)).transpose(1, 2).flatten(0, 1)
    later = torch.ones(length, length, dtype=torch.bool, device=flat.device).triu(1)
    to_own = (own_query @ own_key.transpose(2, 3)).masked_fill(later, -torch.inf)  # (C N, h, L, L)
    logits = torch.cat([to_prefix, to_own], dim=3) * own_query.shape[3] ** -0.5
    of_prefix, of_own = logits.softmax(dim=3).split([key.shape[2], length], dim=3)
    of_prefix = of_prefix.unflatten(0, (len(key), n)).transpose(1, 2).flatten(2, 3)  # (C, h, N L, P)
    from_prefix = (of_prefix @ value).unflatten(2, (n, length)).transpose(1, 2).flatten(0, 1)
    finished = _finish(block, flat, from_prefix + of_own @ own_value)
    return before, finished.unflatten(0, after.shape[:2])


def _project_heads(block: nn.Module, x: Float[Tensor, "n length width"]) -> Float[Tensor, "3 n h length c_h"]:
    attention = block.attn
    projected = linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    by_head = projected.unflatten(-1, (3, attention.num_heads, -1))  # (n, length, 3, h, c_h)
    return by_head.permute(2, 0, 3, 1, 4)


def _finish(
    block: nn.Module, x: Float[Tensor, "n length width"], attended: Float[Tensor, "n h length c_h"]
) -> Float[Tensor, "n length width"]:
    x = x + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _run_pooled(
    block: ResidualAttentionBlock, x: Float[Tensor, "n length width"], lengths: Int[Tensor, " n"]
) -> Float[Tensor, "n width"]:
    """Run the last block for each text's last token alone: nothing reads the others after it."""
    rows = torch.arange(len(x), device=x.device)
    normed = block.ln_1(x)
    beyond = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]  # (n, length)
    attended, _ = block.attn(
        normed[rows, lengths - 1, None], normed, normed, key_padding_mask=beyond, need_weights=False
    )  # (n, 1, width)
    pooled = x[rows, lengths - 1] + block.ls_1(attended[:, 0])
    return pooled + block.ls_2(block.mlp(block.ln_2(pooled)))


def count_truncated(
    tokenizer: Callable[[list[str], int], Tensor],
    texts: list[str],
    tokens: Int[Tensor, "n context"],
    lengths: Int[Tensor, " n"],
) -> int:
    """Count the texts that did not fit into the context.

    Parameters
    ----------
    tokenizer : callable
        ``tokenizer(texts, context_length)`` gives token ids [n, context_length].
    texts : list of str
        The texts.
    tokens : Tensor [n, context]
        Their token ids.
    lengths : Tensor [n]
        `text_lengths` of the token ids.

    Returns
    -------
    int
        How many lost tokens.
    """
    context_length = tokens.shape[1]
    full = (lengths == context_length).nonzero()[:, 0].tolist()
    if not full:
        return 0
    # With room for one more token a text that fits gains padding; another one changes.
    longer = tokenizer([texts[row] for row in full], context_length + 1)
    return int((longer[:, :context_length] != tokens[full]).any(dim=1).sum())
