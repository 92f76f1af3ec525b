"""What one person does with photos in a page: labels, tags, answers, exports; nothing of browsers."""

from __future__ import annotations

import io
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import expit, logit

from comc_utils.clip import ImageEmbeddings
from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError, printable
from comc_utils.notebooks.photos.uploads import Uploads
from comc_utils.tagging.embeddings import PhotoEmbeddings
from comc_utils.tagging.exports import Tagged, write_tags
from comc_utils.tagging.gallery.cards import Shown, thumbnails_of
from comc_utils.tagging.labels import Label, as_labels
from comc_utils.tagging.photos import Photos, gather_photos
from comc_utils.tagging.scoring import Tag
from comc_utils.tagging.sidecars import write_sidecars
from comc_utils.tagging.tagger import Tagger
from comc_utils.tagging.thresholds import Threshold

MOST_SHOWN = 300
"""Photos in a page at once; exports hold all."""
MOST_LEARNED = 200
"""Labels that CoMC is learned for in a page: a hundred sentences each take a minute or some."""
_AT_ONCE = 16
ANSWERS = "the answers given in the page"


@dataclass
class Session:
    """One person's photos and labels, for as long as the page is open.

    Attributes
    ----------
    model : mapping of str to str
        ``model``, ``weights``, ``tag`` and ``device`` as `Tagger.learn` takes them.
    say : callable
        Is told in words what happens.
    uploads : Uploads
    taggers : dict of str to Tagger
        By method, as far as learned.
    method : str
        Whose tags are shown.
    answers : dict of (str, str) to bool
        By photo and label.
    shifts : dict of str to float
        By method, what is added to the threshold's log-odds by hand.
    """

    model: Mapping[str, str]
    say: Callable[[str], None]
    uploads: Uploads = field(default_factory=Uploads)
    taggers: dict[str, Tagger] = field(default_factory=dict)
    method: str = "zero-shot"
    answers: dict[tuple[str, str], bool] = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)
    _of_folder: PhotoEmbeddings | None = None

    @property
    def tagger(self) -> Tagger:
        """The one whose tags are shown."""
        return self.taggers[self.method]

    @property
    def labels(self) -> tuple[Label, ...]:
        """Those that photos were tagged with last; none before."""
        return self.taggers["zero-shot"].about.labels if self.taggers else ()

    @property
    def shift(self) -> float:
        """What is added to the threshold's log-odds by hand."""
        return self.shifts.get(self.method, 0.0)

    @shift.setter
    def shift(self, value: float) -> None:
        self.shifts[self.method] = value

    @property
    def names(self) -> Sequence[str]:
        """Of all photos that are tagged; those that were dropped since are not."""
        if self._of_folder:
            return self._of_folder.photos.names
        return self.uploads.names[: len(self.uploads) - self.uploads.n_waiting]

    @property
    def _images(self) -> PhotoEmbeddings | ImageEmbeddings:
        return self._of_folder or self.uploads.embeddings

    def tag(self, labels: str, folder: str = "") -> None:
        """Learn labels from their prompts, and embed photos that are new.

        What was learned of the same labels stays, and answers about photos and labels that are still there.

        Parameters
        ----------
        labels : str
            With line breaks or commas between.
        folder : str
            Of photos, in place of those that were dropped.

        Raises
        ------
        CoMCError
            Labels that cannot be told apart, no photo, or none that opens.
        """
        given = as_labels([part for part in re.split(r"[\n,]", labels) if part.strip()])
        if not (folder or self.uploads):
            raise CoMCError("There are no photos yet; drop some, or choose them.")
        same = given == self.labels
        tagger = self.taggers["zero-shot"] if same else Tagger.learn(given, **self.model)
        if folder:
            self._of_folder = self._embed_folder(tagger, folder)
        else:
            while n_waiting := self.uploads.n_waiting:
                self.say(f"Embedding: {n_waiting:,} of {len(self.uploads):,} photos to go.")
                self.uploads.embed_some(tagger.towers.clip, tagger.about.towers, _AT_ONCE)
            self._of_folder = None
        if not same:
            self.taggers, self.method, self.shifts = {"zero-shot": tagger}, "zero-shot", {}
        there, known = set(self.names), set(tagger.labels)
        kept = {key: said for key, said in self.answers.items() if key[0] in there and key[1] in known}
        if len(kept) < len(self.answers):
            n = len(self.answers) - len(kept)
            self.say(f"{n:,} answers about other photos or labels are left out.")
        self.answers = kept

    def _embed_folder(self, tagger: Tagger, folder: str) -> PhotoEmbeddings:
        photos = gather_photos(os.path.expanduser(folder))
        self.say(f"Embedding {len(photos):,} photos, those that are new.")
        found = tagger.embed(photos, skip_unreadable=True)
        if photos.passed_over:
            self.say(f"Passed over in {photos.passed_over}.")
        if found.unreadable:
            self.say(f"{len(found.unreadable):,} do not open and are left out: {name_some(found.unreadable)}.")
        return found

    def learn_comc(self, labels: Sequence[Label]) -> Tagger:
        """Learn CoMC's linear layer of labels, which takes some seconds to minutes."""
        return Tagger.learn(labels, method="comc", **self.model)

    def shown(self) -> dict[str, Any]:
        """Give what the gallery draws: the first photos, their tags by the method that is chosen."""
        small = thumbnails_of(self._of_folder.photos) if self._of_folder else self.uploads.thumbnail
        shown = Shown(self.tagger, self._images, self.names, small)
        data = shown.gallery_data(list(islice(shown.cards(), MOST_SHOWN)))
        if len(self.names) > MOST_SHOWN:
            self.say(f"The first {MOST_SHOWN} of {len(self.names):,} photos are shown; exports hold all.")
        row_of = {name: row for row, name in enumerate(self.names)}
        own = self.tagger.labels
        answers = [[f"{row_of[file]} {own.index(label)}", said] for (file, label), said in self.answers.items()]
        return data | {"answers": answers, "shift": self.shift}

    def answer(self, answers: Sequence[tuple[str, bool]]) -> None:
        """Take all answers, by the gallery's keys, "<photo> <label>" in numbers."""
        labels = self.tagger.labels
        places = [(*map(int, key.split()), bool(said)) for key, said in answers]
        self.answers = {(self.names[row], labels[column]): said for row, column, said in places}

    def calibrate(self) -> None:
        """Make scores probabilities by the answers; a `CoMCError` where they are fewer than ten.

        A threshold that was moved by hand stays where it is among the scores.
        """
        learned = self.tagger.calibrate(self._images, self.answers, ANSWERS, self.names)
        self.shift *= learned.about.reading.slope / self.tagger.about.reading.slope
        self.taggers[self.method] = learned

    def tags(self) -> list[list[Tag]]:
        """Choose each photo's tags: as the page shows them, answers before scores."""
        tagger = self.tagger
        scores, least = tagger.scores(self._images), self._threshold().of(tagger.labels)
        is_tag = scores >= least
        row_of = {name: row for row, name in enumerate(self.names)}
        for (file, label), said in self.answers.items():
            is_tag[row_of[file], tagger.labels.index(label)] = said
        return tagger.scorer.sort(scores, is_tag)

    def _threshold(self) -> Threshold:
        own = self.tagger.threshold
        if not self.shift:
            return own
        return Threshold(float(expit(logit(own.value) + self.shift)), "moved by hand")

    def export(self, kind: str) -> tuple[str, bytes]:
        """Make a file to be saved.

        Parameters
        ----------
        kind : {"csv", "json", "sidecars", "answers"}
            A table, the same with what it depends on, an archive of XMP sidecars, or the answers as the command
            ``calibrate`` takes them.

        Returns
        -------
        name : str
        content : bytes
        """
        if kind == "answers":
            rows = [[file, label, int(said)] for (file, label), said in self.answers.items()]
            table = pd.DataFrame(rows, columns=["file", "label", "answer"])
            return "answers.csv", table.to_csv(index=False, lineterminator="\n").encode()
        tagged = self._tagged()
        with tempfile.TemporaryDirectory() as folder:
            if kind != "sidecars":
                path = Path(folder) / f"tags.{kind}"
                write_tags(tagged, path)
                return path.name, path.read_bytes()
            packed = io.BytesIO()
            paths = tuple(os.path.join(folder, name) for name in self._names_in_archive())
            for path in paths:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            write_sidecars(Photos(paths, (folder,) * len(paths)), tagged.keywords, names="full")
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(Path(folder).rglob("*.xmp")):
                    archive.write(path, path.relative_to(folder))
            return "sidecars.zip", packed.getvalue()

    def _names_in_archive(self) -> Sequence[str]:
        """Names of photos, with their folders below the one that was named."""
        if not self._of_folder:
            return self.names
        photos = self._of_folder.photos
        relative = (os.path.relpath(path, root) for path, root in zip(photos.paths, photos.roots, strict=True))
        return [printable(name) for name in relative]

    def write_sidecars(self) -> str:
        """Write sidecars beside the photos of the folder, and say what became of them."""
        if self._of_folder is None:
            raise CoMCError("Photos that were dropped have no folder here; save the sidecars as a file.")
        return str(write_sidecars(self._of_folder.photos, self._tagged().keywords))

    def _tagged(self) -> Tagged:
        threshold = self._threshold()
        choice = f"scores from {threshold} on ({threshold.origin})"
        if self.answers:
            choice += f", and {len(self.answers):,} answers given by hand"
        unreadable = self._of_folder.unreadable if self._of_folder else ()
        return Tagged(tuple(self.names), self.tags(), self.tagger.about, choice, unreadable)
