"""The benchmarks' profiles on real photos, through every notebook, with weights from a local file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from safetensors.torch import save_file

from comc_utils.clip import load_clip
from comc_utils.notebooks.run import reproduce
from comc_utils.sentences.labels import COCO

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # they embed photos with real towers

LIMIT = 30
BACKBONE = "RN50-quickgelu"
# In the number of the notebook: what these few images or labels cannot show.
NOT_FOR = {
    "voc2007": {
        "00": "no embedded world",
        "06": "VOC2007 has no captions",
        "12": "no images with labels of other classes",
    },
    "coco2014": {"00": "no embedded world", "10": "none shows the class"},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of random weights: what comes out means nothing, but all of it must run."""
    path = tmp_path_factory.mktemp("weights") / f"{BACKBONE}.safetensors"
    state = load_clip(BACKBONE, None, seed=0).model.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def coco_layout(photos: Path, root: Path) -> Path:
    """Put 300 photos of val2014 into MS-COCO's layout, a third of them as if they were train2014's."""
    column_of = dict(line.split(" ", 1) for line in (photos / "labels.txt").read_text().splitlines())
    lines = map(json.loads, (photos / "captions.jsonl").read_text().splitlines())
    captions = {line["image"]: line["captions"] for line in lines}
    with_caption = sorted(name for name in column_of if name in captions)
    without = sorted(name for name in column_of if name not in captions)
    for split, names in (("val2014", with_caption), ("train2014", without)):
        (root / split).mkdir()
        images, objects, texts = [], [], []
        for index, name in enumerate(names):
            official = name.replace("val2014", split)
            (root / split / official).symlink_to(photos / "val2014" / name)
            images.append({"id": index, "file_name": official})
            objects += [
                {"image_id": index, "category_id": int(column) + 1, "iscrowd": 0}
                for column in column_of[name].split()
            ]
            texts += [{"image_id": index, "caption": text} for text in captions.get(name, [])]
        classes = [{"id": j + 1, "name": name} for j, name in enumerate(COCO.class_names)]
        content = {"images": images, "annotations": objects, "categories": classes}
        (root / "annotations").mkdir(exist_ok=True)
        for kind, entries in (("instances", objects), ("captions", texts)):
            path = root / "annotations" / f"{kind}_{split}.json"
            path.write_text(json.dumps(content | {"annotations": entries}))
    return root


def voc_layout(photos: Path, _root: Path) -> Path:
    return photos


LAYOUTS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "voc2007": (voc_layout, "voc2007_sample"),
    "coco2014": (coco_layout, "coco_photos"),
}


@pytest.mark.parametrize("profile", LAYOUTS)
def test_every_notebook_that_applies_runs_on_real_photos(profile, weights, real_data, tmp_path):
    make, source = LAYOUTS[profile]
    (tmp_path / "data").mkdir()
    data = make((real_data / source).resolve(), tmp_path / "data")
    output = reproduce(
        profile,
        data=data,
        options={"limit": LIMIT, "weights": weights},
        smoke=True,
        output=tmp_path / "results",
    )
    metrics = {file.stem[:2]: json.loads(file.read_text()) for file in (output / "metrics").glob("*.json")}
    skipped = {number for number, values in metrics.items() if "skipped" in values}
    assert skipped == NOT_FOR[profile].keys()
    assert metrics.keys() == {f"{number:02d}" for number in (*range(14), 15)}
    assert (output / "report.html").stat().st_size < 5e6
    assert metrics["03"]["images"] == LIMIT
    for executed in (output / "notebooks").glob("*.ipynb"):
        text = executed.read_text(encoding="utf-8")
        assert str(tmp_path) not in text and str(real_data) not in text
        if executed.stem[:2] in NOT_FOR[profile]:
            assert NOT_FOR[profile][executed.stem[:2]] in text


def test_without_a_training_split_the_rest_runs(real_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(real_data / "voc2007_sample", data)
    for path in (data / "VOCdevkit/VOC2007/ImageSets/Main").glob("*trainval*"):
        path.unlink()
    output = reproduce(
        "voc2007",
        data=data,
        options={"limit": LIMIT, "backbone": "miniworld-RN-small"},
        smoke=True,
        only=["10", "11"],
        output=tmp_path / "results",
    )
    metrics = {file.stem[:2]: json.loads(file.read_text()) for file in (output / "metrics").glob("*.json")}
    assert "trainval.txt is missing" in metrics["10"]["skipped"]
    assert metrics["11"]["shots"] == 0
    methods = {name.split(", ", 1)[1] for name in metrics["11"]["map"]}
    assert {"CoMC, default", "TaI-DPT, default", "CLIP-DPT, default"} <= methods
    assert not {"CoMC, searched", "CoOp, default"} & methods


def test_real_answers_of_a_language_model_are_cleaned_in_a_notebook(real_data, tmp_path):
    answers = real_data / "chatglm_sentences" / "captions_3000.jsonl"
    output = reproduce(
        "coco500",
        data=real_data / "coco500",
        parameters={"ANSWERS": str(answers)},
        smoke=True,
        only=["01"],
        output=tmp_path / "results",
    )
    fates = pd.read_csv(output / "tables" / "01_cleaning.csv")
    assert fates.answers.sum() == 3000
    executed = nbformat.read(output / "notebooks" / "01_data_generation.ipynb", as_version=4)
    shown_by = [
        cell for cell in executed.cells if cell.cell_type == "code" and "drawn at random" in cell.source
    ]
    (cell,) = shown_by
    printed = "".join(item.text for item in cell.outputs if item.output_type == "stream")
    heading, *shown = printed.splitlines()
    assert "sentences that are kept" in heading
    assert len(shown) == 100
    assert str(real_data) not in executed.cells[2].source


@pytest.mark.parametrize("n_images", [2, 8, 13])
def test_what_shows_pictures_or_projects_runs_on_few_images(n_images, real_data, tmp_path):
    data = coco_layout(real_data / "coco_photos", tmp_path)
    options = {"limit": n_images, "backbone": "miniworld-RN-small"}
    few = {
        "data": data,
        "options": options,
        "smoke": True,
        "only": ["03", "06"],
        "output": tmp_path / "results",
    }
    output = reproduce("coco2014", **few)
    inference, gap = (
        json.loads((output / "metrics" / f"{name}.json").read_text())
        for name in ("03_inference", "06_modality_gap")
    )
    assert inference["images"] == n_images
    if n_images < 5:
        assert gap == {"skipped": "2 images are too few for a probe in 5 folds."}
    else:
        assert gap["pairs"] == n_images
