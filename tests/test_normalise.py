"""Scores that can be compared between images, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.method.normalise import Normalisation, comparable_scores, normalise

CHANGES = [how for how in Normalisation if how is not Normalisation.NONE]
# Apart by a 64th at least, or not at all: a shift rounds away what is far smaller than it.
NUMBERS = st.lists(st.integers(-1280, 1280).map(lambda n: n / 64), min_size=2, max_size=6)


def literally(scores: list[float], how: Normalisation) -> list[float]:
    """Write the definition out, number by number."""
    n = len(scores)
    mean = sum(scores) / n
    if how is Normalisation.SOFTMAX:
        total = sum(math.exp(s - max(scores)) for s in scores)
        return [math.exp(s - max(scores)) / total for s in scores]
    if how is Normalisation.CENTRED:
        return [s - mean for s in scores]
    deviation = math.sqrt(sum((s - mean) ** 2 for s in scores) / n)
    return [(s - mean) / deviation for s in scores]


def in_chunks(whole: Tensor, regions: Tensor | None, size: int):
    def chunks():
        for first in range(0, len(whole), size):
            rows = slice(first, first + size)
            yield rows, whole[rows], None if regions is None else regions[rows]

    return chunks


@pytest.fixture
def logits() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 5, generator=generator), torch.randn(7, 4, 5, generator=generator)


@pytest.mark.parametrize("how", CHANGES)
def test_a_row_is_normalised_as_defined(how):
    rows = [[1.0, 2.0, 4.0, -3.0], [0.5, 0.25, 0.0, 7.0]]
    given = normalise(torch.tensor(rows, dtype=torch.float64), how)
    wanted = torch.tensor([literally(row, how) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(given, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", CHANGES)
@given(row=NUMBERS, shift=st.floats(-20, 20, width=32))
def test_a_shift_of_an_image_changes_nothing(how, row, shift):
    scores = torch.tensor(row, dtype=torch.float64)
    torch.testing.assert_close(normalise(scores + shift, how), normalise(scores, how), rtol=1e-6, atol=1e-6)


@given(row=NUMBERS, factor=st.floats(0.125, 8, width=32))
def test_a_standardised_row_has_no_scale_either(row, factor):
    scores = torch.tensor(row, dtype=torch.float64)
    how = Normalisation.STANDARDISED
    torch.testing.assert_close(normalise(factor * scores, how), normalise(scores, how), rtol=1e-6, atol=1e-6)
    assert bool(normalise(scores, how).isfinite().all())


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_equal_scores_are_0_when_standardised(value):
    assert normalise(torch.full((3, 20), value), Normalisation.STANDARDISED).eq(0).all()


def test_nothing_is_nothing_and_one_class_cannot_be_compared(logits):
    assert normalise(logits[0], Normalisation.NONE) is logits[0]
    assert normalise(logits[0][:, :1], Normalisation.NONE).shape == (7, 1)
    for how in CHANGES:
        with pytest.raises(CoMCError, match=f"one class alone cannot be {how} over the classes; score two"):
            normalise(logits[0][:, :1], how)


@pytest.mark.parametrize("minus_class_means", [False, True])
@pytest.mark.parametrize("how", Normalisation)
@pytest.mark.parametrize("with_regions", [False, True])
def test_regions_are_normalised_before_their_maximum(logits, how, with_regions, minus_class_means):
    whole, regions = (part.double() for part in logits)
    means = [[float(whole[:, c].mean()), float(regions[:, :, c].mean())] for c in range(5)]
    wanted = torch.empty(7, 5, dtype=torch.float64)

    def of(row: Tensor, part: int) -> list[float]:
        values = [float(row[c]) - (means[c][part] if minus_class_means else 0) for c in range(5)]
        return values if how is Normalisation.NONE else literally(values, how)

    for i in range(7):
        of_image = of(whole[i], 0)
        of_regions = [of(region, 1) for region in regions[i]]
        for c in range(5):
            highest = max(region[c] for region in of_regions)
            wanted[i, c] = (of_image[c] + highest) / 2 if with_regions else of_image[c]
    for size in (1, 3, 7):
        chunks = in_chunks(whole, regions if with_regions else None, size)
        given = comparable_scores(chunks, how, minus_class_means=minus_class_means)
        torch.testing.assert_close(given, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", Normalisation)
def test_an_inductive_score_needs_no_other_image_and_a_transductive_one_does(logits, how):
    whole, regions = logits
    few = in_chunks(whole[:3], regions[:3], 2)
    all_of_them = comparable_scores(in_chunks(whole, regions, 2), how)
    torch.testing.assert_close(comparable_scores(few, how), all_of_them[:3], rtol=0, atol=1e-6)
    by_means = comparable_scores(in_chunks(whole, regions, 2), how, minus_class_means=True)
    of_few = comparable_scores(few, how, minus_class_means=True)
    assert not torch.allclose(of_few, by_means[:3], atol=1e-3)


def test_a_normalisation_goes_by_its_name():
    assert Normalisation("softmax") is Normalisation.SOFTMAX
    with pytest.raises(
        CoMCError, match="no normalisation 'softmx'; known: as it is, centred, standardised, softmax"
    ):
        Normalisation("softmx")
