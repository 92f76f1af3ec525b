"""Stochastic gradient descent, as the methods that learn something share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import trange

from comc_utils.errors import CoMCError
from comc_utils.method.classifier import learning_rate


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
    ) -> list[Float[Tensor, ...]]:
        """Learn some tensors from examples.

        Parameters
        ----------
        start : sequence of Tensor
            Stays as it is.
        loss_of : callable
            From the tensors and the numbers of a batch's examples to their loss.
        n_examples : int
            Images or sentences, at least 1.
        seed : int
            Of the order of the examples.
        progress : bool
            Whether to show a bar over the epochs.

        Returns
        -------
        list of Tensor
            Of the shapes of ``start``.

        Raises
        ------
        CoMCError
            There is nothing to learn from.
        """
        if n_examples < 1:
            raise CoMCError("There is no example to learn from; give at least one.")
        learned = [tensor.detach().clone().requires_grad_() for tensor in start]
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(
            learned,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        for epoch in trange(self.epochs, desc="learning", unit="epoch", disable=not progress):
            optimizer.param_groups[0]["lr"] = learning_rate(self, epoch, 0.0)
            for rows in torch.randperm(n_examples, generator=generator).split(self.batch_size):
                optimizer.zero_grad()
                loss_of(learned, rows).backward()
                optimizer.step()
        return [tensor.detach() for tensor in learned]
