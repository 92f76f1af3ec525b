"""Table 2's systems with networks: forward passes, losses and gradients against literal loops; what learns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from tasks import task_of
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from comc_utils.baselines import BiAM, Fast0Tag, LabelEM, Lesa, Mkt, OneAttention, Sdl, ZeroShotClip
from comc_utils.baselines.descent import Adam
from comc_utils.baselines.lesa import Rmsprop, concentration, irrelevance, likeness
from comc_utils.baselines.looking import LearnsToLook, Look, Network, scaled, top_regions
from comc_utils.baselines.sdl import OneCycle, diversity_weighted_ranking, spread
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import ranking_loss
from comc_utils.method.losses import violated_pairs_loss
from comc_utils.method.protocol import LabelledImages, Need, Task
from comc_utils.sentences.labels import label_prompt
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.shards import store_in_shards

B, K, D, N = 3, 4, 6, 5
SYSTEMS = (OneAttention(), Lesa(), BiAM(width=8, n_heads=2), Sdl(), Mkt(rank=3))
SEEN = ("cup", "fish", "key", "tree")
WANTED = ("dog", "cat", "horse")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    whole, regions, classes = draw(B, D, seed=1), draw(B, K, D, seed=2), normalize(draw(N, D, seed=3), dim=1)
    return whole.requires_grad_(), regions.requires_grad_(), classes.requires_grad_()


LABELS = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1]])


def drawn(network: Network) -> Network:
    """In double precision, with every parameter drawn, so that none is by chance at an easy place."""
    network = network.double().eval()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.copy_(0.5 * draw(*parameter.shape, seed=10 + number))
        for number, buffer in enumerate(network.buffers()):
            if buffer.is_floating_point():
                buffer.copy_(draw(*buffer.shape, seed=40 + number).abs() + 0.1)
    return network


def assert_same(ours: Tensor, theirs: Tensor, leaves: Sequence[Tensor]) -> None:
    """Values and gradients are equal in double precision."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    weights = draw(*ours.shape, seed=99)
    gradients = [
        torch.autograd.grad((x * weights).sum(), leaves, retain_graph=True, allow_unused=True)
        for x in (ours, theirs)
    ]
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def stacked(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(list(row)) for row in rows])


def literal_ranking(s: Tensor, y: Tensor) -> Tensor:
    per_image = []
    for b in range(len(s)):
        total, count = s.new_zeros(()), 0
        for p in range(s.shape[1]):
            for n in range(s.shape[1]):
                if y[b, p] == 1 and y[b, n] == 0 and 1 + s[b, n] - s[b, p] > 0:
                    total, count = total + (1 + s[b, n] - s[b, p]), count + 1
        per_image.append(total / (count + 1e-8))
    return sum(per_image) / len(s)


def test_the_ranking_loss_over_violated_pairs() -> None:
    scores = (2 * draw(B, N)).requires_grad_()
    assert_same(violated_pairs_loss(scores, LABELS), literal_ranking(scores, LABELS), [scores])
    # It does not fade as pairs are satisfied, where CoMC's sum does.
    one = torch.tensor([[1.0, 0.9, -9.0, -9.0, -9.0]])
    other = torch.tensor([[1.0, 0.9, 0.9, 0.9, 0.9]])
    label = torch.tensor([[1, 0, 0, 0, 0]])
    assert violated_pairs_loss(one, label) == pytest.approx(float(violated_pairs_loss(other, label)))
    assert ranking_loss(other, label) == pytest.approx(4 * float(ranking_loss(one, label)))
    assert violated_pairs_loss(torch.tensor([[9.0, 0, 0, 0, 0]]), label) == 0
    assert violated_pairs_loss(one, torch.zeros_like(label)) == 0
    with pytest.raises(CoMCError, match=r"the shape \(2, 3\) and labels \(2, 2\)"):
        violated_pairs_loss(torch.zeros(2, 3), torch.zeros(2, 2))


