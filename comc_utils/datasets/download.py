"""Get VOC2007 and MS-COCO from their official addresses and unpack them, over as many calls as it takes."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from filelock import FileLock
from tqdm.auto import tqdm

from comc_utils.datasets.fetch import FetchError, fetch
from comc_utils.datasets.image_files import check_split
from comc_utils.datasets.nuswide import ADDRESS as NUSWIDE_ADDRESS
from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path

UNPACKED_FOLDER = ".unpacked"
"""Holds, for each archive that was unpacked completely, the list of its files."""

_GIGABYTE = 1e9


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes
    ----------
    path : str
        Behind each mirror's base address.
    n_bytes : int
        Its size.
    sha256 : str
        Of its content.
    """

    path: str
    n_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Under which it is kept until it is unpacked."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Source:
    """A data set's archives and where they are.

    Attributes
    ----------
    mirrors : tuple of str
        Base addresses, the official one first; they are tried in turn.
    archives : dict of str to tuple of Archive
        What each split needs; the first split is the paper's.
    """

    mirrors: tuple[str, ...]
    archives: dict[str, tuple[Archive, ...]]


_VOC2007_TRAINVAL = Archive(
    "VOCtrainval_06-Nov-2007.tar",
    460_032_000,
    "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
)
_COCO_ANNOTATIONS = Archive(
    "annotations/annotations_trainval2014.zip",
    252_872_794,
    "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
)

SOURCES = {
    "voc2007": Source(
        mirrors=(
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2007",
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007",
            "http://pjreddie.com/media/files",
        ),
        archives={
            "test": (
                Archive(
                    "VOCtest_06-Nov-2007.tar",
                    451_020_800,
                    "6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
                ),
            ),
            "trainval": (_VOC2007_TRAINVAL,),
            "train": (_VOC2007_TRAINVAL,),
            "val": (_VOC2007_TRAINVAL,),
        },
    ),
    "coco2014": Source(
        mirrors=("http://images.cocodataset.org", "https://s3.amazonaws.com/images.cocodataset.org"),
        archives={
            "val2014": (
                _COCO_ANNOTATIONS,
                Archive(
                    "zips/val2014.zip",
                    6_645_013_297,
                    "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
                ),
            ),
            "train2014": (
                _COCO_ANNOTATIONS,
                Archive(
                    "zips/train2014.zip",
                    13_510_573_713,
                    "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
                ),
            ),
        },
    ),
}
"""By the name of the loader's module."""


def download(
    data_set: str,
    folder: str | os.PathLike[str],
    *,
    splits: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    keep_archives: bool = False,
    progress: bool = False,
) -> Path:
    """Fetch and unpack a data set's archives; a call after an interrupted one goes on where it stopped.

    An archive is fetched as `fetch` does it, from the first mirror that gives it, and unpacked file by
    file, leaving alone files that are there in their full size. Then it is removed, and the list of its
    files is kept: as long as they are all there, it is not fetched again.

    Parameters
    ----------
    data_set : {"voc2007", "coco2014"}
        NUS-WIDE's images are given on request only.
    folder : str or PathLike
        Where to; the loader's `root`. It is made where it is missing.
    splits : sequence of str
        The paper's test split by default.
    mirrors : sequence of str
        Base addresses to try before the official ones.
    keep_archives : bool
        Leave the archives in the folder.
    progress : bool
        Show progress bars in bytes.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    CoMCError
        An unknown data set or split, an archive that no mirror gives, that is damaged or holds unsafe
        names, a folder that cannot be written or is too small.
    """
    source = _source(data_set)
    splits = splits or list(source.archives)[:1]
    for split in splits:
        check_split(split, source.archives, data_set)
    folder = Path(folder)
    archives = dict.fromkeys(a for split in splits for a in source.archives[split])
    with _file_errors(folder):
        (folder / UNPACKED_FOLDER).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / UNPACKED_FOLDER / "lock"):
            for archive in archives:
                if _is_unpacked(archive, folder):
                    continue
                _fetch(archive, folder, (*mirrors, *source.mirrors), progress=progress)
                _unpack(archive, folder, progress=progress)
                if not keep_archives:
                    (folder / archive.name).unlink()
    return folder


