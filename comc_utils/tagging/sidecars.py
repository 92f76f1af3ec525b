"""Tags beside the photos, as XMP sidecars that photo programs read, or as text; originals stay untouched."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from comc_utils.errors import CoMCError, printable
from comc_utils.store.atomic import atomic_path
from comc_utils.tagging.library import PhotoLibrary
from comc_utils.tagging.photos import Photos

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
X = "adobe:ns:meta/"
OURS = "urn:comc-notebooks:tags/"
"""Of the list of what was put in by this package, by which just that is taken away again."""

_CONTAINERS = tuple(f"{{{RDF}}}{name}" for name in ("Bag", "Seq", "Alt"))
_LI, _DESCRIPTION = f"{{{RDF}}}li", f"{{{RDF}}}Description"
_SUBJECT, _HIERARCHY = f"{{{DC}}}subject", f"{{{LIGHTROOM}}}hierarchicalSubject"
_OUR_SUBJECT, _OUR_HIERARCHY = f"{{{OURS}}}subject", f"{{{OURS}}}hierarchicalSubject"
_MADE = f"{{{OURS}}}made"
_PREFIXES = {DC: "dc", LIGHTROOM: "lr", OURS: "comc"}


@dataclass
class Outcome:
    """What became of the sidecars.

    Attributes
    ----------
    counts : Counter
        Photos by what was done: written, unchanged, removed.
    left_alone : dict of str to str
        By the sidecar's name, why it was not touched.
    """

    counts: Counter[str] = field(default_factory=Counter)
    left_alone: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Sum it up, with the first of those that were left alone."""
        text = "sidecars: " + ", ".join(f"{n:,} {what}" for what, n in sorted(self.counts.items()))
        if not self.left_alone:
            return text if self.counts else "sidecars: none"
        named = [f"{name} ({why})" for name, why in list(self.left_alone.items())[:5]]
        more = ", ..." if len(self.left_alone) > len(named) else ""
        return f"{text if self.counts else 'sidecars: none written'}; left alone: {'; '.join(named)}{more}"


