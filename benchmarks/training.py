"""CoMC's training as a whole: sentences embedded once, against embedded anew in every epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.paired import Case
from benchmarks.text_encoding import full_context, grammar_sentences
from comc_utils.clip import load_clip
from comc_utils.method.classifier import train_classifier
from comc_utils.method.presets import PAPER

N_LABELS = 80
N_MEASURED = 256
"""Of 40,000 sentences; what an epoch and an embedding take grows with their number."""


def _labels(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(n, N_LABELS, generator=generator).argsort(dim=1).argsort(dim=1)
    return order < torch.randint(1, 6, (n, 1), generator=generator)


def _prepare() -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    clip = load_clip("RN50-quickgelu", None)
    sentences, labels = grammar_sentences(N_MEASURED), _labels(N_MEASURED)

    def train(embeddings: Tensor, n_epochs: int) -> Tensor:
        preset = replace(PAPER, epochs=n_epochs)
        return train_classifier(embeddings, labels, preset, seed=0)[0].weight

    return (
        lambda: train(clip.encode_text(sentences), PAPER.epochs),
        lambda: train(full_context(clip, sentences), 1),
    )


def _same(ours: Tensor, one_epoch: Tensor) -> None:
    # Other numbers of epochs give other weights.
    assert ours.shape == one_epoch.shape and ours.isfinite().all()


CASES = (
    Case(
        name=f"train on 40,000 sentences for {PAPER.epochs} epochs, embedding included",
        against="the same with the text embedded by open_clip in each epoch, estimated from one epoch; "
        f"both on {N_MEASURED} of the sentences",
        target=25,
        prepare=_prepare,
        same=_same,
        scale=PAPER.epochs,
    ),
)
