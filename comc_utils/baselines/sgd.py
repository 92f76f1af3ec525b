"""Stochastic gradient descent, as the methods that learn something share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from comc_utils.method.protocol import Method
from comc_utils.method.training import EpochRecord, learning_rate, minimise


@dataclass(frozen=True)
class Sgd:
    """Settings of gradient descent with momentum; CoOp's, by default.

    Parameters
    ----------
    learning_rate : float
        At the start of the cosine decay, which moves on after each epoch.
    epochs : int
        Passes over the data, the warm-up included.
    batch_size : int
    warmup_epochs : int
    warmup_lr : float
        Constant learning rate of the warm-up.
    momentum, weight_decay : float
        Defaults of Dassl, the framework of CoOp and TaI-DPT.

    References
    ----------
    Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, section 4.1.
    """

    learning_rate: float = 2e-3
    epochs: int = 50
    batch_size: int = 32
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    momentum: float = 0.9
    weight_decay: float = 5e-4

    @property
    def schedule(self) -> Literal["epoch"]:
        """When the cosine moves on."""
        return "epoch"

    def minimise(
        self,
        start: Sequence[Float[Tensor, ...]],
        loss_of: Callable[[Sequence[Tensor], Int[Tensor, " b"]], Float[Tensor, ""]],
        n_examples: int,
        *,
        seed: int,
        progress: bool = False,
    ) -> tuple[list[Float[Tensor, ...]], list[EpochRecord]]:
        """Learn some tensors from examples, in an order drawn from the seed: see `training.minimise`."""
        return minimise(
            start,
            loss_of,
            n_examples,
            optimizer=partial(
                torch.optim.SGD, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
            ),
            rate=partial(learning_rate, self),
            epochs=self.epochs,
            batch_size=self.batch_size,
            generator=torch.Generator().manual_seed(seed),
            progress=progress,
        )


@dataclass(frozen=True)
class LearnsBySgd(Method):
    """A method that learns by stochastic gradient descent.

    Parameters
    ----------
    training : Sgd
    """

    training: Sgd = field(default_factory=Sgd)

    def at_rate(self, factor: float) -> LearnsBySgd:
        """The learning rate, times a factor."""
        faster = replace(self.training, learning_rate=self.training.learning_rate * factor)
        return replace(self, training=faster)

    def shortened(self, divisor: int) -> LearnsBySgd:
        """A part of the epochs, one after the warm-up at least."""
        training = self.training
        epochs = max(training.warmup_epochs + 1, training.epochs // divisor)
        return replace(self, training=replace(training, epochs=epochs))
