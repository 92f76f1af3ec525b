"""Class concepts, against their definition written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from comc_utils.baselines.class_concepts import ClassConcepts, ConceptPrompts, map_over_sentences
from comc_utils.clip import ImageEmbeddings
from comc_utils.errors import CoMCError
from comc_utils.method.protocol import LabelledText, Task


def unit_rows(*shape: int, seed: int) -> torch.Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=-1)


def attend(query: np.ndarray, values: list[np.ndarray | None], scale: float) -> np.ndarray | None:
    """Weigh those of the values that are there."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    weights = np.exp([scale * query @ value for value in there])
    return sum(w * value for w, value in zip(weights / weights.sum(), there, strict=True))


def literal_map(query: np.ndarray, sentences: np.ndarray, scale: float) -> np.ndarray:
    side = next(a for a in range(1, 99) if a**3 >= len(sentences))
    cube = [*sentences, *[None] * (side**3 - len(sentences))]
    rows = [attend(query, cube[i : i + side], scale) for i in range(0, side**3, side)]
    layers = [attend(query, rows[i : i + side], scale) for i in range(0, side**2, side)]
    return attend(query, layers, scale)


@pytest.mark.parametrize("m", [1, 2, 7, 8, 9, 27, 30])
def test_the_mapping_is_three_steps_of_attention(m):
    queries, sentences = unit_rows(5, 6, seed=1), unit_rows(m, 6, seed=2)
    given = map_over_sentences(queries, sentences, scale=3.0).numpy()
    wanted = [literal_map(query, sentences.numpy(), 3.0) for query in queries.numpy()]
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-9)


def test_scores_are_the_mean_of_whole_and_regions(monkeypatch):
    concepts, sentences = unit_rows(4, 6, seed=3), unit_rows(11, 6, seed=4)
    whole, regions = unit_rows(7, 6, seed=5), unit_rows(7, 3, 6, seed=6)
    recogniser = ConceptPrompts(concepts, sentences, 5.0)

    def logits(v: np.ndarray) -> np.ndarray:
        mapped = literal_map(v, sentences.numpy(), 5.0)
        return 5 * concepts.numpy() @ mapped / np.linalg.norm(mapped)

    wanted = []
    for v, own in zip(whole.numpy(), regions.numpy(), strict=True):
        of_regions = np.array([logits(r) for r in own])  # (K, N)
        share = np.exp(of_regions) / np.exp(of_regions).sum(axis=0)
        wanted.append((logits(v) + (share * of_regions).sum(axis=0)) / 2)
    images = ImageEmbeddings(whole, regions, whole)
    np.testing.assert_allclose(recogniser.score(images).numpy(), wanted, rtol=0, atol=1e-9)
    monkeypatch.setattr("comc_utils.baselines.class_concepts._AT_ONCE", 70)  # two images at a time
    np.testing.assert_allclose(recogniser.score(images).numpy(), wanted, rtol=0, atol=1e-9)
    alone = recogniser.score(ImageEmbeddings(whole, None, whole)).numpy()
    np.testing.assert_allclose(alone, [logits(v) for v in whole.numpy()], rtol=0, atol=1e-9)


def test_a_concept_is_the_mean_of_the_sentences_that_name_its_class():
    sentences, labels = unit_rows(3, 6, seed=7), torch.tensor([[1, 0], [1, 1], [0, 1]])
    text = LabelledText(sentences, labels, "three")
    task = Task(("cat", "dog"), unit_rows(2, 6, seed=8), 0.01, text=text)
    concepts = ClassConcepts().learn(task, seed=0).tensors["concepts"]
    mean = (sentences[1] + sentences[2]) / 2
    torch.testing.assert_close(concepts[1], mean / mean.norm())
    unnamed = Task(
        ("cat", "dog"),
        task.class_embeddings,
        0.01,
        text=LabelledText(sentences, labels * torch.tensor([1, 0]), "x"),
    )
    with pytest.raises(CoMCError, match="none names dog; give more sentences"):
        ClassConcepts().learn(unnamed, seed=0)


def test_images_may_be_mapped_over_some_of_the_sentences():
    text = LabelledText(unit_rows(9, 6, seed=7), torch.ones(9, 2, dtype=torch.int64), "nine")
    task = Task(("cat", "dog"), unit_rows(2, 6, seed=8), 0.01, text=text)
    few, all_, more = (ClassConcepts(n).fit(task, seed=0) for n in (3, None, 20))
    assert torch.equal(few.sentences, text.embeddings[[0, 4, 8]])
    assert torch.equal(all_.sentences, text.embeddings) and torch.equal(more.sentences, text.embeddings)
    assert torch.equal(few.concepts, all_.concepts)
