"""The gap between images and texts in CLIP's space: as numbers, and as points in the plane (section 4.5).

Everything here takes pairs of unit vectors, row i of the images belonging to row i of the texts. Fused
embeddings (eq. 6) are shorter than 1, since they average vectors that lie apart: scale them to unit length
first. Otherwise centroids would come closer through length alone, which says nothing of direction.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors

from comc_utils.datasets.base import UNIT_TOLERANCE
from comc_utils.errors import CoMCError
from comc_utils.evaluation.intervals import Interval, percentile_interval

N_FOLDS = 5
"""Of the linear probe's cross-validation."""

PROBE_C = 100.0
"""The probe's inverse regularisation. scikit-learn's own 1 holds back on vectors as short as these: with
it the accuracy still rises with C, from 100 on it no longer does."""

N_RESAMPLES = 1000

_SAME_COSINE = 1e-6
# Equal captions, embedded in float32 at different places of a batch, differ by less.


def gap(images: Float[ArrayLike, "n d"], texts: Float[ArrayLike, "n d"], *, seed: int) -> dict[str, Interval]:
    """Take every measure of the gap, with a 95 % bootstrap interval over pairs.

    The probe is not trained, and the candidates of a query are not drawn, anew in each resample: what is
    resampled are the pairs that are judged.

    Parameters
    ----------
    images, texts : array of shape (n, d)
        Unit vectors of n pairs, at least five.
    seed : int
        Of the probe's folds and of the bootstrap.

    Returns
    -------
    dict of str to Interval
        ``centroid distance``: Euclidean, between the mean image and the mean text embedding; 0 to 2, 0 where
        they coincide.
        ``probe accuracy``: of a linear classifier (logistic regression) that tells images from texts, in
        five-fold cross-validation. Both members of a pair are in the same fold, so each fold has as many
        images as texts, and no pair is seen by its half. 0 to 1; 0.5 is chance, 1 means that a hyperplane
        separates the modalities.
        ``recall, image to text``, ``recall, text to image``: how often an image's own text is the nearest of
        all n, and the other way round. Where k others are as near as the partner, as with equal captions,
        the query counts 1 / (k + 1): what a random choice among them would give. 0 to 1; chance is 1 / n.
        ``cosine of pairs``: mean over pairs of the cosine between both members; -1 to 1.

    Raises
    ------
    CoMCError
        Shapes that differ, rows that are no unit vectors, or fewer than five pairs.

    References
    ----------
    For the distance Liang et al., Mind the Gap, NeurIPS 2022, section 2.
    """
    measured = _resampled(images, texts, seed=seed)
    return {name: percentile_interval(values) for name, values in measured.items()}


def gap_difference(
    before: Float[ArrayLike, "n d"],
    after: Float[ArrayLike, "n d"],
    texts: Float[ArrayLike, "n d"],
    *,
    seed: int,
) -> dict[str, Interval]:
    """Take every measure before minus after, with a paired 95 % bootstrap interval over pairs.

    Parameters
    ----------
    before, after : array of shape (n, d)
        Unit vectors of the same n images.
    texts : array of shape (n, d)
        Unit vectors of their captions.
    seed : int
        Of the probe's folds and of the bootstrap, the same for both.

    Returns
    -------
    dict of str to Interval
        Keys and units as of `gap`; above 0 where the measure falls.

    Raises
    ------
    CoMCError
        As `gap` does.
    """
    first, second = (_resampled(images, texts, seed=seed) for images in (before, after))
    return {name: percentile_interval(first[name] - second[name]) for name in first}


