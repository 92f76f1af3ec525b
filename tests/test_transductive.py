"""Methods that look at the other images, against their equations written out."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from comc_utils.baselines.piaa import Piaa, RegionDiscriminant, clean_discriminant, sure_regions
from comc_utils.baselines.prototypes import Prototypes, SoftPrototypes
from comc_utils.baselines.sparc import sparc_scores
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.normalise import Normalisation

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


def unit_rows(*shape: int, seed: int) -> torch.Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=-1)


def softmax(row: np.ndarray) -> np.ndarray:
    return np.exp(row - row.max()) / np.exp(row - row.max()).sum()


def literal_unit(vector: np.ndarray) -> np.ndarray:
    return vector / math.sqrt(sum(a * a for a in vector))


def literal_step(logits: np.ndarray, how: Normalisation) -> np.ndarray:
    if how is Normalisation.SOFTMAX:
        return np.log(softmax(logits))
    moved = logits - logits.mean()
    return moved / math.sqrt(np.mean(moved**2)) if how is Normalisation.STANDARDISED else moved


def literal_prototypes(
    v: np.ndarray, regions: np.ndarray, prompts: np.ndarray, scale: float, given: Prototypes
):
    """Prototypes from end to end, an image and a region at a time."""
    n, k = regions.shape[:2]
    logits = scale * np.array([[v[i] @ s for s in prompts] for i in range(n)])
    of_regions = scale * np.array([[[r @ s for s in prompts] for r in regions[i]] for i in range(n)])
    if given.minus_class_means:
        logits = logits - logits.mean(axis=0)
        of_regions = of_regions - of_regions.reshape(n * k, -1).mean(axis=0)
    base = np.array([literal_step(row, given.normalisation) for row in logits])
    if given.regions:
        highest = [
            np.max([literal_step(row, given.normalisation) for row in rows], axis=0) for rows in of_regions
        ]
        base = (base + highest) / 2

    def nearness(vectors: np.ndarray, shares: np.ndarray) -> np.ndarray:
        u = np.array([literal_unit(one) for one in vectors - vectors.mean(axis=0)])
        prototypes = [
            literal_unit(sum(p[c] * one for p, one in zip(shares, u, strict=True))) for c in range(len(prompts))
        ]
        return np.array([[one @ prototype for prototype in prototypes] for one in u])

    near = np.apply_along_axis(of_column, 0, nearness(v, np.array([softmax(row) for row in logits])))
    if given.regions:
        shares = np.array([softmax(row) for row in of_regions.reshape(n * k, -1)])
        each = nearness(regions.reshape(n * k, -1), shares).reshape(n, k, -1)
        near = (near + np.apply_along_axis(of_column, 0, each.max(axis=1))) / 2
    scores = (1 - given.weight) * np.apply_along_axis(of_column, 0, base) + given.weight * near
    u = np.array([literal_unit(one) for one in v - v.mean(axis=0)])
    smooth = []
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -u[i] @ u[j])[:5]
        smooth.append((1 - given.smoothing) * scores[i] + given.smoothing * np.mean(scores[others], axis=0))
    return np.array(smooth)


@pytest.mark.parametrize(
    "settings",
    [
        Prototypes(),
        Prototypes(Normalisation.CENTRED, regions=True, weight=0.3),
        Prototypes(Normalisation.STANDARDISED, minus_class_means=True, regions=True, weight=0.7, smoothing=0.2),
        Prototypes(Normalisation.SOFTMAX, minus_class_means=True, weight=0.0, smoothing=0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("at_once", [256, 4])
def test_prototypes_are_what_their_equations_say(settings, at_once, monkeypatch):
    monkeypatch.setattr("comc_utils.baselines.prototypes._AT_ONCE", at_once)
    v, regions, prompts = unit_rows(9, 6, seed=1), unit_rows(9, 3, 6, seed=2), unit_rows(4, 6, seed=3)
    given = SoftPrototypes(prompts, 7.0, settings).score(ImageEmbeddings(v, regions, v)).numpy()
    wanted = literal_prototypes(v.numpy(), regions.numpy(), prompts.numpy(), 7.0, settings)
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-9)


def test_one_image_has_no_others(cosines):
    with pytest.raises(CoMCError, match="standardises over images; give two or more, not 1"):
        sparc_scores(*(part[:1] for part in cosines), torch.tensor(MEMBERS))
    with pytest.raises(CoMCError, match="come from the images to score; give two or more, not 1"):
        one = unit_rows(1, 6, seed=1)
        SoftPrototypes(unit_rows(3, 6, seed=2), 1.0, Prototypes()).score(ImageEmbeddings(one, None, one))


def literal_discriminant(x, classes, shares, prompts):
    """One fit of PIAA's, a vector at a time."""
    m, d = x.shape
    means = np.array(prompts)
    for c in set(classes):
        rows = [i for i in range(m) if classes[i] == c]
        means[c] = sum(shares[i][c] * x[i] for i in rows) / sum(shares[i][c] for i in rows)
    covariance = np.cov(np.array([x[i] - means[classes[i]] for i in range(m)]).T)
    precision = d * np.linalg.pinv((m - 1) * covariance + np.trace(covariance) * np.eye(d))
    prior = math.log(1 / len(prompts))
    return means @ precision, np.array([prior - mean @ precision @ mean / 2 for mean in means])


