"""Mapping and fusion against their equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.errors import CoMCError
from comc_utils.method.mapping import fuse, label_weights, map_to_text


def unit_vectors(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("tau", [0.01, 0.5])
def test_mapping_is_equation_5_region_by_region(tau: float, renormalise: bool) -> None:
    v, s = unit_vectors(3, 4, 8, seed=0), unit_vectors(5, 8, seed=1)
    mapped = map_to_text(v, s, tau=tau, renormalise=renormalise)
    for image in range(3):
        for j in range(4):
            similarity = [float(s[i].numpy() @ v[image, j].numpy()) / tau for i in range(5)]
            total = sum(np.exp(similarity))
            m = np.zeros(8)
            for i in range(5):
                m += np.exp(similarity[i]) / total * s[i].numpy()
            if renormalise:
                m /= np.sqrt(sum(m**2))
            np.testing.assert_allclose(mapped[image, j], m, rtol=1e-10, atol=1e-12)


@given(seed=st.integers(0, 2**31), tau=st.floats(0.005, 10))
def test_weights_are_a_distribution_that_follows_similarity(seed: int, tau: float) -> None:
    v, s = unit_vectors(6, 8, seed=seed), unit_vectors(5, 8, seed=seed + 1)
    weights = label_weights(v, s, tau=tau)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(6, dtype=torch.float64))
    assert (weights >= 0).all()
    assert torch.equal(weights.argmax(dim=-1), (v @ s.T).argmax(dim=-1))


@given(seed=st.integers(0, 2**31), order=st.permutations(range(6)))
def test_permuting_images_permutes_mapped_embeddings(seed: int, order: list[int]) -> None:
    v, s = unit_vectors(6, 8, seed=seed), unit_vectors(5, 8, seed=seed + 1)
    torch.testing.assert_close(
        map_to_text(v[order], s, tau=0.1), map_to_text(v, s, tau=0.1)[order], rtol=1e-9, atol=1e-12
    )


def test_low_temperature_picks_the_nearest_label_and_high_temperature_the_mean() -> None:
    v, s = unit_vectors(6, 8, seed=0), unit_vectors(5, 8, seed=1)
    nearest = s[(v @ s.T).argmax(dim=-1)]
    torch.testing.assert_close(map_to_text(v, s, tau=1e-5), nearest)
    mean = s.mean(dim=0).expand(6, 8)
    torch.testing.assert_close(map_to_text(v, s, tau=1e9), mean)


def test_renormalised_embeddings_have_unit_length() -> None:
    v, s = unit_vectors(6, 8, seed=0), unit_vectors(5, 8, seed=1)
    lengths = map_to_text(v, s, tau=0.1).norm(dim=-1)
    assert (lengths < 0.999).all()
    renormalised = map_to_text(v, s, tau=0.1, renormalise=True)
    torch.testing.assert_close(renormalised.norm(dim=-1), torch.ones(6, dtype=torch.float64))


@given(alpha=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_fusion_is_equation_6(alpha: float, seed: int) -> None:
    v, m = unit_vectors(4, 8, seed=seed), unit_vectors(4, 8, seed=seed + 1)
    expected = alpha * v.numpy() + (1 - alpha) * m.numpy()
    np.testing.assert_allclose(fuse(v, m, alpha), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(CoMCError, match="alpha is"):
        fuse(torch.ones(2), torch.ones(2), alpha)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
def test_temperature_that_is_not_positive_is_refused(tau: float) -> None:
    with pytest.raises(CoMCError, match="temperature tau is"):
        map_to_text(torch.ones(2, 3), torch.ones(4, 3), tau=tau)


def test_shapes_that_do_not_match_are_named() -> None:
    with pytest.raises(CoMCError, match=r"\(2, 3\) and label embeddings \(4, 5\)"):
        label_weights(torch.ones(2, 3), torch.ones(4, 5), tau=1.0)
    with pytest.raises(CoMCError, match=r"\(2, 3\) and mapped ones \(2, 4\)"):
        fuse(torch.ones(2, 3), torch.ones(2, 4), 0.5)
