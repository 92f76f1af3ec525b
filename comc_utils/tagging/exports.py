"""Tags as files that other programs read, and as a summary for people."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comc_utils import __version__
from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path
from comc_utils.store.fingerprint import hash_texts
from comc_utils.tagging.about import About

COLUMNS = ("file", "label", "score")
ENDINGS = (".csv", ".json", ".parquet")
_COMMONEST = 10


@dataclass(frozen=True)
class Tagged:
    """Photos with their tags.

    Attributes
    ----------
    files : tuple of str
        Names of n photos.
    tags : list of list of dict
        Of each its tags, as `Tagger.tag` gives them.
    about : About
        Of the tagger.
    choice : str
        How the tags were chosen from the scores, in words.
    unreadable : tuple of str
        Names of the photos that do not open.
    """

    files: tuple[str, ...]
    tags: list[list[dict[str, Any]]]
    about: About
    choice: str
    unreadable: tuple[str, ...] = ()

    @property
    def metadata(self) -> dict[str, Any]:
        """What the tags depend on beside the photos: stands in each output or beside it."""
        about = self.about
        return {
            "made by": f"comc-notebooks {__version__}",
            "model": about.towers.model,
            "weights": about.weights,
            "weights' SHA-256": about.towers.weights,
            "preprocessing": f"{about.towers.resize} to {about.towers.image_size} pixels; "
            + about.towers.preprocessing,
            "method": about.method,
            "templates": list(about.templates),
            "labels": list(map(str, about.labels)),
            "labels' SHA-256": hash_texts(map(str, about.labels)),
            "scores are": about.scores_are,
            "tags are": self.choice,
            "unreadable": list(self.unreadable),
        }

    @property
    def keywords(self) -> list[list[str]]:
        """Of each photo the labels of its tags."""
        return [[str(tag["label"]) for tag in of] for of in self.tags]

    def rows(self) -> list[tuple[str, str, str]]:
        """File, label and score of each tag; of a photo without tags one row with neither."""
        found = []
        for file, tags in zip(self.files, self.tags, strict=True):
            found += [(file, tag["label"], score_text(tag["score"])) for tag in tags] or [(file, "", "")]
        return found

    def frame(self) -> pd.DataFrame:
        """The same as a table, whose scores are numbers: NaN of a photo without tags."""
        frame = pd.DataFrame(self.rows(), columns=list(COLUMNS))
        return frame.assign(score=pd.to_numeric(frame["score"]))

    def summary(self) -> str:
        """Say in some lines what came out."""
        n, n_tags = len(self.files), sum(map(len, self.tags))
        lines = [f"{n:,} photos, {n_tags / n:.2f} tags a photo; tags are {self.choice}"]
        without = [file for file, tags in zip(self.files, self.tags, strict=True) if not tags]
        if without:
            lines.append(f"{len(without):,} without any: {name_some(without)}")
        counts = Counter(tag["label"] for tags in self.tags for tag in tags)
        if counts:
            shown = ", ".join(f"{name} {number:,}" for name, number in counts.most_common(_COMMONEST))
            lines.append(f"commonest: {shown}")
        never = [name for name in self.about.names if name not in counts]
        if never:
            lines.append(f"{len(never):,} of {len(self.about.names):,} labels on no photo: {name_some(never)}")
        if self.unreadable:
            lines.append(
                f"{len(self.unreadable):,} left out, as they do not open: {name_some(self.unreadable)}"
            )
        return "\n".join(lines)


def score_text(score: float) -> str:
    """Write a score with as many digits as single precision has, and no more."""
    return np.format_float_positional(np.float32(score), trim="0", unique=True)


def check_ending(path: Path) -> None:
    """Refuse a file of tags of an unknown kind, before anything is computed."""
    if path.suffix.lower() not in ENDINGS:
        raise CoMCError(f"--to {path}: the ending says what is written; known: {', '.join(ENDINGS)}.")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401 - asked for its presence
        except ModuleNotFoundError:
            raise CoMCError(
                f"--to {path} needs pyarrow: pip install pyarrow, or in the checkout pip install -e "
                "'.[parquet]'; or write .csv."
            ) from None


def write_tags(tagged: Tagged, path: Path) -> None:
    """Write tags to a file, whole or not at all; beside a table, what it depends on as ``<name>.about.json``.

    Parameters
    ----------
    tagged : Tagged
    path : Path
        Ending in .csv, .json or .parquet.

    Raises
    ------
    CoMCError
        Another ending, pyarrow is not installed, or the file cannot be written.
    """
    check_ending(path)
    kind = path.suffix.lower()
    try:
        if kind == ".json":
            photos = [
                {"file": f, "tags": [tag | {"score": float(score_text(tag["score"]))} for tag in tags]}
                for f, tags in zip(tagged.files, tagged.tags, strict=True)
            ]
            _write_text(path, _json({"about": tagged.metadata, "photos": photos}))
            return
        _write_text(path.with_name(f"{path.name}.about.json"), _json(tagged.metadata))
        if kind == ".csv":
            table = io.StringIO(newline="")
            csv.writer(table, lineterminator="\n").writerows([COLUMNS, *tagged.rows()])
            _write_text(path, table.getvalue())
        else:
            with atomic_path(path) as temporary:
                tagged.frame().to_parquet(temporary, index=False)
    except OSError as error:
        raise CoMCError(
            f"{path} cannot be written ({error.strerror}); free some space, or choose another --to."
        ) from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
