"""Which files of a folder are photos, and what else lies there: nothing is left out without a word."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from PIL import Image, UnidentifiedImageError

from comc_utils.errors import CoMCError, printable
from comc_utils.store.rgb import HEIC_OPENS, HEIC_REMEDY, image_errors, is_heic

N_NAMED_A_KIND = 3
"""Names of each kind that a line about what was passed over gives."""

NO_PHOTO = "no image that Pillow opens"
_HIDDEN = "hidden"
_SYSTEM = "thumbnails and files of systems"
_RAW = "raw files of cameras (develop them first)"
_NO_FILE = "no ordinary files"
_AGAIN = "links to folders that are read already"

SYSTEM_NAMES = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        ".@__thumb",
        ".ds_store",
        ".thumbnails",
        "@__thumb",
        "@eadir",
        "@recycle",
        "@sharebin",
        "@tmp",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "lost+found",
        "system volume information",
        "thumbs.db",
        "zbthumbnail.info",
    }
)
"""Files and folders, in lower case, that systems and photo servers put beside photos: thumbnails, bins."""

RAW_ENDINGS = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc",
    ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2",
    ".srf", ".srw", ".x3f",
))  # fmt: skip
"""Of what cameras write before it is developed: of many such files Pillow opens the small preview alone."""

_ALWAYS_PHOTOS = frozenset({".avif", ".heic", ".heics", ".heif", ".heifs", ".hif"})
_NOT_DECODED = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
_TOLD_BY_CONTENT = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")


@dataclass(frozen=True)
class FoundPhotos:
    """What lies in a folder and the folders below it.

    Attributes
    ----------
    names : tuple of str
        Of the photos, below the folder, "/" between folders, sorted; as the system gives them.
    passed_over : dict of str to tuple of str
        The other files by kind, as `errors.printable` writes their names; folders that were not read end in
        "/" and stand for all they hold.
    """

    names: tuple[str, ...]
    passed_over: dict[str, tuple[str, ...]]


def find_photos(root: str | os.PathLike[str], *, known: str | os.PathLike[str] | None = None) -> FoundPhotos:
    """Look for photos in a folder and the folders below it, linked ones included.

    A file is a photo if its ending, in any case, is one of Pillow's for a format that it decodes; with another
    ending, or none, if it holds an image of a photo's format. Hidden files, thumbnails of photo servers, raw
    files of cameras and whatever is no image are passed over, and counted. A folder that several links lead to
    is read once.

    Parameters
    ----------
    root : str or PathLike
        The folder, which may be hidden itself.
    known : str or PathLike, optional
        A file that is used otherwise, so that it is not counted.

    Returns
    -------
    FoundPhotos

    Raises
    ------
    CoMCError
        A folder or a file that may not be read; a link to a folder that it lies in, or to nothing; photos in
        HEIC without the extra.
    """
    search = _Search(os.fspath(root), None if known is None else os.path.realpath(known))
    search.run()
    if not HEIC_OPENS:
        heic = [name for name in search.names if _lacks_opener(search.path(name))]
        if heic:
            shown = ", ".join(printable(name) for name in heic[:N_NAMED_A_KIND])
            raise CoMCError(
                f"{root} holds {len(heic):,} photos in HEIC, {shown} the first; {HEIC_REMEDY}, or take them "
                "away."
            )
    kinds = {kind: tuple(map(printable, sorted(names))) for kind, names in sorted(search.others.items())}
    return FoundPhotos(tuple(sorted(search.names)), kinds)


def tell_passed_over(passed_over: Mapping[str, tuple[str, ...]]) -> str:
    """Sum up what was passed over.

    Parameters
    ----------
    passed_over : mapping of str to tuple of str
        Names by kind.

    Returns
    -------
    str
        Of each kind the number and the first names: ``2 hidden (._a.jpg, .trash/); 1 ...``.
    """
    parts = []
    for kind, names in passed_over.items():
        more = ", ..." if len(names) > N_NAMED_A_KIND else ""
        parts.append(f"{len(names):,} {kind} ({', '.join(names[:N_NAMED_A_KIND])}{more})")
    return "; ".join(parts)


class _Search:
    def __init__(self, root: str, known: str | None) -> None:
        self.root = root
        self.known = known
        self.names: list[str] = []
        self.others: dict[str, list[str]] = {}
        # Device and number: a folder has many names, but one of these.
        self._read: set[tuple[int, int]] = set()
        self._links: list[tuple[str, frozenset[tuple[int, int]]]] = []

    def path(self, name: str) -> str:
        return os.path.join(self.root, name) if name else self.root

    def run(self) -> None:
        # Links last, so that a folder that is there in person is read under its own name.
        self._read_below("", frozenset())
        while self._links:
            self._read_below(*self._links.pop(0))

    def _read_below(self, name: str, above: frozenset[tuple[int, int]]) -> None:
        waiting = [(name, above)]
        while waiting:
            name, above = waiting.pop()
            with _told(self.path(name)):
                status = os.stat(self.path(name))
                place = (status.st_dev, status.st_ino)
                if place in above:
                    raise CoMCError(
                        f"{self.path(name)} leads back to a folder that it lies in, so that reading would "
                        "never end; remove the link."
                    )
                if place in self._read:
                    self._pass_over(_AGAIN, f"{name}/")
                    continue
                self._read.add(place)
                with os.scandir(self.path(name)) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            for entry in found:
                inside = f"{name}/{entry.name}" if name else entry.name
                with _told(entry.path):
                    folder = self._look_at(entry, inside)
                if folder:
                    (self._links if entry.is_symlink() else waiting).append((inside, above | {place}))

    def _look_at(self, entry: os.DirEntry[str], name: str) -> bool:
        """Sort a file in, and say whether it is a folder to be read."""
        system = entry.name.casefold() in SYSTEM_NAMES
        if system or entry.name.startswith("."):
            folder = "/" if entry.is_dir(follow_symlinks=False) else ""
            self._pass_over(_SYSTEM if system else _HIDDEN, name + folder)
            return False
        if entry.is_dir():
            return True
        if not entry.is_file():
            os.stat(entry.path)  # says so of a link to nothing
            self._pass_over(_NO_FILE, name)
            return False
        ending = os.path.splitext(name)[1].lower()
        if ending in RAW_ENDINGS:
            self._pass_over(_RAW, name)
        elif ending in _endings() or _holds_photo(entry.path):
            self.names.append(name)
        elif self.known is None or os.path.realpath(entry.path) != self.known:
            self._pass_over(NO_PHOTO, name)
        return False

    def _pass_over(self, kind: str, name: str) -> None:
        self.others.setdefault(kind, []).append(name)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise CoMCError(
            f"{path} is a link to what is not there; remove it, or bring back what it leads to."
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CoMCError(f"{path} is a link that leads to itself; remove it.") from None
        raise CoMCError(
            f"{path} cannot be read ({error.strerror}), and the photos in it would be lost; give yourself the "
            "right to read it, or take it out of the folder."
        ) from None


def is_photo_name(name: str) -> bool:
    """Whether a name ends, in any case, as those of photos do; raw files of cameras are none."""
    return os.path.splitext(name)[1].lower() in _endings() - RAW_ENDINGS


@cache
def _endings() -> frozenset[str]:
    Image.init()
    # MPO, two photos in one, is opened as the JPEG that it begins with.
    decoded = {*Image.OPEN, "MPO"} - _NOT_DECODED
    endings = Image.registered_extensions()
    return _ALWAYS_PHOTOS | {ending for ending, kind in endings.items() if kind in decoded}


def _holds_photo(path: str) -> bool:
    """Whether a file of another ending holds an image of a format that photos come in.

    Of formats with a signature: others are found in what is no image at all.
    """
    Image.init()
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Where it is opened for good a photo too large for Pillow is told of.
            with image_errors(path), _too_large_is_a_photo():
                Image.open(file, formats=[kind for kind in _TOLD_BY_CONTENT if kind in Image.OPEN])
            return True
        except CoMCError:
            return is_heic(path)


@contextmanager
def _too_large_is_a_photo() -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError:
        return


def _lacks_opener(path: str) -> bool:
    """Whether a file is in HEIC and Pillow, without the extra, cannot tell it."""
    if os.path.splitext(path)[1].lower() in _endings() - _ALWAYS_PHOTOS:
        return False
    with _told(path):
        if not is_heic(path):
            return False
    try:
        with Image.open(path):
            return False
    except UnidentifiedImageError:
        return True
