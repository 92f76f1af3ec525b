"""What alpha and tau do to the scores: sliders in JupyterLab, a figure where nobody can move them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from ipywidgets import HTML, Image, IntSlider, Layout, SelectionSlider, VBox
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from comc_utils.baselines.run import Trained
from comc_utils.errors import CoMCError
from comc_utils.evaluation.comparison import map_percent
from comc_utils.experiment import Experiment
from comc_utils.method.mapping import label_weights
from comc_utils.method.scores import ScoreComponents
from comc_utils.notebooks.figures.palette import MAIN, MUTED
from comc_utils.notebooks.outputs import in_front_end

SMALLEST_TAU = 1 / 200
_ALPHAS = np.linspace(0, 1, 21).round(2).tolist()
_TAUS = np.geomspace(SMALLEST_TAU, 1, 116).tolist()
_WIDE = {"layout": Layout(width="480px"), "style": {"description_width": "80px"}}
_FIRST_IMAGES = 3
N_TOP = 3
"""A class is shown where its weight or its score is among this many highest, or where it is a label."""


class _Scored(NamedTuple):
    """All test images at one alpha and tau."""

    final: Float[np.ndarray, "n n_labels"]
    map_percent: float


_Score = Callable[[float, float], _Scored]
"""From alpha and tau."""


def explore_scores(
    experiment: Experiment, trained: Trained, *, n_images: int | None = None
) -> tuple[Figure, pd.DataFrame]:
    """Show label weights and final scores at any alpha and tau.

    In a front end, sliders for alpha, tau and the image are displayed; the picture and the mAP follow them
    at once. Everywhere else a figure takes their place: the first images at alpha 0, at the profile's own
    and at 1. The figure is drawn and returned in both cases, so that a notebook leaves the same results.

    Parameters
    ----------
    experiment : Experiment
    trained : Trained
        CoMC or a variant of it, as the experiment's `fit()` gives it.
    n_images : int, optional
        Images in the figure, 1 to n; by default 3, or all of fewer.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Shown at the end of the cell where there are no sliders.
    data : pandas.DataFrame
        Every value in it: a row for an image, a class and an alpha.

    Raises
    ------
    CoMCError
        Another number of classifiers than of folds, or an `n_images` out of range.

    References
    ----------
    CoMC (ICML 2024), eq. 4 to 12; Figure 3.
    """
    n = len(experiment.image_ids)
    if len(trained.recognisers) != len(experiment.folds):
        raise CoMCError(
            f"{len(trained.recognisers)} classifiers are given for {len(experiment.folds)} folds; give what "
            "the experiment's own `fit()` returns."
        )
    n_images = min(_FIRST_IMAGES, n) if n_images is None else n_images
    if not 1 <= n_images <= n:
        raise CoMCError(f"n_images is {n_images}; there are {n} images, so choose 1 to {n}.")
    score = _cached_score(experiment, trained)
    alphas = (0.0, experiment.profile.alpha, 1.0)
    figure, data = _draw(experiment, score, range(n_images), alphas, experiment.tau)
    if in_front_end():
        plt.close(figure)
        display(_sliders(experiment, score))
    return figure, data


def _cached_score(experiment: Experiment, trained: Trained) -> _Score:
    # A slider of alpha stays at one tau, and the scale of the bars asks for the same alphas again.
    @lru_cache(maxsize=8)
    def components(tau: float) -> ScoreComponents:
        return trained.components(tau=tau)

    @lru_cache(maxsize=64)
    def score(alpha: float, tau: float) -> _Scored:
        final = components(tau).at(alpha).final.numpy()
        return _Scored(final, map_percent(final, experiment.image_labels))

    return score


def _sliders(experiment: Experiment, score: _Score) -> VBox:
    alpha = _slider("alpha", _ALPHAS, experiment.profile.alpha, "{:.2f}".format)
    tau = _slider("tau", _TAUS, experiment.tau, lambda value: f"1/{1 / value:.1f}")
    image = IntSlider(0, min=0, max=len(experiment.image_ids) - 1, description="image", **_WIDE)
    sentence, picture = HTML(), Image(format="png")
    own = score(experiment.profile.alpha, experiment.tau).map_percent

    def redraw(_change: object = None) -> None:
        figure, _ = _draw(experiment, score, [image.value], [alpha.value], tau.value, class_height=0.24)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=110)
        plt.close(figure)
        picture.value = png.getvalue()
        sentence.value = (
            f"mAP of all {image.max + 1} test images: <b>{score(alpha.value, tau.value).map_percent:.1f} %</b>"
            f" (at the profile's alpha and tau: {own:.1f} %)"
        )

    for slider in (alpha, tau, image):
        slider.observe(redraw, names="value")
    redraw()
    return VBox([alpha, tau, image, sentence, picture])


def _slider(name: str, values: Iterable[float], own: float, written: Callable[[float], str]) -> SelectionSlider:
    """Make a slider that begins at exactly the profile's own value, which a slider with a step would round."""
    options = [(written(value), value) for value in sorted({*values, own})]
    return SelectionSlider(options=options, value=own, description=name, **_WIDE)


