"""Photos in shards: the tables that both engines leave, whatever the photos are and whoever is killed."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image
from tagging import LABELS, MODEL, learn, own_cache, scene, write_scenes  # noqa: F401

from comc_utils.cli import main
from comc_utils.clip import ImageEmbeddings
from comc_utils.store.rgb import HEIC_OPENS
from comc_utils.tagging.engine import on_ray, run, shards, tables, work

pytestmark = pytest.mark.usefixtures("own_cache")
PLAIN = ("--labels", ",".join(LABELS), "--model", MODEL)
WHAT = (*PLAIN, "--threshold", "0.01")


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of 25 scenes, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "photos", 25)
    path = tmp_path / "scenes.txt"
    path.write_text("".join(f"photos/test-{i:05d}.png\n" for i in range(25)))
    return path


def tag(to: str, *words: str, engine: str = "local") -> int:
    return main(["tag", "--engine", engine, "--to", to, *WHAT, *words])


def read(folder: str) -> pd.DataFrame:
    paths = sorted(Path(folder).glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def same_files(one: str, other: str) -> None:
    names = sorted(p.relative_to(one) for p in Path(one).rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(other) for p in Path(other).rglob("*") if p.is_file())
    for name in names:
        assert (Path(one) / name).read_bytes() == (Path(other) / name).read_bytes(), name


def blank(*paths: Path) -> None:
    """Fill files with zeros: what is not opened may be anything."""
    for path in paths:
        path.write_bytes(b"\0" * path.stat().st_size)


def test_tables_say_what_the_command_says_without_shards(listed: Path) -> None:
    assert tag("tables", "--list", "scenes.txt", "--shard-size", "10") == 0
    main(["tag", "--list", "scenes.txt", "--to", "tags.parquet", *WHAT])
    assert [p.name for p in sorted(Path("tables").glob("*.parquet"))] == [
        f"scenes-0000{i}.parquet" for i in range(3)
    ]
    pd.testing.assert_frame_equal(read("tables"), pd.read_parquet("tags.parquet"), check_exact=True)


def test_finished_shards_are_left_alone(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tag("once", "--list", "scenes.txt", "--shard-size", "10")
    tag("tables", "--list", "scenes.txt", "--shard-size", "10")
    (Path("tables") / "scenes-00001.parquet").unlink()
    Path("tables/.scenes-00001.0123456789abcdef.partial.parquet").touch()  # as one that was killed leaves it
    photos = [Path(line) for line in listed.read_text().split()]
    blank(*photos[:10], *photos[20:])
    capsys.readouterr()
    assert tag("tables", "--list", "scenes.txt", "--shard-size", "10") == 0
    same_files("once", "tables")
    assert "25 photos in 3 shards, 2 of them finished before" in capsys.readouterr().out


def test_what_has_changed_is_done_anew_and_said(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tag("tables", "--list", "scenes.txt", "--shard-size", "10")
    write_scenes(Path("photos"), 1, first=25)
    listed.write_text(listed.read_text() + "photos/test-00025.png\n")
    capsys.readouterr()
    tag("tables", "--list", "scenes.txt", "--shard-size", "10")
    told = capsys.readouterr().out
    assert "26 photos in 3 shards, 2 of them finished before" in told
    assert "1 shards done anew, for photos or settings had changed: scenes-00002" in told
    tag("tables", "--list", "scenes.txt", "--shard-size", "10", "--top-k", "1")
    assert "3 shards done anew" in capsys.readouterr().out
    tag("tables", "--list", "scenes.txt", "--shard-size", "20", "--top-k", "1")
    assert "1 tables there that are of none of these shards: scenes-00002.parquet" in capsys.readouterr().out


def test_faulty_photos_are_counted_by_kind(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.jpg").touch()
    Path("text.jpg").write_text("no image")
    Path("cut.png").write_bytes(Path("photos/test-00001.png").read_bytes()[:2000])
    listed.write_text(listed.read_text() + "gone.jpg\nempty.jpg\ntext.jpg\ncut.png\n")
    tag("tables", "--list", "scenes.txt", "--shard-size", "10")
    counted = pd.read_csv("tables/faulty.csv").set_index("kind")["files"].to_dict()
    assert counted == {"missing": 1, "empty": 1, "no image": 1, "damaged": 1}
    faulty = pd.read_parquet("tables/faulty/scenes-00002.parquet")
    assert faulty["file"].tolist() == ["gone.jpg", "empty.jpg", "text.jpg", "cut.png"]
    assert faulty["reason"].str.contains("does not open").all()
    assert "4 faulty: " in capsys.readouterr().out
    assert sorted(read("tables")["file"].unique()) == sorted(listed.read_text().split()[:25])
    listed.write_text("".join(f"{line}\n" for line in listed.read_text().split()[:25]))
    tag("tables", "--list", "scenes.txt", "--shard-size", "10")  # mended: nothing is left of the faults
    assert not list(Path("tables/faulty").iterdir())
    assert pd.read_csv("tables/faulty.csv").empty


def test_not_one_photo_is_an_error(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed.write_text("gone.jpg\naway.jpg\n")
    assert tag("tables", "--list", "scenes.txt") == 2
    assert "Not one of the photos opens: missing 2" in capsys.readouterr().err
    assert main(["embed", "--engine", "local", "--list", "scenes.txt", "--to", "kept", "--model", MODEL]) == 2


def test_tables_of_paths(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"number": range(25), "url": listed.read_text().split()})
    frame.to_parquet("archive.parquet")
    assert tag("tables", "archive.parquet", "--shard-size", "10") == 2
    assert "has no column of paths; it has number, url" in capsys.readouterr().err
    assert tag("tables", "archive.parquet", "--column", "number") == 2
    assert "has no path in row 0 of column number, but 0" in capsys.readouterr().err
    assert tag("tables", "archive.parquet", "--shard-size", "10", "--column", "url") == 0
    tag("by-list", "--list", "scenes.txt", "--shard-size", "10")
    pd.testing.assert_frame_equal(read("tables"), read("by-list"), check_exact=True)


def write_tar(path: str, rows: range) -> None:
    with tarfile.open(path, "w") as tar:
        for row in rows:
            for ending, content in (
                (".png", Path(f"photos/test-{row:05d}.png").read_bytes()),
                (".txt", b"dog"),
            ):
                member = tarfile.TarInfo(f"{row:05d}{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_webdataset_shards(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar("a-000.tar", range(12))
    write_tar("a-001.tar", range(12, 25))
    assert tag("tables", "a-*.tar") == 0
    assert "26 members" not in capsys.readouterr().out.replace("25 members", "")
    assert [p.name for p in sorted(Path("tables").glob("*.parquet"))] == ["a-000.parquet", "a-001.parquet"]
    tag("by-list", "--list", "scenes.txt")
    found, expected = read("tables"), read("by-list")
    assert found["file"].iloc[0] == "a-000.tar/00000.png"
    pd.testing.assert_frame_equal(found.drop(columns="file"), expected.drop(columns="file"), check_exact=True)


def test_a_shard_cut_short_keeps_what_comes_before(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar("cut.tar", range(12))
    content = Path("cut.tar").read_bytes()
    Path("cut.tar").write_bytes(content[: content.index(b"00011.png") + 700])
    tag("tables", "cut.tar")
    told = capsys.readouterr().out
    assert "11 photos in 1 shards" in told
    assert "shard cut short 1" in told
    Path("no.tar").write_text("no tar file")
    assert tag("others", "no.tar") == 2
    assert "Shard no is not done: The shard" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["between members", "in a header", "a broken header", "two in one"])
def test_what_a_tar_lacks_is_told_where_python_is_silent(
    listed: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar("one.tar", range(12))
    content = Path("one.tar").read_bytes()
    header = content.index(b"00006.png")  # at the beginning of its header
    damaged = {
        "between members": content[:header],
        "in a header": content[: header + 100],
        "a broken header": content[:header] + b"x" * 512 + content[header + 512 :],
        "two in one": content + content,
    }
    Path("one.tar").write_bytes(damaged[how])
    tag("tables", "one.tar")
    told = capsys.readouterr().out
    assert "shard cut short 1" in told
    assert f"{12 if how == 'two in one' else 6} photos in 1 shards" in told


def test_tars_may_hold_anything(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open("all.tar", "w") as tar:
        tar.add("photos", recursive=False)
        for name in ("photos/test-00000.png", "photos/test-00001.png", "photos/test-00001.png", "scenes.txt"):
            tar.add(name)
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "photos/test-00000.png"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("photos/empty.png"))
    tag("tables", "all.tar")
    told = capsys.readouterr().out
    assert "2 photos in 1 shards" in told
    assert "1 faulty: empty 1" in told
    assert "3 members of tar files that are no photos" in told  # the text, the link, the first of two of a name
    with tarfile.open("none.tar", "w") as tar:
        tar.add("scenes.txt")
    assert tag("nothing", "none.tar") == 2
    assert "The shards hold no photo; 1 members that are none were passed over" in capsys.readouterr().err
    os.symlink("gone.tar", "link.tar")
    assert tag("nothing", "link.tar") == 2
    assert "link.tar cannot be read (No such file or directory)" in capsys.readouterr().err


def test_photos_that_could_not_be_reached_are_tried_again(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--list", "scenes.txt", "--shard-size", "10")
    os.rename("photos/test-00003.png", "away.png")
    tag("tables", *words)
    assert "1 faulty: missing 1" in capsys.readouterr().out
    tag("tables", *words)
    assert "3 of them finished before" in capsys.readouterr().out
    os.rename("away.png", "photos/test-00003.png")
    tag("tables", *words)
    told = capsys.readouterr().out
    assert "2 of them finished before" in told
    assert "faulty" not in told


def test_another_threshold_of_the_same_name_is_another(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(value: str) -> str:
        Path("least.csv").write_text("label,threshold\n" + "".join(f"{label},{value}\n" for label in LABELS))
        tag("tables", "--list", "scenes.txt", "--threshold", "least.csv")
        return capsys.readouterr().out

    run("0.1")
    assert "finished before" in run("0.1")
    assert "1 shards done anew" in run("0.2")


def test_what_is_not_ours_stays(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar("a.tar", range(3))
    pd.DataFrame({"url": ["x"]}).to_parquet("a.parquet")  # as img2dataset leaves beside it
    before = Path("a.parquet").read_bytes()
    assert tag(".", "a.tar") == 2
    assert "holds something else than tags; choose another --to" in capsys.readouterr().err
    words = ["--list", "scenes.txt", "--model", MODEL, "--to", "kept"]
    main(["embed", "--engine", "local", *words])
    kept = Path("kept/scenes-00000.parquet").read_bytes()
    assert tag("kept", "kept") == 2
    assert main(["embed", "--engine", "local", "--keep", "global", *words]) == 2
    assert Path("a.parquet").read_bytes() == before
    assert Path("kept/scenes-00000.parquet").read_bytes() == kept


def test_a_folder_of_embeddings_is_taken_whole_or_not_at_all(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--list", "scenes.txt", "--shard-size", "10", "--model", MODEL, "--to", "kept"]
    main(["embed", "--engine", "local", *words])
    path = Path("kept/scenes-00001.parquet")
    content = path.read_bytes()
    for damage in (path.unlink, lambda: path.write_bytes(content[:500])):
        damage()
        assert tag("tables", "kept") == 2
        assert "1 are missing, or no embeddings: scenes-00001.parquet" in capsys.readouterr().err
    path.unlink()
    assert tag("tables", "kept/*.parquet") == 0  # by a pattern they are what they are
    assert "15 photos in 2 shards" in capsys.readouterr().out


def test_names_that_are_no_utf_8(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_tar(f"{name}.tar", range(3))
    assert tag(f"to-{name}", f"{name}.tar") == 0
    shutil.copy("photos/test-00001.png", f"{name}.png")
    assert tag(f"to-{name}", f"{name}.png") == 0
    told = capsys.readouterr().out
    assert "1 tables there that are of none of these shards: caf\\udce9.parquet" in told
    assert tables.about_of(f"to-{name}/photos-00000.parquet")["counts"]["photos"] == 1


def test_the_limit_counts_over_all_lists(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("scenes.txt", "more.txt")
    pd.DataFrame({"path": listed.read_text().split()}).to_parquet("table.parquet")
    tag("tables", "table.parquet", "--list", "scenes.txt", "--limit", "27", "--shard-size", "10")
    assert "27 photos in 4 shards" in capsys.readouterr().out
    assert tag("scores", "--list", "scenes.txt", "--keep", "scores") == 2
    assert "--keep scores keeps those of every label" in capsys.readouterr().err


@pytest.mark.parametrize("keep", ["regions", "regions-int8"])
def test_kept_embeddings_are_tagged_without_a_photo(listed: Path, keep: str) -> None:
    words = ["--list", "scenes.txt", "--shard-size", "10", "--keep", keep, "--model", MODEL]
    assert main(["embed", "--engine", "local", "--to", "kept", *words]) == 0
    tag("direct", "--list", "scenes.txt", "--shard-size", "10", "--threshold", "all")
    blank(*map(Path, listed.read_text().split()))
    assert tag("tables", "kept", "--threshold", "all") == 0
    keys = ["file", "label"]
    found, expected = (read(name).sort_values(keys)["score"].to_numpy() for name in ("tables", "direct"))
    # Small models' regions are kept in single precision by the library: here they are rounded.
    assert np.abs(found - expected).max() < (2e-3 if keep == "regions" else 2e-2)
    assert len(found) == 75


def test_whole_photos_alone_are_no_basis_for_scores_of_regions(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--list", "scenes.txt", "--keep", "global", "--model", MODEL]
    main(["embed", "--engine", "local", "--to", "kept", *words])
    assert tag("tables", "kept") == 2
    assert "embeddings of whole photos alone" in capsys.readouterr().err
    assert main(["tag", "--engine", "local", "kept", "--to", "t", *WHAT, "--model", "miniworld-ViT"]) == 2
    assert (
        "holds embeddings of miniworld-RN-small, and the tagger needs miniworld-ViT" in capsys.readouterr().err
    )


def test_scores_of_every_label_can_be_kept(listed: Path) -> None:
    main(["tag", "--engine", "local", "--to", "tables", "--list", "scenes.txt", "--keep", "scores", *PLAIN])
    frame = read("tables")
    expected = learn().scores(learn().embed("photos"))
    assert np.array_equal(np.stack(frame["scores"]), expected.astype(np.float16))
    about = tables.about_of("tables/scenes-00000.parquet")
    assert about["labels in order"] == list(LABELS)


def test_eight_bits_stay_near() -> None:
    local = torch.nn.functional.normalize(torch.randn(5, 9, 64), dim=-1)
    whole = torch.nn.functional.normalize(torch.randn(5, 64), dim=-1)
    integers, scale = tables.to_int8(local)
    assert integers.dtype == np.int8
    assert np.abs(integers).max() == 127
    near = torch.from_numpy(integers * scale[..., None])
    assert torch.nn.functional.cosine_similarity(near, local, dim=-1).min() > 0.9998
    columns = tables.embedding_columns(ImageEmbeddings(whole, local, whole), "regions-int8")
    assert "global" not in columns  # a vision transformer's is one with the other
    zero = tables.to_int8(torch.zeros(1, 1, 4))
    assert not zero[0].any()


def test_names_that_would_meet_are_refused(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        os.mkdir(folder)
        write_tar(f"{folder}/one.tar", range(2))
    assert tag("tables", "a/one.tar", "b/one.tar") == 2
    assert "would both leave the file one.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "t.csv"], "name a folder"),
        (["--to", "t", "--gallery", "g.html"], "--gallery is not for work in shards"),
        (["--to", "t", "--sidecars", "xmp"], "--sidecars is not for work in shards"),
        (["--to", "t", "--workers", "2"], "--workers is for --engine ray"),
        (["--to", "t", "--shard-size", "0"], "--shard-size 0: give 1 or more"),
        (["--to", "t", "--prefix", "AI"], "--engine does not write"),
        (["--to", "t", "--limit", "0"], "--limit 0: give 1 or more"),
    ],
)
def test_options_of_the_other_way_are_refused(
    listed: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["tag", "--engine", "local", "--list", "scenes.txt", *words, *WHAT]) == 2
    assert told in capsys.readouterr().err


def test_options_of_shards_need_an_engine(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", "photos", "--keep", "scores", *WHAT]) == 2
    assert "--keep is for work in shards; add --engine local or ray." in capsys.readouterr().err
    assert main(["embed", "photos", "--to", "kept", "--model", MODEL]) == 2
    assert "--to is for work in shards (--engine)" in capsys.readouterr().err
    assert main(
        ["embed", "--engine", "local", "photos", "--to", "k", "--keep", "regions", "--model", "miniworld-ViT"]
    )
    assert "miniworld-ViT looks at whole photos alone" in capsys.readouterr().err


def test_a_folder_may_be_given(listed: Path) -> None:
    assert tag("tables", "photos", "--limit", "3") == 0
    assert sorted(read("tables")["file"].unique()) == [f"photos/test-0000{i}.png" for i in range(3)]


def test_a_full_disk_ends_it_and_keeps_what_is_finished(
    listed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_FAILED", 2)
    original = work.TableWriter.finish

    def full(self: work.TableWriter, about: dict) -> None:
        if about["counts"]["photos"] == 10:
            raise OSError(28, "No space left on device")
        original(self, about)

    monkeypatch.setattr(work.TableWriter, "finish", full)
    assert tag("tables", "--list", "scenes.txt", "--shard-size", "10") == 2
    assert "scenes-00000.parquet cannot be written (No space left on device)" in capsys.readouterr().err
    assert not list(Path("tables").glob("*.parquet"))  # it ended at the second


# ------------------------------------------------------------------------------------------------- Ray


@pytest.fixture
def ray_is_there() -> None:
    pytest.importorskip("ray", reason="Ray, the extra ray, is not installed")


def command(to: str, *words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "comc_utils",
        "tag",
        "--engine",
        "ray",
        "--workers",
        "2",
        "--to",
        to,
        *words,
        *WHAT,
    ]


def pids(name: str) -> list[int]:
    """Processes of that name, as Ray sets it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().replace(b"\0", b" ").startswith(name.encode()):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def list_many(listed: Path) -> list[str]:
    """List 300 scenes: enough work to be killed in the middle of."""
    for copy in range(1, 12):
        shutil.copytree("photos", f"photos{copy}")
    names = [f"photos{copy or ''}/test-{i:05d}.png" for copy in range(12) for i in range(25)]
    listed.write_text("\n".join(names) + "\n")
    return names


