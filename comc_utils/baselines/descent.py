"""Settings of descent by steps, as the methods that learn something share them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Optimizer

from comc_utils.method.protocol import Method
from comc_utils.method.training import EpochRecord, learning_rate, minimise


@dataclass(frozen=True)
class Descent(ABC):
    """What every descent by steps has.

    Parameters
    ----------
    learning_rate : float
        The highest.
    epochs : int
        Passes over the data, the warm-up included.
    batch_size : int
    warmup_epochs : int
    """

    learning_rate: float
    epochs: int
    batch_size: int = 32
    warmup_epochs: int = 0

    @abstractmethod
    def optimizer(self, tensors: Sequence[Tensor]) -> Optimizer:
        """Make the optimiser of some tensors."""

    @abstractmethod
    def rate(self, epoch: int, fraction: float) -> float:
        """Give the learning rate by the epoch, from 0, and the share of its steps that are done."""

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
            optimizer=self.optimizer,
            rate=self.rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            generator=torch.Generator().manual_seed(seed),
            progress=progress,
        )


@dataclass(frozen=True)
class Sgd(Descent):
    """Gradient descent with momentum, with the settings of CoOp by default.

    The cosine decay moves on after each epoch.

    Parameters
    ----------
    learning_rate : float
    epochs : int
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
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    momentum: float = 0.9
    weight_decay: float = 5e-4

    @property
    def schedule(self) -> Literal["epoch"]:
        """When the cosine moves on."""
        return "epoch"

    def optimizer(self, tensors: Sequence[Tensor]) -> Optimizer:
        """Make torch's."""
        make = partial(torch.optim.SGD, momentum=self.momentum, weight_decay=self.weight_decay)
        return make(tensors, lr=self.learning_rate)

    def rate(self, epoch: int, fraction: float) -> float:
        """See `training.learning_rate`."""
        return learning_rate(self, epoch, fraction)


@dataclass(frozen=True)
class RisingAndFalling(Descent):
    """A learning rate that rises linearly over the warm-up, then falls along half a cosine, step by step.

    Parameters
    ----------
    learning_rate : float
    epochs : int
    batch_size : int
    warmup_epochs : int
    final_share : float
        Of the learning rate, at the end.
    """

    final_share: float = 0.0

    def rate(self, epoch: int, fraction: float) -> float:
        """As the class says."""
        done = epoch + fraction
        if done < self.warmup_epochs:
            return self.learning_rate * done / self.warmup_epochs
        share = (done - self.warmup_epochs) / max(1, self.epochs - self.warmup_epochs)
        falling = (1 + math.cos(math.pi * share)) / 2
        return self.learning_rate * (self.final_share + (1 - self.final_share) * falling)


@dataclass(frozen=True)
class Adam(RisingAndFalling):
    """Adam.

    Parameters
    ----------
    learning_rate : float
    epochs : int
    batch_size : int
    warmup_epochs : int
    final_share : float
        See `RisingAndFalling`.
    weight_decay : float
    decoupled : bool
        Whether the weights decay beside the gradient (AdamW) or as a part of it; vectors do, too.
    """

    weight_decay: float = 0.0
    decoupled: bool = False

    def optimizer(self, tensors: Sequence[Tensor]) -> Optimizer:
        """Make torch's."""
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        # In one pass over each tensor: of a small network's step the rest of Adam is a fifth otherwise.
        return kind(tensors, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)


@dataclass(frozen=True)
class LearnsBySteps(Method):
    """A method that learns by descent.

    Parameters
    ----------
    training : Descent
    """

    training: Descent = field(default_factory=Sgd)

    def at_rate(self, factor: float) -> LearnsBySteps:
        """The learning rate, times a factor."""
        faster = replace(self.training, learning_rate=self.training.learning_rate * factor)
        return replace(self, training=faster)

    def shortened(self, divisor: int) -> LearnsBySteps:
        """A part of the epochs, one after the warm-up at least, and never more of them."""
        part = max(self.training.warmup_epochs + 1, self.training.epochs // divisor)
        return self.of_epochs(min(self.training.epochs, part))

    def of_epochs(self, epochs: int) -> LearnsBySteps:
        """So many epochs; with 0 it stays as it starts."""
        return replace(self, training=replace(self.training, epochs=epochs))