def tsne(
    images: Float[ArrayLike, "n d"], texts: Float[ArrayLike, "n d"], *, perplexity: float, seed: int
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Lay images and texts out in the plane together, by t-SNE from a random start.

    The same seed gives the same points on one machine; another machine may turn and fold them otherwise.

    Parameters
    ----------
    images, texts : array of shape (n, d)
        Unit vectors of n pairs.
    perplexity : float
        About the number of neighbours that each point keeps; below 2n.
    seed : int
        Of the start.

    Returns
    -------
    image_points, text_points : ndarray of shape (n, 2)
        Coordinates without a unit.

    Raises
    ------
    CoMCError
        Shapes that differ, rows that are no unit vectors, or a perplexity out of range.

    References
    ----------
    van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 9, 2008; CoMC (ICML 2024), Figure 4.
    """
    image_array, text_array = _check(images, texts)
    n = len(image_array)
    if not 0 < perplexity < 2 * n:
        raise CoMCError(
            f"The perplexity is {perplexity}; {n} pairs are {2 * n} points, so give a number above 0 and "
            f"below {2 * n}."
        )
    # From the usual start, the principal components, every seed would draw nearly the same picture.
    layout = TSNE(perplexity=perplexity, init="random", random_state=seed, max_iter=500, n_jobs=1)
    points = layout.fit_transform(np.concatenate([image_array, text_array]))
    return points[:n], points[n:]


def same_modality_neighbours(
    images: Float[ArrayLike, "n k"], texts: Float[ArrayLike, "n k"], *, n_neighbours: int = 10
) -> float:
    """Share of a point's nearest neighbours that are of its own modality, averaged over points.

    Parameters
    ----------
    images, texts : array of shape (n, k)
        Points, of a picture for example.
    n_neighbours : int
        Of few points all others count: at most 2n - 1.

    Returns
    -------
    float
        0 to 1; about 0.5 where the modalities are mixed, 1 where they lie apart.
    """
    points = np.concatenate([images, texts])
    is_text = np.arange(len(points)) >= len(images)
    # Without points to look up, a point is no neighbour of itself.
    nearest = NearestNeighbors(n_neighbors=min(n_neighbours, len(points) - 1)).fit(points).kneighbors()[1]
    return float((is_text[nearest] == is_text[:, None]).mean())


def _probe_hits(images: np.ndarray, texts: np.ndarray, *, seed: int) -> Float[np.ndarray, " n"]:
    """Share of each pair, 0, 0.5 or 1, that the probe of the other folds tells right."""
    n = len(images)
    if n < N_FOLDS:
        raise CoMCError(f"{n} pairs cannot be split into {N_FOLDS} folds; give {N_FOLDS} or more.")
    is_text = np.repeat([0, 1], n)
    folds = KFold(N_FOLDS, shuffle=True, random_state=seed).split(images)
    both_members = [(np.r_[seen, seen + n], np.r_[left, left + n]) for seen, left in folds]
    probe = LogisticRegression(C=PROBE_C, max_iter=10_000)
    predicted = cross_val_predict(probe, np.concatenate([images, texts]), is_text, cv=both_members)
    return (predicted == is_text).reshape(2, n).mean(axis=0)


def _recall_hits(cosines: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    own = np.diagonal(cosines)
    ties = (np.abs(cosines - own[:, None]) <= _SAME_COSINE).sum(axis=1)
    return np.where(own >= cosines.max(axis=1) - _SAME_COSINE, 1 / ties, 0.0)


def _resampled(images: ArrayLike, texts: ArrayLike, *, seed: int) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Every measure on all pairs, each once, and then on each resample."""
    image_array, text_array = _check(images, texts)
    n = len(image_array)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES)
    weights = np.concatenate([np.ones((1, n)), draws]) / n
    cosines = image_array @ text_array.T
    return {
        "centroid distance": np.linalg.norm(weights @ (image_array - text_array), axis=1),
        "probe accuracy": weights @ _probe_hits(image_array, text_array, seed=seed),
        "recall, image to text": weights @ _recall_hits(cosines),
        "recall, text to image": weights @ _recall_hits(cosines.T),
        "cosine of pairs": weights @ np.diagonal(cosines),
    }


def _check(images: ArrayLike, texts: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.asarray(images, dtype=np.float64), np.asarray(texts, dtype=np.float64)
    shapes = [array.shape for array in arrays]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or not arrays[0].size:
        raise CoMCError(
            f"Image embeddings have the shape {shapes[0]} and text embeddings {shapes[1]}; expected the "
            "same non-empty shape (n, d) for both."
        )
    for array, what in zip(arrays, ("image", "text"), strict=True):
        # Written so that a NaN is wrong, too.
        wrong = ~(np.abs(np.linalg.norm(array, axis=1) - 1) <= UNIT_TOLERANCE)
        if wrong.any():
            raise CoMCError(
                f"Row {int(wrong.argmax())} of the {what} embeddings is no unit vector; divide each row by "
                "its norm."
            )
    return arrays


def in_units(measure: str, interval: ArrayLike) -> Float[np.ndarray, ...]:
    """Give a measure of `gap` as a reader sees it: accuracies and recalls in percent, the others as they are.

    Parameters
    ----------
    measure : str
        A key of what `gap` gives.
    interval : array
        Value, low and high, or their differences.

    Returns
    -------
    array
        Rounded to 4 digits.
    """
    return np.round(np.array(interval) * (100 if _is_share(measure) else 1), 4)


def as_text(measure: str, interval: ArrayLike) -> str:
    """Write a measure of `gap` with its interval, in the units of `in_units`: "0.722 [0.709, 0.735]"."""
    digits = 1 if _is_share(measure) else 3
    value, low, high = in_units(measure, interval)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _is_share(measure: str) -> bool:
    return measure.startswith(("probe", "recall"))