def wait_for_tables(folder: str, n: int, process: subprocess.Popen) -> None:
    for _ in range(3000):
        if len(list(Path(folder).glob("*.parquet"))) >= n:
            return
        assert process.poll() is None, process.returncode
        time.sleep(0.02)
    raise AssertionError("no table came")


@pytest.mark.usefixtures("ray_is_there")
def test_ray_leaves_the_same_files_and_nothing_at_home(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    listed.write_text(listed.read_text() + "gone.jpg\n")
    tag("local", "--list", "scenes.txt", "--shard-size", "10")
    process = subprocess.run(
        command("ray", "--list", "scenes.txt", "--shard-size", "10"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    same_files("local", "ray")
    assert "25 photos in 3 shards" in process.stdout
    assert not [path for path in home.rglob("*") if path.is_file() and "matplotlib" not in str(path)]
    for word in ("warning", "Warning", "error", "Traceback"):
        assert word not in process.stderr


@pytest.mark.usefixtures("ray_is_there")
def test_a_killed_worker_loses_and_doubles_nothing(listed: Path) -> None:
    list_many(listed)
    tag("local", "--list", "scenes.txt", "--shard-size", "20")
    process = subprocess.Popen(
        command("ray", "--list", "scenes.txt", "--shard-size", "20"), stdout=subprocess.DEVNULL
    )
    wait_for_tables("ray", 2, process)
    of_run = set(children(process.pid))
    workers = [pid for pid in pids("ray::") if pid in of_run and "MapWorker" in name_of(pid)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(timeout=300) == 0
    same_files("local", "ray")


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.mark.usefixtures("ray_is_there")
def test_a_killed_driver_is_gone_on_with(listed: Path) -> None:
    names = list_many(listed)
    tag("local", "--list", "scenes.txt", "--shard-size", "20")
    words = ("--list", "scenes.txt", "--shard-size", "20")
    process = subprocess.Popen(command("ray", *words), stdout=subprocess.DEVNULL)
    wait_for_tables("ray", 3, process)
    of_run = children(process.pid)
    process.kill()
    process.wait()
    for _ in range(4000):  # what it has started ends with it
        if not any(Path(f"/proc/{pid}").exists() for pid in of_run):
            break
        time.sleep(0.02)
    else:
        raise AssertionError([name_of(pid) for pid in of_run if Path(f"/proc/{pid}").exists()])
    finished = sorted(int(path.stem[-5:]) for path in Path("ray").glob("*.parquet"))
    assert len(finished) < 15
    blank(*(Path(name) for number in finished for name in names[20 * number : 20 * number + 20]))
    again = subprocess.run(command("ray", *words), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert f"{len(finished)} of them finished before" in again.stdout
    same_files("local", "ray")


def test_a_shard_that_kills_its_worker_is_given_up(listed: Path) -> None:
    shard = shards.find_shards([], listed="scenes.txt")[0][0]
    tagger = learn()
    job = work.Job(
        Path("tables").absolute(),
        "tags",
        tagger.about.towers,
        tagger.load_towers,
        tagger.about,
        tagger.scorer.tensors,
    )
    folder = Path("tables/.run")
    folder.mkdir(parents=True)
    (folder / "job.pickle").write_bytes(on_ray.pickle.dumps((job, str(Path.cwd()))))
    worker = on_ray._Worker(str(folder), 1)
    row = {"shard": on_ray.pickle.dumps(shard)}
    (folder / "begun" / shard.name).write_bytes(b"." * (on_ray.TRIES - 1))
    assert '"photos": 25' in worker(row)["done"]  # the last try
    assert "its worker was killed 3 times" in worker(row)["done"]


@pytest.mark.usefixtures("ray_is_there")
def test_no_cluster_at_an_address_is_said_at_once(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        words = ("--list", "scenes.txt", "--ray-address", address)
        assert tag("tables", *words, engine="ray") == 2
    assert f"No Ray cluster answers at {address}" in capsys.readouterr().err


def test_how_many_workers_there_are() -> None:
    with pytest.raises(on_ray.CoMCError, match="Ray has 2 GPUs; give at most as many workers"):
        on_ray._resources([{"GPU": 2, "CPU": 16}], 3, 40)
    with pytest.raises(on_ray.CoMCError, match="Ray has 2 cores"):
        on_ray._resources([{"CPU": 2}], 3, 40)
    assert on_ray._resources([{"GPU": 2, "CPU": 16}], None, 40) == (2, {"num_cpus": 8, "num_gpus": 1})
    assert on_ray._resources([{"CPU": 8}], None, 3) == (3, {"num_cpus": 1})
    assert on_ray._resources([{"CPU": 8}], 2, 40) == (2, {"num_cpus": 4})
    # No machine of four with 8 cores has the half of all for one worker.
    assert on_ray._resources([{"CPU": 8}] * 4, 2, 40) == (2, {"num_cpus": 8})
    assert on_ray._resources([{"CPU": 64}, {"CPU": 8, "GPU": 1}], None, 40) == (
        1,
        {"num_cpus": 8, "num_gpus": 1},
    )


def test_without_ray_the_remedy_is_named(
    listed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert tag("tables", "--list", "scenes.txt", engine="ray") == 2
    assert "pip install 'ray[data]'" in capsys.readouterr().err


def test_photos_of_phones_are_turned_in_shards(listed: Path) -> None:
    turned = scene(3).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    turned.save("photos/turned.png", exif=exif)
    Path("two.txt").write_text("photos/test-00003.png\nphotos/turned.png\n")
    tag("tables", "--list", "two.txt", "--threshold", "all")
    frame = read("tables").set_index(["file", "label"])["score"]
    straight, other = (frame[f"photos/{name}.png"].sort_index() for name in ("test-00003", "turned"))
    np.testing.assert_array_equal(straight, other)


def test_a_photo_in_heic_in_a_tar_is_told_of_as_one(listed: Path) -> None:
    Path("photos/phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with tarfile.open("phone.tar", "w") as tar:
        tar.add("photos/phone.heic")
        tar.add("photos/test-00000.png")
    tag("tables", "phone.tar")
    faulty = pd.read_parquet("tables/faulty/phone.parquet")
    kinds = {"HEIC without the extra", "no image", "damaged"} if HEIC_OPENS else {"HEIC without the extra"}
    assert set(faulty["kind"]) <= kinds
    assert len(faulty) == 1


def test_without_pyarrow_the_remedy_is_named(
    listed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert tag("tables", "--list", "scenes.txt") == 2
    assert "Tables need pyarrow: pip install pyarrow" in capsys.readouterr().err
