"""Networks that learn, from images of seen classes, how to look at an image for a class (Table 2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from comc_utils.baselines.descent import Descent, LearnsBySteps
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.protocol import Learned, LearnsFrom, Need, Recogniser, Task, need_regions
from comc_utils.method.training import EpochRecord

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Look:
    """What a network makes of b images for N classes.

    Attributes
    ----------
    scores : Tensor [b, N]
    attention : Tensor [b, N, K] or None
        Where it looks for each class: shares of the regions, which sum to 1. None for one that sees no regions.
    parts : mapping of str to Tensor
        What its loss takes beside the scores.
    """

    scores: Float[Tensor, "b n_labels"]
    attention: Float[Tensor, "b n_labels k"] | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """From b images and N classes to a `Look`.

    Images come as embeddings of length sqrt(d), so that an entry is about 1, as behind the batch norms of the
    networks that the systems were made for: cosines as they are would lie within a small part of the losses'
    margin of 1.
    """

    @abstractmethod
    def forward(
        self,
        whole: Float[Tensor, "b d"],
        regions: Float[Tensor, "b k d"] | None,
        classes: Float[Tensor, "n_labels d"],
    ) -> Look:
        """Look at images for classes, whose embeddings are unit vectors."""


@dataclass(frozen=True, eq=False)
class NetworkRecogniser(Recogniser):
    """A network that has learned, and the classes to recognise.

    Attributes
    ----------
    network : Network
        In evaluation mode.
    wanted : Tensor [N, d]
        Unit vectors.
    """

    network: Network
    wanted: Float[Tensor, "n_labels d"]

    @torch.no_grad()
    def looks(self, images: ImageEmbeddings) -> Iterator[Look]:
        """Look at images in chunks of 256."""
        for first in range(0, len(images), _CHUNK):
            yield self.network(*scaled(images[first : first + _CHUNK], self.wanted.device), self.wanted)

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images, from the embeddings that the network looks at."""
        return torch.cat([look.scores.cpu() for look in self.looks(images)])

    def attention(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels k"] | None:
        """Say where the network looks for each class, see `Look`; None where it sees no regions."""
        attention = [look.attention for look in self.looks(images)]
        return None if attention[0] is None else torch.cat(attention).cpu()


@dataclass(frozen=True)
class LearnsToLook(LearnsBySteps):
    """A method that learns a `Network` from images of seen classes.

    Parameters
    ----------
    training : Descent

    Attributes
    ----------
    drops_images_without_label : bool
        Whether images that show no seen class are left out, as in their authors' code.
    """

    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SEEN_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER, Need.REGIONS})
    drops_images_without_label: ClassVar[bool] = False

    @abstractmethod
    def network(self, d: int) -> Network:
        """Make the network for embeddings of d numbers, drawn from torch's own generator."""

    @abstractmethod
    def loss(
        self, look: Look, labels: Shaped[Tensor, "b n_seen"], classes: Float[Tensor, "n_seen d"]
    ) -> Float[Tensor, ""]:
        """Give the loss of a batch."""

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Learn the network, on the device of the towers, from images in memory or in shards.

        The seed is of the start, the order of the images, and what is dropped out.

        Raises
        ------
        CoMCError
            Without images, without the regions that it looks at, or where no image shows a seen class.
        """
        images = task.need_images(self.name)
        if Need.REGIONS in self.needs:
            need_regions(images.embeddings, self.name)
        rows = images.labels.any(dim=1).nonzero()[:, 0]
        if not len(rows):
            raise CoMCError(f"{self.name} learns from images of seen classes, but these show none of them.")
        rows = rows if self.drops_images_without_label else torch.arange(len(images.labels))
        seen = task.embed_classes(images.class_names, self.name).to(task.device)
        with seeded(seed, task.device):
            network = self.network(seen.shape[1]).to(task.device)

            def loss_of(places: Int[Tensor, " b"], look: Callable[..., Look]) -> Float[Tensor, ""]:
                batch = rows[places]
                labels = images.labels[batch].to(task.device)
                return self.loss(look(*scaled(images.embeddings[batch], task.device), seen), labels, seen)

            history = self.descend(network, loss_of, len(rows), seed=seed, progress=progress)
            network.train()
            with torch.no_grad():
                batches = torch.arange(len(rows)).split(_CHUNK)
                self.settle(network, lambda: (loss_of(batch, network) for batch in batches))
        return Learned({name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, history)

    def descend(
        self,
        network: Network,
        loss_of: Callable[[Int[Tensor, " b"], Callable[..., Look]], Float[Tensor, ""]],
        n_images: int,
        *,
        seed: int,
        progress: bool,
    ) -> list[EpochRecord]:
        """Let the network learn in place: all of it, at once, by `training`."""
        parameters = dict(network.named_parameters())
        return descend(self.training, network, parameters, loss_of, n_images, seed=seed, progress=progress)

    def settle(self, network: Network, run: Callable[[], Iterator[Tensor]]) -> None:
        """Set what is not learned by steps, from runs over the training images."""

    def recogniser(self, learned: Learned, task: Task) -> NetworkRecogniser:
        """Look for the classes to recognise."""
        with seeded(0, torch.device("cpu")):
            network = self.network(task.class_embeddings.shape[1])
        network.load_state_dict(learned.tensors)
        return NetworkRecogniser(network.eval().to(task.device), task.class_embeddings.to(task.device))


def descend(
    training: Descent,
    network: Network,
    parameters: Mapping[str, Tensor],
    loss_of: Callable[[Int[Tensor, " b"], Callable[..., Look]], Float[Tensor, ""]],
    n_images: int,
    *,
    seed: int,
    progress: bool,
) -> list[EpochRecord]:
    """Let some of a network's parameters learn in place, and the others stay as they are.

    Parameters
    ----------
    training : Descent
    network : Network
    parameters : mapping of str to Tensor
        Its own, by name.
    loss_of : callable
        From places of images and how to look at them to the loss.
    n_images : int
    seed : int
    progress : bool

    Returns
    -------
    list of EpochRecord
    """
    network.train()

    def loss_of_batch(learned: Sequence[Tensor], places: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        held = dict(zip(parameters, learned, strict=True))
        return loss_of(places, lambda *images: functional_call(network, held, images))

    learned, history = training.minimise(
        list(parameters.values()), loss_of_batch, n_images, seed=seed, progress=progress
    )
    with torch.no_grad():
        for parameter, value in zip(parameters.values(), learned, strict=True):
            parameter.copy_(value)
    return history


def scaled(
    images: ImageEmbeddings, device: torch.device
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b k d"] | None]:
    """Embeddings of images as wholes and by region, of length sqrt(d), as a `Network` sees them."""
    length = images.with_position.shape[1] ** 0.5
    whole, local = images.with_position, images.local
    return tuple(None if part is None else part.to(device).float() * length for part in (whole, local))


def top_regions(
    scores: Float[Tensor, "b k n_labels"], share: float
) -> tuple[Float[Tensor, "b n_labels"], Float[Tensor, "b n_labels k"]]:
    """Average the highest scores of a share of the regions, of one at least.

    Parameters
    ----------
    scores : Tensor [b, K, N]
    share : float

    Returns
    -------
    Tensor [b, N]
        The averages.
    Tensor [b, N, K]
        1 / k for the k regions that count, else 0.
    """
    k = max(1, round(share * scores.shape[1]))
    top = scores.topk(k, dim=1)
    counts = torch.zeros_like(scores).scatter(1, top.indices, 1 / k)
    return top.values.mean(dim=1), counts.transpose(1, 2)


def label_match(d: int, from_clip: bool) -> nn.Parameter:
    """W [d, d], from labels' embeddings to where images are: the identity, or drawn by its fan-in."""
    return nn.Parameter(torch.eye(d) if from_clip else torch.randn(d, d) / d**0.5)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's own generators for a while, and leave them as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
