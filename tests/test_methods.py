"""One suite over all methods: what the protocol promises holds for each of them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from test_experiment import tiny

from comc_utils import baselines
from comc_utils.baselines import Sgd
from comc_utils.errors import CoMCError
from comc_utils.experiment import Experiment
from comc_utils.method.comc import CoMC
from comc_utils.method.normalise import Normalisation, comparable_scores
from comc_utils.method.presets import RELEASED
from comc_utils.method.protocol import LabelledImages, Learned, LearnsFrom, Method, Need, Task

SHORT = Sgd(epochs=2, batch_size=64, warmup_epochs=0, learning_rate=0.5)
FEW_EPOCHS = replace(RELEASED, epochs=2)
METHODS = {
    method.name: method
    for method in (
        baselines.ZeroShotClip(),
        baselines.PromptEnsemble(),
        baselines.ClipDpt(),
        baselines.Sparc(),
        baselines.Prototypes(),
        baselines.Piaa(),
        baselines.ClassConcepts(),
        baselines.RidgeClassifier(RELEASED, 0.7),
        CoMC(FEW_EPOCHS),
        CoMC(replace(FEW_EPOCHS, loss="asymmetric", bias=True), name="CoMC by asymmetric loss"),
        CoMC(replace(FEW_EPOCHS, loss="binary cross-entropy", bias=True), name="CoMC by entropy"),
        baselines.TaiDpt(replace(SHORT, batch_size=256), n_context=2),
        baselines.CoOp(SHORT, n_context=2),
        baselines.CoOpDpt(SHORT, n_context=2),
        baselines.ConSE(),
        baselines.LabelEM(SHORT),
        baselines.Fast0Tag(SHORT),
        baselines.DualCoOp(SHORT, n_context=2),
        *(
            method.of_epochs(4)
            for method in (
                baselines.OneAttention(hidden=8),
                baselines.Lesa(),
                baselines.BiAM(width=16),
                baselines.Sdl(),
                baselines.Mkt(rank=4),
            )
        ),
    )
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    return tiny(tmp_path_factory.mktemp("methods"), smoke=True)


@pytest.fixture(scope="module")
def shown(experiment: Experiment) -> dict[LearnsFrom, LabelledImages]:
    pool, seen = experiment.labelled, experiment.seen_and_unseen().seen.subset(range(60))
    drawn = pool.draw(1, seed=0)
    pool.prepare(drawn)
    of_seen = LabelledImages(seen.class_names, experiment.embed_images(seen), torch.from_numpy(seen.labels))
    return {LearnsFrom.FEW_IMAGES: pool.take(drawn), LearnsFrom.SEEN_IMAGES: of_seen}


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return METHODS[request.param]


@pytest.fixture
def task(method: Method, experiment: Experiment, shown: dict) -> Task:
    return experiment.task(method, shown=shown.get(method.learns_from))


def test_all_methods_are_here():
    made = {type(method).__name__ for method in METHODS.values()}
    public = {name for name in baselines.__all__ if isinstance(getattr(baselines, name), type)}
    assert public - {"Evidence", "Sgd"} <= made


def test_a_method_declares_itself(method: Method):
    assert method.name and isinstance(method.learns_from, LearnsFrom)
    assert all(isinstance(need, Need) for need in method.needs)
    assert isinstance(method.learning_settings, str)


def test_one_seed_one_result_and_scores_for_every_class(method, task, experiment):
    first, again = (method.fit(task, seed=0) for _ in range(2))
    scores = first.score(experiment.image_embeddings)
    assert scores.shape == (len(experiment.images), len(experiment.class_names))
    assert scores.device.type == "cpu" and scores.isfinite().all() and not scores.requires_grad
    assert torch.equal(scores, again.score(experiment.image_embeddings))


def test_seeds_matter_where_it_says_so(method, task):
    learned = [method.learn(task, seed=seed).tensors for seed in (0, 1)]
    same = all(torch.equal(learned[0][name], learned[1][name]) for name in learned[0])
    assert same == (not method.random or method.learns_from is LearnsFrom.NOTHING)


def test_an_image_is_scored_alone_unless_it_says_otherwise(method, task, experiment):
    recogniser, images = method.fit(task, seed=0), experiment.image_embeddings
    rows = [5, 2, 11]
    alone, among_others = recogniser.score(images[rows]), recogniser.score(images)[rows]
    assert torch.allclose(alone, among_others, rtol=0, atol=1e-4) != method.transductive


@pytest.mark.parametrize("how", Normalisation)
def test_scores_of_every_method_can_be_compared(method, task, experiment, how):
    """In one place for all: regions before their maximum, and each image by itself."""
    recogniser, images = method.fit(task, seed=0), experiment.image_embeddings
    scores = comparable_scores(lambda: recogniser.logits(images), how)
    assert scores.shape == (len(images), len(task.class_names)) and scores.isfinite().all()
    chunks = list(recogniser.logits(images))
    assert sum(len(whole) for _, whole, _ in chunks) == len(images)
    if how is Normalisation.CENTRED and chunks[0][2] is None:
        torch.testing.assert_close(scores.mean(dim=1), torch.zeros(len(images)), rtol=0, atol=1e-4)
    if not method.transductive:
        few = comparable_scores(lambda: recogniser.logits(images[:3]), how)
        torch.testing.assert_close(few, scores[:3], rtol=0, atol=1e-4)


def test_what_was_learned_is_all_there_is_to_keep(method, task, experiment):
    learned = method.learn(task, seed=0)
    kept = Learned({name: tensor.clone() for name, tensor in learned.tensors.items()})
    torch.testing.assert_close(
        method.recogniser(kept, task).score(experiment.image_embeddings),
        method.recogniser(learned, task).score(experiment.image_embeddings),
    )
    assert (learned.n_parameters == 0) == (method.learns_from is LearnsFrom.NOTHING)
    assert all(t.device.type == "cpu" and not t.requires_grad for t in learned.tensors.values())


def test_learning_changes_nothing_that_it_saw(method, task):
    seen = task.text if task.text is not None else task.images
    before = [t.clone() for t in (task.class_embeddings, *([seen.labels] if seen else ()))]
    state = {name: t.clone() for name, t in task.clip.model.state_dict().items()}
    method.fit(task, seed=0)
    after = [task.class_embeddings, *([seen.labels] if seen else ())]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(t, state[n]) for n, t in task.clip.model.state_dict().items())


def test_without_what_it_learns_from_it_says_so(method, task):
    if method.learns_from is LearnsFrom.NOTHING:
        assert method.fit(replace(task, text=None, images=None), seed=0)
        return
    what = "sentences" if method.learns_from is LearnsFrom.SENTENCES else "labelled images"
    with pytest.raises(CoMCError, match=f"{re.escape(method.name)} learns from {what}"):
        method.fit(replace(task, text=None, images=None), seed=0)


def test_what_it_needs_is_what_it_misses(method, task, experiment):
    """Without towers and regions it runs where it declares no need, and says its need elsewhere."""
    bare = replace(task, clip=None, embed_texts=None)
    images = replace(experiment.image_embeddings, local=None)
    if bare.images is not None:
        of_images = replace(bare.images, embeddings=replace(bare.images.embeddings, local=None))
        bare = replace(bare, images=of_images)
    if not method.needs:
        assert method.fit(bare, seed=0).score(images).isfinite().all()
        return
    with pytest.raises(CoMCError, match=re.escape(method.name)):
        method.fit(bare, seed=0).score(images)


def test_rates(method):
    has_rate = method.learns_from is not LearnsFrom.NOTHING and not isinstance(method, baselines.ClassConcepts)
    assert (method.at_rate(1.0) is not None) == has_rate
    if has_rate:
        assert method.at_rate(1.0) == method
        assert method.at_rate(10.0).learning_settings != method.learning_settings
        assert method.at_rate(10.0).name == method.name


def test_history_where_it_learns_by_steps(method, task):
    history = method.learn(task, seed=0).history
    assert all(set(record) == {"epoch", "loss", "learning_rate"} for record in history)
    assert [record["epoch"] for record in history] == list(range(1, len(history) + 1))
    assert len(history) in (0, 2, 4, 8)
