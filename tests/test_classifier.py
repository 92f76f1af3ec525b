"""The ranking loss and the training of the classifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.errors import CoMCError
from comc_utils.method import classifier as classifier_module
from comc_utils.method.classifier import LinearClassifier, learning_rate, ranking_loss, train_classifier
from comc_utils.method.presets import PAPER, RELEASED, Preset

N_LABELS, DIMENSION = 4, 256


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: for tensors this small, threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _toy_problem(n: int = 1500) -> tuple[Tensor, Tensor]:
    """Unit vectors, each the sum of its labels' directions and a little noise."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(n, N_LABELS, generator=generator) < 0.4).int()
    labels[labels.sum(dim=1) == 0, 0] = 1
    directions = torch.eye(DIMENSION)[:N_LABELS]
    noise = 0.02 * torch.randn(n, DIMENSION, generator=generator)
    return normalize(labels.float() @ directions + noise, dim=-1), labels


def _loss_by_definition(logits: Tensor, labels: Tensor, margin: float) -> tuple[float, list[list[float]]]:
    n_sentences, n_labels = logits.shape
    value, gradient = 0.0, [[0.0] * n_labels for _ in range(n_sentences)]
    for i in range(n_sentences):
        for j in range(n_labels):
            for k in range(n_labels):
                if labels[i, j] == 1 and labels[i, k] == 0:
                    hinge = margin - (logits[i, j].item() - logits[i, k].item())
                    if hinge > 0:
                        value += hinge / n_sentences
                        gradient[i][j] -= 1 / n_sentences
                        gradient[i][k] += 1 / n_sentences
    return value, gradient


@pytest.fixture(params=["pairs", "sorting"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the loss computed in one of its two ways, whatever the size."""
    _force(request.param, monkeypatch)


def _force(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "_PAIRWISE_NUMBERS", {"pairs": 2**60, "sorting": -1}[way])


def _value_and_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    loss = ranking_loss(leaf, labels)
    loss.backward()
    return loss.detach(), leaf.grad


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("margin", [1.0, 0.25])
@pytest.mark.parametrize("label_dtype", [torch.bool, torch.uint8, torch.int64, torch.float64])
def test_loss_equals_a_double_loop_in_value_and_gradient(margin: float, label_dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(9, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = (torch.rand(9, 7, generator=generator) < 0.4).to(label_dtype)
    labels[0], labels[1] = 1, 0  # no negative; no positive
    loss = ranking_loss(logits, labels, margin)
    loss.backward()
    value, gradient = _loss_by_definition(logits.detach(), labels, margin)
    torch.testing.assert_close(loss.item(), value, rtol=1e-12, atol=1e-12)
    expected = torch.tensor(gradient, dtype=torch.float64)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("way")
def test_gradient_of_the_loss_is_its_derivative() -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(5, 6, generator=generator) < 0.5
    assert torch.autograd.gradcheck(lambda x: ranking_loss(x, labels), (logits,))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("n_labels", "label"), [(1, 0), (1, 1), (5, 0), (5, 1)])
def test_rows_without_a_pair_cost_nothing(n_labels: int, label: int) -> None:
    labels = torch.full((3, n_labels), label)
    value, gradient = _value_and_gradient(torch.randn(3, n_labels), labels)
    assert value == 0
    assert not gradient.any()


def test_ties_and_pairs_at_the_margin_count_the_same_in_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """With whole numbers and a margin of 1 a good part of all pairs lies exactly at the kink."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randint(-2, 3, (40, 12), generator=generator).float()
    labels = torch.rand(40, 12, generator=generator) < 0.4
    _force("pairs", monkeypatch)
    value, gradient = _value_and_gradient(logits, labels)
    _force("sorting", monkeypatch)
    sorted_value, sorted_gradient = _value_and_gradient(logits, labels)
    torch.testing.assert_close(sorted_value, value)
    torch.testing.assert_close(sorted_gradient, gradient)
    # A positive and a negative that are apart by the margin pull at each other.
    _, gradient = _value_and_gradient(torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 0]]))
    assert gradient.tolist() == [[-1.0, 1.0]]


