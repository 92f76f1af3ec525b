"""ConSE: an image as the mean of the seen classes that it looks like (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.protocol import Learned, LearnsFrom, Method, Need, Recogniser, Task


@dataclass(frozen=True, eq=False)
class ConvexCombination(Recogniser):
    """A classifier of seen classes, and the embeddings of seen and wanted ones.

    Attributes
    ----------
    weight : Tensor [S, d]
    bias : Tensor [S]
        Of the softmax classifier of the S seen classes.
    seen, wanted : Tensor [S, d] and [N, d]
        Text embeddings of class prompts.
    n_nearest : int
        T, the seen classes that an image is made of.
    """

    weight: Float[Tensor, "n_seen d"]
    bias: Float[Tensor, " n_seen"]
    seen: Float[Tensor, "n_seen d"]
    wanted: Float[Tensor, "n_labels d"]
    n_nearest: int

    def score(self, images: ImageEmbeddings) -> Float[Tensor, "n n_labels"]:
        """Score images by the cosine of their convex combination to each class.

        Parameters
        ----------
        images : ImageEmbeddings
            Only the global ones are looked at.

        Returns
        -------
        Tensor [n, N]
            Cosines.
        """
        logits = images.with_position @ self.weight.T + self.bias
        top = logits.softmax(dim=1).topk(min(self.n_nearest, len(self.seen)), dim=1)
        share = top.values / top.values.sum(dim=1, keepdim=True)  # (n, T)
        combined = (share[:, :, None] * self.seen[top.indices]).sum(dim=1)  # (n, d)
        return normalize(combined, dim=1) @ self.wanted.T


@dataclass(frozen=True)
class ConSE(Method):
    """Convex combination of semantic embeddings, on frozen CLIP embeddings.

    An image with several seen classes stands once for each of them, with a weight that sums to one; images
    without any are left out, for a softmax has no place for them.

    Parameters
    ----------
    n_nearest : int
        T of the paper, whose best value is 10.
    inverse_penalty : float
        scikit-learn's C of the softmax classifier; the value is ours, for the paper takes a network as it is.

    References
    ----------
    Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014.
    """

    n_nearest: int = 10
    inverse_penalty: float = 10.0
    name: ClassVar[str] = "ConSE"
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.SEEN_IMAGES
    needs: ClassVar[frozenset[Need]] = frozenset({Need.TEXT_TOWER})

    random: ClassVar[bool] = False

    @property
    def learning_settings(self) -> str:
        """The penalty; how many classes an image is made of is a matter of inference."""
        return repr(self.inverse_penalty)

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        """Train the classifier of seen classes: the one minimum of a convex function.

        Raises
        ------
        CoMCError
            Without images, or where fewer than two classes show.
        """
        images = task.need_images(self.name)
        labels = images.labels.bool()
        row, seen_class = labels.nonzero(as_tuple=True)
        shown = seen_class.unique()
        if len(shown) < 2:
            raise CoMCError(
                f"{self.name} tells classes apart, but its images show {len(shown)} of them; give "
                "images of two or more."
            )
        model = LogisticRegression(C=self.inverse_penalty, max_iter=2000)
        model.fit(
            images.embeddings.with_position[row].numpy(),
            seen_class.numpy(),
            sample_weight=(1 / labels.sum(dim=1)[row]).numpy(),
        )
        weight, bias = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_)
        if len(shown) == 2:  # scikit-learn gives the logit of the second against the first
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        return Learned({"weight": weight, "bias": bias.float(), "shown": shown})

    def recogniser(self, learned: Learned, task: Task) -> ConvexCombination:
        """Embed the classes that were shown."""
        names = task.need_images(self.name).class_names
        seen = task.embed_classes([names[j] for j in learned.tensors["shown"]], self.name)
        weight, bias = (learned.tensors[name] for name in ("weight", "bias"))
        return ConvexCombination(weight, bias, seen, task.class_embeddings, self.n_nearest)

    def at_rate(self, factor: float) -> ConSE:
        """The inverse penalty, times a factor."""
        return replace(self, inverse_penalty=self.inverse_penalty * factor)
