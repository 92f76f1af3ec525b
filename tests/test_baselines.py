"""Zero-shot CLIP and CLIP-DPT against literal loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from comc_utils.baselines.clip_dpt import clip_dpt_scores
from comc_utils.baselines.zero_shot_clip import zero_shot_scores
from comc_utils.errors import CoMCError

SCALE = 100.0


@pytest.fixture
def embeddings() -> tuple[Tensor, Tensor, Tensor]:
    """Global, local and label unit vectors, so close that no region takes all the weight."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return normalize(1 + 0.02 * noise, dim=-1)

    return draw(5, 8), draw(5, 4, 8), draw(3, 8)


def test_zero_shot_is_scaled_cosine(embeddings: tuple[Tensor, Tensor, Tensor]) -> None:
    images, _, labels = embeddings
    scores = zero_shot_scores(images, labels, scale=SCALE)
    for i in range(5):
        for c in range(3):
            cosine = sum(images[i, x].item() * labels[c, x].item() for x in range(8))
            assert scores[i, c].item() == pytest.approx(SCALE * cosine, rel=1e-12)


@pytest.mark.parametrize("chunk_size", [2, 256])
def test_clip_dpt_is_a_literal_loop(embeddings: tuple[Tensor, Tensor, Tensor], chunk_size: int) -> None:
    images, regions, labels = embeddings
    scores = clip_dpt_scores(images, regions, labels, scale=SCALE, chunk_size=chunk_size)
    for i in range(5):
        for c in range(3):
            logits = [SCALE * float(regions[i, j] @ labels[c]) for j in range(4)]
            total = sum(math.exp(z) for z in logits)
            local = sum(math.exp(z) / total * z for z in logits)
            expected = (SCALE * float(images[i] @ labels[c]) + local) / 2
            assert scores[i, c].item() == pytest.approx(expected, rel=1e-12)


def test_clip_dpt_of_equal_regions_is_zero_shot(embeddings: tuple[Tensor, Tensor, Tensor]) -> None:
    images, _, labels = embeddings
    same = images[:, None].expand(5, 4, 8)
    torch.testing.assert_close(
        clip_dpt_scores(images, same, labels, scale=SCALE), zero_shot_scores(images, labels, scale=SCALE)
    )


def test_shapes_that_do_not_match_are_named() -> None:
    with pytest.raises(CoMCError, match=r"\(5, 8\) and label embeddings \(3, 7\)"):
        zero_shot_scores(torch.ones(5, 8), torch.ones(3, 7), scale=SCALE)
    with pytest.raises(CoMCError, match=r"\(4, 2, 8\); expected \(5, K, 8\)"):
        clip_dpt_scores(torch.ones(5, 8), torch.ones(4, 2, 8), torch.ones(3, 8), scale=SCALE)
    with pytest.raises(CoMCError, match="at least one region"):
        clip_dpt_scores(torch.ones(5, 8), torch.ones(5, 0, 8), torch.ones(3, 8), scale=SCALE)
