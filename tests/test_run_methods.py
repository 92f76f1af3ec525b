"""What methods learn is kept, keyed by all that it depends on; each sees what it may and no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from tasks import task_of
from test_experiment import tiny

from comc_utils import baselines
from comc_utils.baselines import RidgeClassifier, Sgd, TaiDpt
from comc_utils.baselines import run as run_module
from comc_utils.baselines.run import search_rates
from comc_utils.baselines.zero_shot_clip import ClassPrompts
from comc_utils.errors import CoMCError
from comc_utils.method.comc import CoMC
from comc_utils.method.presets import PAPER, RELEASED
from comc_utils.method.protocol import LabelledImages, Learned, LearnsFrom, Method, Need, Task
from comc_utils.sources import load_experiment


@dataclass(frozen=True)
class Recorder(Method):
    """A method that notes what it may see and answers with zero-shot CLIP."""

    setting: int = 0
    learns_from: LearnsFrom = LearnsFrom.SENTENCES
    needs: frozenset[Need] = frozenset()
    name: ClassVar[str] = "recorder"
    seen: ClassVar[list[Task]] = []

    def learn(self, task: Task, *, seed: int, progress: bool = False) -> Learned:
        self.seen.append(task)
        return Learned({"numbers": torch.arange(7.0), "places": torch.arange(3)})

    def recogniser(self, learned: Learned, task: Task) -> ClassPrompts:
        if self.learns_from is not LearnsFrom.NOTHING:
            assert torch.equal(learned.tensors["numbers"], torch.arange(7.0))
        return ClassPrompts(task.class_embeddings, 1.0)


@pytest.fixture(autouse=True)
def recorded():
    Recorder.seen.clear()
    return Recorder.seen


def test_what_was_learned_is_kept_until_something_changes(tmp_path, recorded):
    experiment = tiny(tmp_path)
    first = experiment.fit(Recorder(), seed=0)
    assert first.n_parameters == 7 and first.seconds > 0
    again = tiny(tmp_path).fit(Recorder(), seed=0)
    assert len(recorded) == 1
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.scores(), first.scores())
    expected = experiment.fit(baselines.ZeroShotClip()).scores() * experiment.tau
    np.testing.assert_allclose(first.scores(), expected, atol=1e-5)

    experiment.fit(Recorder(setting=1), seed=0)
    experiment.fit(Recorder(), seed=1)
    tiny(tmp_path, seed=4).fit(Recorder(), seed=0)  # other sentences
    experiment.fit(Recorder(), seed=0, rows=range(10))
    experiment.fit(Recorder(), seed=0, class_names=("dog", "key"))
    assert len(recorded) == 6
    # Neither how images are looked at nor which are scored changes what was learned.
    experiment.with_preset(replace(experiment.preset, resize="plain")).fit(Recorder(), seed=0)
    first.scores(experiment.image_embeddings[:2])
    assert len(recorded) == 6


def test_with_one_fit_deleted_that_one_is_learned_again(tmp_path, recorded):
    experiment = tiny(tmp_path)
    for setting in (0, 1, 2):
        experiment.fit(Recorder(setting=setting), seed=0)
    kept = set((tmp_path / "embeddings").glob("*.safetensors"))
    experiment.fit(Recorder(setting=3), seed=0)
    (of_fourth,) = set((tmp_path / "embeddings").glob("*.safetensors")) - kept
    of_fourth.unlink()
    for setting in (0, 1, 2, 3):
        experiment.fit(Recorder(setting=setting), seed=0)
    assert len(recorded) == 5


def test_a_change_of_the_code_learns_anew(tmp_path, recorded, monkeypatch):
    tiny(tmp_path).fit(Recorder(), seed=0)
    monkeypatch.setattr(run_module, "code_fingerprint", lambda *roots: "other code")
    tiny(tmp_path).fit(Recorder(), seed=0)
    assert len(recorded) == 2


def test_a_method_sees_what_it_learns_from_and_no_more(tmp_path, recorded):
    experiment = tiny(tmp_path)
    labels = torch.from_numpy(experiment.image_labels)
    shown = LabelledImages(experiment.class_names, experiment.image_embeddings, labels)
    experiment.fit(Recorder(), seed=0, shown=shown)
    experiment.fit(Recorder(learns_from=LearnsFrom.NOTHING), seed=0, shown=shown)
    experiment.fit(Recorder(needs=frozenset({Need.TOKENS})), seed=0)
    experiment.fit(Recorder(learns_from=LearnsFrom.FEW_IMAGES), seed=0, shown=shown)
    of_sentences, of_tokens, of_images = recorded  # nothing was learned from nothing
    assert of_sentences.images is None and of_sentences.text.tokens is None
    assert of_images.text is None and of_images.images is shown
    text = of_tokens.text
    assert len(text.embeddings) == len(text.tokens) == len(text.labels) == len(experiment.corpus)
    np.testing.assert_array_equal(text.labels.numpy(), experiment.text_labels)


def test_shown_images_are_part_of_the_key(tmp_path, recorded):
    experiment = tiny(tmp_path)
    labels = torch.from_numpy(experiment.image_labels)
    shown = LabelledImages(experiment.class_names, experiment.image_embeddings, labels)
    method = Recorder(learns_from=LearnsFrom.FEW_IMAGES)
    for images in (shown, shown, replace(shown, labels=1 - labels)):
        experiment.fit(method, seed=0, shown=images)
    assert [task.images is None for task in recorded] == [False, False]
    assert torch.equal(recorded[1].images.labels, 1 - labels)
    with pytest.raises(CoMCError, match="CoOp learns from labelled images"):
        experiment.fit(baselines.CoOp(), seed=0)


def test_presets_that_only_look_at_images_otherwise_share_a_classifier(tmp_path):
    experiment = tiny(tmp_path)
    looks = {name: getattr(PAPER, name) for name in ("renormalise_mapped", "positional_embedding")}
    other = experiment.with_preset(replace(experiment.preset, **looks))
    files = len(list((tmp_path / "embeddings").glob("*.safetensors")))
    first, second = experiment.fit(), other.fit()
    assert torch.equal(first.classifier.weight, second.classifier.weight)
    assert not np.allclose(first.scores(), second.scores())
    # The text, its labels' prompts, the images, one classifier.
    assert len(list((tmp_path / "embeddings").glob("*.safetensors"))) - files == 4


def test_images_given_score_as_the_test_images_do(tmp_path):
    experiment = tiny(tmp_path)
    trained = experiment.fit(baselines.ClipDpt(), seed=0)
    given = trained.scores(experiment.embed_images(experiment.images))
    np.testing.assert_allclose(given, trained.scores(), atol=1e-4)
    part = trained.scores(experiment.image_embeddings[[3, 1]])
    np.testing.assert_allclose(part, trained.scores()[[3, 1]], atol=1e-4)


def test_scores_are_those_of_the_components(tmp_path):
    trained = tiny(tmp_path).fit(seed=5)
    expected = trained.components().at(0.7).final
    np.testing.assert_allclose(trained.scores(), expected.numpy(), atol=1e-4)


def test_a_smoke_run_learns_for_a_tenth_of_the_epochs(tmp_path):
    long, short = (TaiDpt(Sgd(1.0, epochs=n, batch_size=512), n_context=2) for n in (20, 2))
    whole = tiny(tmp_path, smoke=True).fit(long, seed=0).scores()
    tenth = tiny(tmp_path).fit(short, seed=0).scores()
    np.testing.assert_allclose(whole, tenth, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "read"),
    [
        (TaiDpt(), lambda m: m.training.learning_rate),
        (baselines.LabelEM(), lambda m: m.training.learning_rate),
        (CoMC(RELEASED), lambda m: m.preset.learning_rate),
        (RidgeClassifier(RELEASED, 0.7), lambda m: 1 / m.penalty),
        (baselines.ConSE(), lambda m: m.inverse_penalty),
    ],
)
def test_another_rate(method, read):
    assert read(method.at_rate(10.0)) == pytest.approx(10 * read(method))
    assert method.at_rate(1.0) == method


def test_rates_are_searched_for_what_learns():
    methods = [baselines.ZeroShotClip(), CoMC(RELEASED), TaiDpt()]
    table = search_rates(methods, lambda m: m.at_rate(2.0).name.count("C"), (1.0, 10.0))
    assert list(table.index) == ["CoMC", "TaI-DPT"] and list(table.columns) == [1.0, 10.0]


def test_text_towers_that_take_no_vectors_are_known(tmp_path, monkeypatch):
    experiment = tiny(tmp_path)
    assert not experiment.lacks(TaiDpt)
    monkeypatch.setattr("comc_utils.sources.towers.is_causal", lambda model: False)
    assert "learned vectors" in tiny(tmp_path).lacks(TaiDpt)
    with pytest.raises(
        CoMCError, match="TaI-DPT needs what the embedded world does not have: a text"
    ):
        tiny(tmp_path).fit(TaiDpt())


def test_seen_are_the_distractors_and_unseen_vocs_classes(tmp_path):
    experiment = tiny(tmp_path, smoke=True)
    split, labelled = experiment.seen_and_unseen(), experiment.labelled
    assert len(split.seen) == len(labelled.parts["pool"])
    chosen_on = labelled.images.subset(labelled.parts["choice"])
    assert not set(split.seen.ids) & set(chosen_on.ids)
    assert len(split.seen.class_names) == 16
    assert not set(split.seen.class_names) & set(experiment.class_names)
    np.testing.assert_array_equal(split.all_labels[:, :20], experiment.image_labels)
    assert split.all_labels.shape == (len(experiment.images), 36)
    assert split.all_labels[:, 20:].any()


def test_ridge_regression_is_its_closed_form(tmp_path):
    experiment = tiny(tmp_path)
    method = RidgeClassifier(RELEASED, 0.7, penalty=3.0)
    task = experiment.task(method)
    fitted = method.fit(task, seed=0)
    x, y = task.text.embeddings.double(), task.text.labels.double()
    x, y = x - x.mean(0), y - y.mean(0)
    weight = torch.linalg.solve(x.T @ x + 3.0 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y).T
    torch.testing.assert_close(fitted.classifier.weight.double(), weight, rtol=0, atol=1e-3)


def test_the_ensemble_is_the_mean_of_eighty_prompts(tmp_path):
    experiment = tiny(tmp_path)
    task = task_of(experiment.clip, ("dog", "dining table"))
    fitted = baselines.PromptEnsemble().fit(task, seed=0)
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    for row, name in enumerate(task.class_names):
        prompts = experiment.clip.encode_text([t(name) for t in OPENAI_IMAGENET_TEMPLATES])
        mean = prompts.mean(dim=0)
        torch.testing.assert_close(fitted.prompts[row], mean / mean.norm(), rtol=0, atol=1e-5)


def test_nuswide_has_its_authors_settings():

    def of(profile):
        made = load_experiment(profile)
        return made.as_published(TaiDpt), made.as_published(baselines.DualCoOp)

    assert of("coco2014") == of("voc2007") == (TaiDpt(), baselines.DualCoOp())
    tai_dpt, dual_coop = of("nuswide")
    assert tai_dpt.region_sharpness == 4.0 and tai_dpt.training.learning_rate == 1e-3
    assert dual_coop.training.learning_rate == 1e-3
