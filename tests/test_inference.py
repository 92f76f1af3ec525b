"""Scores against a literal transcription of eq. 4 to 12, and what must hold for any input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.errors import CoMCError
from comc_utils.method import logits as images_to_logits
from comc_utils.method import scores as inference
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.scores import ScoreComponents, score_components, score_images

N_IMAGES, N_REGIONS, N_LABELS, DIMENSION = 6, 4, 5, 8
SEEDS = st.integers(0, 2**31)


class World:
    """Random inputs in float64."""

    def __init__(self, seed: int, *, bias: bool = True) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.image_global = self.unit_vectors(N_IMAGES, DIMENSION)
        self.image_local = self.unit_vectors(N_IMAGES, N_REGIONS, DIMENSION)
        self.label_embeddings = self.unit_vectors(N_LABELS, DIMENSION)
        self.classifier = LinearClassifier(
            self.numbers(N_LABELS, DIMENSION), self.numbers(N_LABELS) if bias else None
        )

    def numbers(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64)

    def unit_vectors(self, *shape: int) -> Tensor:
        return normalize(self.numbers(*shape), dim=-1)

    def scores(self, alpha: float, **changes):
        inputs = {
            "image_global": self.image_global,
            "image_local": self.image_local,
            "label_embeddings": self.label_embeddings,
            "tau": 0.1,
        } | changes
        return score_images(self.classifier, alpha=alpha, **inputs)


def _transcribed(world: World, alpha: float, tau: float, renormalise: bool) -> tuple:
    """Eq. 4 to 12, one image, region and label after the other."""
    s = world.label_embeddings.numpy()
    weight = world.classifier.weight.numpy()
    bias = 0 if world.classifier.bias is None else world.classifier.bias.numpy()

    def fused(v: np.ndarray) -> np.ndarray:
        exponentials = np.array([np.exp(s[i] @ v / tau) for i in range(N_LABELS)])
        m = sum(exponentials[i] / exponentials.sum() * s[i] for i in range(N_LABELS))  # 4, 5
        if renormalise:
            m = m / np.linalg.norm(m)
        return alpha * v + (1 - alpha) * m  # 6, 7

    p_glob, p_agg, p_final = [], [], []
    for image in range(N_IMAGES):
        p_glob.append(weight @ fused(world.image_global[image].numpy()) + bias)  # 8
        p_loc = [
            weight @ fused(world.image_local[image, j].numpy()) + bias for j in range(N_REGIONS)
        ]  # 9
        p_agg.append(
            [max(p_loc[j][i] for j in range(N_REGIONS)) for i in range(N_LABELS)]
        )  # 10, 11
        p_final.append(0.5 * (p_glob[-1] + np.array(p_agg[-1])))  # 12
    return np.array(p_glob), np.array(p_agg), np.array(p_final)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("renormalise", [True, False], ids=["released", "paper"])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("tau", [0.01, 0.3])
def test_scores_are_equations_4_to_12(
    alpha: float, tau: float, renormalise: bool, bias: bool
) -> None:
    world = World(seed=7, bias=bias)
    expected = _transcribed(world, alpha, tau, renormalise)
    scores = world.scores(alpha, tau=tau, renormalise=renormalise)
    for found, wanted in zip(
        (scores.global_scores, scores.aggregated, scores.final), expected, strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [1, 4, 6, 100, None])
def test_components_and_chunks_change_nothing(
    chunk_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So little memory that one image goes through at a time where chunk_size is None.
    monkeypatch.setattr(images_to_logits, "_WORKING_BYTES", 1000)
    world = World(seed=1)
    components = score_components(
        world.classifier,
        world.image_global,
        world.image_local,
        world.label_embeddings,
        tau=0.1,
        chunk_size=chunk_size,
    )
    for alpha in (0.0, 0.3, 1.0):
        whole = world.scores(alpha)
        torch.testing.assert_close(components.at(alpha).final, whole.final, rtol=1e-12, atol=1e-12)
        chunked = world.scores(alpha, chunk_size=chunk_size)
        torch.testing.assert_close(chunked.final, whole.final, rtol=1e-12, atol=1e-12)


def test_without_local_embeddings_the_global_scores_are_final() -> None:
    world = World(seed=2)
    scores = world.scores(0.5, image_local=None)
    assert scores.aggregated is None
    torch.testing.assert_close(scores.final, world.scores(0.5).global_scores)


@given(seed=SEEDS, order=st.permutations(range(N_IMAGES)), alpha=st.floats(0, 1))
def test_permuting_images_permutes_scores(seed: int, order: list[int], alpha: float) -> None:
    world = World(seed)
    permuted = world.scores(
        alpha, image_global=world.image_global[order], image_local=world.image_local[order]
    )
    torch.testing.assert_close(
        permuted.final, world.scores(alpha).final[order], rtol=1e-9, atol=1e-12
    )


@given(seed=SEEDS, order=st.permutations(range(N_REGIONS)), alpha=st.floats(0, 1))
def test_permuting_regions_changes_nothing(seed: int, order: list[int], alpha: float) -> None:
    world = World(seed)
    permuted = world.scores(alpha, image_local=world.image_local[:, order])
    torch.testing.assert_close(permuted.final, world.scores(alpha).final, rtol=1e-9, atol=1e-12)


@given(seed=SEEDS, tau=st.floats(0.01, 10), renormalise=st.booleans())
def test_alpha_1_ignores_the_mapping(seed: int, tau: float, renormalise: bool) -> None:
    """Any label embeddings and any temperature give the scores of the classifier alone."""
    world = World(seed)
    scores = world.scores(
        1.0,
        label_embeddings=world.unit_vectors(3, DIMENSION),
        tau=tau,
        renormalise=renormalise,
    )
    decision = world.classifier.decision_function
    expected = (decision(world.image_global) + decision(world.image_local).amax(dim=1)) / 2
    torch.testing.assert_close(scores.final, expected, rtol=1e-9, atol=1e-12)


@given(seed=SEEDS, renormalise=st.booleans())
def test_alpha_0_sees_the_image_only_through_its_label_weights(
    seed: int, renormalise: bool
) -> None:
    """Whatever an image holds at right angles to all label embeddings cannot change its scores."""
    world = World(seed)
    basis = torch.linalg.qr(world.label_embeddings.T).Q  # (d, N), spans the label embeddings

    def perpendicular(x: Tensor) -> Tensor:
        return x - x @ basis @ basis.T

    other = {
        "image_global": world.image_global
        + perpendicular(world.numbers(*world.image_global.shape)),
        "image_local": world.image_local + perpendicular(world.numbers(*world.image_local.shape)),
    }
    before = world.scores(0.0, renormalise=renormalise).final
    after = world.scores(0.0, renormalise=renormalise, **other).final
    torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-9)
    assert not torch.allclose(world.scores(0.5, **other).final, world.scores(0.5).final)


def test_the_image_that_breaks_the_scores_is_named() -> None:
    world = World(seed=0)
    broken = world.image_global.clone()
    broken[4, 2] = torch.nan
    with pytest.raises(CoMCError, match="scores of image 4"):
        world.scores(0.5, image_global=broken, chunk_size=3)
    infinite = world.image_local.clone()
    infinite[5, 1, 0] = torch.inf
    with pytest.raises(CoMCError, match="scores of image 5"):
        world.scores(1.0, image_local=infinite)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_global": torch.ones(6, 7)}, r"Global .* \(6, 7\); expected \(n, 8\)"),
        ({"image_global": torch.ones(0, 8)}, r"Global .* at least one image"),
        ({"image_local": torch.ones(5, 4, 8)}, r"Local .* \(5, 4, 8\); expected \(6, K, 8\)"),
        ({"image_local": torch.ones(6, 0, 8)}, "at least one region"),
        ({"label_embeddings": torch.ones(5, 9)}, r"Label .* \(5, 9\); expected \(N, 8\)"),
        ({"chunk_size": 0}, "chunk_size is 0"),
        ({"tau": 0.0}, "tau is 0"),
    ],
    ids=["global", "no image", "images", "no region", "labels", "chunk", "tau"],
)
def test_bad_input_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        World(seed=0).scores(0.5, **changes)


@pytest.mark.parametrize("alpha", [-0.01, 1.01])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(CoMCError, match="alpha is"):
        World(seed=0).scores(alpha)


def test_parts_of_several_classifiers_are_put_back_in_order():
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize
    images = unit(torch.randn(7, 5, generator=generator), dim=-1)
    local = unit(torch.randn(7, 3, 5, generator=generator), dim=-1)
    prompts = unit(torch.randn(4, 5, generator=generator), dim=-1)
    classifiers = [
        LinearClassifier(
            torch.randn(4, 5, generator=generator), torch.randn(4, generator=generator)
        ),
        LinearClassifier(torch.randn(4, 5, generator=generator), None),
    ]
    folds = [[5, 0, 3], [6, 1, 2, 4]]
    parts = [
        score_components(c, images[rows], local[rows], prompts, tau=0.1)
        for c, rows in zip(classifiers, folds, strict=True)
    ]
    joined = ScoreComponents.concatenate(parts, [row for rows in folds for row in rows])
    for alpha in (0.0, 0.3, 1.0):
        whole = joined.at(alpha).final
        for part, rows in zip(parts, folds, strict=True):
            torch.testing.assert_close(whole[rows], part.at(alpha).final)
    with pytest.raises(CoMCError, match="7 images.*7 rows are given, 6 of them distinct"):
        ScoreComponents.concatenate(parts, [0, 0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("regions", [0, 7])
def test_a_sweep_equals_one_evaluation_after_another(regions, bias, monkeypatch):
    # So small that chunks end within the images, and the last is shorter.
    monkeypatch.setattr(inference, "_CACHED_NUMBERS", 4 * 7 * 5)
    generator = torch.Generator().manual_seed(8)
    unit = lambda *shape: normalize(torch.randn(*shape, generator=generator), dim=-1)  # noqa: E731
    classifier = LinearClassifier(
        torch.randn(5, 16, generator=generator),
        torch.randn(5, generator=generator) if bias else None,
    )
    whole, labels = unit(10, 16), unit(5, 16)
    local = unit(10, regions, 16) if regions else None
    alphas = torch.linspace(0, 1, 11).tolist()
    swept = score_components(classifier, whole, local, labels, tau=0.05).sweep(alphas)
    for alpha, scores in zip(alphas, swept, strict=True):
        slow = score_images(classifier, whole, local, labels, alpha=alpha, tau=0.05)
        assert torch.allclose(scores.global_scores, slow.global_scores, atol=1e-5)
        assert torch.allclose(scores.final, slow.final, atol=1e-5)
        literal = _literal(classifier, whole, local, labels, alpha)
        assert torch.allclose(scores.final, literal, atol=1e-5)


def _literal(classifier, whole, local, labels, alpha):
    def logits(v):
        mapped = (v @ labels.T / 0.05).softmax(-1) @ labels
        return classifier.decision_function(alpha * v + (1 - alpha) * mapped)

    if local is None:
        return logits(whole)
    return (logits(whole) + logits(local).amax(dim=1)) / 2


def test_a_sweep_refuses_an_alpha_outside_its_range():
    parts = score_components(
        LinearClassifier(torch.eye(3)), torch.eye(3), None, torch.eye(3), tau=0.1
    )
    with pytest.raises(CoMCError, match="alpha is 1.2"):
        parts.sweep([0.5, 1.2])


class OnDisk:
    """Local embeddings in a file: they have a shape and give slices, nothing else."""

    def __init__(self, path: Path, embeddings: Tensor) -> None:
        embeddings.numpy().tofile(path)
        self.shape = tuple(embeddings.shape)
        self._memory = np.memmap(path, dtype=embeddings.numpy().dtype, mode="r", shape=self.shape)
        self.most_images = 0

    def __getitem__(self, rows: slice) -> Tensor:
        part = torch.from_numpy(np.array(self._memory[rows]))
        self.most_images = max(self.most_images, len(part))
        return part


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_local_embeddings_may_come_from_a_file_in_slices(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    world = World(seed=4)
    on_disk = OnDisk(tmp_path / "local", world.image_local.to(dtype))
    expected = world.scores(0.4, image_local=world.image_local.to(dtype).double())
    scores = world.scores(0.4, image_local=on_disk, chunk_size=4)
    assert on_disk.most_images == 4
    assert scores.final.dtype == torch.float64  # as the classifier
    torch.testing.assert_close(scores.final, expected.final, rtol=1e-12, atol=1e-12)
    components = score_components(
        world.classifier, world.image_global, on_disk, world.label_embeddings, tau=0.1
    )
    torch.testing.assert_close(components.at(0.4).final, expected.final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-4])
def test_mapped_embeddings_that_nearly_cancel_keep_their_digits(apart: float) -> None:
    """Opposite label embeddings give m of a length near `apart`, whose square float32 would lose."""
    generator = torch.Generator().manual_seed(9)
    s = normalize(torch.randn(1, 64, generator=generator, dtype=torch.float64), dim=-1)
    off = normalize(torch.randn(2, 64, generator=generator, dtype=torch.float64), dim=-1)
    labels = normalize(torch.cat([s, -s]) + apart * off, dim=-1).float()
    images = torch.zeros(3, 64)  # equally similar to all labels
    weight = torch.randn(5, 64, generator=generator)
    scores = score_images(
        LinearClassifier(weight), images, None, labels, alpha=0.0, tau=0.1, renormalise=True
    ).final
    mean = labels.double().mean(dim=0)
    expected = weight.double() @ mean / mean.norm()
    # m's own rounding, relative to its length, is all that is lost.
    torch.testing.assert_close(scores[0].double(), expected, rtol=0, atol=2e-6 / apart)


def test_label_embeddings_that_cancel_map_to_zero() -> None:
    labels = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    scores = score_images(
        LinearClassifier(torch.eye(2)), torch.tensor([[0.0, 1.0]]), None, labels,
        alpha=0.0, tau=0.1, renormalise=True,
    )  # fmt: skip
    assert scores.final.tolist() == [[0.0, 0.0]]


def test_finite_scores_whose_sum_overflows_are_no_error() -> None:
    world = World(seed=5)
    huge = LinearClassifier(torch.full((N_LABELS, DIMENSION), 1e307, dtype=torch.float64))
    inputs = (world.image_global.abs(), world.image_local.abs(), world.label_embeddings)
    scores = score_images(huge, *inputs, alpha=1.0, tau=0.1)
    assert scores.final.sum() == torch.inf
    assert scores.final.isfinite().all()