def _draw(
    experiment: Experiment,
    score: _Score,
    images: Sequence[int],
    alphas: Sequence[float],
    tau: float,
    *,
    class_height: float = 0.145,
) -> tuple[Figure, pd.DataFrame]:
    """Draw a row for each image: itself, its label weights, and its final scores at each alpha.

    A class takes `class_height` inches.
    """
    data = pd.concat(_values_of(experiment, score, i, alphas, tau) for i in images)
    n_pictures = 0 if experiment.image(images[0]) is None else 1
    n_classes = data.groupby("image", sort=False)["class"].nunique()
    figure, axes = plt.subplots(
        len(images),
        n_pictures + 1 + len(alphas),
        figsize=(6.4, 0.8 + class_height * sum(n_classes.clip(lower=7))),
        width_ratios=[1.1] * n_pictures + [1] * (1 + len(alphas)),
        height_ratios=n_classes.clip(lower=7),
        squeeze=False,
    )
    # The same for every alpha, so that bars do not change their scale while a slider moves.
    extremes = [score(a, tau).final[list(images)] for a in (0.0, *alphas, 1.0)]
    limits = (min(0.0, *(e.min() for e in extremes)), max(0.0, *(e.max() for e in extremes)))
    for row, i in zip(axes, images, strict=True):
        of_image = data[data.image == experiment.image_ids[i]]
        row[0].set_ylabel(experiment.image_ids[i], fontsize=7)
        if n_pictures:
            row[0].imshow(experiment.image(i))
            row[0].set(xticks=[], yticks=[])
            row[0].spines[:].set_visible(False)
        weights, *scores = row[n_pictures:]
        _bars(weights, of_image[of_image.alpha == alphas[0]], "weight", names=True)
        weights.set_xlim(0, 1)
        for axis, alpha in zip(scores, alphas, strict=True):
            _bars(axis, of_image[of_image.alpha == alpha], "score", names=False)
            axis.axvline(0, color="black", lw=0.6)
            axis.set_xlim(*limits)
    weights_title, *score_titles = axes[0, n_pictures:]
    weights_title.set_title(f"label weights\ntau = 1/{1 / tau:.3g}", fontsize=8)
    for axis, alpha in zip(score_titles, alphas, strict=True):
        axis.set_title(f"alpha = {alpha:g}\nmAP {score(alpha, tau).map_percent:.1f} %", fontsize=8)
    for axis in axes[:-1, n_pictures:].flat:
        axis.tick_params(labelbottom=False)
    for axis, quantity in zip(axes[-1, n_pictures:], ["weight"] + ["final score"] * len(alphas), strict=True):
        axis.set_xlabel(quantity, fontsize=8)
    figure.supxlabel("blue: a label of the image", fontsize=8, color=MAIN)
    return figure, data


def _values_of(
    experiment: Experiment, score: _Score, i: int, alphas: Sequence[float], tau: float
) -> pd.DataFrame:
    embedding, prompts = experiment.global_embeddings[i], experiment.label_embeddings
    weights = label_weights(embedding, prompts, tau=tau).numpy()
    scores = {alpha: score(alpha, tau).final[i] for alpha in alphas}
    labels = experiment.image_labels[i]
    ranked = [np.argsort(-values)[:N_TOP] for values in (weights, *scores.values())]
    shown = np.unique(np.concatenate([*ranked, np.flatnonzero(labels)]))
    shown = shown[np.argsort(-scores[alphas[len(alphas) // 2]][shown])]
    return pd.DataFrame(
        {
            "image": experiment.image_ids[i],
            "class": experiment.class_names[j],
            "label": labels[j],
            "tau": tau,
            "weight": weights[j],
            "alpha": alpha,
            "score": values[j],
            "mAP": score(alpha, tau).map_percent,
        }
        for alpha, values in scores.items()
        for j in shown
    )


def _bars(axis: Axes, data: pd.DataFrame, column: str, *, names: bool) -> None:
    places = np.arange(len(data))[::-1]
    axis.barh(places, data[column], color=[MAIN if label else MUTED for label in data.label])
    axis.set_yticks(places, data["class"] if names else [""] * len(data))
    axis.tick_params(labelsize=7, length=0)
    axis.grid(axis="y", visible=False)