def literal_piaa(whole, regions, prompts, settings: Piaa):
    """PIAA from end to end, a region at a time."""
    flat = regions.reshape(-1, regions.shape[-1])
    shares = [softmax(60 * prompts @ v) for v in flat]
    entropy = [-sum(p * math.log(p) for p in share) for share in shares]
    chosen = []
    for c in range(len(prompts)):
        of_class = sorted((entropy[i], i) for i in range(len(flat)) if np.argmax(shares[i]) == c)
        chosen += [i for _, i in of_class[: settings.regions_per_class]]
    x, shares = flat[chosen], [shares[i] for i in chosen]
    weight, bias = literal_discriminant(x, [int(np.argmax(s)) for s in shares], shares, prompts)
    shares = [softmax(settings.cleaning_scale * (weight @ v + bias)) for v in x]
    classes = [int(np.argmax(weight @ v + bias)) for v in x]
    kept = []
    for c in sorted(set(classes)):
        of_class = [(i, shares[i][c]) for i in range(len(x)) if classes[i] == c]
        own = [share for _, share in of_class]
        if len(own) > 1:
            kept += [i for i, share in of_class if share >= np.mean(own) + np.std(own, ddof=1)]
    if len(kept) >= 2:
        weight, bias = literal_discriminant(
            x[kept], [classes[i] for i in kept], [shares[i] for i in kept], prompts
        )
    scores = []
    for v, own in zip(whole, regions, strict=True):
        highest = np.max([softmax((weight @ r + bias) / 500) for r in own], axis=0)
        scores.append(
            0.1 * softmax(settings.global_scale * prompts @ v) + 0.9 * softmax(settings.region_scale * highest)
        )
    return np.array(scores)


@pytest.mark.parametrize(
    "settings", [Piaa(cleaning_scale=0.5, regions_per_class=8), Piaa(cleaning_scale=0.01, region_scale=400)]
)
@pytest.mark.parametrize("n", [2, 12])
def test_piaa_is_what_its_equations_say(settings, n):
    whole, regions, prompts = unit_rows(n, 6, seed=4), unit_rows(n, 9, 6, seed=5), unit_rows(4, 6, seed=6)
    images = ImageEmbeddings(whole, regions, whole)
    given = RegionDiscriminant(prompts, settings).score(images).numpy()
    wanted = literal_piaa(whole.numpy(), regions.numpy(), prompts.numpy(), settings)
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-9)


def test_piaas_regions_are_the_sure_ones_also_from_shards():
    """A slice of images is all that shards give; 300 images are two of them."""
    regions, prompts = unit_rows(300, 4, 6, seed=7), unit_rows(3, 6, seed=8)

    class Shards:
        shape = regions.shape

        def __getitem__(self, rows: slice) -> torch.Tensor:
            assert isinstance(rows, slice)
            return regions[rows]

    sure, classes = sure_regions(Shards(), prompts, 5)
    assert classes.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    shares = (60 * regions.flatten(0, 1) @ prompts.T).softmax(dim=1)
    entropy = -(shares * shares.log()).sum(dim=1)
    for label in range(3):
        of_class = entropy.where(shares.argmax(dim=1) == label, torch.inf)
        wanted = regions.flatten(0, 1)[of_class.argsort()[:5]]
        torch.testing.assert_close(sure[classes == label], wanted)


def test_a_class_without_a_sure_region_is_its_prompt():
    prompts = unit_rows(3, 6, seed=9)
    regions = torch.nn.functional.normalize(prompts[:2].repeat(5, 1) + 0.1 * unit_rows(10, 6, seed=10), dim=1)
    weight, _ = clean_discriminant(regions, torch.tensor([0, 1] * 5), prompts, 0.01)
    assert weight[2].norm() > 0 and weight.isfinite().all()


def test_one_region_is_too_few():
    with pytest.raises(CoMCError, match="regions of the images to score; give two or more, not 1"):
        sure_regions(unit_rows(1, 1, 6, seed=1), unit_rows(3, 6, seed=2), 5)
