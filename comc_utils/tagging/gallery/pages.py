"""``tag --gallery tags.html``: pages that show tagged photos by themselves, without a server or a network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment
from tqdm.auto import tqdm

from comc_utils import __version__
from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path
from comc_utils.tagging.exports import Tagged
from comc_utils.tagging.gallery.cards import Shown
from comc_utils.tagging.photos import Photos

PHOTOS_A_PAGE = 300
"""Some 5 MB."""
_GENERATOR = "comc-notebooks gallery"
_ENDINGS = (".html", ".htm")


def check_gallery(path: Path, first: Path | None = None) -> None:
    """Refuse a gallery's file of another kind, before anything is computed.

    Parameters
    ----------
    path : Path
        Of a page.
    first : Path, optional
        Of the gallery's first page, where it is another.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise CoMCError(f"--gallery {path}: a gallery is a page; let its name end in .html.")
    if path.exists() and _begins_at(path) != (first or path).name:
        raise CoMCError(
            f"--gallery {path} is there and no page of this gallery; choose another name, or remove it."
        )


def write_gallery(
    path: Path, shown: Shown, photos: Photos, tagged: Tagged, *, progress: bool = False
) -> list[Path]:
    """Write a gallery: one page, or several with links between them.

    Parameters
    ----------
    path : Path
        Of the first page, ending in .html; the others are ``<name>-2.html`` and so on. Pages of an earlier,
        longer gallery of this name are removed.
    shown : Shown
        The photos.
    photos : Photos
        Their files, to which the pages link.
    tagged : Tagged
        Their tags; what it says of the photos together stands at the head of each page.
    progress : bool

    Returns
    -------
    list of Path
        Each page is whole in itself and written whole or not at all.

    Raises
    ------
    CoMCError
        A photo does not open, or a page cannot be written.
    """
    total = len(photos)
    n_pages = -(-total // PHOTOS_A_PAGE)
    pages = [path, *(path.with_name(f"{path.stem}-{n}{path.suffix}") for n in range(2, n_pages + 1))]
    for page in pages:
        check_gallery(page, path)
    cards = _with_links(shown.cards(), photos, path.absolute().parent)
    template = Environment(autoescape=True).from_string(_read("page.html.jinja"))
    css, script = _read("gallery.css"), f"\n{_read('gallery.js')}{_read('page.js')}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    try:
        with tqdm(total=total, desc="gallery", unit="photo", disable=not progress) as bar:
            for number, page in enumerate(pages):
                of_page = list(islice(cards, PHOTOS_A_PAGE))
                text = template.render(
                    generator=_GENERATOR,
                    begins_at=quote(os.fsencode(path.name)),
                    title=f"{total:,} photos, {len(tagged.about.names):,} labels",
                    about=_about(tagged),
                    first=f"{number * PHOTOS_A_PAGE + 1:,}",
                    last=f"{number * PHOTOS_A_PAGE + len(of_page):,}",
                    total=f"{total:,}",
                    links=_links(pages, number),
                    css=css,
                    script_hash=f"sha256-{digest}",
                    script=script,
                    data=as_json(shown.gallery_data(of_page)),
                )
                with atomic_path(page) as temporary:
                    Path(temporary).write_text(text, encoding="utf-8", newline="\n")
                bar.update(len(of_page))
        _remove_longer(path, n_pages)
    except OSError as error:
        raise CoMCError(
            f"The gallery {path} cannot be written ({error.strerror}); free some space, or choose another "
            "place."
        ) from None
    return pages


def as_json(value: Any) -> str:
    """Write JSON that can stand in a page: nothing in it ends the element or begins another."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _about(tagged: Tagged) -> list[str]:
    about = tagged.about
    by = f"Tagged by {about.towers.model} ({about.method}), comc-notebooks {__version__}"
    lines = [
        f"{by}; tags are {tagged.choice}.",
        f"Scores are {about.scores_are}. Threshold and filters are for the photos of this page.",
    ]
    if tagged.unreadable:
        named = name_some(tagged.unreadable)
        lines.append(f"{len(tagged.unreadable):,} left out, as they do not open: {named}")
    return lines


def _links(pages: list[Path], number: int) -> list[tuple[str, str]]:
    near = {"first": 0, "previous": number - 1, "next": number + 1, "last": len(pages) - 1}
    return [
        (name, quote(os.fsencode(pages[i].name)))
        for name, i in near.items()
        if 0 <= i < len(pages) and i != number
    ]


def _with_links(cards: Iterator[dict[str, Any]], photos: Photos, folder: Path) -> Iterator[dict[str, Any]]:
    """Add to each photo the address of its file, from where the page lies."""
    for card, path in zip(cards, photos.paths, strict=True):
        relative = os.path.relpath(os.path.abspath(path), folder)
        yield card | {"href": quote(os.fsencode(relative.replace(os.sep, "/")))}


def _remove_longer(path: Path, n_pages: int) -> None:
    of_name = re.compile(re.escape(path.stem) + r"-(\d+)" + re.escape(path.suffix))
    for other in path.absolute().parent.iterdir():
        found = of_name.fullmatch(other.name)
        if found and int(found[1]) > n_pages and _begins_at(other) == path.name:
            other.unlink()


def _begins_at(path: Path) -> str | None:
    """Name the first page of the gallery that a file is a page of; None for any other file."""
    try:
        with open(path, "rb") as file:
            head = file.read(2000).decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r'name="gallery" content="([^"]*)"', head) if f'"{_GENERATOR}"' in head else None
    return unquote(found[1], errors="surrogateescape") if found else None
