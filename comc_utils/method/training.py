"""Descent by steps on batches of examples: the one loop by which every method here learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Optimizer
from tqdm.auto import trange

from comc_utils.errors import CoMCError


class Schedule(Protocol):
    """What `learning_rate` asks of settings."""

    learning_rate: float
    epochs: int
    schedule: Literal["step", "epoch"]
    warmup_epochs: int
    warmup_lr: float


class EpochRecord(TypedDict):
    """One epoch of training."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Loss of an example, averaged over the epoch."""
    learning_rate: float
    """At the epoch's first step."""


def learning_rate(settings: Schedule, epoch: int, fraction: float) -> float:
    """Learning rate of a step.

    The cosine spans all epochs but starts after the warm-up, so that with one it ends short of 0:
    so does the framework of the released code, Dassl.

    Parameters
    ----------
    settings : Schedule
    epoch : int
        Counted from 0.
    fraction : float
        Share of the epoch's steps that are done, in [0, 1).

    Returns
    -------
    float
    """
    if epoch < settings.warmup_epochs:
        return settings.warmup_lr
    done = epoch - settings.warmup_epochs + (fraction if settings.schedule == "step" else 0.0)
    return settings.learning_rate * (1 + math.cos(math.pi * done / settings.epochs)) / 2


def minimise(
    start: Sequence[Float[Tensor, ...]],
    loss_of: Callable[[Sequence[Tensor], Int[Tensor, " b"]], Float[Tensor, ""]],
    n_examples: int,
    *,
    optimizer: Callable[[Sequence[Tensor]], Optimizer],
    rate: Callable[[int, float], float],
    epochs: int,
    batch_size: int,
    generator: torch.Generator | None,
    progress: bool = False,
) -> tuple[list[Float[Tensor, ...]], list[EpochRecord]]:
    """Learn some tensors from examples.

    Parameters
    ----------
    start : sequence of Tensor
        Stays as it is.
    loss_of : callable
        From the tensors and the numbers of a batch's examples to their loss, averaged over the batch.
    n_examples : int
        Images or sentences, at least 1.
    optimizer : callable
        Makes the optimiser of the tensors.
    rate : callable
        Learning rate by the epoch, from 0, and the share of its steps that are done.
    epochs : int
        Passes over the examples.
    batch_size : int
    generator : torch.Generator or None
        Of the order of the examples, drawn anew in each epoch on its device; None leaves them in order.
    progress : bool
        Whether to show a bar over the epochs.

    Returns
    -------
    learned : list of Tensor
        Of the shapes of ``start``.
    history : list of EpochRecord
        One record an epoch.

    Raises
    ------
    CoMCError
        There is nothing to learn from.
    """
    if n_examples < 1:
        raise CoMCError("There is no example to learn from; give at least one.")
    learned = [tensor.detach().clone().requires_grad_() for tensor in start]
    descent = optimizer(learned)
    device = learned[0].device
    history: list[EpochRecord] = []
    for epoch in trange(epochs, desc="training", unit="epoch", disable=not progress):
        if generator is None:
            order = torch.arange(n_examples, device=device)
        else:
            order = torch.randperm(n_examples, generator=generator, device=generator.device)
        batches = order.split(batch_size)
        total_loss = torch.zeros((), device=device)
        for step, rows in enumerate(batches):
            descent.param_groups[0]["lr"] = rate(epoch, step / len(batches))
            loss = loss_of(learned, rows)
            descent.zero_grad()
            loss.backward()
            descent.step()
            total_loss += loss.detach() * len(rows)
        mean_loss = total_loss.item() / n_examples
        history.append(EpochRecord(epoch=epoch + 1, loss=mean_loss, learning_rate=rate(epoch, 0.0)))
    return [tensor.detach() for tensor in learned], history
