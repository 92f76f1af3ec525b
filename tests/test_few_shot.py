"""Few-shot draws by their definition; fine-tuning against a literal one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier, ranking_loss
from comc_utils.method.few_shot import FineTuned, draw_few_shot, fine_tune
from comc_utils.method.presets import RELEASED
from comc_utils.method.protocol import LabelledImages, Task
from comc_utils.method.scores import score_images

SEEDS = st.integers(0, 2**31)
SETTINGS = {"alpha": 0.6, "tau": 0.2, "renormalise": True}


@given(
    labels_seed=SEEDS,
    draw_seed=SEEDS,
    n=st.integers(1, 60),
    n_labels=st.integers(1, 6),
    density=st.floats(0.05, 1),
)
def test_every_class_is_on_enough_images_and_no_image_is_there_for_nothing(
    labels_seed, draw_seed, n, n_labels, density
):
    labels = (np.random.default_rng(labels_seed).random((n, n_labels)) < density).astype(np.uint8)
    most = int(labels.sum(axis=0).min())
    assume(most > 0)
    draws = [draw_few_shot(labels, shots, seed=draw_seed) for shots in range(1, most + 1)]
    for shots, rows in enumerate(draws, start=1):
        assert len(set(rows.tolist())) == len(rows) <= shots * n_labels
        assert (labels[rows].sum(axis=0) >= shots).all()
        # Each image, when it was chosen, showed a class that still wanted one.
        before = np.cumsum(labels[rows], axis=0) - labels[rows]
        assert ((labels[rows] == 1) & (before < shots)).any(axis=1).all()
        # Fewer shots are the beginning of more, and the same call gives the same rows.
        np.testing.assert_array_equal(draws[-1][: len(rows)], rows)
    np.testing.assert_array_equal(draw_few_shot(labels, most, seed=draw_seed), draws[-1])


def test_images_of_a_class_are_equally_likely():
    labels = np.array([[0, 1], [1, 0], [1, 0], [1, 0], [1, 0], [0, 1]])
    draws = np.array([draw_few_shot(labels, 1, seed=seed) for seed in range(1000)])
    counts = np.bincount(draws.ravel(), minlength=6)
    assert counts.sum() == 2000
    # Three standard deviations of a binomial around a quarter and a half.
    np.testing.assert_allclose(counts[1:5], 250, atol=3 * (1000 * 3 / 16) ** 0.5)
    np.testing.assert_allclose(counts[[0, 5]], 500, atol=3 * (1000 / 4) ** 0.5)
    # No class is always served first.
    assert 0.4 < (labels[draws[:, 0], 0] == 1).mean() < 0.6


def test_classes_that_are_too_rare_are_named():
    labels = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0]])
    with pytest.raises(
        CoMCError, match=r"2 of 3 classes .* than 3 images, the first is class 1 .* on 2;"
    ):
        draw_few_shot(labels, 3, seed=0)
    with pytest.raises(CoMCError, match="shots is 0"):
        draw_few_shot(labels, 0, seed=0)
    with pytest.raises(CoMCError, match=r"shape \(3, 3\) and values from 0 to 2"):
        draw_few_shot(labels * 2, 1, seed=0)
    with pytest.raises(CoMCError, match=r"shape \(3,\)"):
        draw_few_shot(labels[0], 1, seed=0)


class Shots:
    """Twelve random images of four classes with three regions, and a classifier to start from; float64."""

    def __init__(self, *, bias: bool = True, local: bool = True) -> None:
        generator = torch.Generator().manual_seed(8)

        def numbers(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.label_embeddings = normalize(numbers(4, 7), dim=-1)
        self.image_global = normalize(numbers(12, 7), dim=-1)
        self.image_local = normalize(numbers(12, 3, 7), dim=-1) if local else None
        self.labels = (numbers(12, 4) > 0.3).int()
        self.start = LinearClassifier(numbers(4, 7), numbers(4) if bias else None)

    @property
    def images(self) -> tuple[Tensor | None, ...]:
        return self.image_global, self.image_local, self.labels, self.label_embeddings

    def tuned(self, **settings) -> LinearClassifier:
        return fine_tune(self.start, *self.images, **SETTINGS | settings)

    def loss(self, classifier: LinearClassifier) -> float:
        scores = score_images(
            classifier, self.image_global, self.image_local, self.label_embeddings, **SETTINGS
        )
        return ranking_loss(scores.final, self.labels).item()

    def objective(self, weight: Tensor, bias: Tensor | None, pull: float) -> Tensor:
        """Write the sum that is minimised out: image by image, region by region, pair by pair."""

        def logits(v: Tensor) -> Tensor:
            m = (self.label_embeddings @ v / SETTINGS["tau"]).softmax(0) @ self.label_embeddings
            u = SETTINGS["alpha"] * v + (1 - SETTINGS["alpha"]) * m / m.norm()
            return weight @ u + (0 if bias is None else bias)

        now, then = weight.flatten(), self.start.weight.flatten()
        if bias is not None:
            now, then = torch.cat([now, bias]), torch.cat([then, self.start.bias])
        nearest = (now @ then) / (then @ then) * then
        total = pull / 2 * (now - nearest).square().sum()
        for i in range(12):
            final = logits(self.image_global[i])
            if self.image_local is not None:
                regions = torch.stack([logits(region) for region in self.image_local[i]])
                final = (final + regions.max(dim=0).values) / 2
            for j in self.labels[i].nonzero()[:, 0]:
                for k in (self.labels[i] == 0).nonzero()[:, 0]:
                    total = total + (1 - (final[j] - final[k])).clamp_min(0)
        return total / 12


@pytest.mark.parametrize("local", [True, False], ids=["regions", "no regions"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_three_steps_are_adam_on_the_objective_as_written(bias, local):
    shots = Shots(bias=bias, local=local)
    parameters = [shots.start.weight] + ([shots.start.bias] if bias else [])
    parameters = [p.clone().requires_grad_() for p in parameters]
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(1, 4):
        loss = shots.objective(parameters[0], parameters[1] if bias else None, pull=40.0)
        gradients = torch.autograd.grad(loss, parameters)
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g**2)
            change = m / (1 - 0.9**step) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            p.data -= 0.05 * change
    tuned = shots.tuned(steps=3, learning_rate=0.05, pull=40.0)
    torch.testing.assert_close(tuned.weight, parameters[0].detach(), rtol=0, atol=1e-9)
    if bias:
        torch.testing.assert_close(tuned.bias, parameters[1].detach(), rtol=0, atol=1e-9)
    else:
        assert tuned.bias is None


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_no_step_gives_the_start_back(bias):
    shots = Shots(bias=bias)
    same = shots.tuned(steps=0)
    assert torch.equal(same.weight, shots.start.weight)
    assert same.bias is None if not bias else torch.equal(same.bias, shots.start.bias)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_fine_tuning_lowers_the_loss_and_changes_nothing_that_it_was_given(bias):
    shots, untouched = Shots(bias=bias), Shots(bias=bias)
    tuned = shots.tuned(pull=0.1)
    assert shots.loss(tuned) < 0.5 * shots.loss(shots.start)
    assert not tuned.weight.requires_grad and not shots.start.weight.requires_grad
    assert torch.equal(shots.start.weight, untouched.start.weight)
    if bias:
        assert not tuned.bias.requires_grad and not shots.start.bias.requires_grad
        assert torch.equal(shots.start.bias, untouched.start.bias)
    for now, before in zip(shots.images, untouched.images, strict=True):
        assert torch.equal(now, before) and not now.requires_grad


def test_a_probe_from_scratch_learns_too():
    shots = Shots(bias=False)
    shots.start = LinearClassifier(torch.zeros_like(shots.start.weight))
    tuned = shots.tuned(pull=0.1)
    assert shots.loss(tuned) < 0.5 * shots.loss(shots.start)


def test_the_pull_holds_the_direction_of_the_start():
    shots = Shots(bias=False)
    start = normalize(shots.start.weight.flatten(), dim=0)
    angles = [
        torch.acos(normalize(shots.tuned(pull=pull).weight.flatten(), dim=0) @ start)
        for pull in (0, 30, 3000)
    ]
    assert angles[1] < 0.5 * angles[0] and angles[2] < 0.1 * angles[1]


def test_the_pull_leaves_the_length_free():
    """Weights that rank well, made too short for the margin, grow; a strong pull does not mind."""
    shots = Shots(bias=False)
    shots.start = LinearClassifier(shots.tuned(pull=0.1).weight / 10)
    assert shots.tuned(pull=300).weight.norm() > 2 * shots.start.weight.norm()


def test_from_zero_weights_the_pull_is_weight_decay():
    shots = Shots(bias=False)
    shots.start = LinearClassifier(torch.zeros_like(shots.start.weight))
    free, held = (shots.tuned(pull=pull).weight.norm() for pull in (0, 100))
    assert held < 0.2 * free


def test_the_pull_weighs_less_with_more_images():
    """Every image twice and twice the pull: the same minimum."""
    shots, doubled = Shots(), Shots()
    doubled.image_global, doubled.image_local, doubled.labels = (
        tensor.repeat_interleave(2, dim=0)
        for tensor in (shots.image_global, shots.image_local, shots.labels)
    )
    once, twice = shots.tuned(steps=20, pull=5.0), doubled.tuned(steps=20, pull=10.0)
    torch.testing.assert_close(once.weight, twice.weight, rtol=0, atol=1e-9)


def test_shapes_that_do_not_match_are_refused():
    shots = Shots()
    shots.labels = shots.labels[:, :3]
    with pytest.raises(CoMCError, match=r"\(12, 4\) and labels \(12, 3\)"):
        shots.tuned()
    shots = Shots()
    shots.image_local = shots.image_local[:1]
    with pytest.raises(CoMCError, match="12 global .* and local ones of 1; give one or more"):
        shots.tuned()
    shots.image_global, shots.image_local = shots.image_global[:0], None
    with pytest.raises(CoMCError, match="There are 0 global"):
        shots.tuned()


def test_as_a_method_it_is_the_same():
    shots, names = Shots(), ("dog", "cat", "key", "tree")
    images = ImageEmbeddings(shots.image_global, shots.image_local, -shots.image_global)
    shown = LabelledImages(names, images, torch.as_tensor(shots.labels))
    task = Task(names, shots.label_embeddings, SETTINGS["tau"], images=shown)
    preset = replace(RELEASED, positional_embedding=False, renormalise_mapped=True)
    method = FineTuned(shots.start, preset, SETTINGS["alpha"], pull=3.0)
    learned = method.learn(task, seed=0)
    expected = shots.tuned(pull=3.0)
    torch.testing.assert_close(learned.tensors["weight"], expected.weight, rtol=0, atol=0)
    scores = score_images(
        expected, shots.image_global, shots.image_local, shots.label_embeddings, **SETTINGS
    )
    assert torch.equal(method.recogniser(learned, task).score(images), scores.final)
    probe = method.from_scratch()
    assert probe.name == "linear probe" and not probe.start.weight.any()
    others = (replace(method, pull=2.0), replace(method, alpha=0.5), probe)
    settings = {m.learning_settings for m in (method, *others)}
    assert len(settings) == 4
