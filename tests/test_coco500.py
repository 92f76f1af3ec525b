"""The real embeddings of coco500: read from a folder and over HTTP, and what they measure."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from comc_utils.datasets import MultiLabelEmbeddings, load_coco500
from comc_utils.datasets.coco500 import BASE_URL, CAPTIONS, FEATURES, FILES, load_array
from comc_utils.errors import CoMCError
from comc_utils.evaluation.metrics import mean_average_precision
from comc_utils.sources import load_experiment


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "coco500"


@pytest.fixture(scope="module")
def dataset(folder: Path) -> MultiLabelEmbeddings:
    return load_coco500(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "coco500", copy_function=shutil.copyfile)
    (tmp_path / "coco500").chmod(0o755)
    return tmp_path / "coco500"


def test_addresses() -> None:
    assert FEATURES.url() == (
        "https://raw.githubusercontent.com/Weixin-Liang/Modality-Gap/"
        "8e20cb24efa4c5f89aad694f2f65eb43ffc46d10/Figure_1_Modality_Gap/features_clip.npy"
    )
    assert BASE_URL == "https://raw.githubusercontent.com"
    assert len({file.name for file in FILES}) == 5


def test_sizes(dataset: MultiLabelEmbeddings) -> None:
    assert len(dataset) == 497
    assert dataset.labels.shape == dataset.caption_labels.shape == (497, 80)
    assert dataset.labels.sum() == 1643
    assert dataset.image_embeddings.shape == dataset.caption_embeddings.shape == (497, 512)
    assert dataset.label_embeddings.shape == (80, 512)
    summary = dataset.describe()
    assert summary["images"] == 497
    assert summary["positives"] == 1643
    assert summary["classes without a positive"].count(",") == 5


def test_rows_of_images_and_captions_belong_together(dataset: MultiLabelEmbeddings) -> None:
    similarities = dataset.image_embeddings @ dataset.caption_embeddings.T
    found = (similarities.argmax(dim=1) == torch.arange(497)).float().mean().item()
    assert found > 0.5  # 1 in 497 by chance


def test_captions_are_those_that_were_embedded(dataset: MultiLabelEmbeddings) -> None:
    named = dataset.caption_labels.any(axis=1)
    nearest = (dataset.caption_embeddings @ dataset.label_embeddings.T).argmax(dim=1).numpy()
    # 0.88; with each image's first caption in place of its last 0.77, with the next image's 0.08.
    assert dataset.caption_labels[np.arange(497), nearest][named].mean() > 0.83


def test_ids_are_those_that_were_labelled(dataset: MultiLabelEmbeddings) -> None:
    # 0.96; with the next image's labels 0.19.
    assert dataset.labels[dataset.caption_labels == 1].mean() > 0.95


def test_distance_between_the_modalities(dataset: MultiLabelEmbeddings) -> None:
    gap = dataset.image_embeddings.mean(dim=0) - dataset.caption_embeddings.mean(dim=0)
    assert gap.norm().item() == pytest.approx(0.85, abs=0.005)


@pytest.mark.parametrize(("prompt", "expected"), [("single", 45.8), ("multi", 46.6)])
def test_zero_shot(folder: Path, prompt: str, expected: float) -> None:
    data = load_coco500(folder, prompt=prompt)
    scores = (data.image_embeddings @ data.label_embeddings.T).numpy()
    measured = mean_average_precision(scores, data.labels)
    assert 100 * measured.value == pytest.approx(expected, abs=0.2)
    assert measured.n_classes == 74


@pytest.mark.slow
def test_text_only_classifier(folder: Path) -> None:
    experiment = load_experiment("coco500", seed=0, data=folder)
    components = experiment.fit().components()

    def measure(alpha: float) -> float:
        scores = components.at(alpha).final.numpy()
        return 100 * mean_average_precision(scores, experiment.image_labels).value

    assert measure(1.0) == pytest.approx(50.6, abs=1)
    assert measure(0.7) == pytest.approx(52.3, abs=1)
    # As in the paper's figure 3, the best mixture lies inside.
    assert max(measure(0.0), measure(1.0)) < measure(0.7)


# Fetching and bad files


@pytest.fixture
def base_url(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the five files at their paths, as the real host does."""
    root = tmp_path / "served"
    for file in FILES:
        path = root / file.repository / file.commit / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / file.name, path)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COMC_CACHE_DIR", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetched_equals_folder(dataset: MultiLabelEmbeddings, base_url: str, tmp_path: Path) -> None:
    fetched = load_coco500(base_url=base_url)
    assert torch.equal(fetched.image_embeddings, dataset.image_embeddings)
    assert np.array_equal(fetched.labels, dataset.labels)
    assert fetched.captions == dataset.captions
    assert {path.name for path in (tmp_path / "cache" / "coco500").iterdir()} == {file.name for file in FILES}
    # The second time, nobody need be there.
    assert len(load_coco500(base_url="http://127.0.0.1:9")) == 497


def test_another_file_at_the_address(base_url: str, tmp_path: Path) -> None:
    served = tmp_path / "served" / CAPTIONS.repository / CAPTIONS.commit / CAPTIONS.path
    served.write_text("moved")
    with pytest.raises(CoMCError, match=rf"{CAPTIONS.sha256}.*captions_val2017\.json\.rejected"):
        load_coco500(base_url=base_url)
    assert not (tmp_path / "cache" / "coco500" / CAPTIONS.name).exists()


@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_damaged_file_of_a_folder(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(CoMCError, match=rf"{name} is damaged or another file.*SHA-256"):
        load_coco500(copy)
    assert (copy / name).read_bytes() == content  # A person's own folder is left as it is.


def test_missing_file_of_a_folder(copy: Path) -> None:
    (copy / FEATURES.name).unlink()
    with pytest.raises(CoMCError, match=r"features_clip\.npy is missing; get it from https://raw"):
        load_coco500(copy)


def test_unknown_prompt() -> None:
    with pytest.raises(CoMCError, match="'several'.*single, multi"):
        load_coco500(prompt="several")


def test_pickle_is_refused(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Payload:
        def __reduce__(self) -> tuple:
            return Path.touch, (touched,)

    np.save(tmp_path / "array.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(CoMCError, match=r"array\.npy does not hold a plain array"):
        load_array(tmp_path / "array.npy", (1,))
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"no array"])
def test_no_array(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "array.npy").write_bytes(content)
    with pytest.raises(CoMCError, match=r"array\.npy does not hold a plain array"):
        load_array(tmp_path / "array.npy", (1,))


def test_array_of_another_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2, 3)))
    with pytest.raises(CoMCError, match=r"shape \[2, 3\], expected \[3, 2\]"):
        load_array(tmp_path / "array.npy", (3, 2))


# Folds


def test_folds_share_no_row(folder: Path) -> None:
    experiment = load_experiment("coco500", seed=0, data=folder)
    assert sorted(row for _, fold in experiment.folds for row in fold) == list(range(497))
    named = np.flatnonzero(experiment.images.caption_labels.any(axis=1))
    n_captions = len(named)
    for others, fold in experiment.folds:
        assert len(fold) in (99, 100)
        # The captions of all other images, where they name a class, and every prompt.
        captions = [row for row in others if row < n_captions]
        assert sorted(named[captions]) == sorted(set(named) - set(fold))
        assert set(others) - set(captions) == set(range(n_captions, len(experiment.corpus)))
    assert experiment.folds == load_experiment("coco500", seed=0, data=folder).folds
    assert experiment.folds != load_experiment("coco500", seed=1, data=folder).folds
