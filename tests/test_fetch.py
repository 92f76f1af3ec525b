"""Downloads against a real HTTP server that misbehaves in real ways."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from comc_utils.datasets.fetch import ATTEMPTS, fetch, sha256_of
from comc_utils.errors import CoMCError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves CONTENT; each fault in `faults` spoils one request, in order."""

    def __init__(self) -> None:
        self.faults: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.requests: list[str | None] = []
        self.content = CONTENT
        self.knows_ranges = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.headers.get("Range"))
                if server.faults:
                    server.faults.pop(0)(self)
                else:
                    server.send(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"

    def send(self, handler: BaseHTTPRequestHandler, *, cut_after: int | None = None) -> None:
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if not self.knows_ranges:
            start = 0
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        handler.wfile.write(self.content[start:][:cut_after])

    def cut_after(self, n_bytes: int) -> Callable[[BaseHTTPRequestHandler], None]:
        return lambda handler: self.send(handler, cut_after=n_bytes)


def status(code: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: handler.send_error(code)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_whole_file_then_no_request(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.bin"
    assert fetch(server.url, path, sha256=SHA256) == path
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == {"file.bin"}
    fetch(server.url, path, sha256=SHA256)
    assert server.requests == [None]


@pytest.mark.parametrize("code", [500, 503, 429])
def test_passing_fault_is_tried_again(server: Server, tmp_path: Path, code: int) -> None:
    server.faults = [status(code)]
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_missing_address_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.faults = [status(404)] * ATTEMPTS
    with pytest.raises(CoMCError, match=f"{server.url}.*404.*by hand") as caught:
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert str(tmp_path / "file.bin") in str(caught.value)
    assert len(server.requests) == 1
    assert names(tmp_path) == set()


def test_lasting_fault_ends(server: Server, tmp_path: Path) -> None:
    server.faults = [status(500)] * (ATTEMPTS + 1)
    with pytest.raises(CoMCError, match="500"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert len(server.requests) == ATTEMPTS


def test_cut_connection_resumes(server: Server, tmp_path: Path) -> None:
    server.faults = [server.cut_after(300_000)]
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    first, second = server.requests
    assert first is None
    # How much of the cut answer arrived is the network's business, but it was not nothing.
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 300_000


def test_killed_download_resumes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-"]
    assert names(tmp_path) == {"file.bin"}


def test_complete_part_needs_no_byte(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    server.faults = [server.cut_after(300_000)]
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_damaged_beginning_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"?" * 1000)
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-", None]


def test_wrong_bytes_are_kept_aside(server: Server, tmp_path: Path) -> None:
    server.content = b"an error page"
    with pytest.raises(CoMCError) as caught:
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    actual = hashlib.sha256(b"an error page").hexdigest()
    for part in (server.url, SHA256, actual, str(tmp_path / "file.bin.rejected")):
        assert part in str(caught.value)
    assert names(tmp_path) == {"file.bin.rejected"}
    assert (tmp_path / "file.bin.rejected").read_bytes() == b"an error page"


def test_damaged_file_is_kept_aside_said_and_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
    with pytest.warns(UserWarning, match=r"file\.bin was damaged.*kept aside"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert (tmp_path / "file.bin.rejected").read_bytes() == CONTENT[:-1]


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file.bin"
    with pytest.raises(CoMCError, match="cannot be fetched.*Check the network"):
        fetch(url, tmp_path / "file.bin", sha256=SHA256)
    assert names(tmp_path) == set()


def test_final_name_appears_only_when_whole(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    seen: list[bool] = []

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        for start in range(0, len(CONTENT), 1 << 18):
            if start:
                time.sleep(0.05)  # for the client to write what it has
                seen.append(path.exists())
            handler.wfile.write(CONTENT[start : start + (1 << 18)])

    server.faults = [slowly]
    fetch(server.url, path, sha256=SHA256)
    assert seen == [False] * 3
    assert sha256_of(path) == SHA256


def test_progress_counts_bytes(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256, progress=True)
    assert "file.bin: 100%" in capsys.readouterr().err
    fetch(server.url, tmp_path / "quiet.bin", sha256=SHA256)
    assert capsys.readouterr().err == ""
