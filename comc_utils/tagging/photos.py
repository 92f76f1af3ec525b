"""Which photos are meant: folders, files, patterns, lists; each with a name to show and a path to open."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from comc_utils.datasets.image_files import open_image
from comc_utils.datasets.photos import NO_PHOTO, FoundPhotos, find_photos, tell_passed_over
from comc_utils.errors import CoMCError, printable


@dataclass(frozen=True)
class Photos:
    """Photos on disk, opened on demand, turned as their EXIF data say.

    Attributes
    ----------
    paths : tuple of str
        As they were given, or below the folder that was given; none twice.
    roots : tuple of str
        Of each photo the folder that was given, or its own where a file was.
    folders : tuple of str
        Those that were given, to be read again another time.
    passed_over : str
        What lies in the folders beside the photos, in words; '' for nothing.
    draft_size : int or None
        See `image_files.open_image`.
    """

    paths: tuple[str, ...] = field(repr=False)
    roots: tuple[str, ...] = field(repr=False)
    folders: tuple[str, ...] = ()
    passed_over: str = ""
    draft_size: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The paths as they can be printed and written to files."""
        return tuple(map(printable, self.paths))

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        """Open a photo, in RGB; a `CoMCError` that names it where it does not open."""
        return open_image(self.paths[index], exif_rotation=True, draft_size=self.draft_size)

    def subset(self, rows: Sequence[int]) -> Photos:
        """Take some of the photos."""
        return replace(self, paths=tuple(self.paths[i] for i in rows), roots=tuple(self.roots[i] for i in rows))


def gather_photos(
    given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    listed: str | os.PathLike[str] | None = None,
    limit: int | None = None,
) -> Photos:
    """Find photos.

    Parameters
    ----------
    given : path or sequence of paths
        Folders, read with all that lies below them; photos; patterns such as ``photos/**/*.jpg``.
    listed : path, optional
        A text file (UTF-8) with one of these a line, taken from where the command runs.
    limit : int, optional
        For a trial: the first so many.

    Returns
    -------
    Photos
        Those of a folder sorted by path, each once.

    Raises
    ------
    CoMCError
        Nothing is there, a pattern or a folder holds no photo, an address of the web is given, or the limit is
        below 1.
    """
    if limit is not None and limit < 1:
        raise CoMCError(f"The limit is {limit} photos; give 1 or more, or none for all.")
    inputs = [given] if isinstance(given, str | os.PathLike) else list(given)
    of_list = read_list(Path(listed)) if listed is not None else []
    inputs += of_list
    if not inputs:
        raise CoMCError(
            "No photos are given; name a folder, photos, a pattern, or a list of them (--list FILE)."
        )
    found: dict[str, str] = {}
    folders, passed_over = [], []
    for item in map(os.fspath, inputs):
        if item.startswith(("http://", "https://")):
            raise CoMCError(
                f"{item} is an address; fetch the photo first, or in Python ask for it: tagger(url, "
                "fetch=True)."
            )
        if os.path.isdir(item):
            in_folder = find_photos(item)
            beside = without_sidecars(in_folder)
            if beside:
                passed_over.append(f"{item}: {tell_passed_over(beside)}")
            if not in_folder.names:
                others = f"; it holds {tell_passed_over(beside)}" if beside else ""
                raise CoMCError(f"{item} holds no photo{others}. Give the folder of the photos.")
            folders.append(item)
            for name in in_folder.names:
                found.setdefault(os.path.join(item, name), item)
        elif os.path.lexists(item):
            found.setdefault(item, os.path.dirname(item) or ".")
        else:
            matches = sorted(path for path in glob.glob(item, recursive=True) if os.path.isfile(path))
            if not matches:
                where = f" (in the list {listed})" if item in of_list else ""
                raise CoMCError(f"There is no photo, folder or pattern {item}{where}; check its path.")
            for path in matches:
                found.setdefault(path, os.path.dirname(path) or ".")
    kept = list(found.items())[:limit]
    return Photos(
        tuple(path for path, _ in kept),
        tuple(root for _, root in kept),
        tuple(folders) if limit is None else (),
        "; ".join(passed_over),
    )


def without_sidecars(found: FoundPhotos) -> dict[str, tuple[str, ...]]:
    """What lies beside the photos of a folder, by kind, but for sidecars of these."""
    stems = {name for photo in map(printable, found.names) for name in (photo, os.path.splitext(photo)[0])}
    others = found.passed_over.get(NO_PHOTO, ())
    strange = tuple(name for name in others if name[-4:] not in (".xmp", ".txt") or name[:-4] not in stems)
    return {kind: names for kind, names in (found.passed_over | {NO_PHOTO: strange}).items() if names}


def read_list(path: Path) -> list[str]:
    """Read the lines of a list of photos; a `CoMCError` where it cannot be read or is not in UTF-8."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise CoMCError(f"The list of photos {path} is not in UTF-8; save it as UTF-8 text.") from None
    except OSError as error:
        raise CoMCError(
            f"The list of photos {path} cannot be read ({error.strerror}); check its path."
        ) from None
    return [line.rstrip("\r") for line in lines if line.strip()]
