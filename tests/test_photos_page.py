"""The page of one's own photos: what a session does, and the page in a browser, alone and in JupyterLab."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from tagging import MODEL, own_cache, scene, write_scenes  # noqa: F401

from comc_utils.cli import main
from comc_utils.errors import CoMCError
from comc_utils.notebooks.photos import app, uploads
from comc_utils.notebooks.photos.page import PhotosPage
from comc_utils.notebooks.photos.session import Session
from comc_utils.tagging.tagger import Tagger
from comc_utils.tagging.thresholds import read_answers

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / app.NOTEBOOK
LABELS = "dog, car, potted plant, tv monitor, horse, sofa"


def png(index: int) -> bytes:
    written = io.BytesIO()
    scene(index).save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def session(own_cache: Path, tmp_path: Path) -> Session:  # noqa: F811
    said: list[str] = []
    session = Session({"model": MODEL}, said.append)
    for index in range(12):
        session.uploads.add(f"photo-{index}.png", png(index))
    session.tag(LABELS)
    return session


def test_dropped_photos_get_the_tags_that_files_get(session: Session, tmp_path: Path) -> None:
    files = write_scenes(tmp_path / "scenes", 12)
    tagger = Tagger.learn(LABELS, model=MODEL)
    expected = tagger.tag(tagger.embed(files))
    for ours, theirs in zip(session.tags(), expected, strict=True):
        assert [tag["label"] for tag in ours] == [tag["label"] for tag in theirs]
        np.testing.assert_allclose([t["score"] for t in ours], [t["score"] for t in theirs], atol=1e-5)


def test_nothing_of_what_is_dropped_is_written(
    session: Session,
    own_cache: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not (own_cache / "photos").exists()
    monkeypatch.setenv("COMC_CACHE_READ_ONLY", "1")
    before = sorted(own_cache.rglob("*"))
    session.tag("a secret, another one")
    session.learn_comc(session.labels)
    assert sorted(own_cache.rglob("*")) == before


def test_photos_that_were_added_are_embedded_and_no_others(session: Session) -> None:
    first = session.uploads.embeddings.global_.clone()
    session.uploads.add("later.png", png(20))
    assert session.uploads.n_waiting == 1
    session.tag(LABELS)
    assert len(session.names) == 13
    np.testing.assert_array_equal(session.uploads.embeddings.global_[:12], first)


def test_names_that_repeat_are_told_apart_and_folders_are_left_out() -> None:
    dropped = uploads.Uploads()
    assert [dropped.add(name, png(i)) for i, name in enumerate(("a/b.png", "b.png", "..\\b.png"))] == [
        "b.png",
        "b (2).png",
        "b (3).png",
    ]


def test_what_does_not_open_and_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = uploads.Uploads()
    for content in (b"", b"no photo", png(0)[:300]):
        with pytest.raises(CoMCError, match="bad.png does not open"):
            dropped.add("bad.png", content)
    assert len(dropped) == 0
    monkeypatch.setattr(uploads, "MOST_BYTES", len(png(0)) + 10)
    dropped.add("good.png", png(0))
    with pytest.raises(CoMCError, match="one too many: 0 MB of photos can be dropped"):
        dropped.add("more.png", png(1))


def test_without_photos_or_with_bad_labels_a_line_says_what_to_do(session: Session) -> None:
    with pytest.raises(CoMCError, match="There are no photos yet; drop some"):
        Session({"model": MODEL}, print).tag(LABELS)
    for labels, expected in (
        ("", "There is no label"),
        ("dog, Dog", "there twice"),
        ("\n".join(f"thing {i}" for i in range(5001)), "5,000 at most"),
    ):
        with pytest.raises(CoMCError, match=expected):
            session.tag(labels)
    assert session.tagger.labels == tuple(LABELS.split(", "))  # what was there is still there


def test_answers_stand_whatever_the_score_and_stay_with_their_labels(session: Session) -> None:
    tags = [[tag["label"] for tag in of] for of in session.tags()]
    row = next(i for i, of in enumerate(tags) if of)
    wrong = session.tagger.labels.index(tags[row][0])
    right = next(j for j, label in enumerate(session.tagger.labels) if label not in tags[row])
    session.answer([(f"{row} {wrong}", False), (f"{row} {right}", True)])
    after = [tag["label"] for tag in session.tags()[row]]
    assert tags[row][0] not in after and session.tagger.labels[right] in after
    asked = dict(session.answers)
    session.tag(", ".join(reversed(LABELS.split(", "))) + ", cat")
    assert session.answers == asked
    assert [tag["label"] for tag in session.tags()[row]] == after
    session.tag("cat, bird")
    assert session.answers == {}


def test_the_threshold_that_was_moved_is_the_one_that_is_exported(session: Session) -> None:
    session.shift = 1.0
    value = session.tagger.threshold.value
    moved = 1 / (1 + np.exp(-(np.log(value / (1 - value)) + 1)))
    scores = session.tagger.scores(session.uploads.embeddings)
    assert sum(map(len, session.tags())) == (scores >= moved).sum() < (scores >= value).sum()
    name, content = session.export("json")
    assert name == "tags.json" and "moved by hand" in json.loads(content)["about"]["tags are"]


def test_calibrating_and_every_export(session: Session, tmp_path: Path) -> None:
    with pytest.raises(CoMCError, match="holds no answer"):
        session.calibrate()
    tags = session.tags()
    keys = [f"{row} {column}" for row in range(4) for column in range(4)]
    session.answer([(key, i % 2 == 0) for i, key in enumerate(keys)])
    session.calibrate()
    assert "probabilities, calibrated on 16 answers" in session.tagger.about.scores_are
    shown = session.shown()
    assert sorted(shown["answers"]) == sorted([[key, i % 2 == 0] for i, key in enumerate(keys)])
    rows = list(csv.DictReader(io.StringIO(session.export("csv")[1].decode())))
    assert {row["file"] for row in rows} == set(session.names)
    (tmp_path / "answers.csv").write_bytes(session.export("answers")[1])
    assert read_answers(tmp_path / "answers.csv", session.tagger.labels) == session.answers
    with zipfile.ZipFile(io.BytesIO(session.export("sidecars")[1])) as archive:
        names = archive.namelist()
        assert names == sorted(f"{n}.xmp" for n, of in zip(session.names, session.tags(), strict=True) if of)
        assert b"<rdf:li>" in archive.read(names[0])
    with pytest.raises(CoMCError, match="dropped have no folder here"):
        session.write_sidecars()
    assert len(tags) == 12


def test_a_threshold_moved_by_hand_stays_where_it_is_when_scores_become_probabilities(session: Session) -> None:
    session.shift = 1.5
    before = session.tags()
    session.answer([(f"{row} 0", row % 2 == 0) for row in range(12)])
    asked = session.answers
    session.calibrate()
    session.answers = {}
    of_others = [
        [[t["label"] for t in of if t["label"] != "dog"] for of in tags] for tags in (before, session.tags())
    ]
    assert of_others[0] == of_others[1]
    assert len(asked) == 12 and session.shift != 1.5


def test_more_photos_keep_what_was_learned_of_the_same_labels(session: Session) -> None:
    session.answer([(f"{row} 0", row % 2 == 0) for row in range(12)])
    session.calibrate()
    session.taggers["comc"] = session.learn_comc(session.labels)
    taggers = dict(session.taggers)
    session.uploads.add("later.png", png(30))
    assert len(session.names) == 12 and len(session.export("csv")[1].splitlines()) > 12  # not yet tagged
    session.tag("dog\ncar, potted plant\ntv monitor, horse, sofa")
    assert session.taggers == taggers and len(session.answers) == 12 and len(session.names) == 13
    assert session.uploads.add("twice.png", png(30)) == "later.png" and len(session.uploads) == 13


def test_who_visits_the_page_alone_cannot_name_folders(own_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = write_scenes(tmp_path / "scenes", 3)
    page = PhotosPage({"model": MODEL}, folder=False)
    sent: list[dict] = []
    page.send = lambda content, buffers=None: sent.append(content)
    page.set_state({"folder": True})  # as a browser may
    page._hear(page, {"kind": "tag", "labels": LABELS, "folder": str(folder)}, [])
    page._hear(page, {"kind": "write-sidecars"}, [])
    page._work.shutdown(wait=True)
    assert [m["text"] for m in sent if m.get("how") == "error"] == [
        "There are no photos yet; drop some, or choose them."
    ]
    assert sorted(path.suffix for path in folder.iterdir()) == [".png"] * 3


def test_a_late_answer_is_not_taken_for_one_about_other_tags(own_cache: Path) -> None:  # noqa: F811
    page = PhotosPage({"model": MODEL}, folder=False)
    sent: list[dict] = []
    page.send = lambda content, buffers=None: sent.append(content)
    for index in range(3):
        page._hear(
            page, {"kind": "photo", "name": f"{index}.png", "part": 0, "parts": 1}, [memoryview(png(index))]
        )
    page._hear(page, {"kind": "photo", "name": "bad.png", "part": 0, "parts": 1}, [memoryview(b"bad")])
    page._hear(page, {"kind": "photos-end"}, [])
    page._hear(page, {"kind": "tag", "labels": "dog, car, sofa", "folder": ""}, [])
    page._hear(page, {"kind": "answers", "answers": [["0 1", True]], "made": 1}, [])
    page._hear(page, {"kind": "tag", "labels": "sofa, dog, car", "folder": ""}, [])
    page._hear(page, {"kind": "answers", "answers": [["0 0", True], ["1 1", True]], "made": 1}, [])
    page._hear(page, {"kind": "shift", "shift": 2.0, "made": 1}, [])
    page._hear(page, {"kind": "method", "method": "unknown"}, [])
    page._work.shutdown(wait=True)
    page._learning.shutdown(wait=True)
    assert page.session.answers == {("0.png", "car"): True} and page.session.shift == 0
    errors = [m["text"] for m in sent if m.get("how") == "error"]
    assert sum("for the tags of before" in text for text in errors) == 2
    assert any("1 left out, as they do not open: bad.png" in text for text in errors)
    assert page.session.method == "zero-shot" and page.session.taggers["comc"].labels == ("sofa", "dog", "car")


def test_photos_of_one_name_in_two_folders_keep_a_sidecar_each(own_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    for name, index in (("a", 0), ("b", 3)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(png(index))
    session = Session({"model": MODEL}, print)
    session.tag("car, dog, motorbike", str(tmp_path / "photos"))
    session.shift = -20.0
    with zipfile.ZipFile(io.BytesIO(session.export("sidecars")[1])) as archive:
        assert archive.namelist() == ["a/1.png.xmp", "b/1.png.xmp"]


def test_another_folder_takes_its_answers_along_and_says_so(own_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    said: list[str] = []
    session = Session({"model": MODEL}, said.append)
    folder = write_scenes(tmp_path / "scenes", 3)
    session.tag(LABELS, str(folder))
    session.answer([("0 0", True)])
    session.tag(LABELS + ", cat", str(folder))
    assert len(session.answers) == 1
    session.uploads.add("mine.png", png(5))
    session.tag(LABELS)
    assert session.answers == {} and any("1 answers about other photos or labels" in text for text in said)
    assert session.shown()["answers"] == []


def test_a_folder_is_tagged_where_it_lies(own_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = write_scenes(tmp_path / "scenes", 6)
    (folder / "broken.png").write_bytes(png(0)[:200])
    said: list[str] = []
    session = Session({"model": MODEL}, said.append)
    session.tag(LABELS, str(folder))
    assert len(session.names) == 6
    assert any("1 do not open and are left out" in text and "broken.png" in text for text in said)
    assert "written" in session.write_sidecars()
    assert list(folder.glob("*.xmp"))


def test_the_page_needs_voila_and_a_free_port(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind((app.ADDRESS, 0))
        taken.listen()
        assert main(["app", "--model", MODEL, "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be used" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "voila.app", None)
    assert main(["app", "--model", MODEL]) == 2
    assert "pip install voila" in capsys.readouterr().err


def test_what_is_the_page_is_marked_in_the_notebook() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    page = [cell for cell in cells if app.TAG in cell["metadata"].get("tags", ())]
    text = "".join("".join(cell["source"]) for cell in page)
    assert "your_photos(MODEL)" in text and "Nothing leaves this machine" in text
    assert "begin(" not in text.replace("begin,", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((app.ADDRESS, 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen]]:
    port = free_port()
    cache = tmp_path_factory.mktemp("cache")
    command = [sys.executable, "-m", "comc_utils", "app", "--model", MODEL, "--no-browser", "--port", str(port)]
    environment = os.environ | {"COMC_CACHE_DIR": str(cache), "PYTHONWARNINGS": "ignore"}
    running = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in running.stdout:
        if "Voilà is running" in line:
            break
    # Nobody waits for more; a full pipe would stop the server.
    rest = threading.Thread(target=running.stdout.read)
    rest.start()
    yield f"http://{app.ADDRESS}:{port}/", running
    running.send_signal(signal.SIGINT)
    running.wait(30)
    rest.join()
    running.stdout.close()


def open_page(browser: Browser, address: str, faults: list[str], **look: object) -> Page:
    page = browser.new_context(accept_downloads=True, **look).new_page()
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(own) else faults.append(f"asks for {r.url}"))
    page.goto(address)
    page.wait_for_selector(".comc-photos .drop", timeout=120_000)
    return page


def files_of(folder: Path, indices: range) -> list[str]:
    folder.mkdir(exist_ok=True)
    for index in indices:
        (folder / f"scene-{index}.png").write_bytes(png(index))
    return [str(folder / f"scene-{index}.png") for index in indices]


def tag(page: Page, files: list[str], labels: str) -> None:
    page.set_input_files(".comc-photos input[type=file]", files)
    page.fill(".comc-photos textarea", labels)
    page.click(".comc-photos .go")
    page.wait_for_selector(".photos li", timeout=120_000)


def test_two_visitors_see_their_own_photos_and_what_is_wrong(
    server: tuple[str, subprocess.Popen], browser: Browser, tmp_path: Path
) -> None:
    address, _ = server
    faults: list[str] = []
    first = open_page(browser, address, faults, viewport={"width": 1280, "height": 900})
    second = open_page(browser, address, faults, viewport={"width": 390, "height": 844}, color_scheme="dark")
    (tmp_path / "broken.jpg").write_bytes(png(0)[:400])
    noise = np.random.default_rng(0).integers(0, 255, (2700, 2600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 20e6
    tag(
        first,
        [*files_of(tmp_path, range(4)), str(tmp_path / "broken.jpg"), str(tmp_path / "large.png")],
        LABELS,
    )
    tag(second, files_of(tmp_path, range(10, 13)), "horse\nsofa")
    names = [page.locator(".photos .name").all_inner_texts() for page in (first, second)]
    assert names == [
        [*(f"scene-{i}.png" for i in range(4)), "large.png"],
        [f"scene-{i}.png" for i in range(10, 13)],
    ]
    expect(first.locator(".log")).to_contain_text("broken.jpg does not open")
    assert second.evaluate("document.documentElement.scrollWidth") <= 390
    assert second.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 26)"
    small = io.BytesIO()
    scene(14).resize((24, 24)).save(small, "JPEG", quality=40)
    assert len(small.getvalue()) < 1024
    drop(second, "small.jpg", small.getvalue())
    expect(second.locator(".log")).to_contain_text("4 photos are here")
    second.click(".comc-photos .go")
    expect(second.locator(".photos .name")).to_have_count(4)
    second.fill(".comc-photos textarea", "dog, Dog")
    second.click(".comc-photos .go")
    expect(second.locator(".log .error").last).to_contain_text("is there twice")

    first.wait_for_selector("text=CoMC has learned", timeout=120_000)
    first.locator(".photos .open").first.click()
    for _ in range(4):
        for key in ("y", "ArrowDown", "n", "ArrowDown", "n", "ArrowRight"):
            first.keyboard.press(key)
    first.keyboard.press("Escape")
    expect(first.locator(".counts")).to_contain_text("12 answered")
    first.click("text=Calibrate")
    expect(first.locator(".methods")).to_contain_text("probabilities, calibrated on 12 answers", timeout=30_000)
    for button, name in (("Save tags (CSV)", "tags.csv"), ("Save sidecars (XMP)", "sidecars.zip")):
        with first.expect_download() as download:
            first.click(f"text={button}")
        assert download.value.suggested_filename == name
    first.click(".methods button:has-text('CoMC')")
    expect(first.locator(".methods button:has-text('CoMC')")).to_have_attribute("aria-pressed", "true")
    assert faults == []


def drop(page: Page, name: str, content: bytes) -> None:
    """Let a file fall on the page, as from a file manager."""
    page.evaluate(
        """([name, bytes]) => {
            const moved = new DataTransfer();
            moved.items.add(new File([Uint8Array.from(bytes)], name));
            const at = document.querySelector(".comc-photos .drop");
            for (const kind of ["dragenter", "dragover", "drop"])
                at.dispatchEvent(new DragEvent(kind, { dataTransfer: moved, bubbles: true, cancelable: true }));
        }""",
        [name, list(content)],
    )


def kernels(running: subprocess.Popen) -> int:
    children = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=False)
    return len(children.stdout.split())


def test_a_page_that_is_closed_leaves_nothing_and_one_that_is_lost_says_so(
    server: tuple[str, subprocess.Popen], browser: Browser
) -> None:
    address, running = server
    before = kernels(running)
    page = open_page(browser, address, [])
    assert kernels(running) == before + 1
    page.goto("about:blank")
    for _ in range(100):
        if kernels(running) == before:
            break
        time.sleep(0.2)
    assert kernels(running) == before
    page = open_page(browser, address, [])
    running.send_signal(signal.SIGINT)
    running.wait(60)
    lost = page.locator(".lost")
    expect(lost).to_be_visible(timeout=60_000)
    expect(lost).to_contain_text("start it again and reload this page")


def test_in_jupyterlab_keys_are_for_the_page_and_not_for_the_notebook(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    text = NOTEBOOK.read_text(encoding="utf-8")
    given = re.sub(r'MODEL = \\"[^"]*\\"', f'MODEL = \\\\"{MODEL}\\\\"', text)
    assert given != text
    (tmp_path / "notebooks" / app.NOTEBOOK).write_text(given, encoding="utf-8")
    scenes = write_scenes(tmp_path / "scenes", 5)
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", str(tmp_path / "notebooks"), "--no-browser"]
    command += ["--port", str(port), "--IdentityProvider.token=", "--allow-root"]
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = os.environ | places | {"COMC_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    log = open(tmp_path / "log", "w")  # noqa: SIM115
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        for _ in range(100):
            time.sleep(0.3)
            if "is running at" in (tmp_path / "log").read_text():
                break
        page.goto(f"http://127.0.0.1:{port}/lab/tree/{app.NOTEBOOK}")
        cells = page.locator(".jp-Notebook .jp-Cell")
        cells.first.click(timeout=60_000)
        page.keyboard.press("Escape")
        for _ in range(5):
            page.keyboard.press("Shift+Enter")
            time.sleep(0.5)
        page.wait_for_selector(".comc-photos .drop", timeout=120_000)
        page.fill(".comc-photos .folder input", str(scenes))
        page.fill(".comc-photos textarea", LABELS)
        page.click(".comc-photos .go")
        page.wait_for_selector(".photos li", timeout=120_000)
        before = cells.count()
        page.locator(".photos .open").first.click()
        for key in ("d", "d", "a", "b", "x", "y", "ArrowRight", "Escape"):
            page.keyboard.press(key)
        expect(page.locator(".counts")).to_contain_text("1 answered")
        assert cells.count() == before
        page.close()
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)
        log.close()
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
