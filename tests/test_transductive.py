"""Methods that look at the other images, against their equations written out."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from comc_utils.baselines.prototypes import prototype_scores
from comc_utils.baselines.sparc import sparc_scores
from comc_utils.errors import CoMCError

N, LABELS = 23, 5
PAIRS = list(combinations(range(LABELS), 2))
MEMBERS = [[row for row, pair in enumerate(PAIRS) if label in pair] for label in range(LABELS)]


@pytest.fixture
def cosines() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(N, 1, generator=generator, dtype=torch.float64)
    draw = lambda n: 0.1 * torch.randn(N, n, generator=generator, dtype=torch.float64) + 0.2 * image  # noqa: E731
    single = draw(LABELS)
    of_pairs = torch.stack([(single[:, a] + single[:, b]) / 2 for a, b in PAIRS], dim=1)
    return single, draw(LABELS), of_pairs + 0.3 * draw(len(PAIRS))


def of_column(column: np.ndarray) -> np.ndarray:
    return (column - column.mean()) / column.std(ddof=1)


def test_sparc_is_what_its_equations_say(cosines):
    single, plain, pairs = (part.numpy() for part in cosines)
    own, compound = np.empty_like(single), np.empty_like(pairs)
    for i in range(N):
        own[i] = (single[i] - single[i].mean()) / single[i].std(ddof=1)
        compound[i] = (pairs[i] - plain[i].mean()) / plain[i].std(ddof=1)
    own, compound = (np.apply_along_axis(of_column, 0, part) for part in (own, compound))
    wanted = np.empty_like(single)
    for label in range(LABELS):
        evidence = np.array([[*sorted(compound[i, MEMBERS[label]]), own[i, label]] for i in range(N)])
        weights = PCA().fit(evidence).components_[0]
        weights = -weights if weights.mean() < 0 else weights
        weights = weights / np.abs(weights).sum()
        for i in range(N):
            wanted[i, label] = (float(evidence[i] @ weights) + own[i, label]) / 2
    given = sparc_scores(*cosines, torch.tensor(MEMBERS)).numpy()
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-9)


def test_sparc_is_blind_to_shift_and_scale_of_an_image(cosines):
    factor = torch.linspace(0.5, 2, N, dtype=torch.float64)[:, None]
    moved = [part * factor + factor for part in cosines]
    members = torch.tensor(MEMBERS)
    torch.testing.assert_close(sparc_scores(*moved, members), sparc_scores(*cosines, members))


def test_prototypes_are_what_their_equations_say():
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    logits = 3 * torch.randn(9, 4, generator=generator, dtype=torch.float64)
    v, rows = embeddings.tolist(), logits.tolist()
    p = [[math.exp(a) / sum(map(math.exp, row)) for a in row] for row in rows]
    mean = [sum(one[j] for one in v) / 9 for j in range(6)]

    def unit(vector):
        return [a / math.sqrt(sum(b * b for b in vector)) for a in vector]

    u = [unit([a - m for a, m in zip(one, mean, strict=True)]) for one in v]
    wanted = np.zeros((9, 4))
    for c in range(4):
        prototype = unit([sum(p[i][c] * u[i][j] for i in range(9)) for j in range(6)])
        nearness = np.array([sum(a * b for a, b in zip(one, prototype, strict=True)) for one in u])
        log_share = np.log([p[i][c] for i in range(9)])
        wanted[:, c] = (of_column(log_share) + of_column(nearness)) / 2
    np.testing.assert_allclose(prototype_scores(logits, embeddings).numpy(), wanted, rtol=0, atol=1e-9)


def test_one_image_has_no_others(cosines):
    with pytest.raises(CoMCError, match="standardises over images; give two or more, not 1"):
        sparc_scores(*(part[:1] for part in cosines), torch.tensor(MEMBERS))
    with pytest.raises(CoMCError, match="come from the images to score; give two or more, not 1"):
        prototype_scores(torch.zeros(1, 3), torch.ones(1, 4))