def test_many_pairs_are_sorted_and_few_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both give the same, but where sorting is due, what pairs need is never allocated."""
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(8, 500, generator=generator, dtype=torch.float64)
    labels = torch.rand(8, 500, generator=generator) < 0.3
    _force("pairs", monkeypatch)
    value, gradient = _value_and_gradient(logits, labels)
    monkeypatch.undo()
    monkeypatch.setattr(classifier_module, "_loss_by_pairs", None)
    sorted_value, sorted_gradient = _value_and_gradient(logits, labels)
    torch.testing.assert_close(sorted_value, value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sorted_gradient, gradient, rtol=1e-12, atol=1e-12)
    with pytest.raises(TypeError):
        ranking_loss(logits[:, :5], labels[:, :5])


def test_sorted_sums_keep_their_digits_where_scores_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes cancel an offset of all scores; sums in float32 would leave a good part of it."""
    _force("sorting", monkeypatch)
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(4, 2000, generator=generator) + 1000
    labels = torch.rand(4, 2000, generator=generator) < 0.5
    value, _ = _value_and_gradient(logits, labels)
    assert value.dtype == torch.float32
    _force("pairs", monkeypatch)
    exact, _ = _value_and_gradient(logits.double(), labels)
    assert value.item() == pytest.approx(exact.item(), rel=1e-7)


