"""The download command against a real HTTP server with small archives."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from comc_utils.cli import main
from comc_utils.datasets import download as module
from comc_utils.datasets.download import SOURCES, Archive, Source, download
from comc_utils.datasets.fetch import ATTEMPTS
from comc_utils.errors import CoMCError

N_BYTES = 200_000
PHOTOS = {f"VOCdevkit/VOC2007/JPEGImages/{i:06d}.jpg": bytes([i]) * N_BYTES for i in range(8)}
ANNOTATIONS = {"annotations/instances_val2014.json": b"{}" * 100}
VAL2014 = {"val2014/a.jpg": b"a" * 500, "val2014/b.jpg": b"b" * 700}


def tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_194_307_200
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


class Request(NamedTuple):
    path: str
    range: str | None


class Server:
    """Serves `files` by path; the next `n_cut` answers break off after `cut_after` bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.n_cut, self.cut_after = 0, 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(Request(self.path, self.headers.get("Range")))
                if self.path not in server.files:
                    self.send_error(404)
                    return
                start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                content = server.files[self.path][start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if server.n_cut:
                    server.n_cut -= 1
                    content = content[: server.cut_after]
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve VOC2007 test and trainval as tar, COCO's annotations and val2014 as zip."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    trainval = {name.replace("/00", "/01"): content for name, content in PHOTOS.items()}
    offer(
        monkeypatch,
        server,
        "voc2007",
        test=[("/test.tar", tar(PHOTOS))],
        trainval=[("/trainval.tar", tar(trainval))],
    )
    offer(
        monkeypatch,
        server,
        "coco2014",
        val2014=[("/annotations/annotations.zip", zipped(ANNOTATIONS)), ("/zips/val2014.zip", zipped(VAL2014))],
    )
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def offer(
    monkeypatch: pytest.MonkeyPatch, server: Server, data_set: str, **splits: list[tuple[str, bytes]]
) -> None:
    archives = {}
    for split, files in splits.items():
        server.files |= dict(files)
        archives[split] = tuple(
            Archive(path[1:], len(content), hashlib.sha256(content).hexdigest()) for path, content in files
        )
    monkeypatch.setitem(SOURCES, data_set, Source((server.url,), archives))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lists of what was unpacked."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and module.UNPACKED_FOLDER not in path.parts
    }


def test_test_split_then_no_request(server: Server, tmp_path: Path) -> None:
    assert download("voc2007", tmp_path / "voc") == tmp_path / "voc"
    assert contents(tmp_path / "voc") == PHOTOS
    assert [request.path for request in server.requests] == ["/test.tar"]
    photo = tmp_path / "voc" / next(iter(PHOTOS))
    assert photo.stat().st_mtime == 1_194_307_200
    download("voc2007", tmp_path / "voc")
    assert len(server.requests) == 1


def test_archives_of_several_splits(server: Server, tmp_path: Path) -> None:
    download("voc2007", tmp_path)
    download("voc2007", tmp_path, splits=("test", "trainval"), keep_archives=True)
    assert [request.path for request in server.requests] == ["/test.tar", "/trainval.tar"]
    assert len(contents(tmp_path)) == 2 * len(PHOTOS) + 1
    assert (tmp_path / "trainval.tar").read_bytes() == server.files["/trainval.tar"]


def test_zip_archives(server: Server, tmp_path: Path) -> None:
    download("coco2014", tmp_path)
    assert contents(tmp_path) == ANNOTATIONS | VAL2014
    download("coco2014", tmp_path)
    assert [request.path for request in server.requests] == [
        "/annotations/annotations.zip",
        "/zips/val2014.zip",
    ]


def test_stopped_fetch_goes_on_in_the_next_call(server: Server, tmp_path: Path) -> None:
    server.n_cut, server.cut_after = ATTEMPTS, 300_000
    with pytest.raises(CoMCError, match=r"test.tar cannot be fetched.*goes on from what has come"):
        download("voc2007", tmp_path)
    assert len(server.requests) == ATTEMPTS
    part = (tmp_path / "test.tar.part").stat().st_size
    assert 0 < part < len(server.files["/test.tar"])
    download("voc2007", tmp_path)
    assert server.requests[-1] == Request("/test.tar", f"bytes={part}-")
    assert contents(tmp_path) == PHOTOS


