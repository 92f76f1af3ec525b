"""What corrections are worth: the measure, the play of a person who answers, the figures and the words."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from tagging import LABELS, learn, scene

from comc_utils.clip import ImageEmbeddings
from comc_utils.evaluation.tags import calibration_error, f1_of_tags
from comc_utils.miniworld import load_miniworld
from comc_utils.notebooks import answers, figures
from comc_utils.tagging.corrections import CHOICES, after_corrections, of_most_answers
from comc_utils.tagging.tagger import Tagger
from comc_utils.tagging.where import where

matplotlib.use("agg")

N = 90


def test_f1_is_that_of_counts() -> None:
    rng = np.random.default_rng(0)
    tags, labels = rng.random((40, 3)) < 0.4, rng.random((40, 3)) < 0.3
    right = sum(1 for t, y in zip(tags.ravel(), labels.ravel(), strict=True) if t and y)
    micro, macro = f1_of_tags(tags, labels)
    assert micro == pytest.approx(100 * 2 * right / (tags.sum() + labels.sum()))
    each = [2 * (t & y).sum() / (t.sum() + y.sum()) for t, y in zip(tags.T, labels.T, strict=True)]
    assert macro == pytest.approx(100 * np.mean(each))
    nothing = np.zeros((4, 2), dtype=bool)
    assert f1_of_tags(nothing, nothing) == (0, 0)


def test_a_calibrated_score_has_no_error_and_a_sure_wrong_one_all() -> None:
    labels = np.array([[True], [False], [False], [False]])
    assert calibration_error(np.full((4, 1), 0.25), labels) == pytest.approx(0)
    assert calibration_error(np.where(labels, 0.0, 1.0), labels) == pytest.approx(100)
    assert calibration_error(np.full((4, 1), 0.65), labels) == pytest.approx(40)


@pytest.fixture(scope="module")
def world() -> tuple[Tagger, ImageEmbeddings, np.ndarray]:
    tagger = learn()
    images = tagger.towers.clip.encode_images([scene(i) for i in range(N)])
    data = load_miniworld("test", N)
    return tagger, images, data.labels[:, [data.class_names.index(name) for name in LABELS]] > 0


def test_who_answers_nothing_changes_nothing_and_who_answers_all_is_right_everywhere(world) -> None:
    tagger, images, labels = world
    n_looked = 30
    frame = after_corrections(tagger, images, labels, (0, 5, 10, 90), n_photos=n_looked, seed=3)
    looked = np.random.default_rng(3).permutation(N)[:n_looked]
    others = np.setdiff1d(np.arange(N), looked)
    tags = tagger.scores(images) >= tagger.threshold.value
    for choice in CHOICES:
        of = frame[frame["chosen"] == choice].set_index("answers")
        assert of.loc[0, "F1 where looked"] == pytest.approx(f1_of_tags(tags[looked], labels[looked])[0])
        assert of.loc[0, "F1 elsewhere"] == pytest.approx(f1_of_tags(tags[others], labels[others])[0])
        error = calibration_error(tagger.scores(images)[others], labels[others])
        assert of.loc[0, "calibration error"] == pytest.approx(error)
        # Fewer than ten are not calibrated by: all other photos stay as they were.
        assert of.loc[5, "F1 elsewhere"] == of.loc[0, "F1 elsewhere"]
    # All pairs of 30 photos and 3 labels: by lot among tags there are fewer to ask about.
    assert frame[frame["chosen"] == "least sure"].set_index("answers").loc[90, "F1 where looked"] == 100
    assert frame[frame["chosen"] == "at random"]["answers"].max() < 90
    again = after_corrections(tagger, images, labels, (0, 5, 10, 90), n_photos=n_looked, seed=3)
    pd.testing.assert_frame_equal(frame, again)


def test_the_least_sure_are_those_nearest_to_the_threshold(world) -> None:
    tagger, images, labels = world
    n_looked = 30
    frame = after_corrections(tagger, images, labels, (1,), n_photos=n_looked, seed=0)
    looked = np.sort(np.random.default_rng(0).permutation(N)[:n_looked])
    odds = tagger.scorer.log_odds(images)[looked]
    least = np.log(tagger.threshold.value / (1 - tagger.threshold.value))
    row, column = np.unravel_index(np.abs(odds - least).argmin(), odds.shape)
    tags = odds >= least
    tags[row, column] = labels[looked[row], column]
    of = frame[frame["chosen"] == "least sure"].iloc[0]
    assert of["F1 where looked"] == pytest.approx(f1_of_tags(tags, labels[looked])[0])


def test_the_highest_region_is_framed_and_the_grid_comes_on_request() -> None:
    photo, scores = where(learn(), scene(3), "dog")
    for grid, n_frames in ((False, 2), (True, 2 + scores.scores.size)):
        figure = figures.regions_on([(photo, "dog", scores)], grid=grid, boxes=[(1, 2, 30, 40)])
        (axis,) = figure.axes
        frames = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
        assert len(frames) == n_frames + 1
        left, top, right, bottom = scores.box(*scores.highest)
        framed = [f for f in frames if f.get_xy() == (left, top) and f.get_linewidth() > 1]
        assert [(f.get_width(), f.get_height()) for f in framed] == [(right - left, bottom - top)] * 2
        matplotlib.pyplot.close(figure)
    of_array = figures.regions_on([(photo, "dog", scores.scores.ravel())])
    assert len(of_array.axes[0].images) == 3
    matplotlib.pyplot.close(of_array)


def metrics(**changes: object) -> dict:
    objects = {
        "zero-shot CLIP, all": [93.0, 75.0],
        "CoMC, all": [94.0, 76.0],
        "a region by lot, all": [45.0, 18.0],
        "zero-shot CLIP, largest": [96.0, 85.0],
        "CoMC, largest": [97.0, 86.0],
        "a region by lot, largest": [50.0, 23.0],
        "zero-shot CLIP, smaller": [88.0, 60.0],
        "CoMC, smaller": [89.0, 61.0],
        "a region by lot, smaller": [33.0, 10.0],
    }
    after = {
        "at random, 0": [66.0, 66.1, 5.9, 2.5],
        "at random, 100": [68.7, 66.0, 1.6, 2.5],
        "least sure, 0": [66.0, 66.1, 5.9, 2.5],
        "least sure, 100": [70.3, 66.3, 2.0, 2.5],
    }
    more = {"F1 where looked": [1.6, 0.3], "F1 elsewhere": [0.3, 0.2], "calibration error": [0.4, 0.1]}
    given = {"photos": 2000, "looked through": 300, "tags": {"micro F1": 66.1}, "tags a photo": 1.6}
    given |= {"on objects": objects, "corrections": after, "least sure minus random": more}
    return given | changes


def test_the_answer_says_what_the_numbers_say() -> None:
    text = answers.your_photos(metrics())
    for part in (
        "**A tag comes from where the object is.**",
        "overlaps the object for 93.0 % (zero-shot CLIP) and 94.0 % (CoMC) of the labels that scenes show",
        "one drawn by lot for 45.0 %",
        "not the largest labelled one of their scene it is 88.0 % (zero-shot CLIP), by lot 33.0 %.",
        "100 answers about tags take F1 from 66.0 % to 68.7 % (chosen at random)",
        "and 70.3 % (chosen least sure); answers where the tagger is least sure are worth more for these",
        "(1.6 points), those about tags by lot more for probabilities elsewhere",
        "F1 hardly moves, by -0.1 (at random), +0.2 (least sure) points",
        "is 5.9 % as they are, 2.5 % by what drawings let expect before any answer, and 1.6 % (at random)",
    ):
        assert part in text
    objects = metrics()["on objects"] | {"CoMC, all": [40.0, 10.0]}
    assert "**Tags do not come from the objects.**" in answers.your_photos(metrics(**{"on objects": objects}))
    after = metrics()["corrections"] | {"at random, 100": [75.0, 70.0, 1.6, 2.5]}
    assert "F1 moves, by +3.9 (at random)" in answers.your_photos(metrics(corrections=after))
    for looked, expected in (
        ([0.3, 0.2], "which tags are asked about makes no difference that could be told from chance"),
        ([-2.0, 0.2], "answers about tags by lot are worth more for these photos (2.0 points)."),
    ):
        more = metrics()["least sure minus random"] | {"F1 where looked": looked}
        text = answers.your_photos(metrics(**{"least sure minus random": more}))
        assert expected.removesuffix(".") in text and "probabilities elsewhere" not in text


def test_choices_are_compared_draw_by_draw() -> None:
    draws = []
    for at_random, least_sure in ((60.0, 62.0), (70.0, 73.0)):
        rows = [("at random", 0, 50.0), ("at random", 9, at_random)]
        rows += [("least sure", 0, 50.0), ("least sure", 9, least_sure)]
        frame = pd.DataFrame(rows, columns=["chosen", "answers", "F1 where looked"])
        draws.append(frame.assign(**{"F1 elsewhere": 1.0, "calibration error": 2.0}))
    found = of_most_answers(draws)
    assert found["F1 where looked"] == pytest.approx([2.5, 0.5])
    assert found["calibration error"] == [0, 0]
