"""What the gallery's script is told of photos: thumbnails, tags with scores, and the scores of regions."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.special import logit

from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.image import seen_part
from comc_utils.evaluation.where import grid_side
from comc_utils.tagging.embeddings import PhotoEmbeddings
from comc_utils.tagging.photos import Photos
from comc_utils.tagging.tagger import Tagger
from comc_utils.tagging.thresholds import Threshold
from comc_utils.tagging.where import NO_REGIONS

Thumbnail = tuple[str, tuple[int, int]]
"""Of a photo, as `thumbnail` makes it."""
THUMBNAIL = 384
"""Longer side of a thumbnail, in pixels."""
_QUALITY = 80
MOST_TAGS = 24
"""Of a photo's labels those with the highest scores are shown: so many, and all that are tags."""
_AT_ONCE = 64
_LEAST, _MOST = 1e-300, 1 - 2**-53
"""Shares beyond are taken for these: their log-odds would be infinite."""
_STEPS = 2**16 - 1
"""Between the lowest and the highest score of a photo's regions."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Photos, tagged, to be shown some at a time.

    Attributes
    ----------
    tagger : Tagger
    images : PhotoEmbeddings or ImageEmbeddings
        Of n photos, by the tagger's own model.
    names : sequence of str
    thumbnail : callable
        From 0, 1, ... to that photo's `thumbnail`.
    threshold : Threshold, float or str
        As `Tagger.tag` takes it.
    top_k : int or None
    """

    tagger: Tagger
    images: PhotoEmbeddings | ImageEmbeddings
    names: Sequence[str]
    thumbnail: Callable[[int], Thumbnail]
    threshold: float | str | Threshold | None = "auto"
    top_k: int | None = None

    @property
    def _as_shares(self) -> bool:
        """Whether scores lie in 0 to 1, and a slider moves their log-odds; else it moves the scores."""
        return bool(self.tagger.about.background)

    def _values(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        scores = np.asarray(scores, dtype=float)
        return logit(np.clip(scores, _LEAST, _MOST)) if self._as_shares else scores

    def cards(self) -> Iterator[dict[str, Any]]:
        """Describe photo after photo.

        Yields
        ------
        dict
            ``name``, ``src`` (the thumbnail), ``width`` and ``height`` of the photo, ``seen`` (left, top,
            right, bottom of what the model looks at, in shares), ``tags`` (number of a label and its score,
            the highest first), ``rest`` (how near one that is left out comes to its threshold, or None), and,
            of a model that looks at regions, ``regions`` (numbers of 16 bits in base64, K a tag) between
            ``low`` and ``high``, of which ``side`` stand in a row. Scores are log-odds, or the method's own.

        Raises
        ------
        CoMCError
            A photo does not open.
        """
        for rows, regions in self.tagger.scorer.where(self.images):
            for start in range(rows.start, rows.stop, _AT_ONCE):
                part = range(start, min(start + _AT_ONCE, rows.stop))
                with ThreadPoolExecutor(4) as threads:
                    thumbnails = list(threads.map(self.thumbnail, part))
                for row, (source, size) in zip(part, thumbnails, strict=True):
                    of_regions = None if regions is None else self._values(regions[row - rows.start])
                    seen = seen_part(size, self.tagger.about.towers.resize)
                    yield {
                        "name": self.names[row],
                        "src": source,
                        "width": size[0],
                        "height": size[1],
                        "seen": [round(edge / size[i % 2], 5) for i, edge in enumerate(seen)],
                        **self._tags(self._scores[row], of_regions),
                    }

    @cached_property
    def _scores(self) -> Float[np.ndarray, "n n_labels"]:
        return self._values(self.tagger.scores(self.images))

    @cached_property
    def _least(self) -> Float[np.ndarray, " n_labels"]:
        """Thresholds; where every label is a tag, a value just below all scores, from which a slider begins."""
        least = self._values(self.tagger.scorer.least(self.threshold))
        none = (least == self._values(np.zeros(1))) if self._as_shares else np.isneginf(least)
        return np.where(none, self._scores.min() - 1e-3, least)

    def _tags(
        self, scores: Float[np.ndarray, " n_labels"], regions: Float[np.ndarray, "k n_labels"] | None
    ) -> dict[str, Any]:
        least = self._least
        order = np.argsort(-scores, kind="stable")
        is_shown = (scores >= least)[order]
        is_shown[:MOST_TAGS] = True
        chosen, left_out = order[is_shown], order[~is_shown]
        told: dict[str, Any] = {
            "tags": [[int(label), float(scores[label])] for label in chosen],
            "rest": float((scores - least)[left_out].max()) if len(left_out) else None,
        }
        if regions is not None:
            of_tags = regions[:, chosen].T  # (tags, K)
            low, high = float(of_tags.min()), float(of_tags.max())
            steps = np.round(_STEPS * (of_tags - low) / max(high - low, 1e-9)).astype("<u2")
            told |= {"regions": base64.b64encode(steps.tobytes()).decode(), "low": low, "high": high}
            told["side"] = grid_side(len(regions))
        return told

    def gallery_data(self, cards: list[dict[str, Any]]) -> dict[str, Any]:
        """Put together what the script takes: some of the photos, and what holds for all of them.

        Parameters
        ----------
        cards : list of dict
            Some of what `cards` gives.

        Returns
        -------
        dict
            To be written as JSON. The slider goes from ``lowest`` to ``highest``, added to each label's
            threshold: never so low that a score would count that was left out.
        """
        base, towers = self._least, self.tagger.about.towers
        over = [score - base[label] for card in cards for label, score in card["tags"]]
        left_out = [card["rest"] for card in cards if card["rest"] is not None]
        lowest = min(0.0, max(left_out) + 1e-4 if left_out else min(over, default=0.0))
        return {
            "labels": list(self.tagger.labels),
            "least": list(map(float, base)),
            "logit": self._as_shares,
            "topK": self.top_k,
            "lowest": lowest,
            "highest": max([0.0, *over]) + 0.05,
            "noRegions": "" if towers.regions else NO_REGIONS.format(towers.model),
            "photos": cards,
        }


def thumbnails_of(photos: Photos) -> Callable[[int], Thumbnail]:
    """Give what makes the `thumbnail` of each of the photos, of a JPEG from no more pixels than it needs."""
    drafts = replace(photos, draft_size=2 * THUMBNAIL)
    return lambda row: thumbnail(drafts[row])


def thumbnail(photo: Image.Image) -> Thumbnail:
    """Make a small picture, without what the file says of place and time.

    Parameters
    ----------
    photo : PIL.Image.Image
        In RGB.

    Returns
    -------
    source : str
        An address that holds all bytes of a JPEG.
    size : tuple of int
        Width and height of the photo.
    """
    size = photo.size
    small = photo.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), reducing_gap=2.0)
    small.info.clear()
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}", size
