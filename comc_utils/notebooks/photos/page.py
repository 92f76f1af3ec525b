"""The page of one's own photos as a widget: in JupyterLab, and by itself through Voila."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError
from comc_utils.notebooks.outputs import in_front_end
from comc_utils.notebooks.photos.session import MOST_LEARNED, Session
from comc_utils.tagging import gallery
from comc_utils.tagging.labels import Label

APP_VARIABLE = "COMC_APP"
"""Environment variable by which ``python -m comc_utils app`` tells the page that it stands by itself, and
with which model, as JSON."""
_HERE, _GALLERY = Path(__file__).parent, Path(gallery.__file__).parent


def your_photos(model: str | None = None) -> None:
    """Show a page to tag one's own photos in; where nobody looks, only say what it is.

    Parameters
    ----------
    model : str, optional
        Of CLIP, as open_clip names it; by default OpenAI's ViT-B/16.
    """
    app = os.environ.get(APP_VARIABLE)
    if not (app or in_front_end()):
        print("In JupyterLab: a page to drop photos in, type labels, see tags, correct and export them.")
        return
    given = json.loads(app) if app else {"model": model} if model else {}
    display(PhotosPage(given, folder=not app))


class PhotosPage(anywidget.AnyWidget):
    """A person's photos and labels; every page has its own.

    Parameters
    ----------
    model : mapping of str to str
        As `Session` takes it.
    folder : bool
        Whether folders of this machine may be named.
    """

    _esm = "\n".join(
        path.read_text(encoding="utf-8") for path in (_GALLERY / "gallery.js", _HERE / "photos.js")
    )
    _css = "\n".join(
        path.read_text(encoding="utf-8") for path in (_GALLERY / "gallery.css", _HERE / "photos.css")
    )
    folder = traitlets.Bool().tag(sync=True)

    def __init__(self, model: Mapping[str, str], *, folder: bool) -> None:
        super().__init__(folder=folder)
        self.session = Session(model, lambda text: self._say(text, "moving"))
        # Not the trait, which the browser may set: who visits the page by itself may not name folders.
        self._may_name_folders = folder
        self._pieces: list[bytes] = []
        self._failed: list[str] = []
        # Counts what was tagged, so that a late answer is not taken for one about something else.
        self._made = 0
        # One thing after the other, beside the thread that hears the page; CoMC learns beside both.
        self._work, self._learning = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.on_msg(self._hear)

    def _hear(self, _widget: object, message: dict[str, Any], buffers: list[memoryview]) -> None:
        kind = message["kind"]
        if kind == "ping":
            self.send({"kind": "pong"})
        elif kind == "photo":
            self._take(message, bytes(buffers[0]) if buffers else b"")
        elif kind in ("answers", "shift"):
            self._do(lambda: self._take_by_hand(message))
        elif kind in (actions := self._actions(message)):
            self._do(actions[kind], busy=True)

    def _actions(self, message: dict[str, Any]) -> dict[str, Callable[[], None]]:
        return {
            "photos-end": self._count,
            "tag": lambda: self._tag(message["labels"], message["folder"]),
            "method": lambda: self._choose(message["method"]),
            "calibrate": self._calibrate,
            "export": lambda: self._export(message["file"]),
            "write-sidecars": self._write_sidecars,
        }

    def _take_by_hand(self, message: dict[str, Any]) -> None:
        """Answers, or a threshold, that a person has given for the tags that are shown."""
        if message["made"] != self._made:
            self._say("What you have just chosen was for the tags of before, and is left out.", "error")
        elif message["kind"] == "shift":
            self.session.shift = float(message["shift"])
        else:
            self.session.answer(message["answers"])

    def _take(self, message: dict[str, Any], piece: bytes) -> None:
        """Put a photo together from its pieces, of which each is asked for by the last one's receipt."""
        if message["part"] == 0:
            self._pieces = []
        self._pieces.append(piece)
        if message["part"] == message["parts"] - 1:
            content, self._pieces = b"".join(self._pieces), []
            self._do(lambda: self._add(message["name"], content))
        else:
            self._got()

    def _add(self, name: str, content: bytes) -> None:
        try:
            self.session.uploads.add(name, content)
        except CoMCError:
            self._failed.append(name)
            raise
        finally:
            self._got()

    def _got(self) -> None:
        self.send({"kind": "got", "bytes": self.session.uploads.n_bytes})

    def _count(self) -> None:
        n = len(self.session.uploads)
        self._say(f"{n:,} photo{'s are' if n != 1 else ' is'} here. Type labels, then Tag.")
        if self._failed:
            self._say(
                f"{len(self._failed):,} left out, as they do not open: {name_some(self._failed)}.", "error"
            )
        self._failed = []

    def _tag(self, labels: str, folder: str) -> None:
        session = self.session
        session.tag(labels, folder.strip() if self._may_name_folders else "")
        self._made += 1
        tagger = session.tagger
        self._say(f"{len(session.names):,} photos, {len(tagger.labels):,} labels.")
        self._show(same=False)
        if "comc" in session.taggers:
            return
        if len(tagger.labels) > MOST_LEARNED:
            self._say(
                f"CoMC is learned here for {MOST_LEARNED} labels at most; for more: python -m comc_utils learn "
                "--method comc."
            )
            return
        self._say("CoMC learns these labels meanwhile.")
        self._learning.submit(self._guarded, lambda: self._learn(tagger.about.labels))

    def _learn(self, labels: tuple[Label, ...]) -> None:
        if self.session.labels != labels:  # others were asked for while this waited
            return
        learned = self.session.learn_comc(labels)
        if self.session.labels == labels:
            self.session.taggers["comc"] = learned
            self._say("CoMC has learned the labels; choose whose tags to see.")
            self._tell_methods()

    def _choose(self, method: str) -> None:
        if method in self.session.taggers:
            self.session.method = method
            self._show()

    def _calibrate(self) -> None:
        self.session.calibrate()
        self._say(f"Calibrated on {len(self.session.answers):,} answers: scores are probabilities now.")
        self._show()

    def _show(self, *, same: bool = True) -> None:
        data = self.session.shown()
        self.send({"kind": "gallery", "data": data, "same": same, "made": self._made})
        self._tell_methods()

    def _tell_methods(self) -> None:
        session = self.session
        scores = session.tagger.about.scores_are
        known = list(session.taggers)
        self.send({"kind": "methods", "methods": known, "method": session.method, "scores": scores})

    def _export(self, kind: str) -> None:
        name, content = self.session.export(kind)
        self.send({"kind": "file", "name": name}, buffers=[content])
        self._say(f"{name} is saved where your browser saves files.")

    def _write_sidecars(self) -> None:
        if self._may_name_folders:
            self._say(self.session.write_sidecars())

    def _say(self, text: str, how: str = "") -> None:
        self.send({"kind": "say", "text": text, "how": how})

    def _do(self, act: Callable[[], None], *, busy: bool = False) -> None:
        self._work.submit(self._guarded, act, busy)

    def _guarded(self, act: Callable[[], None], busy: bool = False) -> None:
        """Do something, and say in the page what is wrong with it."""
        try:
            if busy:
                self.send({"kind": "busy", "busy": True})
            act()
        except CoMCError as error:
            self._say(str(error), "error")
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._say(f"This went wrong, and not by your doing: {type(error).__name__}: {error}", "error")
        finally:
            if busy:
                self.send({"kind": "busy", "busy": False})