def write_sidecars(
    photos: Photos,
    tags: Sequence[Sequence[str]],
    *,
    kind: str = "xmp",
    names: str = "auto",
    prefix: str = "",
    record: SidecarRecord | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Write each photo's tags beside it; without tags, take away those that were written before.

    Parameters
    ----------
    photos : Photos
        n photos.
    tags : sequence of sequences of str
        Of each photo its tags; all empty to remove.
    kind : {"xmp", "txt"}
        Keywords in XMP (``dc:subject``), added to those of others; or a text file of our own, a tag a line.
    names : {"auto", "full", "stem"}
        ``photo.jpg.xmp``, as darktable and digiKam have it, or ``photo.xmp``, as Lightroom has it; "auto" takes
        the one that is there, or the first.
    prefix : str
        In XMP, also hierarchical keywords ``<prefix>|<tag>`` (``lr:hierarchicalSubject``); '' for none.
    record : SidecarRecord, optional
        Of the text files that are ours; needed for these.
    dry_run : bool
        Find out what would be done, and write nothing.

    Returns
    -------
    Outcome
        A sidecar is left alone, and named with the reason, where it is damaged or no XMP, a link, or shared by
        several photos, where a text file is not ours, and where the photo lies outside the folder that was
        given.

    Raises
    ------
    CoMCError
        A sidecar cannot be written; those before it are.
    """
    outcome = Outcome()
    shared = Counter(os.path.splitext(path)[0] for path in photos.paths)
    for path, root, chosen in zip(photos.paths, photos.roots, tags, strict=True):
        place, why = _place(path, root, kind, names, shared)
        if not why:
            try:
                if kind == "xmp":
                    done, why = _write_xmp(place, chosen, prefix, dry_run)
                else:
                    done, why = _write_text(place, chosen, record, dry_run)
            except OSError as error:
                n = outcome.counts["written"]
                raise CoMCError(
                    f"Sidecar {printable(str(place))} cannot be written ({error.strerror}); {n:,} before it "
                    "are. Free some space or give yourself the right to write there, and run the same command "
                    "again."
                ) from None
        if why:
            outcome.left_alone[printable(str(place))] = why
        else:
            outcome.counts[done] += 1
    return outcome


def _place(path: str, root: str, kind: str, names: str, shared: Counter[str]) -> tuple[Path, str]:
    """Name the sidecar of a photo, and say why it is not to be touched."""
    stem = os.path.splitext(path)[0]
    full, short = Path(f"{path}.{kind}"), Path(f"{stem}.{kind}")
    place = {"full": full, "stem": short}.get(names)
    if place is None:
        place = short if short.exists() and not full.exists() and shared[stem] == 1 else full
    inside = os.path.realpath(root)
    if os.path.commonpath([inside, os.path.realpath(place.parent)]) != inside:
        return place, "the photo lies outside the folder that was given"
    if place.is_symlink():
        return place, "it is a link"
    if place == short and shared[stem] > 1:
        return place, "several photos would share it; take --sidecar-names full"
    return place, ""


def _write_xmp(place: Path, tags: Sequence[str], prefix: str, dry_run: bool) -> tuple[str, str]:
    """What was done, and why nothing was."""
    existed = place.exists()
    if not existed and not tags:
        return "unchanged", ""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        root = etree.fromstring(place.read_bytes(), parser) if existed else _new_xmp()
    except etree.XMLSyntaxError as error:
        return "", f"it is damaged: {error.msg}"
    rdf = root if root.tag == f"{{{RDF}}}RDF" else root.find(f"{{{RDF}}}RDF")
    if rdf is None:
        return "", "it is no XMP"
    hierarchy = [f"{prefix}|{tag}" for tag in tags] if prefix else []
    changed = _update(rdf, _SUBJECT, _OUR_SUBJECT, tags, "")
    changed |= _update(rdf, _HIERARCHY, _OUR_HIERARCHY, hierarchy, f"{prefix}|" if prefix else "")
    if not changed:
        return "unchanged", ""
    empty = not tags and _holds_nothing_else(rdf)
    if not dry_run:
        if empty:
            place.unlink()
        else:
            # A processing instruction before or after the root, as XMP packets have, is kept with the tree.
            text = etree.tostring(root.getroottree(), encoding="utf-8")
            with atomic_path(place) as temporary:
                temporary.write_bytes(text + b"\n")
    return ("written" if tags else "removed"), ""


def _new_xmp() -> etree._Element:
    root = etree.Element(f"{{{X}}}xmpmeta", nsmap={"x": X})
    rdf = etree.SubElement(root, f"{{{RDF}}}RDF", nsmap={"rdf": RDF})
    prefixes = {prefix: namespace for namespace, prefix in _PREFIXES.items()}
    description = etree.SubElement(rdf, _DESCRIPTION, {f"{{{RDF}}}about": ""}, nsmap=prefixes)
    etree.SubElement(description, _MADE).text = "True"
    return root


def _update(rdf: etree._Element, name: str, our_name: str, wanted: Sequence[str], prefix: str) -> bool:
    """Take our former keywords out of a property and put the wanted ones in; say whether anything changed."""
    there, former = _read(rdf, name), _read(rdf, our_name)
    ours = {*former, *(word for word in there if prefix and word.startswith(prefix))}
    foreign = [word for word in there if word not in ours]
    added = [word for word in dict.fromkeys(wanted) if word not in foreign]
    if [*foreign, *added] == there and added == former:
        return False
    _set(rdf, name, [*foreign, *added])
    _set(rdf, our_name, added)
    return True


def _properties(rdf: etree._Element, name: str) -> Iterator[etree._Element]:
    for description in rdf.iterchildren(_DESCRIPTION):
        yield from description.iterchildren(name)


def _read(rdf: etree._Element, name: str) -> list[str]:
    """Keywords of a property: items of a list of any kind, plain text, or an attribute."""
    found = [d.get(name) for d in rdf.iterchildren(_DESCRIPTION) if d.get(name)]
    for element in _properties(rdf, name):
        # Found by name: a comment may stand where the first child is looked for.
        items = [
            item for kind in _CONTAINERS for box in element.iterchildren(kind) for item in box.iterchildren(_LI)
        ]
        texts = ["".join(item.itertext()).strip() for item in items] if len(element) else [element.text or ""]
        found += [text for text in map(str.strip, texts) if text]
    return found


def _set(rdf: etree._Element, name: str, words: Sequence[str]) -> None:
    """Make a property hold just these keywords, in the list that is there; without any, take it away."""
    elements = list(_properties(rdf, name))
    for description in rdf.iterchildren(_DESCRIPTION):
        description.attrib.pop(name, None)
    box = None
    for element in elements:
        boxes = [box for kind in _CONTAINERS for box in element.iterchildren(kind)]
        if box is None and boxes and words:
            box = boxes[0]
        else:
            _drop(element)
    if not words:
        return
    if box is None:
        description = next(rdf.iterchildren(_DESCRIPTION), None)
        if description is None:
            description = etree.SubElement(rdf, _DESCRIPTION, {f"{{{RDF}}}about": ""})
        namespace = etree.QName(name).namespace
        element = etree.SubElement(description, name, nsmap={_PREFIXES[namespace]: namespace})
        box = etree.SubElement(element, _CONTAINERS[0])
    kept = set()
    for item in list(box.iterchildren(_LI)):
        text = "".join(item.itertext()).strip()
        if text in words and text not in kept:
            kept.add(text)
        else:
            _drop(item)
    for word in words:
        if word not in kept:
            etree.SubElement(box, _LI).text = word


def _drop(element: etree._Element) -> None:
    """Take an element out, and leave the text behind it."""
    parent, before = element.getparent(), element.getprevious()
    if element.tail and element.tail.strip():
        if before is not None:
            before.tail = (before.tail or "") + element.tail
        else:
            parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def _holds_nothing_else(rdf: etree._Element) -> bool:
    """Whether we made the file and nobody has put anything in since."""
    made = list(_properties(rdf, _MADE))
    for element in made:
        _drop(element)
    others = [d for d in rdf if len(d) or set(d.attrib) - {f"{{{RDF}}}about"}]
    return bool(made) and not others


class SidecarRecord:
    """Which text sidecars are ours: by SHA-256 of what was written, in the user's cache folder.

    Parameters
    ----------
    library : PhotoLibrary
    """

    def __init__(self, library: PhotoLibrary) -> None:
        self._library = library

    def is_ours(self, place: Path) -> bool:
        """Whether a text file is as it was written by us."""
        written = self._library.sidecar(os.path.abspath(place))
        return hashlib.sha256(place.read_bytes()).hexdigest() in written

    def remember(self, place: Path, text: str) -> None:
        """Note that a text file is ours, before it is written: a stop leaves the old text or the new."""
        before = [hashlib.sha256(place.read_bytes()).hexdigest()] if place.exists() else []
        after = hashlib.sha256(text.encode()).hexdigest()
        self._library.note_sidecar(os.path.abspath(place), [after, *before])


def _write_text(
    place: Path, tags: Sequence[str], record: SidecarRecord | None, dry_run: bool
) -> tuple[str, str]:
    text = "".join(f"{tag}\n" for tag in tags)
    if place.exists():
        if place.read_bytes() == text.encode():
            return "unchanged", ""
        if not record.is_ours(place):
            return "", "it is a text file of somebody else"
    elif not tags:
        return "unchanged", ""
    if not dry_run:
        if not tags:
            place.unlink()
        else:
            record.remember(place, text)
            with atomic_path(place) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return ("written" if tags else "removed"), ""