def literal_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return torch.stack([layer.weight[i] @ x + layer.bias[i] for i in range(len(layer.bias))])


def test_one_attention_is_a_literal_loop(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    _, x, v = inputs
    network = drawn(OneAttention(hidden=8).network(D))
    with torch.no_grad():
        for layer in (network.of_region, network.of_label, network.agreement):
            layer.parametrizations.weight.original0.fill_(4.0)  # so that it does not look evenly
    look = network(*inputs)
    assert look.attention.std(dim=2).min() > 1e-3 and look.attention.std(dim=1).min() > 1e-3
    h, beta = network.agreement.weight[0], network.agreement.bias[0]
    scores, attention = [], []
    for b in range(B):
        scores.append([])
        for c in range(N):
            label = literal_linear(network.of_label, D**0.5 * v[c]).clamp_min(0)
            e = [
                (h * literal_linear(network.of_region, x[b, r]).clamp_min(0) * label).sum() + beta
                for r in range(K)
            ]
            total = sum(each.exp() for each in e)
            alpha = [each.exp() / total for each in e]
            attention.append(torch.stack(alpha))
            f = sum(alpha[r] * x[b, r] for r in range(K))
            scores[-1].append(f @ (network.match @ v[c]))
    assert_same(look.scores, stacked(scores), [x, v, *network.parameters()])
    torch.testing.assert_close(look.attention.flatten(0, 1), torch.stack(attention))
    # One scalar length for a whole matrix, as weight normalisation is there.
    assert network.of_region.parametrizations.weight.original0.numel() == 1
    assert network.of_region.weight.norm().item() == pytest.approx(
        abs(float(network.of_region.parametrizations.weight.original0.detach()))
    )


def test_one_attention_that_looks_evenly(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    _, x, v = inputs
    network = OneAttention().network(D).double().eval()
    with torch.no_grad():
        network.agreement.parametrizations.weight.original0.zero_()
    torch.testing.assert_close(network(*inputs).scores, x.mean(dim=1) @ v.T)


def lesa_pieces(network: Network, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Attention logits a [B, K, T], scores by attention [B, T, N], and scores of an even look [B, N]."""
    one = x.new_ones(1)
    logits, scores, evenly = [], [], []
    for b in range(B):
        z = [torch.cat([x[b, r], one]) for r in range(K)]
        a = [[w @ torch.cat([(network.hidden @ z_r).tanh(), one]) for w in network.attentions] for z_r in z]
        logits.append(stacked(a))
        alpha = logits[-1].exp() / logits[-1].exp().sum(dim=0)
        theta = [torch.cat([network.match @ v[c], x.new_zeros(1)]) for c in range(N)]
        f = [sum(alpha[r, t] * z[r] for r in range(K)) for t in range(len(network.attentions))]
        scores.append(stacked([[f_t @ theta_c for theta_c in theta] for f_t in f]))
        evenly.append(torch.stack([theta_c @ (sum(z) / K) for theta_c in theta]))
    return torch.stack(logits), torch.stack(scores), torch.stack(evenly)


def literal_lesa_loss(logits: Tensor, by_attention: Tensor, evenly: Tensor, y: Tensor) -> Tensor:
    s = by_attention.amax(dim=1)
    n_attentions = by_attention.shape[1]
    shares, glob, span = [], s.new_zeros(()), s.new_zeros(())
    for b in range(B):
        for t in range(n_attentions):
            p = [by_attention[b, t, c].exp() / by_attention[b, :, c].exp().sum() for c in range(N)]
            shares.append(sum(p[c] for c in range(N) if y[b, c] == 1) ** 2)
        for c in range(N):
            glob = glob + (0 - (1 if y[b, c] else -1) * (s[b, c] - evenly[b, c])).clamp_min(0)
        for t in range(n_attentions):
            for other in range(n_attentions):
                if t != other:
                    one, two = logits[b, :, t], logits[b, :, other]
                    span = span + (one @ two / (one.norm() * two.norm())) ** 2
    dist = sum(shares) / len(shares)
    return literal_ranking(s, y) + 0.1 * dist + 0.001 * glob + 0.01 * span.sqrt()


def test_lesa_is_a_literal_loop(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    _, x, v = inputs
    method = Lesa(n_attentions=3)
    network = drawn(method.network(D))
    look = network(*inputs)
    logits, by_attention, evenly = lesa_pieces(network, x, v)
    leaves = [x, v, *network.parameters()]
    assert_same(look.scores, by_attention.amax(dim=1), leaves)
    loss = method.loss(look, LABELS, v)
    assert_same(loss, literal_lesa_loss(logits, by_attention, evenly, LABELS), leaves)
    chosen = by_attention.argmax(dim=1)
    for b in range(B):
        for c in range(N):
            torch.testing.assert_close(look.attention[b, c], logits[b].softmax(dim=0)[:, chosen[b, c]])
    assert Lesa().n_attentions == 10 and Lesa().training.epsilon == 1.0


def test_one_attention_of_lesas_is_attention_pooling(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    _, x, v = inputs
    network = drawn(Lesa(n_attentions=1).network(D))
    look = network(*inputs)
    weights = look.parts["logits"].softmax(dim=1)  # (B, K, 1)
    torch.testing.assert_close(look.scores, (weights * x).sum(dim=1) @ (v @ network.match.T).T)
    assert likeness(look.parts["logits"]) == 0
    assert likeness(look.parts["logits"].requires_grad_()).isfinite()


def test_an_even_look_is_never_worse_than_itself(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    network = drawn(Lesa().network(D))
    with torch.no_grad():
        network.attentions.zero_()
    look = network(*inputs)
    torch.testing.assert_close(look.scores, look.parts["evenly"])
    assert irrelevance(look.scores, look.parts["evenly"], LABELS).item() == pytest.approx(0, abs=1e-12)
    # Each of ten attentions alike serves a tenth of an image's labels.
    shares = (LABELS.sum(dim=1) / 10) ** 2
    served = concentration(look.parts["by attention"], LABELS)
    assert served.item() == pytest.approx(float(shares.mean()))


def test_lesas_optimiser_is_nearly_gradient_descent() -> None:
    tensor = torch.ones(3, requires_grad=True)
    optimizer = Rmsprop(learning_rate=0.1, momentum=0.0).optimizer([tensor])
    (1e-4 * tensor.sum()).backward()
    optimizer.step()
    torch.testing.assert_close(tensor.detach(), torch.ones(3) - 0.1 * 1e-4, rtol=1e-6, atol=1e-8)


def literal_convolution(layer: nn.Conv2d, x: Tensor, side: int) -> Tensor:
    """A 3 x 3 convolution of cells [K, c_in] with a border of zeros."""
    cells = []
    for i in range(side):
        for j in range(side):
            total = layer.bias
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < side and 0 <= j + dj < side:
                        neighbour = x[(i + di) * side + j + dj]
                        total = total + layer.weight[:, :, di + 1, dj + 1] @ neighbour
            cells.append(total)
    return torch.stack(cells)


def literal_norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return (x - norm.running_mean) / (norm.running_var + 1e-3).sqrt() * norm.weight + norm.bias


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


@pytest.mark.parametrize("from_clip", [True, False])
def test_biam_is_a_literal_loop(inputs: tuple[Tensor, Tensor, Tensor], from_clip: bool) -> None:
    whole, x, v = inputs
    width, heads, side = 4, 2, 2
    method = BiAM(width=width, n_heads=heads, share=0.5, from_clip=from_clip)
    network = drawn(method.network(D))
    scores = []
    for b in range(B):
        h = literal_norm(network.enter_norm, literal_convolution(network.enter, x[b], side).clamp_min(0))
        q, k, values = (
            torch.stack([literal_linear(layer, cell) for cell in h])
            for layer in (network.query, network.key, network.value)
        )
        per_head = width // heads
        attended = []
        for r in range(K):
            parts = []
            for head in range(heads):
                at = slice(head * per_head, (head + 1) * per_head)
                logits = [q[r, at] @ k[other, at] / math.sqrt(per_head) for other in range(K)]
                total = sum(each.exp() for each in logits)
                parts.append(sum(logits[o].exp() / total * values[o, at] for o in range(K)))
            attended.append(literal_linear(network.attended, torch.cat(parts)))
        o = h + torch.stack(attended)
        wide = torch.stack([literal_linear(network.wider, cell).clamp_min(0) for cell in o])
        of_regions = o + torch.stack([literal_linear(network.narrower, cell) for cell in wide])
        u = torch.stack([leaky(literal_linear(network.of_cell, cell)) for cell in h])
        gate = 1 / (1 + (-(u.sum(dim=0) / K * literal_linear(network.of_whole, whole[b]))).exp())
        gated = gate * u
        of_scene = gated + literal_norm(
            network.gated_norm, literal_convolution(network.gated, gated, side).clamp_min(0)
        )
        both = torch.cat([of_regions, of_scene], dim=1)
        e = torch.stack([leaky(literal_linear(network.fuse, cell)) for cell in both])
        e = x[b] + e if from_clip else e
        scores.append([])
        for c in range(N):
            theta = network.match @ v[c] + network.offset
            by_region = torch.stack([e[r] @ theta for r in range(K)])
            scores[-1].append(by_region.sort(descending=True).values[:2].mean())
    assert_same(network(*inputs).scores, stacked(scores), [whole, x, v, *network.parameters()])


def test_shares_of_regions() -> None:
    scores = torch.tensor([[[1.0], [5.0], [3.0], [2.0]]])
    top, where = top_regions(scores, 0.5)
    assert top.tolist() == [[4.0]] and where.tolist() == [[[0.0, 0.5, 0.5, 0.0]]]
    assert [max(1, round(BiAM().share * k)) for k in (9, 49, 196)] == [1, 2, 6]
    assert [max(1, round(Mkt().share * k)) for k in (9, 49, 196)] == [1, 4, 16]


def test_sdl_is_a_literal_loop(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    whole, _, v = inputs
    k = 3
    method = Sdl(n_vectors=k)
    network = drawn(method.network(D))
    weight = network.project.weight
    losses, scores = [], []
    for b in range(B):
        flat = torch.stack([row @ whole[b] for row in weight])
        a = [torch.stack([flat[i * k + j] for i in range(D)]) for j in range(k)]
        s = [max((a_j @ v[c] for a_j in a), key=Tensor.item) for c in range(N)]
        scores.append(s)
        present = [c for c in range(N) if LABELS[b, c]]
        absent = [c for c in range(N) if not LABELS[b, c]]
        diversity = v.new_zeros(())
        if len(present) > 1:
            for i in range(D):
                mean = sum(v[c, i] for c in present) / len(present)
                diversity = diversity + sum((v[c, i] - mean) ** 2 for c in present) / (len(present) - 1)
        pairs = sum(softplus(s[n] - s[p]) for p in present for n in absent) / len(present)
        apart = v.new_zeros(())
        for i in range(D):
            mean = sum(a_j[i] for a_j in a) / k
            apart = apart + sum((a_j[i] - mean) ** 2 for a_j in a) / (k - 1)
        losses.append(2 * (0.99 * (1 + diversity) * pairs + 0.01 * apart))
    look = network(whole, None, v)
    leaves = [whole, v, weight]
    assert_same(look.scores, stacked(scores), leaves)
    assert_same(method.loss(look, LABELS, v), sum(losses) / B, leaves)


def test_sdl_of_one_vector_and_of_one_label() -> None:
    assert spread(draw(2, D, 1)).tolist() == [0.0, 0.0]
    classes = normalize(draw(N, D), dim=1).requires_grad_()
    scores = draw(1, N, seed=5)
    label = torch.tensor([[0, 1, 0, 0, 0]])
    plain = sum(softplus(scores[0, n] - scores[0, 1]) for n in (0, 2, 3, 4))
    weighted = diversity_weighted_ranking(scores, label, classes)
    assert float(weighted.detach()) == pytest.approx(float(plain))
    assert torch.autograd.grad(weighted.sum(), classes)[0].abs().max() == 0
    assert diversity_weighted_ranking(scores, torch.zeros_like(label), classes).tolist() == [0.0]
    assert (Sdl().n_vectors, Sdl.on_coco().n_vectors) == (7, 2)


def literal_adapter(adapter: nn.Module, x: Tensor) -> Tensor:
    return x + adapter.up.weight @ (adapter.down.weight @ x).clamp_min(0)


def test_mkt_is_a_literal_loop(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    whole, x, v = inputs
    method = Mkt(rank=3, share=0.5)
    network = drawn(method.network(D))
    moved, scores = [], []
    labels = [(v[c] + network.offset) / (v[c] + network.offset).norm() for c in range(N)]
    for b in range(B):
        u = literal_adapter(network.whole, whole[b])
        moved += list((u - whole[b]).abs())
        adapted = [literal_adapter(network.regions, x[b, r]) for r in range(K)]
        local = []
        for label in labels:
            by_region = torch.stack([x_r @ label for x_r in adapted])
            local.append(by_region.sort(descending=True).values[:2].mean())
        both = [torch.stack(local), torch.stack([u @ label for label in labels])]
        scores.append(sum(each / each.norm() for each in both) / 2)
    look = network(*inputs)
    leaves = [whole, x, v, *network.parameters()]
    assert_same(look.scores, torch.stack(scores), leaves)
    expected = literal_ranking(torch.stack(scores), LABELS) + sum(moved) / len(moved)
    assert_same(method.loss(look, LABELS, v), expected, leaves)
    # So small are scores that every pair lies within the margin: the loss is 1 + mean s_n - mean s_p.
    linear = [1 + s[y == 0].mean() - s[y == 1].mean() for s, y in zip(scores, LABELS, strict=True)]
    assert violated_pairs_loss(look.scores, LABELS).item() == pytest.approx((sum(linear) / B).item(), abs=1e-7)


def test_learning_rates_over_a_training() -> None:
    biam = BiAM().training
    rates = [biam.rate(epoch, 0.0) for epoch in (0, 1, 3, 40)]
    assert rates == pytest.approx([0, 1e-3 / 3, 1e-3, 5e-4])
    cycle = OneCycle(learning_rate=1.0, epochs=10)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=1001, pct_start=0.1)
    for step in range(1000):
        ours = cycle.rate(*divmod(step / 100, 1))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-2), step
        optimizer.step()
        theirs.step()
    decayed = Adam(learning_rate=0.1, epochs=1, weight_decay=0.5, decoupled=True)
    tensor = torch.ones(1, requires_grad=True)
    optimizer = decayed.optimizer([tensor])
    (0 * tensor).sum().backward()
    optimizer.step()
    assert tensor.item() == pytest.approx(1 - 0.1 * 0.5)


class Texts:
    """A text tower of fixed vectors, one for each text."""

    device = torch.device("cpu")

    def encode_text(self, texts: list[str]) -> Tensor:
        return normalize(torch.stack([draw(D, seed=sum(map(ord, text))).float() for text in texts]), dim=-1)


@pytest.fixture
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    whole = normalize(torch.randn(60, D, generator=generator), dim=-1)
    local = normalize(whole[:, None] + torch.randn(60, K, D, generator=generator), dim=-1)
    prompts = Texts().encode_text([label_prompt(name) for name in SEEN])
    shown = normalize(
        prompts + 0.3 * torch.randn(len(SEEN), D, generator=generator), dim=-1
    )  # not what CLIP says
    labels = (local @ shown.T).amax(dim=1) > 0.7
    return task_of(
        Texts(), WANTED, images=LabelledImages(SEEN, ImageEmbeddings(whole, local, whole), labels.long())
    )


def in_shards(images: ImageEmbeddings, cache: EmbeddingCache) -> ImageEmbeddings:
    def compute(rows: range) -> dict[str, Tensor]:
        return {"local": images.local[rows.start : rows.stop]}

    stored = store_in_shards(
        cache, {"what": "regions"}, len(images), 2**22, compute, description="", progress=False
    )
    return replace(images, local=stored["local"])


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_system_learns_its_seen_classes(task: Task, system: LearnsToLook, tmp_path: object) -> None:
    same = task_of(Texts(), SEEN, images=task.images)
    embeddings = task.images.embeddings
    quick = system.of_epochs(20).at_rate(1 if system.name == "BiAM" else 10)

    def scores(method: LearnsToLook, task: Task = same, seed: int = 0) -> Tensor:
        return method.fit(task, seed=seed).score(embeddings)

    learned = scores(quick)
    torch.testing.assert_close(learned, scores(quick), rtol=0, atol=0)
    assert not torch.equal(scores(quick.of_epochs(5)), scores(quick.of_epochs(5), seed=1))
    before = torch.random.get_rng_state()
    kept = quick.learn(task, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator is left as it was"
    assert len(kept.history) == 20 + (4 if system.name == "MKT" else 0)
    assert kept.history[19]["loss"] < 0.995 * kept.history[0]["loss"]
    assert [record["epoch"] for record in kept.history] == list(range(1, len(kept.history) + 1))
    # Only what it looks at is looked at; unseen labels are asked for alone; images may lie in shards.
    unseen = quick.recogniser(kept, task).score(embeddings)
    assert unseen.shape == (60, len(WANTED))
    sharded = replace(task.images, embeddings=in_shards(embeddings, EmbeddingCache(tmp_path)))
    torch.testing.assert_close(quick.fit(replace(task, images=sharded), seed=0).score(embeddings), unseen)
    attention = quick.recogniser(kept, task).attention(embeddings)
    if Need.REGIONS in system.needs:
        assert attention.shape == (60, len(WANTED), K)
        torch.testing.assert_close(attention.sum(dim=2), torch.ones(60, len(WANTED)))
    else:
        assert attention is None


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_what_a_system_cannot_learn_from(task: Task, system: LearnsToLook) -> None:
    blank = replace(task, images=replace(task.images, labels=torch.zeros_like(task.images.labels)))
    with pytest.raises(
        CoMCError, match=f"{re.escape(system.name)} learns from images of seen classes, but these"
    ):
        system.learn(blank, seed=0)
    bare = replace(task.images, embeddings=replace(task.images.embeddings, local=None))
    if Need.REGIONS in system.needs:
        with pytest.raises(CoMCError, match=f"{re.escape(system.name)} learns from regions"):
            system.learn(replace(task, images=bare), seed=0)


@pytest.mark.parametrize(
    "system", [BiAM(width=8, n_heads=2), Sdl(), Mkt(rank=3)], ids=lambda system: system.name
)
def test_images_without_a_seen_class_are_left_out(task: Task, system: LearnsToLook) -> None:
    labels = task.images.labels.clone()
    labels[40:] = 0
    with_blank = replace(task, images=replace(task.images, labels=labels))
    few = replace(task, images=LabelledImages(SEEN, task.images.embeddings[:40], labels[:40]))
    shows = labels.any(dim=1).nonzero()[:, 0]
    few = replace(task, images=LabelledImages(SEEN, task.images.embeddings[shows], labels[shows]))
    system = system.of_epochs(2)
    scores = [system.fit(t, seed=0).score(task.images.embeddings) for t in (with_blank, few)]
    torch.testing.assert_close(*scores, rtol=0, atol=0)


@pytest.mark.parametrize("method", [LabelEM, Fast0Tag, Lesa, BiAM, Sdl, OneAttention])
def test_starts_from_clip_and_at_random(task: Task, method: Callable[..., LearnsToLook]) -> None:
    embeddings = task.images.embeddings
    started, drawn_once, drawn_again = (
        method(from_clip=from_clip).of_epochs(0).fit(task, seed=seed).score(embeddings)
        for from_clip, seed in ((True, 0), (False, 0), (False, 1))
    )
    assert not torch.allclose(drawn_once, drawn_again)
    cosines = embeddings.with_position @ task.class_embeddings.T
    local = embeddings.local @ task.class_embeddings.T
    length = D**0.5
    if method in (LabelEM, Fast0Tag):
        torch.testing.assert_close(started, length * cosines)
    if method is Sdl:
        assert (started - length * cosines).abs().max() < 0.3
    if method is BiAM:
        torch.testing.assert_close(started, length * local.amax(dim=1))
    if method in (Lesa, OneAttention):  # an average of regions, whichever
        assert (started <= length * local.amax(dim=1) + 1e-5).all()
        assert (started >= length * local.amin(dim=1) - 1e-5).all()


def test_gradients_reach_what_they_should_alone(task: Task) -> None:
    kept = {}
    for name, method in {
        "both": Mkt(rank=3),
        "image": replace(Mkt(rank=3), text_training=Adam(1e-3, 0)),
    }.items():
        kept[name] = method.of_epochs(3).learn(task, seed=0).tensors
    start = Mkt(rank=3).of_epochs(0).learn(task, seed=0).tensors
    assert torch.equal(kept["image"]["offset"], start["offset"])
    assert not torch.equal(kept["both"]["offset"], start["offset"])
    for name in set(start) - {"offset"}:
        assert torch.equal(kept["both"][name], kept["image"][name]), "the text side leaves the image side alone"
        assert not torch.equal(kept["image"][name], start[name])
    # The whole image is no business of attention over regions, nor regions of SDL's.
    whole, regions, classes = (draw(*shape).requires_grad_() for shape in ((B, D), (B, K, D), (N, D)))
    for method, untouched in ((Lesa(), whole), (OneAttention(), whole), (Sdl(), regions)):
        scores = method.network(D).double()(whole, regions, classes).scores
        assert torch.autograd.grad(scores.sum(), untouched, allow_unused=True) == (None,)


def test_biams_batch_norms_know_all_images(task: Task) -> None:
    system = BiAM(width=8, n_heads=2).of_epochs(1)
    images = replace(task.images, labels=torch.ones_like(task.images.labels))
    kept = system.learn(replace(task, images=images), seed=0).tensors
    network = system.network(D)
    network.load_state_dict(kept)
    _, regions = scaled(images.embeddings, torch.device("cpu"))
    entered = network.enter(regions.transpose(1, 2).unflatten(2, (2, 2))).relu()
    torch.testing.assert_close(network.enter_norm.running_mean, entered.mean(dim=(0, 2, 3)))


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_short_run_is_never_longer(system: LearnsToLook) -> None:
    assert system.shortened(10).training.epochs <= system.training.epochs
    assert system.of_epochs(0).shortened(10) == system.of_epochs(0)


def test_a_look_is_of_unit_vectors_at_the_length_of_their_width(task: Task) -> None:
    whole, regions = scaled(task.images.embeddings, torch.device("cpu"))
    for part in (whole, regions):
        torch.testing.assert_close(part.square().mean(dim=-1), torch.ones(part.shape[:-1]))
    assert scaled(replace(task.images.embeddings, local=None), torch.device("cpu"))[1] is None
    assert isinstance(Lesa().network(D)(whole, regions, task.class_embeddings), Look)
    assert ZeroShotClip().name not in {system.name for system in SYSTEMS}
