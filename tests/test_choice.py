"""Settings that are chosen without a label, and the criteria by which they could be."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from test_experiment import tiny
from test_transductive import unit_rows

from comc_utils.baselines import criteria as all_criteria
from comc_utils.baselines.choice import (
    halvings,
    inference_agreement,
    prototype_agreement,
    prototype_family,
    take,
)
from comc_utils.baselines.prototypes import Evidence, Prototypes
from comc_utils.baselines.run import Trained
from comc_utils.clip import ImageEmbeddings
from comc_utils.evaluation import agreement as criteria
from comc_utils.experiment import Experiment
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.comc import CoMC, FusedClassifier
from comc_utils.method.presets import RELEASED
from comc_utils.method.protocol import Learned

N, LABELS = 40, 4


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth, shift = generator.normal(size=(N, LABELS)), generator.normal(size=(N, 1))
    return tuple(truth + shift + 0.3 * generator.normal(size=(N, LABELS)) for _ in range(2))


def test_agreement_is_what_it_says(views):
    first, second = views
    table = [[spearmanr(first[:, a], second[:, b]).statistic for b in range(LABELS)] for a in range(LABELS)]
    own = np.mean([table[a][a] for a in range(LABELS)])
    other = np.mean([table[a][b] for a in range(LABELS) for b in range(LABELS) if a != b])
    assert criteria.agreement(first, second) == pytest.approx((own, own - other))


def test_a_shift_of_whole_images_makes_plain_agreement_alone(views):
    """It is what cosines have and rankings must not: two views share it, for every class alike."""
    shift = 5 * np.random.default_rng(1).normal(size=(N, 1))
    plain, specific = criteria.agreement(*views)
    shifted = criteria.agreement(*(view + shift for view in views))
    assert shifted[0] > plain and shifted[1] < specific


def test_other_criteria_are_what_they_say(views):
    scores, _ = views
    units = scores / scores.std()
    entropy = []
    for row in units:
        share = np.exp(row) / np.exp(row).sum()
        entropy.append(-sum(p * math.log(p) for p in share))
    assert criteria.certainty(scores) == pytest.approx(-np.mean(entropy), rel=1e-6)

    def best_split(column: np.ndarray) -> float:
        column = sorted(column)
        splits = ((column[:i], column[i:]) for i in range(1, N))
        between = max(len(a) * len(b) / N**2 * (np.mean(a) - np.mean(b)) ** 2 for a, b in splits)
        return between / np.var(column)

    assert criteria.separation(scores) == pytest.approx(np.mean([best_split(column) for column in scores.T]))
    ring = (np.arange(N)[:, None] + [1, -1]) % N
    ranks = np.array([[sum(other <= value for other in column) for value in column] for column in scores.T]).T
    rho = [spearmanr(scores[:, c], ranks[ring, c].mean(axis=1)).statistic for c in range(LABELS)]
    assert criteria.continuity(scores, ring) == pytest.approx(np.mean(rho))


def test_agreement_with_all_is_the_map_by_what_all_say_together(views):
    first, _ = views
    found = criteria.agreement_with_all({"a": first, "b": 2 * first, "c": -first}, np.full(LABELS, 3))
    assert found["a"] == found["b"] == 100 > found["c"]


def test_the_family_holds_each_setting_once():
    for regions, size in ((True, 160), (False, 80)):
        family = prototype_family(regions=regions)
        assert len(family) == len(set(family)) == size
        assert (
            all(isinstance(one, Prototypes) for one in family) and any(one.regions for one in family) == regions
        )


@pytest.fixture
def images() -> ImageEmbeddings:
    return ImageEmbeddings(unit_rows(N, 8, seed=1), unit_rows(N, 3, 8, seed=2), unit_rows(N, 8, seed=3))


def test_halves_share_no_coordinate(images):
    for one, other in halvings(9, seed=0):
        assert len(one) == len(other) == 4 and not set(one.tolist()) & set(other.tolist())
    (first, second), *_ = halvings(8, seed=0)
    whole = images.with_position @ images.with_position.T
    parts = [take(images, half).with_position for half in (first, second)]
    torch.testing.assert_close(sum(part @ part.T for part in parts) / 2, whole)


def test_settings_are_measured_on_halves(images):
    family = [Prototypes(), Prototypes(regions=True, weight=0.3)]
    prompts = unit_rows(LABELS, 8, seed=4)
    found = prototype_agreement(family, images, prompts, tau=0.1, seed=5)
    wanted = np.zeros((2, 2))
    for halves in halvings(8, seed=5):
        for row, settings in enumerate(family):
            pair = [
                Evidence(take(images, half), 2**0.5 * prompts[:, half], 10.0).scores(settings).numpy()
                for half in halves
            ]
            wanted[row] += criteria.agreement(*pair)
    np.testing.assert_allclose(found, wanted / 3)
    assert list(found) == ["plain", "specific"]

    class Shards:
        """A slice of images is all that shards give."""

        shape = images.local.shape

        def __getitem__(self, rows: slice) -> torch.Tensor:
            assert isinstance(rows, slice)
            return images.local[rows]

    from_disk = ImageEmbeddings(images.global_, Shards(), images.with_position)
    again = prototype_agreement(family, from_disk, prompts, tau=0.1, seed=5)
    np.testing.assert_allclose(again, found, atol=1e-9)


def test_all_criteria_stand_beside_each_other(images):
    family, prompts = prototype_family(regions=True)[::20], unit_rows(LABELS, 8, seed=4)
    given = {"tau": 0.1, "seed": 5}
    found = all_criteria(family, images, prompts, **given)
    assert found.shape == (8, 6) and np.isfinite(found.to_numpy()).all()
    agreements = prototype_agreement(family, images, prompts, **given)
    assert (found["specific agreement of halves"] == agreements["specific"]).all()
    scores = Evidence(images, prompts, 10.0).scores(family[3]).numpy()
    assert found["two groups apart"][3] == criteria.separation(scores)
    assert found["low entropy"][3] == criteria.certainty(scores)


@pytest.mark.parametrize("n_folds", [1, 2])
def test_alpha_and_tau_are_measured_on_halves_of_the_classifier(images, n_folds):
    recognisers = tuple(
        FusedClassifier(
            LinearClassifier(unit_rows(LABELS, 8, seed=7 + f)), unit_rows(LABELS, 8, seed=6), RELEASED, 0.7, 0.1
        )
        for f in range(n_folds)
    )
    folds = tuple(range(f, N, n_folds) for f in range(n_folds))
    trained = Trained(CoMC(), recognisers, (Learned(),) * n_folds, 0.0, folds, lambda: images)
    found = inference_agreement(trained, [0.0, 0.6], [0.1, 0.2], seed=5)
    assert list(zip(found.tau, found.alpha, strict=True)) == [(0.1, 0.0), (0.1, 0.6), (0.2, 0.0), (0.2, 0.6)]
    wanted = np.zeros(2)
    for halves in halvings(8, seed=5):
        pair = []
        for half in halves:
            of_half, scores = take(images, half), np.empty((N, LABELS))
            for one, rows in zip(recognisers, folds, strict=True):
                part = FusedClassifier(
                    LinearClassifier(one.classifier.weight[:, half].contiguous()),
                    2**0.5 * one.label_embeddings[:, half], RELEASED, 0.6, 0.2,
                )  # fmt: skip
                scores[list(rows)] = part.score(of_half[list(rows)]).numpy()
            pair.append(scores)
        wanted += criteria.agreement(*pair)
    np.testing.assert_allclose(found.iloc[3][["plain", "specific"]].astype(float), wanted / 3, atol=1e-6)


def test_no_label_is_asked_for(tmp_path, monkeypatch):
    """Settings are chosen on images whose labels cannot be had."""
    experiment = tiny(tmp_path, smoke=True)
    images, prompts, trained = experiment.image_embeddings, experiment.label_embeddings, experiment.fit()

    def locked(_self):
        raise AssertionError("labels were asked for")

    monkeypatch.setattr(Experiment, "image_labels", property(locked))
    monkeypatch.setattr(type(experiment), "images", property(locked))
    family = prototype_family(regions=True)[::40]
    found = prototype_agreement(family, images, prompts, tau=experiment.tau, seed=0)
    assert found["specific"].notna().all()
    assert inference_agreement(trained, [0.5], [experiment.tau], seed=0)["specific"].notna().all()
    with pytest.raises(AssertionError, match="labels were asked for"):
        _ = experiment.image_labels