def test_stopped_unpacking_goes_on_in_the_next_call(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = tarfile.TarFile.extract
    extracted = []

    def stop_in_the_third(archive: tarfile.TarFile, member: tarfile.TarInfo, *args, **options):
        if len(extracted) == 2:
            (tmp_path / member.name).write_bytes(b"the first bytes")
            raise KeyboardInterrupt
        extracted.append(member.name)
        extract(archive, member, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", stop_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            download("voc2007", tmp_path)
    assert (tmp_path / "test.tar").exists()
    # A whole file is not written again: this mark of the same size stays.
    (tmp_path / extracted[0]).write_bytes(b"?" * N_BYTES)
    download("voc2007", tmp_path)
    assert contents(tmp_path) == PHOTOS | {extracted[0]: b"?" * N_BYTES}
    assert len(server.requests) == 1


@pytest.mark.parametrize(("data_set", "lost"), [("voc2007", next(iter(PHOTOS))), ("coco2014", "val2014/b.jpg")])
def test_lost_file_is_unpacked_again(server: Server, tmp_path: Path, data_set: str, lost: str) -> None:
    download(data_set, tmp_path)
    before = contents(tmp_path)
    (tmp_path / lost).unlink()
    n_requests = len(server.requests)
    download(data_set, tmp_path)
    assert contents(tmp_path) == before
    assert len(server.requests) == n_requests + 1


def test_archive_put_there_by_hand(server: Server, tmp_path: Path) -> None:
    (tmp_path / "test.tar").write_bytes(server.files["/test.tar"])
    download("voc2007", tmp_path)
    assert contents(tmp_path) == PHOTOS
    assert server.requests == []


def test_mirrors_are_tried_in_turn(server: Server, tmp_path: Path) -> None:
    server.files["/other/test.tar"] = b"an error page"
    mirrors = (f"{server.url}/absent", f"{server.url}/other/")
    download("voc2007", tmp_path, mirrors=mirrors)
    assert [request.path for request in server.requests] == ["/absent/test.tar", "/other/test.tar", "/test.tar"]
    assert contents(tmp_path) == PHOTOS | {"test.tar.rejected": b"an error page"}


def test_no_mirror_has_it(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.files = {"/mine/test.tar": b"an error page"}
    words = ["--to", str(tmp_path), "--mirror", f"{server.url}/mine"]
    assert main(["download", "voc2007", *words]) == 2
    printed = capsys.readouterr().err
    mine, official = (f"{server.url}/mine/test.tar (another file)", f"{server.url}/test.tar (HTTP 404)")
    assert f"not from {mine}\n" in printed
    assert f"error: test.tar cannot be fetched from {mine}, {official}." in printed
    assert f"put the file at {tmp_path / 'test.tar'} by hand" in printed
    assert contents(tmp_path) == {"test.tar.rejected": b"an error page"}


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "..\\outside.txt"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_nothing_is_written_outside(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack, name: str
) -> None:
    path = "/evil.zip" if pack is zipped else "/evil.tar"
    offer(monkeypatch, server, "voc2007", test=[(path, pack({name: b"outside"}))])
    folder = tmp_path / "below" / "data"
    try:
        download("voc2007", folder)
    except CoMCError as error:
        assert "cannot be unpacked" in str(error)
        assert "outside the destination" in str(error)
    # Where tar's rules make the name harmless, the file is in the folder.
    outside = [p for p in tmp_path.rglob("*outside*") if not p.is_relative_to(folder)]
    assert outside == []
    assert not Path("/outside.txt").exists()
    assert pack is tar or not list(folder.rglob("*outside*"))


def test_links_are_not_followed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
        archive.addfile(link)
    offer(monkeypatch, server, "voc2007", test=[("/evil.tar", stream.getvalue())])
    with pytest.raises(CoMCError, match="evil.tar cannot be unpacked: .*link"):
        download("voc2007", tmp_path / "data")
    assert not (tmp_path / "data" / "link").is_symlink()


def test_too_little_space(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CoMCError, match=r"0.0 GB free, but test.tar and what it holds needs 0.0 GB"):
        download("voc2007", tmp_path)
    assert server.requests == []


def test_folder_that_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CoMCError, match="file.* cannot be written: "):
        download("voc2007", tmp_path / "file")


def test_command(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "voc2007", "--to", str(tmp_path), "--split", "test", "trainval"]) == 0
    assert capsys.readouterr().out == f"voc2007: {tmp_path}\n"
    assert len(contents(tmp_path)) == 2 * len(PHOTOS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["voc2008"], "Unknown data set 'voc2008'; to be downloaded are: voc2007, coco2014."),
        (["nuswide"], "The images of NUS-WIDE are given on request only"),
        (["voc2007", "--split", "val2014"], "voc2007 has no split 'val2014'; its splits: test, "),
    ],
)
def test_command_with_wrong_words(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["download", *words, "--to", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert server.requests == []
    assert not (tmp_path / "new").exists()


def test_published_archives() -> None:
    """The splits of the loaders, and checksums of the right form."""
    from comc_utils.datasets import coco2014, voc2007

    assert set(SOURCES["voc2007"].archives) == set(voc2007.N_IMAGES)
    assert set(SOURCES["coco2014"].archives) == set(coco2014.N_IMAGES)
    for source in SOURCES.values():
        assert all(mirror.startswith("http") and mirror[-1] != "/" for mirror in source.mirrors)
        for archives in source.archives.values():
            for archive in archives:
                assert len(bytes.fromhex(archive.sha256)) == 32
                assert archive.n_bytes > 2e8
