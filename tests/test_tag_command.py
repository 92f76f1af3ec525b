"""The commands for own photos, from files to files."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tagging import MODEL, own_cache, scene, write_scenes  # noqa: F401

from comc_utils import load_experiment, mean_average_precision
from comc_utils.cli import main
from comc_utils.sentences import write_corpus
from comc_utils.tagging import exports
from comc_utils.tagging.tagger import Tagger

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve scenes and three labels, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("dog\ncar\npotted plant\n")
    return write_scenes(tmp_path / "photos", 12)


def run(*words: str) -> int:
    model = () if words[0] == "calibrate" or "--tagger" in words or "--remove" in words else ("--model", MODEL)
    return main([*words, *model])


def read(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tags_as_csv_json_and_parquet_say_the_same(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tags.csv", "tags.json", "tags.parquet"):
        assert run("tag", "photos", "--labels", "labels.txt", "--threshold", "0.01", "--to", name) == 0
    table = read("tags.csv")
    written = json.loads(Path("tags.json").read_text())
    nested = [
        {"file": photo["file"], "label": tag["label"], "score": exports.score_text(tag["score"])}
        for photo in written["photos"]
        for tag in photo["tags"] or [{"label": "", "score": None}]
    ]
    for row in nested:
        row["score"] = "" if row["label"] == "" else row["score"]
    assert table == nested
    frame = pd.read_parquet("tags.parquet")
    assert frame["file"].tolist() == [row["file"] for row in table]
    assert {row["file"] for row in table} == {f"photos/test-{i:05d}.png" for i in range(12)}
    about = json.loads(Path("tags.csv.about.json").read_text())
    assert about == written["about"] | {"tags are": about["tags are"]}
    assert about["model"] == MODEL
    assert "no probabilities" in about["scores are"]
    assert about["tags are"] == "scores from 0.01 on"
    out = capsys.readouterr().out
    assert "12 photos with miniworld-RN-small: 12 new" in out
    assert "12 photos with miniworld-RN-small: nothing new" in out
    assert "tags a photo; tags are scores from 0.01 on" in out
    assert "commonest: " in out


def test_twice_gives_the_same_bytes(photos: Path) -> None:
    for name in ("one.csv", "two.csv"):
        run("tag", "photos", "--labels", "labels.txt", "--to", name)
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


def test_map_of_the_scores_is_the_notebook_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment("miniworld", limit=60, n_sentences=300)
    write_corpus("corpus.jsonl", [r for r in experiment.corpus if r.generator != "prompt templates"])
    write_scenes(tmp_path / "photos", 60)
    Path("labels.txt").write_text("\n".join(experiment.class_names))
    command = ["tag", "photos", "--labels", "labels.txt", "--method", "comc", "--corpus", "corpus.jsonl"]
    assert run(*command, "--background", "none", "--threshold", "all", "--to", "tags.csv") == 0
    frame = pd.read_csv("tags.csv").pivot(index="file", columns="label", values="score")
    found = mean_average_precision(frame[list(experiment.class_names)].to_numpy(), experiment.image_labels)
    expected = mean_average_precision(experiment.fit().scores(), experiment.image_labels)
    assert abs(found.value - expected.value) < 1e-6


def test_another_list_opens_no_photo(photos: Path) -> None:
    run("embed", "photos")
    for path in photos.iterdir():
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run("tag", "photos", "--labels", "bus, boat", "--to", "tags.csv") == 0
    assert run("find", "photos", "a red bus", "--top", "3") == 0


def test_find_shows_the_best_first(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("find", "photos", "a dog", "--top", "4")
    lines = capsys.readouterr().out.splitlines()[1:]
    scores = [float(line.split("  ")[0]) for line in lines]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert run("find", "photos", "a dog", "--top", "0") == 2


def test_a_tagger_that_was_learned_tags_as_its_labels_do(photos: Path) -> None:
    for method in ("zero-shot", "comc"):
        assert run("learn", "--labels", "labels.txt", "--to", method, "--method", method) == 0
        run("tag", "photos", "--tagger", method, "--to", "one.csv")
        run("tag", "photos", "--labels", "labels.txt", "--method", method, "--to", "two.csv")
        assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()
    run("learn", "--labels", "labels.txt", "--to", "auto", "--auto-on", "photos")
    assert "12 photos of photos, without labels" in Tagger.load("auto").threshold.origin


def test_thresholds_top_k_and_limit(photos: Path) -> None:
    tag = ("tag", "photos", "--labels", "labels.txt", "--to", "tags.csv")
    run(*tag, "--threshold", "all")
    assert len(read("tags.csv")) == 36
    run(*tag, "--threshold", "all", "--top-k", "1", "--limit", "5")
    assert len(read("tags.csv")) == 5
    Path("thresholds.csv").write_text("label,threshold\ndog,0\ncar,1\npotted plant,1\n")
    run(*tag, "--threshold", "thresholds.csv")
    assert {row["label"] for row in read("tags.csv")} == {"dog"}
    run(*tag, "--threshold", "1")
    assert [row["label"] for row in read("tags.csv")] == [""] * 12


def test_answers_make_a_tagger_s_scores_probabilities(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("learn", "--labels", "labels.txt", "--to", "park")
    lines = [f"photos/test-{i:05d}.png,dog,{'yes' if i % 2 else 'no'}" for i in range(12)]
    lines += [f"photos/test-{i:05d}.png,car,{'yes' if i % 2 else 'no'}" for i in range(12)]
    Path("answers.csv").write_text("\n".join(["file,label,answer", *lines]))
    assert run("calibrate", "park", "photos", "--answers", "answers.csv") == 0
    assert "24 answers; scores of park are probabilities now" in capsys.readouterr().out
    assert Tagger.load("park").about.calibration.answers == 24


def test_sidecars_come_and_go(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in photos.iterdir())
    tag = ("tag", "photos", "--labels", "labels.txt", "--threshold", "0", "--sidecars", "xmp", "--prefix", "AI")
    run(*tag, "--dry-run")
    assert "dry run, sidecars: 12 written" in capsys.readouterr().out
    assert sorted(path.name for path in photos.iterdir()) == before
    run(*tag)
    assert len(list(photos.glob("*.png.xmp"))) == 12
    run(*tag)
    assert "sidecars: 12 unchanged" in capsys.readouterr().out
    assert run("tag", "photos", "--remove", "--sidecars", "xmp") == 0
    assert sorted(path.name for path in photos.iterdir()) == before
    run("tag", "photos", "--labels", "labels.txt", "--threshold", "0", "--sidecars", "txt")
    assert set((photos / "test-00000.png.txt").read_text().splitlines()) == {"dog", "car", "potted plant"}
    run("tag", "photos", "--remove", "--sidecars", "txt")
    assert sorted(path.name for path in photos.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("tag", "photos"), "Say which tags: --labels FILE, or --tagger DIR"),
        (("tag", "photos", "--labels", "dog", "--to", "tags.xls"), "known: .csv, .json, .parquet"),
        (("tag", "photos", "--tagger", "nowhere"), "There is no folder nowhere"),
        (("tag", "photos", "--labels", "dog", "--threshold", "5"), "Scores lie between 0 and 1"),
        (("tag", "photos", "--labels", "dog", "--prefix", "AI"), "--prefix is for keywords in XMP sidecars"),
        (("tag", "photos", "--remove", "--sidecars", "xmp", "--to", "a.csv"), "--remove writes no tags"),
        (("tag", "photos", "--remove"), "say of which: --sidecars xmp or txt"),
        (
            ("tag", "photos", "--labels", "dog", "--threshold", "high"),
            "neither a number such as 0.05, auto or all, nor a file",
        ),
        (("tag", "photos", "--labels", "dog", "--threshold", "nan"), "give a finite number"),
        (("tag", "photos", "--labels", "dog", "--to", "labels.txt/tags.csv"), "choose another --to"),
        (("tag", "photos", "--labels", "dog", "--top-k", "0"), "give 1 or more tags a photo"),
        (("tag", "photos", "--labels", "dog,dogs"), "are the same but for case"),
        (("tag", "photos", "--labels", "dog", "--templates", "nothing.txt"), "cannot be read"),
        (("tag", "photos", "--labels", "dog", "--sentences", "0", "--method", "comc"), "ask for 1 or more"),
        (("embed",), "No photos are given"),
        (("embed", "--list", "nothing.txt"), "cannot be read"),
        (("learn", "--labels", "dog", "--to", "labels.txt"), "labels.txt is a file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    photos: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    assert run(*words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert expected in line


def test_options_that_a_tagger_settles_are_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("learn", "--labels", "labels.txt", "--to", "park")
    assert main(["tag", "photos", "--tagger", "park", "--model", MODEL]) == 2
    assert "--model is settled in the tagger park" in capsys.readouterr().err


def test_unreadable_photos_are_named(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "test-00003.png").write_bytes(b"no image")
    (photos / "notes.txt").write_text("a note")
    assert run("tag", "photos", "--labels", "labels.txt", "--to", "tags.csv") == 2
    assert "photos/test-00003.png" in capsys.readouterr().err
    assert not Path("tags.csv").exists()
    assert run("tag", "photos", "--labels", "labels.txt", "--to", "tags.csv", "--skip-unreadable") == 0
    out, err = capsys.readouterr()
    assert "1 left out, as they do not open: photos/test-00003.png" in out
    assert "passed over in photos: 1 no image that Pillow opens (notes.txt)" in err
    assert len({row["file"] for row in read("tags.csv")}) == 11
    assert json.loads(Path("tags.csv.about.json").read_text())["unreadable"] == ["photos/test-00003.png"]


def test_the_embedded_model_says_what_it_is_for(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("tag", "photos", "--labels", "labels.txt")
    out, err = capsys.readouterr()
    assert "knows the drawn scenes of the embedded world alone" in err
    assert out.count("photos/test-") >= 12  # without a file to write to they are printed


def test_a_full_disk_leaves_what_was_there(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("tag", "photos", "--labels", "labels.txt", "--to", "tags.csv")
    before = Path("tags.csv").read_bytes()

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for words in (("--to", "tags.csv"), ("--sidecars", "xmp")):
        assert run("tag", "photos", "--labels", "bus", "--threshold", "0", *words) == 2
        assert "No space left on device" in capsys.readouterr().err
    assert run("learn", "--labels", "labels.txt", "--to", "park") == 2
    assert Path("tags.csv").read_bytes() == before
    assert not list(photos.glob("*.xmp"))
    assert not list(Path().rglob("*.partial*"))
    assert not list(Path("park").glob("*"))


def test_a_killed_run_goes_on_to_the_same_output(photos: Path) -> None:
    write_scenes(photos, 300)
    command = [sys.executable, "-m", "comc_utils", "tag", "photos", "--labels", "labels.txt", "--model", MODEL]
    environment = os.environ | {"COMC_CACHE_DIR": str(photos.parent / "alone")}
    subprocess.run([*command, "--to", "alone.csv"], env=environment, check=True, capture_output=True)
    place = photos.parent / "killed" / "photos" / "embeddings"
    environment["COMC_CACHE_DIR"] = str(photos.parent / "killed")
    started = subprocess.Popen(
        [*command, "--to", "killed.csv"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while started.poll() is None and not list(place.glob("*.safetensors")):
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not Path("killed.csv").exists()
    subprocess.run([*command, "--to", "killed.csv"], env=environment, check=True, capture_output=True)
    assert Path("killed.csv").read_bytes() == Path("alone.csv").read_bytes()
    assert len(np.unique([row["file"] for row in read("killed.csv")])) == 300