@pytest.mark.parametrize("preset", [PAPER, RELEASED], ids=lambda p: p.name)
def test_trained_classifier_separates_a_toy_problem(preset: Preset) -> None:
    embeddings, labels = _toy_problem()
    # Batches so small that an epoch over 1,000 sentences has as many steps as one over 40,000.
    preset = replace(preset, batch_size=preset.batch_size * 1000 // 40_000)
    classifier, history = train_classifier(embeddings[:1000], labels[:1000], preset, seed=0)
    scores, held_out = classifier.decision_function(embeddings[1000:]), labels[1000:].bool()
    lowest_positive = scores.masked_fill(~held_out, torch.inf).amin(dim=1)
    highest_negative = scores.masked_fill(held_out, -torch.inf).amax(dim=1)
    assert (lowest_positive > highest_negative).float().mean() > 0.98
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert (classifier.bias is not None) == preset.bias


@pytest.mark.parametrize("preset", [PAPER, RELEASED], ids=lambda p: p.name)
def test_one_seed_gives_one_classifier(preset: Preset) -> None:
    embeddings, labels = _toy_problem(300)
    preset = replace(preset, epochs=3, batch_size=64)
    torch.manual_seed(1)
    first, first_history = train_classifier(embeddings, labels, preset, seed=5)
    torch.manual_seed(2)  # the global generator has no say
    second, second_history = train_classifier(embeddings, labels, preset, seed=5)
    other, _ = train_classifier(embeddings, labels, preset, seed=6)
    assert torch.equal(first.weight, second.weight)
    assert first_history == second_history
    assert not torch.equal(first.weight, other.weight)


def test_training_leaves_the_global_generator_alone() -> None:
    embeddings, labels = _toy_problem(100)
    before = torch.get_rng_state()
    train_classifier(embeddings, labels, replace(RELEASED, epochs=2), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_drawn_afresh_and_changes_the_result() -> None:
    embeddings, labels = _toy_problem(64)
    still = replace(RELEASED, noise_std=0.0, warmup_epochs=0, learning_rate=0.0, epochs=2)
    # At a learning rate of 0 with the whole set as one batch, only the noise can change the loss.
    _, quiet = train_classifier(embeddings, labels, still, seed=0)
    _, noisy = train_classifier(embeddings, labels, replace(still, noise_std=0.5), seed=0)
    assert quiet[0]["loss"] == pytest.approx(quiet[1]["loss"], rel=1e-6)
    assert abs(noisy[0]["loss"] - noisy[1]["loss"]) > 1e-3


def test_weight_decay_shrinks_the_weights() -> None:
    embeddings, labels = _toy_problem(300)
    free = replace(PAPER, learning_rate=1e-2, batch_size=300, weight_decay=0.0)
    light, _ = train_classifier(embeddings, labels, free, seed=0)
    heavy, _ = train_classifier(embeddings, labels, replace(free, weight_decay=1.0), seed=0)
    assert heavy.weight.norm() < 0.5 * light.weight.norm()


def test_weights_start_as_those_of_a_linear_layer() -> None:
    embeddings, labels = _toy_problem(100)
    frozen = replace(PAPER, learning_rate=0.0, epochs=1)
    classifier, _ = train_classifier(embeddings, labels, frozen, seed=0)
    bound = DIMENSION**-0.5
    assert classifier.weight.abs().max() <= bound
    assert classifier.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
    assert classifier.bias.abs().max() <= bound


def test_released_schedule_is_dassls() -> None:
    """Constant warm-up, then torch's own cosine from its start, stepped after each epoch."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=RELEASED.learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=RELEASED.epochs)
    expected = [RELEASED.warmup_lr]
    for _ in range(RELEASED.epochs - 1):
        expected.append(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()
    embeddings, labels = _toy_problem(50)
    _, history = train_classifier(embeddings, labels, RELEASED, seed=0)
    assert [record["learning_rate"] for record in history] == pytest.approx(expected, rel=1e-6)
    assert [record["epoch"] for record in history] == list(range(1, 21))
    assert learning_rate(RELEASED, 5, 0.0) == learning_rate(RELEASED, 5, 0.9)


def test_paper_schedule_decays_with_each_step_to_zero() -> None:
    rates = [learning_rate(PAPER, epoch, step / 10) for epoch in range(30) for step in range(10)]
    assert rates[0] == PAPER.learning_rate
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert rates[150] == pytest.approx(PAPER.learning_rate / 2)
    assert rates[-1] < 1e-4 * PAPER.learning_rate


@pytest.mark.parametrize("bias", [None, torch.arange(3.0)], ids=["no bias", "bias"])
def test_saved_classifier_comes_back(tmp_path: Path, bias: Tensor | None) -> None:
    classifier = LinearClassifier(torch.arange(6.0).reshape(3, 2), bias)
    classifier.save(tmp_path / "classifier.safetensors")
    loaded = LinearClassifier.load(tmp_path / "classifier.safetensors")
    x = torch.tensor([[1.0, -2.0]])
    assert torch.equal(loaded.decision_function(x), classifier.decision_function(x))


def test_missing_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    with pytest.raises(CoMCError, match="There is no classifier at"):
        LinearClassifier.load(path)
    LinearClassifier(torch.zeros(3, 2)).save(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CoMCError, match=r"cannot be read .* train it again"):
        LinearClassifier.load(path)
    save_file({"head": torch.zeros(1)}, path)
    with pytest.raises(CoMCError, match="holds the tensors"):
        LinearClassifier.load(path)


def test_shapes_that_do_not_match_are_named() -> None:
    with pytest.raises(CoMCError, match=r"\(2, 3\) and labels \(2, 4\)"):
        ranking_loss(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(CoMCError, match=r"bias has the shape \(2,\); expected \(3,\)"):
        LinearClassifier(torch.zeros(3, 5), torch.zeros(2))
    with pytest.raises(CoMCError, match=r"\(3,\); expected \(N, d\)"):
        LinearClassifier(torch.zeros(3))
    with pytest.raises(CoMCError, match=r"\(7, 4\); the classifier expects \(..., 5\)"):
        LinearClassifier(torch.zeros(3, 5)).decision_function(torch.zeros(7, 4))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda x, y: (x[1:], y), r"\(99, 256\) and labels \(100, 4\)"),
        (lambda x, y: (x.index_fill(0, torch.tensor([7]), torch.nan), y), "the first is number 7"),
        (lambda x, y: (x, y.index_fill(0, torch.tensor([9]), 0)), "the first is number 9"),
        (lambda x, y: (x, 2 * y), "must be 0 or 1"),
        (lambda x, y: (x, torch.ones(100, 1)), "All 1 labels are on every sentence.*no pair to rank"),
    ],
    ids=["length", "nan", "no label", "not binary", "one label"],
)
def test_bad_training_data_is_refused(break_it, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        train_classifier(*break_it(*_toy_problem(100)), PAPER, seed=0)


def test_progress_is_shown_only_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    embeddings, labels = _toy_problem(20)
    train_classifier(embeddings, labels, replace(PAPER, epochs=2), seed=0)
    assert capsys.readouterr().err == ""
    train_classifier(embeddings, labels, replace(PAPER, epochs=2), seed=0, progress=True)
    assert "training" in capsys.readouterr().err
