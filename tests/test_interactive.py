"""Sliders that move by themselves, and the figure that stands in for them."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel
from PIL import Image

from comc_utils.errors import CoMCError
from comc_utils.evaluation.comparison import map_percent
from comc_utils.method.mapping import label_weights
from comc_utils.method.scores import score_images
from comc_utils.notebooks import explore as interactive
from comc_utils.notebooks.explore import explore_scores
from comc_utils.notebooks.outputs import in_front_end
from comc_utils.notebooks.run import reproduce
from comc_utils.profiles import get_profile
from comc_utils.sources import load_experiment

ASK = "from comc_utils.notebooks.outputs import in_front_end\nprint(in_front_end())"


@pytest.fixture(scope="module", params=["miniworld", "coco500"])
def explored(request):
    """Give an experiment that trains in a moment, and what it has learned."""
    name = request.param
    data = request.getfixturevalue("real_data") / "coco500" if name == "coco500" else None
    preset = replace(get_profile(name).preset, epochs=3, templates_in_training_text=False)
    experiment = load_experiment(name, preset=preset, smoke=True, data=data)
    return experiment, experiment.fit()


@pytest.fixture
def widgets(explored, monkeypatch):
    """Give the widgets that a person would see, by their names."""
    displayed = []
    monkeypatch.setattr(interactive, "in_front_end", lambda: True)
    monkeypatch.setattr(interactive, "display", displayed.append)
    explore_scores(*explored)
    (box,) = displayed
    *sliders, sentence, picture = box.children
    named = {slider.description: slider for slider in sliders}
    return named | {"sentence": sentence, "picture": picture}


def shown_map(widgets) -> float:
    return float(re.search(r"<b>([\d.]+) %</b>", widgets["sentence"].value).group(1))


def values_of(slider) -> list[float]:
    return [value for _, value in slider.options]


def near(slider, wanted: float) -> float:
    return min(values_of(slider), key=lambda value: abs(value - wanted))


def pixels(widgets) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(widgets["picture"].value)).convert("RGB"))


def expected_map(experiment, trained, alpha: float, tau: float) -> float:
    """Score everything anew at these settings, without what is kept between them."""
    final = np.zeros(experiment.image_labels.shape)
    for classifier, (_, image_rows) in zip(trained.classifiers, experiment.folds, strict=True):
        rows, local = list(image_rows), experiment.local_embeddings
        final[rows] = score_images(
            classifier,
            experiment.global_embeddings[rows],
            None if local is None else local[rows],
            experiment.label_embeddings,
            alpha=alpha,
            tau=tau,
            renormalise=experiment.preset.renormalise_mapped,
        ).final
    return map_percent(final, experiment.image_labels)


def test_moving_a_slider_changes_picture_and_map(explored, widgets):
    experiment, trained = explored
    assert widgets["alpha"].value == experiment.profile.alpha
    assert widgets["tau"].value == experiment.tau
    for name, value in (("alpha", 0.1), ("tau", near(widgets["tau"], 0.2)), ("image", 7)):
        before = pixels(widgets)
        widgets[name].value = value
        after = pixels(widgets)
        assert before.shape != after.shape or (before != after).any(), name
        expected = expected_map(experiment, trained, widgets["alpha"].value, widgets["tau"].value)
        assert shown_map(widgets) == pytest.approx(expected, abs=0.06), name
    assert plt.get_fignums() == []


def test_before_a_slider_is_moved_all_is_as_the_profile_has_it(explored, widgets):
    experiment, _ = explored
    # A front end sends back the place on a slider, not a number that it may have rounded.
    for name, own in (("alpha", experiment.profile.alpha), ("tau", experiment.tau)):
        assert widgets[name].options[widgets[name].index][1] == own
    now, of_profile = re.findall(r"([\d.]+) %", widgets["sentence"].value)
    assert now == of_profile
    moved = {name: widgets[name].layout.width for name in ("alpha", "tau", "image")}
    assert set(moved.values()) == {"480px"}


def test_sliders_span_what_alpha_and_tau_may_be(explored, widgets):
    alphas, taus = (values_of(widgets[name]) for name in ("alpha", "tau"))
    assert (alphas[0], alphas[-1]) == (0, 1)
    assert (taus[0], taus[-1]) == pytest.approx((1 / 200, 1))
    assert widgets["image"].max == len(explored[0].image_ids) - 1
    for tau in (taus[0], taus[-1]):
        widgets["tau"].value = tau
        assert 0 < shown_map(widgets) < 100


def test_going_back_brings_the_same_picture_back(explored, widgets):
    first, sentence = pixels(widgets), widgets["sentence"].value
    for name, value in (("alpha", 0.0), ("tau", 1.0)):
        own = widgets[name].value
        widgets[name].value = value
        assert widgets["sentence"].value != sentence
        widgets[name].value = own
    np.testing.assert_array_equal(pixels(widgets), first)
    assert widgets["sentence"].value == sentence


def test_the_figure_is_the_same_with_and_without_a_front_end(explored, widgets):
    _, in_lab = explore_scores(*explored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interactive, "in_front_end", lambda: False)
        figure, headless = explore_scores(*explored)
    assert in_lab.equals(headless)
    assert plt.get_fignums() == [figure.number]  # shown when the cell ends; the other one is not
    plt.close(figure)


def test_the_figure_shows_weights_and_scores_of_top_classes_and_labels(explored):
    experiment, trained = explored
    figure, data = explore_scores(experiment, trained, n_images=4)
    plt.close(figure)
    components = trained.components()
    alphas = [0.0, experiment.profile.alpha, 1.0]
    assert data.alpha.unique().tolist() == alphas
    assert data.image.unique().tolist() == list(experiment.image_ids[:4])
    weights = label_weights(experiment.global_embeddings, experiment.label_embeddings, tau=experiment.tau)
    for i, image_id in enumerate(experiment.image_ids[:4]):
        for alpha in alphas:
            final = components.at(alpha).final[i]
            shown = data[(data.image == image_id) & (data.alpha == alpha)]
            columns = [experiment.class_names.index(name) for name in shown["class"]]
            assert set(final.topk(3).indices.tolist()) <= set(columns)
            assert set(np.flatnonzero(experiment.image_labels[i])) <= set(columns)
            assert shown.label.tolist() == experiment.image_labels[i, columns].tolist()
            np.testing.assert_allclose(shown.score, final[columns], atol=1e-6)
            # Single precision: a cosine moves by 1e-7 with the size of its batch, a weight by a little more.
            np.testing.assert_allclose(shown.weight, weights[i, columns], atol=5e-6)
            expected = map_percent(components.at(alpha).final.numpy(), experiment.image_labels)
            assert shown["mAP"].unique() == pytest.approx([expected])
    has_pictures = experiment.image(0) is not None
    assert len(figure.axes) == 4 * (4 + has_pictures)
    assert sum(len(axis.images) for axis in figure.axes) == 4 * has_pictures


def test_bars_of_labels_stand_out(explored):
    figure, data = explore_scores(*explored, n_images=1)
    plt.close(figure)
    first = data[data.alpha == 0]
    for axis in figure.axes[-4:]:
        colours = [bar.get_facecolor() for bar in axis.patches]
        of_labels = {c for c, label in zip(colours, first.label, strict=True) if label}
        of_others = {c for c, label in zip(colours, first.label, strict=True) if not label}
        assert len(of_labels) == len(of_others) == 1
        assert of_labels != of_others


def test_what_does_not_fit_is_refused(explored):
    experiment, trained = explored
    n, k = len(experiment.image_ids), len(trained.recognisers)
    with pytest.raises(CoMCError, match=f"n_images is 0; there are {n} images, so choose 1 to {n}"):
        explore_scores(experiment, trained, n_images=0)
    with pytest.raises(CoMCError, match=f"{k + 1} classifiers are given for {k} folds; give what"):
        recognisers = (*trained.recognisers, trained.recognisers[0])
        explore_scores(experiment, replace(trained, recognisers=recognisers))


def test_outside_of_a_kernel_nobody_looks():
    assert in_front_end() is False


@pytest.mark.parametrize("somebody_there", [True, False])
def test_a_kernel_knows_from_the_request_whether_somebody_looks(somebody_there, monkeypatch):
    # Inherited by a headless run that is started from a cell of JupyterLab.
    monkeypatch.setenv("JPY_SESSION_NAME", "03_inference.ipynb")
    printed = []

    def keep(message: dict) -> None:
        printed.append(message["content"].get("text", ""))

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive(
            ASK, allow_stdin=somebody_there, timeout=60, output_hook=keep, stdin_hook=keep
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "".join(printed).strip() == str(somebody_there)


def test_headless_runs_draw_the_figure(write_notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "03_inference.ipynb")
    write_notebook("01", "SEED = 0", ASK)
    output = reproduce("miniworld", notebooks=tmp_path / "notebooks", output=tmp_path / "results")
    assert '"False\\n"' in (output / "notebooks" / "01.ipynb").read_text(encoding="utf-8")
