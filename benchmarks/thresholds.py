"""From scores to tags without labels: which rule is best, and how good. ``python -m benchmarks.thresholds``.

Settings are chosen on scenes of the embedded world whose drawings its models know; the rest is measured on its
test scenes and, with ``--data DIR``, on coco500's embeddings. Writes results/tagging.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from torch.nn.functional import normalize

from comc_utils import load_experiment, mean_average_precision
from comc_utils.clip import ImageEmbeddings
from comc_utils.datasets.coco500 import load_coco500
from comc_utils.evaluation.tags import calibration_error, f1_of_tags
from comc_utils.profiles import get_profile
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.label_sets import draw_label_sets
from comc_utils.sentences.labels import COCO
from comc_utils.tagging.about import About
from comc_utils.tagging.embeddings import Towers
from comc_utils.tagging.labels import as_labels
from comc_utils.tagging.scoring import Scorer
from comc_utils.tagging.tagger import Tagger
from comc_utils.tagging.thresholds import KNOWN_DRAWINGS, calibrate, of_photos, threshold_at_first

FOLDER = Path(__file__).parents[1] / "results" / "tagging"
BACKBONES = ("miniworld-RN-small", "miniworld-RN-large")
SENTENCES = (10, 30, 100, 300, 1000)
N_ANSWERS = 300


@dataclass(frozen=True, eq=False)
class World:
    """Photos with labels, for evaluation, and a tagger's scores of them.

    Attributes
    ----------
    name : str
    log_odds : ndarray [n, N]
    words : ndarray [n, B]
        The background's.
    labels : ndarray of bool [n, N]
    sentences : tuple of ndarray
        Log-odds of held-out sentences [m, N] and their labels; empty without a text tower.
    first, on_photos : float
        Log-odds of the threshold that the tagger has before it sees photos, and of the one that it chooses on
        them.
    """

    name: str
    log_odds: Float[np.ndarray, "n n_labels"]
    words: Float[np.ndarray, "n n_words"]
    labels: Bool[np.ndarray, "n n_labels"]
    first: float
    on_photos: float
    sentences: tuple = ()


def best_value(odds: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """Find the value of all scores from which F1 is highest, with labels."""
    order = np.argsort(-odds, kind="stable")
    right = labels[order].cumsum()
    return float(odds[order][np.argmax(2 * right / (np.arange(1, len(odds) + 1) + labels.sum()))])


def mixture(odds: Float[np.ndarray, " n"]) -> float:
    """Where the higher of two normal distributions becomes the likelier one."""
    found = GaussianMixture(2, random_state=0, n_init=2).fit(odds[:, None])
    grid = np.linspace(odds.min(), odds.max(), 1000)
    higher = found.predict_proba(grid[:, None])[:, found.means_[:, 0].argmax()] >= 0.5
    higher &= grid > found.means_.min()
    return float(grid[higher.argmax()]) if higher.any() else float(odds.max() + 1)


def rules(world: World) -> Iterator[tuple[str, str, Bool[np.ndarray, "n n_labels"]]]:
    """Give tags by each rule: its name, what it sees beside the scores, the tags."""
    odds, labels = world.log_odds, world.labels
    yield "auto, before any photo", "known drawings", odds >= world.first
    yield "auto, on these photos", "the photos", odds >= world.on_photos
    if world.sentences:
        yield "held-out sentences", "sentences", odds >= best_value(*(part.ravel() for part in world.sentences))
    yield "two groups of all scores", "the photos", odds >= mixture(odds.ravel())
    yield "two groups of each label's scores", "the photos", odds >= np.array([mixture(o) for o in odds.T])
    yield "0.5", "nothing", odds >= 0
    yield "top 3", "nothing", (-odds).argsort(axis=1).argsort(axis=1) < 3
    yield "best single value", "labels", odds >= best_value(odds.ravel(), labels.ravel())
    by_label = [best_value(o, y) if y.any() else np.inf for o, y in zip(odds.T, labels.T, strict=True)]
    yield "best value of each label", "labels", odds >= np.array(by_label)


def on_miniworld(backbone: str, method: str, part: str) -> World:
    """Score scenes by a tagger of the 20 classes: test scenes, or those of known drawings."""
    experiment = load_experiment("miniworld", backbone=backbone)
    tagger = Tagger.learn(experiment.class_names, model=backbone, method=method)
    scorer = tagger.scorer
    if part == "miniworld":
        images, labels = experiment.image_embeddings, experiment.image_labels
    else:
        pool = experiment.labelled
        known = pool.images.subset(pool.parts["known drawings"])
        images, labels = experiment.embed_images(known), known.labels
    sets = draw_label_sets(experiment.class_names, 2000, seed=1, max_labels=5)
    written = list(Grammar(get_profile("miniworld").label_set).generate(sets, seed=1))
    texts = experiment.embed_texts([record.text for record in written])
    of_texts = np.array([[name in record.labels for name in experiment.class_names] for record in written])
    as_images = ImageEmbeddings(texts, texts[:, None], texts)
    name = f"{part}, {backbone.removeprefix('miniworld-')}, {method}"
    odds = scorer.log_odds(images)
    first = logit(threshold_at_first(method).value)
    return World(
        name,
        odds,
        scorer.words(images),
        labels > 0,
        first,
        scorer.least_on(images),
        (scorer.log_odds(as_images), of_texts),
    )


def on_coco500(data: Path) -> World:
    """Score coco500's photos by prompts that others embedded, against COCO-Stuff's 171 names."""
    photos = load_coco500(data)
    both = normalize(torch.from_numpy(np.load(data / "coco_single.npy")).float(), dim=-1)
    names = (*COCO.class_names, *(f"stuff {number}" for number in range(len(both) - len(COCO.class_names))))
    about = About(
        labels=as_labels(list(COCO.class_names)),
        towers=Towers("ViT-B-16-quickgelu", "", "", 224, regions=False),
        weights="openai",
        tau=get_profile("coco500").tau,
        method="zero-shot",
        templates=("a photo of a {}.",),
        background=names,
        threshold=threshold_at_first("zero-shot"),
    )
    scorer = Scorer(about, {"labels": both[:80], "background": both})
    whole = photos.image_embeddings
    images = ImageEmbeddings(whole, None, whole)
    first = logit(about.threshold.value)
    odds, words = scorer.log_odds(images), scorer.words(images)
    name = "coco500, ViT-B/16, zero-shot"
    return World(name, odds, words, photos.labels > 0, first, scorer.least_on(images))


def table(world: World) -> pd.DataFrame:
    """Measure every rule on a world."""
    rows = [
        (rule, sees, *f1_of_tags(tags, world.labels), tags.sum() / len(tags))
        for rule, sees, tags in rules(world)
    ]
    frame = pd.DataFrame(rows, columns=["rule", "sees", "micro F1", "macro F1", "tags a photo"])
    frame.insert(0, "world", world.name)
    return frame


def calibration(world: World) -> dict[str, object]:
    """Calibrate on some answers, and measure on all other photos what a score then says, before and after."""
    rng = np.random.default_rng(0)
    n = len(world.labels)
    asked = rng.permutation(n)[: n // 3]
    rest = np.setdiff1d(np.arange(n), asked)
    # Of each photo asked about, the three labels that score highest, as somebody would look through them.
    rows = np.repeat(asked, 3)[:N_ANSWERS]
    columns = np.argsort(-world.log_odds[asked], axis=1)[:, :3].ravel()[:N_ANSWERS]
    names = list(map(str, range(world.labels.shape[1])))
    method = world.name.rpartition(", ")[2]
    said = world.labels[rows, columns]
    found = calibrate(world.log_odds[rows, columns], [names[c] for c in columns], said, "answers", method)
    odds, labels = world.log_odds[rest], world.labels[rest]
    probabilities = found.probabilities(odds, names)
    measured = {
        "before": odds >= world.first,
        "calibrated": probabilities >= found.probabilities(np.array(world.first)),
        "from 0.5, calibrated": probabilities >= 0.5,
    }
    return {
        "world": world.name,
        "answers": len(rows),
        "ECE of scores": calibration_error(expit(odds), labels),
        "ECE calibrated": calibration_error(probabilities, labels),
        **{f"micro F1 {name}": f1_of_tags(tags, labels)[0] for name, tags in measured.items()},
        **{f"macro F1 {name}": f1_of_tags(tags, labels)[1] for name, tags in measured.items()},
    }


def expected(world: World, method: str) -> dict[str, float]:
    """Find what is to be expected of scores: slope, offset, and how far labels' own offsets are from it."""
    n, n_labels = world.labels.shape
    of_label = np.tile(np.eye(n_labels), (n, 1))
    centred = (world.log_odds - KNOWN_DRAWINGS[method]).reshape(-1, 1)
    fitted = LogisticRegression(C=100, fit_intercept=False, max_iter=1000).fit(
        np.hstack([centred, of_label]), world.labels.ravel()
    )
    slope, *offsets = fitted.coef_[0]
    return {"slope": slope, "offset": np.mean(offsets), "deviation of labels": np.std(offsets, ddof=1)}


