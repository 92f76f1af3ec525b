"""Sentences through CLIP's text tower: cut at their length here, at the full context in open_clip."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.paired import Case
from comc_utils.clip import Clip, load_clip
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.label_sets import draw_label_sets
from comc_utils.sentences.labels import COCO

N_SENTENCES = 2000
N_MEASURED = 128
"""open_clip takes minutes for all sentences on two cores, and the same for each of them."""
REFERENCE_BATCH = 64
MAX_LABELS = 5
"""As in the presets."""


def grammar_sentences(n: int) -> list[str]:
    """Write sentences of one to `MAX_LABELS` of MS-COCO's classes.

    Parameters
    ----------
    n : int
        How many.

    Returns
    -------
    list of str
    """
    label_sets = draw_label_sets(COCO.class_names, n, seed=0, max_labels=MAX_LABELS)
    return [record.text for record in Grammar(COCO).generate(label_sets, seed=0)]


def _prepare() -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    clip = load_clip("RN50-quickgelu", None)
    sentences = grammar_sentences(N_SENTENCES)
    sample = sentences[:: N_SENTENCES // N_MEASURED][:N_MEASURED]
    return lambda: clip.encode_text(sentences), lambda: full_context(clip, sample)


def full_context(clip: Clip, sentences: list[str]) -> Tensor:
    """Embed sentences as open_clip does.

    Parameters
    ----------
    clip : Clip
    sentences : list of str

    Returns
    -------
    Tensor of shape (n, d)
        Unit length.
    """
    embeddings = []
    with torch.inference_mode():
        for start in range(0, len(sentences), REFERENCE_BATCH):
            tokens = clip.tokenizer(sentences[start : start + REFERENCE_BATCH])
            embeddings.append(normalize(clip.model.encode_text(tokens), dim=-1))
    return torch.cat(embeddings)


def _same(ours: Tensor, reference: Tensor) -> None:
    sample = ours[:: N_SENTENCES // N_MEASURED][:N_MEASURED]
    assert (sample - reference).abs().max() < 1e-5, "text embeddings differ"


CASES = (
    Case(
        name=f"Embed {N_SENTENCES:,} grammar sentences, text tower of RN50",
        against=f"open_clip's encode_text at the full context, batches of {REFERENCE_BATCH}, estimated from "
        f"every {N_SENTENCES // N_MEASURED}th of the sentences, {N_MEASURED} in all",
        scale=N_SENTENCES / N_MEASURED,
        target=4,
        prepare=_prepare,
        same=_same,
    ),
)
