"""The ranking loss, forward and backward, against every pair of labels at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.paired import Case
from comc_utils.method.classifier import ranking_loss

BATCH = 256


def _inputs(n_labels: int) -> tuple[Tensor, Tensor]:
    """Random logits, and 1 to 5 labels a row."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, n_labels, generator=generator, requires_grad=True)
    order = torch.rand(BATCH, n_labels, generator=generator).argsort(dim=1).argsort(dim=1)
    n_positives = torch.randint(1, 6, (BATCH, 1), generator=generator)
    return logits, order < n_positives


def every_pair(logits: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Eq. 3 as it reads, with B x N x N numbers."""
    hinge = (margin - (logits[:, :, None] - logits[:, None, :])).clamp(min=0)
    pairs = labels[:, :, None] & ~labels[:, None, :]
    return (hinge * pairs).sum() / len(logits)


def row_by_row(logits: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Eq. 3 a row at a time, its positives against its negatives: what memory allows for many labels."""
    total = logits.new_zeros(())
    for row, positive in zip(logits, labels, strict=True):
        pairs = row[positive][:, None] - row[~positive]
        total = total + (margin - pairs).clamp(min=0).sum()
    return total / len(logits)


def _run(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> tuple:
    logits.grad = None
    value = loss(logits, labels)
    value.backward()
    return value.detach(), logits.grad


def _prepare(
    n_labels: int, reference: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Callable[[], tuple], Callable[[], tuple]]:
    inputs = _inputs(n_labels)
    return partial(_run, ranking_loss, *inputs), partial(_run, reference, *inputs)


def _same(ours: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> None:
    for mine, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


CASES = (
    Case(
        name="ranking loss, forward and backward, 256 rows of 80 labels",
        against="all 80 x 80 pairs at once",
        target=1,
        prepare=partial(_prepare, 80, every_pair),
        same=_same,
        runs=51,
    ),
    Case(
        name="ranking loss, forward and backward, 256 rows of 1,000 labels",
        against="all 1,000 x 1,000 pairs at once, which takes several GB",
        target=10,
        prepare=partial(_prepare, 1000, every_pair),
        same=_same,
        memory_target=0.6e9,
    ),
    Case(
        name="ranking loss, forward and backward, 256 rows of 10,000 labels",
        against="each row's positives against its negatives, row by row",
        target=1,
        prepare=partial(_prepare, 10_000, row_by_row),
        same=_same,
        memory_target=2e9,
    ),
)