def _source(data_set: str) -> Source:
    if data_set == "nuswide":
        raise CoMCError(
            "The images of NUS-WIDE are given on request only, or one by one from Flickr; see "
            f"{NUSWIDE_ADDRESS}."
        )
    if data_set not in SOURCES:
        raise CoMCError(f"Unknown data set {data_set!r}; to be downloaded are: {', '.join(SOURCES)}.")
    return SOURCES[data_set]


@contextmanager
def _file_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CoMCError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}. Put that right and "
            "run again, which goes on from there; or choose another folder."
        ) from None


def _list_of(archive: Archive, folder: Path) -> Path:
    return folder / UNPACKED_FOLDER / f"{archive.name}.txt"


def _is_unpacked(archive: Archive, folder: Path) -> bool:
    path = _list_of(archive, folder)
    if not path.is_file():
        return False
    sha256, *names = path.read_text(encoding="utf-8").splitlines()
    return sha256 == archive.sha256 and all((folder / name).exists() for name in names)


def _fetch(archive: Archive, folder: Path, mirrors: Sequence[str], *, progress: bool) -> None:
    path = folder / archive.name
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        # What it holds takes at least as much as the archive.
        needed = 2 * archive.n_bytes - (part.stat().st_size if part.exists() else 0)
        _check_space(folder, needed, f"{archive.name} and what it holds")
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{archive.path}"
        try:
            fetch(url, path, sha256=archive.sha256, progress=progress)
            return
        except FetchError as error:
            failures.append(f"{url} ({error.reason})")
            if progress:
                tqdm.write(f"not from {failures[-1]}", file=sys.stderr)
    raise CoMCError(
        f"{archive.name} cannot be fetched from {', '.join(failures)}. Check the network and run again, "
        "which goes on from what has come; name another address (command line: --mirror URL); or put the "
        f"file at {path} by hand."
    )


def _check_space(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CoMCError(
            f"{folder} has {free / _GIGABYTE:.1f} GB free, but {what} needs {needed / _GIGABYTE:.1f} GB; "
            "free some, or choose another folder."
        )


def _unpack(archive: Archive, folder: Path, *, progress: bool) -> None:
    path = folder / archive.name
    files = _zip_files if path.suffix == ".zip" else _tar_files
    names = []
    try:
        with tqdm(desc=f"unpacking {archive.name}", unit=" files", delay=2, disable=not progress) as bar:
            for name, n_bytes, extract in files(path, folder):
                # A file that an earlier call was stopped at is shorter.
                target = folder / name
                if not target.is_file() or target.stat().st_size != n_bytes:
                    extract()
                names.append(name)
                bar.update()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CoMCError(
            f"{path} cannot be unpacked: {error}. Remove it, and run again to fetch it anew."
        ) from None
    with atomic_path(_list_of(archive, folder)) as temporary:
        temporary.write_text("\n".join([archive.sha256, *names]), encoding="utf-8")


_File = tuple[str, int, Callable[[], object]]
"""Name and size in bytes of a file in an archive, and what puts it into the folder."""


def _tar_files(path: Path, folder: Path) -> Iterator[_File]:
    with tarfile.open(path) as archive:
        for member in archive:
            # Refuses devices, and whatever would come to lie outside the folder.
            member = tarfile.data_filter(member, str(folder))
            if member.isfile():
                yield (member.name, member.size, partial(archive.extract, member, folder, filter="data"))


def _zip_files(path: Path, folder: Path) -> Iterator[_File]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            # zipfile would put such a file elsewhere in the folder instead, without a word.
            if PureWindowsPath(member.filename).anchor or ".." in PureWindowsPath(member.filename).parts:
                raise zipfile.BadZipFile(f"{member.filename!r} would be outside the destination")
            if not member.is_dir():
                yield member.filename, member.file_size, partial(archive.extract, member, folder)