def choose() -> pd.DataFrame:
    """Find the settings on known drawings: the best value by method, and the number of background words."""
    rows = []
    worlds = {(b, m): on_miniworld(b, m, "known drawings") for b in BACKBONES for m in KNOWN_DRAWINGS}
    for (backbone, method), world in worlds.items():
        value = best_value(world.log_odds.ravel(), world.labels.ravel())
        rows.append({"backbone": backbone, "method": method, "best log-odds": value} | expected(world, method))
        for n in range(1, 9) if method == "zero-shot" else ():
            micro, _ = f1_of_tags(world.log_odds >= of_photos(world.words, n), world.labels)
            rows[-1][f"micro F1, {n} words"] = micro
    return pd.DataFrame(rows)


def growth(backbone: str) -> pd.DataFrame:
    """MAP of CoMC's scores against the background, by the number of sentences a label, on test scenes."""
    experiment = load_experiment("miniworld", backbone=backbone)
    rows = []
    for n in SENTENCES:
        tagger = Tagger.learn(experiment.class_names, model=backbone, method="comc", n_sentences=n)
        scores = tagger.scores(experiment.image_embeddings)
        rows.append(
            {"sentences a label": n, "mAP": 100 * mean_average_precision(scores, experiment.image_labels).value}
        )
    prompts = Tagger.learn(experiment.class_names, model=backbone).scores(experiment.image_embeddings)
    prompts = 100 * mean_average_precision(prompts, experiment.image_labels).value
    return pd.DataFrame([{"sentences a label": 0, "mAP": prompts, "method": "zero-shot"}, *rows]).fillna("comc")


def main() -> None:
    """Measure, print, write results/tagging."""
    parser = argparse.ArgumentParser(prog="benchmarks.thresholds", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with coco500's files")
    data = parser.parse_args().data
    warnings.simplefilter("ignore")
    worlds = [on_miniworld(b, m, "miniworld") for b in BACKBONES for m in KNOWN_DRAWINGS]
    worlds += [on_coco500(data)] if data else []
    frames = {
        "known_drawings": choose(),
        "thresholds": pd.concat(map(table, worlds)),
        "calibration": pd.DataFrame(map(calibration, worlds)),
        "sentences": growth(BACKBONES[0]),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame = frame.round(2)
        print(f"\n{name}\n{frame.to_string(index=False)}")
        frame.to_csv(FOLDER / f"{name}.csv", index=False)
        cells = [
            frame.columns,
            ["---"] * len(frame.columns),
            *frame.astype(object).fillna("").astype(str).to_numpy(),
        ]
        text = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        (FOLDER / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
