"""Methods side by side: what each may see, what is kept, and what a change of anything computes anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from test_experiment import tiny

from comc_utils import baselines
from comc_utils.baselines import LabelledImages, RidgeClassifier, Sgd, TaiDpt, Task, TextClassifier
from comc_utils.baselines import run as rivals
from comc_utils.baselines.run import at_rate, embed, learns_prompts, run_method, seen_and_unseen
from comc_utils.baselines.zero_shot_clip import ClassPrompts
from comc_utils.errors import CoMCError
from comc_utils.method.presets import RELEASED

SHOWN = {"alpha": 0.7, "tau": 0.03}


@dataclass(frozen=True)
class Recorder:
    """A method that notes what it may see and answers with zero-shot CLIP."""

    setting: int = 0
    learns_from: str = "sentences"
    looks_at_tokens: bool = False
    name: ClassVar[str] = "recorder"
    seen: ClassVar[list[Task]] = []

    def fit(self, task: Task, *, seed: int) -> ClassPrompts:
        self.seen.append(task)
        return ClassPrompts(task.embed_classes(task.class_names), 1.0, n_parameters=7)


@pytest.fixture(autouse=True)
def recorded():
    Recorder.seen.clear()
    return Recorder.seen


def test_scores_are_kept_until_something_changes(tmp_path, recorded):
    experiment = tiny(tmp_path)
    first = run_method(Recorder(), experiment, seed=0)
    assert first.n_parameters == 7 and first.seconds > 0
    again = run_method(Recorder(), tiny(tmp_path), seed=0)
    assert len(recorded) == 1
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.scores[0], first.scores[0])
    expected = experiment.baseline_scores()["Zero-shot CLIP"] * experiment.tau
    np.testing.assert_allclose(first.scores[0], expected, atol=1e-5)

    run_method(Recorder(setting=1), experiment, seed=0)
    run_method(Recorder(), experiment, seed=1)
    run_method(Recorder(), tiny(tmp_path, seed=4), seed=0)  # other sentences
    plain = replace(experiment.preset, resize="plain")
    run_method(Recorder(), replace(experiment, preset=plain), seed=0)
    run_method(Recorder(), experiment, seed=0, class_names=("dog", "key"))
    run_method(Recorder(), experiment, seed=0, tests=[experiment.images.subset([0, 1])])
    assert len(recorded) == 7


def test_a_change_of_the_code_computes_anew(tmp_path, recorded, monkeypatch):
    run_method(Recorder(), tiny(tmp_path), seed=0)
    monkeypatch.setattr(rivals, "code_fingerprint", lambda *roots: "other code")
    run_method(Recorder(), tiny(tmp_path), seed=0)
    assert len(recorded) == 2


def test_a_method_sees_what_it_learns_from_and_no_more(tmp_path, recorded):
    experiment = tiny(tmp_path)
    run_method(Recorder(), experiment, seed=0)
    run_method(Recorder(learns_from="nothing"), experiment, seed=0)
    run_method(Recorder(looks_at_tokens=True), experiment, seed=0)
    of_sentences, of_nothing, of_tokens = recorded
    assert of_sentences.images is None and of_nothing.text is None and of_nothing.images is None
    assert of_sentences.text.tokens is None
    text = of_tokens.text
    assert len(text.embeddings) == len(text.tokens) == len(text.labels) == len(experiment.corpus)
    np.testing.assert_array_equal(text.labels.numpy(), experiment.text_labels)


def test_shown_images_are_part_of_the_key(tmp_path, recorded):
    experiment = tiny(tmp_path)
    embedded = embed(experiment, experiment.images)
    labels = torch.from_numpy(experiment.image_labels)
    shown = LabelledImages(experiment.class_names, embedded, labels)
    method = Recorder(learns_from="a few labelled images")
    for images in (shown, shown, replace(shown, labels=1 - labels)):
        run_method(method, experiment, seed=0, shown=images)
    assert [task.images is None for task in recorded] == [False, False]
    assert torch.equal(recorded[1].images.labels, 1 - labels)
    with pytest.raises(CoMCError, match="CoOp learns from labelled images"):
        run_method(baselines.CoOp(), experiment, seed=0)


def test_tests_given_as_embeddings_score_as_the_images_do(tmp_path):
    experiment = tiny(tmp_path)
    embedded = embed(experiment, experiment.images)
    whole = run_method(baselines.ClipDpt(), experiment, seed=0)
    both = run_method(baselines.ClipDpt(), experiment, seed=0, tests=[embedded, experiment.images])
    for scores in both.scores:
        np.testing.assert_allclose(scores, whole.scores[0], atol=1e-4)
    np.testing.assert_allclose(
        whole.scores[0], experiment.baseline_scores()["CLIP-DPT"], rtol=1e-4, atol=1e-4
    )


def test_comc_as_a_method_scores_as_the_experiment_does(tmp_path):
    experiment = tiny(tmp_path)
    method = TextClassifier(experiment.preset, alpha=0.7, tau=experiment.tau)
    (scores,) = run_method(method, experiment, seed=5).scores
    expected = experiment.components(seed=5).at(0.7).final
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-4)


def test_a_smoke_run_learns_for_a_tenth_of_the_epochs(tmp_path):
    experiment = tiny(tmp_path, smoke=True)
    long, short = (TaiDpt(Sgd(1.0, epochs=n, batch_size=512), n_context=2) for n in (20, 2))
    whole = run_method(long, experiment, seed=0).scores[0]
    tenth = run_method(short, tiny(tmp_path), seed=0).scores[0]
    np.testing.assert_allclose(whole, tenth, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "read"),
    [
        (TaiDpt(), lambda m: m.training.learning_rate),
        (baselines.LabelEM(), lambda m: m.training.learning_rate),
        (TextClassifier(RELEASED, **SHOWN), lambda m: m.preset.learning_rate),
        (RidgeClassifier(RELEASED, **SHOWN), lambda m: 1 / m.penalty),
        (baselines.ConSE(), lambda m: m.inverse_penalty),
    ],
)
def test_another_rate(method, read):
    assert read(at_rate(method, 10.0)) == pytest.approx(10 * read(method))
    assert at_rate(method, 1.0) == method


def test_what_learns_nothing_has_no_rate():
    assert at_rate(baselines.ZeroShotClip(), 10.0) is None
    assert at_rate(baselines.PromptEnsemble(), 10.0) is None


def test_text_towers_that_take_no_vectors_are_known(tmp_path, monkeypatch):
    experiment = tiny(tmp_path)
    assert learns_prompts(experiment)
    monkeypatch.setattr(rivals, "is_causal", lambda model: model is not experiment.clip.model)
    assert not learns_prompts(experiment)


def test_seen_are_the_distractors_and_unseen_vocs_classes(tmp_path):
    experiment = tiny(tmp_path, smoke=True)
    split = seen_and_unseen(experiment)
    assert len(split.seen) == len(experiment.labelled_parts["pool"])
    chosen_on = experiment.labelled_images.subset(experiment.labelled_parts["choice"])
    assert not set(split.seen.ids) & set(chosen_on.ids)
    assert len(split.seen.class_names) == 16
    assert not set(split.seen.class_names) & set(experiment.class_names)
    np.testing.assert_array_equal(split.all_labels[:, :20], experiment.image_labels)
    assert split.all_labels.shape == (len(experiment.images), 36)
    assert split.all_labels[:, 20:].any()


def test_ridge_regression_is_its_closed_form(tmp_path):
    experiment = tiny(tmp_path)
    text = rivals._text(experiment, with_tokens=False)
    task = Task(experiment.clip, experiment.class_names, text=text)
    fitted = RidgeClassifier(RELEASED, **SHOWN, penalty=3.0).fit(task, seed=0)
    x, y = text.embeddings.double(), text.labels.double()
    x, y = x - x.mean(0), y - y.mean(0)
    weight = torch.linalg.solve(x.T @ x + 3.0 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y).T
    torch.testing.assert_close(fitted.classifier.weight.double(), weight, rtol=0, atol=1e-3)


def test_the_ensemble_is_the_mean_of_eighty_prompts(tmp_path):
    experiment = tiny(tmp_path)
    task = Task(experiment.clip, ("dog", "dining table"))
    fitted = baselines.PromptEnsemble().fit(task, seed=0)
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    for row, name in enumerate(task.class_names):
        prompts = experiment.clip.encode_text([t(name) for t in OPENAI_IMAGENET_TEMPLATES])
        mean = prompts.mean(dim=0)
        torch.testing.assert_close(fitted.prompts[row], mean / mean.norm(), rtol=0, atol=1e-5)
