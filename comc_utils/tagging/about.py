"""All that a tagger's scores depend on beside the photo, as a person can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NoReturn

from comc_utils import __version__
from comc_utils.errors import CoMCError
from comc_utils.tagging.embeddings import Towers
from comc_utils.tagging.labels import Label
from comc_utils.tagging.thresholds import SHARES, Calibration, Threshold

FORMAT = 1
"""Of the JSON file; a larger one is a newer version's."""


@dataclass(frozen=True)
class About:
    """A tagger but for its tensors.

    Attributes
    ----------
    labels : tuple of Label
        N labels.
    towers : Towers
        What embeds photos and texts.
    weights : str
        open_clip's tag of the weights, or the name of the file that they came from.
    tau : float
        CLIP's temperature.
    method : str
        "zero-shot" or "comc".
    templates : tuple of str
        Of the prompts, a place for the phrase being "{}".
    background : tuple of str
        The B words that labels are scored against; none for a method's own scores.
    preset, alpha : str, float
        Of CoMC; '' and NaN for zero-shot.
    sentences : str
        What CoMC learned from, in words; '' for zero-shot.
    threshold : Threshold
    calibration : Calibration or None
    version : str
        Of the package that made it.
    """

    labels: tuple[Label, ...]
    towers: Towers
    weights: str
    tau: float
    method: str
    templates: tuple[str, ...]
    background: tuple[str, ...]
    threshold: Threshold
    preset: str = ""
    alpha: float = 1.0
    sentences: str = ""
    calibration: Calibration | None = None
    version: str = __version__

    @property
    def names(self) -> tuple[str, ...]:
        """The labels as they are shown."""
        return tuple(label.name for label in self.labels)

    @property
    def reading(self) -> Calibration:
        """How log-odds are read as scores: as answers have taught, or as shares."""
        return self.calibration or SHARES

    @property
    def scores_are(self) -> str:
        """What a score is, in words."""
        if self.calibration:
            return (
                f"probabilities, calibrated on {self.calibration.answers} answers ({self.calibration.origin})"
            )
        if self.background:
            return f"shares of a label against {len(self.background)} background words; no probabilities"
        return "the method's own scores, of no fixed range"

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON takes it; `from_json` reads it."""
        written = asdict(self) | {"labels": [str(label) for label in self.labels]}
        return {"format": FORMAT, **written, "scores are": self.scores_are}

    @classmethod
    def from_json(cls, written: Any, place: str) -> About:
        """Read what `to_json` wrote.

        Parameters
        ----------
        written : object
            From JSON.
        place : str
            The file, for messages.

        Returns
        -------
        About

        Raises
        ------
        CoMCError
            A newer version's, or no such record.
        """

        def refuse(what: object) -> NoReturn:
            raise CoMCError(f"{place} is no tagger's description ({what}); learn the tagger again.")

        if not isinstance(written, Mapping) or not isinstance(written.get("format"), int):
            refuse("it has no format")
        if written["format"] > FORMAT:
            raise CoMCError(
                f"{place} was made by a newer version, {written.get('version')}, than this one, {__version__}; "
                "install that version, or learn the tagger again with this one."
            )
        try:
            given = {field.name: written[field.name] for field in fields(cls)}
            return cls(
                **given
                | {
                    "labels": tuple(map(Label.of, given["labels"])),
                    "towers": Towers(**given["towers"]),
                    "templates": tuple(given["templates"]),
                    "background": tuple(given["background"]),
                    "threshold": Threshold(**given["threshold"]),
                    "calibration": Calibration(**given["calibration"]) if given["calibration"] else None,
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            refuse(error)

    def with_threshold(self, threshold: Threshold) -> About:
        """The same with another threshold, which must be for its labels."""
        threshold.of(self.names)
        return replace(self, threshold=threshold)


CARD = """\
---
license: mit
library_name: comc-notebooks
tags: [multi-label, zero-shot-image-classification, clip]
---
# A tagger of {n} labels

Learned from text alone, no photo: {method} of `comc-notebooks` {version}.

| | |
|---|---|
| labels | {labels} |
| CLIP | {model}, weights {weights}; terms and limits are that model's |
| scores | {scores} |
| threshold | {threshold}: {origin} |
| sentences | {sentences} |

It finds what CLIP knows and what the labels' words mean to it. It is not made for recognising people, nor for
decisions about them; what is rare in the photos that CLIP was trained on is found badly, and what the photos of
the web show in stereotypes is found so. See how it does on photos of yours before you rely on it.

```python
from comc_utils import Tagger
tagger = Tagger.load("this folder")
tagger("photo.jpg")
```
"""
"""A saved tagger's README."""


def model_card(about: About) -> str:
    """Write what somebody should know who finds the tagger."""
    shown = ", ".join(about.names[:20]) + (f", ... ({len(about.names):,})" if len(about.names) > 20 else "")
    return CARD.format(
        n=len(about.names),
        method={"comc": "CoMC's linear layer", "zero-shot": "CLIP's prompts, zero-shot"}[about.method],
        version=about.version,
        labels=shown.replace("|", "\\|").replace("<", "&lt;"),
        model=about.towers.model,
        weights=about.weights,
        scores=about.scores_are,
        threshold=str(about.threshold),
        origin=about.threshold.origin,
        sentences=about.sentences or "none: the labels' prompts alone",
    )
