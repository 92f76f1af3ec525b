"""ConSE, LabelEM and Fast0Tag against literal transcriptions; losses of the text-trained variants."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tasks import task_of
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.baselines import ConSE, Fast0Tag, LabelEM, Sgd
from comc_utils.baselines.conse import ConvexCombination
from comc_utils.baselines.fast0tag import direction, hidden_widths, rank_net_loss
from comc_utils.baselines.label_em import weighted_ranking_loss
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.losses import asymmetric_loss, binary_cross_entropy
from comc_utils.method.protocol import LabelledImages, Task
from comc_utils.sentences.labels import label_prompt

SEEN = ("cup", "fish", "key", "tree")
WANTED = ("dog", "cat", "horse")


class Texts:
    """A text tower of fixed vectors, one for each text."""

    def encode_text(self, texts: list[str]) -> Tensor:
        assert all(text.startswith("a photo of a ") for text in texts)
        rows = []
        for text in texts:
            generator = torch.Generator().manual_seed(sum(map(ord, text)))
            rows.append(torch.randn(6, generator=generator))
        return normalize(torch.stack(rows), dim=-1)


@pytest.fixture
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    whole = normalize(torch.randn(40, 6, generator=generator), dim=-1)
    labels = (whole @ Texts().encode_text([label_prompt(name) for name in SEEN]).T > 0.3).long()
    images = LabelledImages(SEEN, ImageEmbeddings(whole, None, whole), labels)
    return task_of(Texts(), WANTED, images=images)


def test_conse_is_a_literal_loop(task: Task) -> None:
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(4, 6, generator=generator), torch.randn(4, generator=generator)
    seen, wanted = task.embed_classes(SEEN), task.embed_classes(WANTED)
    embeddings = task.images.embeddings
    scores = ConvexCombination(weight, bias, seen, wanted, n_nearest=3).score(embeddings)
    for i, x in enumerate(embeddings.with_position[:5]):
        exponentials = [math.exp(float(w @ x + b)) for w, b in zip(weight, bias, strict=True)]
        p = np.array(exponentials) / sum(exponentials)
        best = sorted(range(4), key=lambda j: -p[j])[:3]
        combined = sum(p[j] * seen[j].numpy() for j in best) / sum(p[j] for j in best)
        for c in range(3):
            cosine = combined @ wanted[c].numpy() / np.linalg.norm(combined)
            assert scores[i, c] == pytest.approx(cosine, abs=1e-5)


def test_conse_minimises_its_softmax(task: Task) -> None:
    method = ConSE(inverse_penalty=2.0)
    fitted = method.fit(task, seed=0)
    x, labels = task.images.embeddings.with_position.double(), task.images.labels

    def cost(weight: Tensor, bias: Tensor) -> Tensor:
        log_p = (x @ weight.T + bias).log_softmax(dim=1)
        shares = labels / labels.sum(dim=1, keepdim=True).clamp_min(1)
        return -2.0 * (shares * log_p).sum() + weight.square().sum() / 2

    weight, bias = fitted.weight.double().requires_grad_(), fitted.bias.double().requires_grad_()
    gradients = torch.autograd.grad(cost(weight, bias), (weight, bias))
    assert max(float(g.abs().max()) for g in gradients) < 1e-2
    assert method.learn(task, seed=0).n_parameters == 4 * 6 + 4


def test_conse_of_two_classes_and_of_one(task: Task) -> None:
    labels = task.images.labels.clone()
    labels[:, 2:] = 0
    two = replace(task, images=replace(task.images, labels=labels))
    fitted = ConSE().fit(two, seed=0)
    x = task.images.embeddings.with_position
    logits = x @ fitted.weight.T + fitted.bias
    alone = labels.sum(dim=1) == 1
    right = logits.argmax(dim=1)[alone] == labels.argmax(dim=1)[alone]
    assert right.float().mean() > 0.7
    labels[:, 1] = 0
    with pytest.raises(CoMCError, match="its images show 1 of them"):
        ConSE().fit(two, seed=0)


def test_label_em_loss_is_a_literal_loop() -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(5, 4, generator=generator)
    labels = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0]])
    total = 0.0
    for f, y in zip(scores, labels, strict=True):
        for p in range(4):
            if y[p] == 1:
                costs = [max(0.0, 1 + float(f[n] - f[p])) for n in range(4) if y[n] == 0]
                rank = sum(cost > 0 for cost in costs)
                if rank:
                    total += sum(1 / i for i in range(1, rank + 1)) / rank * sum(costs)
    assert float(weighted_ranking_loss(scores, labels)) == pytest.approx(total / 5, rel=1e-5)


def test_fast0tag_is_a_literal_loop(task: Task) -> None:
    method = Fast0Tag(training=Sgd(epochs=0), hidden=(5, 4), from_clip=False)
    fitted = method.fit(task, seed=3)
    w = [layer.numpy() for layer in fitted.layers]
    assert [layer.shape for layer in w] == [(5, 6), (5,), (4, 5), (4,), (6, 4), (6,)]
    wanted = task.embed_classes(WANTED).numpy()
    x = task.images.embeddings.with_position.numpy()
    scores = fitted.score(task.images.embeddings)
    for i in range(5):
        h = np.maximum(w[2] @ np.maximum(w[0] @ x[i] + w[1], 0) + w[3], 0)
        np.testing.assert_allclose(scores[i], wanted @ (w[4] @ h + w[5]), atol=1e-6)
    assert method.learn(task, seed=3).n_parameters == 5 * 6 + 5 + 4 * 5 + 4 + 6 * 4 + 6
    assert hidden_widths(1024) == (2048, 512)


def test_fast0tag_loss_is_a_literal_loop() -> None:
    generator = torch.Generator().manual_seed(4)
    scores = 3 * torch.randn(4, 4, generator=generator)
    labels = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    total = 0.0
    for s, y in zip(scores.tolist(), labels.tolist(), strict=True):
        pairs = [(p, n) for p in range(4) for n in range(4) if y[p] == 1 and y[n] == 0]
        costs = [math.log(1 + math.exp(s[n] - s[p])) for p, n in pairs]
        total += sum(costs) / len(costs) if costs else 0.0
    assert float(rank_net_loss(scores, labels)) == pytest.approx(total / 4, rel=1e-5)


@pytest.mark.parametrize("method", [LabelEM, Fast0Tag])
def test_seen_classes_are_learned_and_seeds_matter(task: Task, method: type) -> None:
    same = task_of(Texts(), SEEN, images=task.images)
    training = Sgd(learning_rate=0.3, epochs=30, batch_size=8, warmup_epochs=0, weight_decay=0.0)

    def scores(epochs: int, seed: int) -> Tensor:
        fitted = method(training=replace(training, epochs=epochs)).fit(same, seed=seed)
        return fitted.score(task.images.embeddings)

    labels = task.images.labels
    assert rank_net_loss(scores(30, 0), labels) < 0.5 * rank_net_loss(scores(0, 0), labels)
    assert torch.equal(scores(2, 0), scores(2, 0))
    assert not torch.equal(scores(2, 0), scores(2, 1))
    assert method().fit(replace(task, images=task.images), seed=0).score(task.images.embeddings).shape == (
        40,
        3,
    )


def test_a_linear_fast0tag() -> None:
    layers = [torch.eye(3), torch.zeros(3)]
    x = torch.tensor([[-1.0, 0.0, 2.0]])
    torch.testing.assert_close(direction(layers, x, from_clip=False), x)
    torch.testing.assert_close(direction(layers, x, from_clip=True), 2 * 3**0.5 * x)


def test_binary_cross_entropy_is_a_literal_loop() -> None:
    logits = torch.tensor([[0.5, -2.0], [3.0, 0.0]])
    labels = torch.tensor([[1, 0], [0, 1]])
    total = 0.0
    for z, y in zip(logits.flatten().tolist(), labels.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        total -= math.log(p if y else 1 - p)
    assert float(binary_cross_entropy(logits, labels)) == pytest.approx(total / 2, rel=1e-6)


def test_asymmetric_loss_is_a_literal_loop() -> None:
    logits = torch.tensor([[0.5, -2.0, -9.0], [3.0, 0.0, 1.0]])
    labels = torch.tensor([[1, 0, 0], [0, 1, 1]])
    total = 0.0
    for z, y in zip(logits.flatten().tolist(), labels.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        if y:
            total -= (1 - p) * math.log(p)
        else:
            shifted = max(p - 0.05, 0.0)
            total -= shifted**4 * math.log(1 - shifted)
    assert float(asymmetric_loss(logits, labels)) == pytest.approx(total / 2, rel=1e-5)


@pytest.mark.parametrize("loss", [binary_cross_entropy, asymmetric_loss])
def test_shapes_of_losses(loss: object) -> None:
    with pytest.raises(CoMCError, match=r"Logits have the shape \(2, 3\) and labels \(2, 2\)"):
        loss(torch.zeros(2, 3), torch.zeros(2, 2))
