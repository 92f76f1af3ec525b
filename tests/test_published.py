"""The command check-checkpoint, on a made-up val2014, RN50, classifier and label embeddings."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn.functional import normalize

from comc_utils.cli import main
from comc_utils.clip import load_clip
from comc_utils.datasets import coco2014
from comc_utils.profiles import PROFILES
from comc_utils.sentences.labels import COCO

N_IMAGES, LARGER, LABEL_SEED = 8, 256, 309
MEANS = np.array([0.48145466, 0.4578275, 0.40821073])
DEVIATIONS = np.array([0.26862954, 0.26130258, 0.27577711])


@dataclass(frozen=True)
class MadeUp:
    """What the command is given, and what a test computes from."""

    words: list[str]
    images: list[Image.Image]
    labels: np.ndarray
    visual: nn.Module
    classifier: Tensor
    label_embeddings: Tensor
    maps: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def feature_maps(self, size: int, crop: bool) -> Tensor:
        """Run the convolutions on all images, once for each way to resize them."""
        if (size, crop) not in self.maps:
            x = self.visual.stem(torch.stack([pixels(image, size, crop) for image in self.images]))
            for layer in (self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4):
                x = layer(x)
            self.maps[size, crop] = x
        return self.maps[size, crop]

    def without(self, option: str, value: object) -> list[str]:
        """Give the command's words with another value of an option."""
        words = list(self.words)
        words[words.index(option) + 1] = str(value)
        return words


def drawn(generator: np.random.Generator) -> Image.Image:
    """Draw a wide or a tall image: a crop takes much of it away."""
    size = (420, 250) if generator.random() < 0.5 else (200, 330)
    image = Image.new("RGB", size, tuple(generator.integers(256, size=3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(10):
        left, top = generator.integers(0, (size[0] * 3 // 4, size[1] * 3 // 4)).tolist()
        box = (left, top, left + size[0] // 4, top + size[1] // 4)
        draw.ellipse(box, fill=tuple(generator.integers(256, size=3).tolist()))
    return image


def pixels(image: Image.Image, size: int, crop: bool) -> Tensor:
    if crop:
        width, height = image.size
        short = min(width, height)
        width, height = int(size * width / short), int(size * height / short)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - size) / 2), round((height - size) / 2)
        image = image.crop((left, top, left + size, top + size))
    else:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    values = (np.asarray(image, dtype=np.float64) / 255 - MEANS) / DEVIATIONS
    return torch.from_numpy(values.transpose(2, 0, 1)).float()


def telling_rn50(images: list[Image.Image]) -> nn.Module:
    """Give RN50 random weights that tell images apart; as they come, they embed all images alike."""
    model, generator = load_clip("RN50-quickgelu", None).model, torch.Generator().manual_seed(0)
    pool, batch = model.visual.attnpool, torch.stack([pixels(image, 224, False) for image in images])
    with torch.no_grad():
        for module in model.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.momentum = 1.0  # one batch sets the statistics
        for projection in (pool.q_proj, pool.k_proj):
            projection.weight.mul_(0.3)
        pool.positional_embedding.mul_(10)
        model.train().encode_image(batch)
        pool.c_proj.bias.sub_(model.eval().encode_image(batch).mean(dim=0))
    return model


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    root = tmp_path_factory.mktemp("published")
    (root / "data" / "val2014").mkdir(parents=True)
    (root / "data" / "annotations").mkdir()
    generator = np.random.default_rng(0)
    names = [f"COCO_val2014_{number:012d}.png" for number in range(N_IMAGES)]
    images = [drawn(generator) for _ in names]
    for name, image in zip(names, images, strict=True):
        image.save(root / "data" / "val2014" / name)
    # A seed with which no two scores that the mAP depends on are nearer than 3e-4.
    labels = np.random.default_rng(LABEL_SEED).random((N_IMAGES, 80)) < 0.3
    labels[np.arange(80) % N_IMAGES, np.arange(80)] = True
    labels[:, 5] = False  # in a trial some classes do not show
    content = {
        "images": [{"id": row, "file_name": name} for row, name in enumerate(names)],
        "annotations": [{"image_id": row, "category_id": j + 1} for row, j in np.argwhere(labels).tolist()],
        "categories": [{"id": j + 1, "name": name} for j, name in enumerate(COCO.class_names)],
    }
    (root / "data" / "annotations" / "instances_val2014.json").write_text(json.dumps(content))

    model = telling_rn50(images[:4])
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, root / "RN50.safetensors")
    numbers = torch.Generator().manual_seed(1)
    # As far from length 1 as half precision leaves them.
    lengths = torch.linspace(0.9995, 1.0005, 80)[:, None]
    label_embeddings = (lengths * normalize(torch.randn(80, 1024, generator=numbers), dim=1)).half()
    classifier = 0.16 * torch.randn(80, 1024, generator=numbers)
    torch.save({"state_dict": {"adapter.0.weight": classifier}}, root / "model-best.pth.tar")
    torch.save(label_embeddings, root / "coco_templates.pt")
    files = {
        "--data": root / "data",
        "--checkpoint": root / "model-best.pth.tar",
        "--label-embeddings": root / "coco_templates.pt",
        "--weights": root / "RN50.safetensors",
        "--limit": 40_504,
        "--resolution": LARGER,
    }
    words = ["check-checkpoint", *(str(word) for pair in files.items() for word in pair)]
    return MadeUp(words, images, labels, model.visual, classifier, label_embeddings)


@dataclass(frozen=True)
class Reading:
    """How the authors score; a test may change it."""

    size: int = 224
    crop: bool = True
    position: bool = False
    renormalise: bool = True
    alpha: float = 0.7
    tau: float = 1 / 100
    over_regions: Callable[[Tensor], Tensor] = lambda scores: scores.amax(dim=1)


def literal_scores(made_up: MadeUp, reading: Reading) -> np.ndarray:
    """Score the images with open_clip's modules and the files' numbers, by the paper's equations."""
    pool = copy.deepcopy(made_up.visual.attnpool)
    with torch.no_grad():
        x = made_up.feature_maps(reading.size, reading.crop)
        cells = x.shape[-1] ** 2
        position = pool.positional_embedding if reading.position else torch.zeros(1 + cells, x.shape[1])
        pool.positional_embedding = nn.Parameter(position)
        whole = normalize(pool(x), dim=-1)
        local = normalize(pool.c_proj(pool.v_proj(x.flatten(2).transpose(1, 2))), dim=-1)
        s, w = made_up.label_embeddings.float(), made_up.classifier

        def classify(v: Tensor) -> Tensor:
            m = (v @ s.T / reading.tau).softmax(dim=-1) @ s
            m = normalize(m, dim=-1) if reading.renormalise else m
            return (reading.alpha * v + (1 - reading.alpha) * m) @ w.T

        return ((classify(whole) + reading.over_regions(classify(local))) / 2).numpy()


def literal_map(made_up: MadeUp, reading: Reading) -> str:
    scores = literal_scores(made_up, reading)
    shown = made_up.labels.any(axis=0)
    return f"{100 * average_precision_score(made_up.labels[:, shown], scores[:, shown], average='macro'):.2f}"


@pytest.fixture(scope="module")
def printed(made_up: MadeUp) -> list[str]:
    """Give the lines of a run on everything there is."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(made_up.words) == 0
    return out.getvalue().splitlines()


def shown_map(line: str) -> str:
    return re.search(r"mAP (\d+\.\d\d) ", line)[1]


def test_the_figures_are_those_of_the_same_parts_put_together_by_hand(made_up, printed) -> None:
    assert shown_map(printed[1]) == literal_map(made_up, Reading())
    assert shown_map(printed[2]) == literal_map(made_up, Reading(size=LARGER, crop=False))


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": False},
        {"position": True},
        {"renormalise": False},
        {"alpha": 0.5},
        {"tau": 1 / 50},
        {"over_regions": lambda scores: scores.mean(dim=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_reading_gives_another_figure(made_up, printed, changes) -> None:
    assert shown_map(printed[1]) != literal_map(made_up, replace(Reading(), **changes))


def test_printed_lines(made_up, printed) -> None:
    own = (made_up.label_embeddings.float() @ made_up.classifier.T).argmax(dim=1) == torch.arange(80)
    first, second = (f"{re.escape(shown_map(line))} over the 79 classes that show" for line in printed[1:3])
    expected = [
        r"The published classifier with its own label embeddings, 8 images of MS-COCO, alpha 0\.7, tau 0\.01",
        rf"224 pixels, crop in the centre: mAP {first} \(the paper, Table 1: 68\.7\)",
        rf"256 pixels, whole image: mAP {second} \(SPARC, Table 5, .*: 71\.3\)",
        r"A trial on 8 of 40,504 images: its figures are not comparable\.",
        r"Where the first figure is off, look at:",
        r"- the images: 8 of val2014's 40,504 were read; .*",
        r"- the crop: .*",
        rf"- the order of labels: {int(own.sum())} of 80 label embeddings .*; published: 73",
        r"- the label embeddings: .* lengths 0\.9995 to 1\.0005",
        r"- the positional embedding: .*",
        r"- the weights: .* SHA-256 that begins with afeb0e10f9e5a86d",
        r"- the precision: .*",
    ]
    for line, pattern in zip(printed, expected, strict=True):
        assert re.fullmatch(pattern, line), line


def test_no_word_of_a_trial_where_all_images_were_read(made_up, capsys, monkeypatch) -> None:
    monkeypatch.setitem(coco2014.N_IMAGES, "val2014", N_IMAGES)
    monkeypatch.setitem(PROFILES, "coco2014", replace(PROFILES["coco2014"], n_images=N_IMAGES))
    at = made_up.words.index("--limit")
    assert main(made_up.words[:at] + made_up.words[at + 2 :]) == 0
    assert "trial" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--data", "nowhere", "nowhere/annotations/instances_val2014.json is missing; give the folder above"),
        ("--checkpoint", "none.tar", "There is no file none.tar; get it from github.com/yic20/CoMC"),
        ("--label-embeddings", "none.pt", "There is no file none.pt; get it from github.com/yic20/CoMC"),
        ("--weights", "none.pt", "'none.pt' is neither a file nor a weights tag of model 'RN50-quickgelu'"),
        ("--resolution", "336", "image_size is 336; "),
        ("--limit", "0", "The limit is 0 images; give 1 or more"),
    ],
)
def test_wrong_input_is_told_in_a_line_before_any_work(made_up, capsys, monkeypatch, option, value, message):
    monkeypatch.setattr(
        "comc_utils.clip.Clip.encode_images", lambda *_, **__: pytest.fail("images were embedded")
    )
    assert main(made_up.without(option, value)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {message}") and told.err.count("\n") == 1


@pytest.mark.parametrize("shape", [(80, 512), (20, 1024)])
@pytest.mark.parametrize("option", ["--checkpoint", "--label-embeddings"])
def test_files_of_another_shape_are_refused(made_up, tmp_path, capsys, option, shape) -> None:
    matrix, path = torch.full(shape, 1 / math.sqrt(shape[1])), tmp_path / "other.pt"
    torch.save({"state_dict": {"adapter.0.weight": matrix}} if option == "--checkpoint" else matrix, path)
    assert main(made_up.without(option, path)) == 2
    message = f"error: {path} holds a matrix of shape {shape}, expected (80, 1024); get it from github.com"
    assert capsys.readouterr().err.startswith(message)


def test_the_published_files_are_taken(real_data, made_up, capsys) -> None:
    folder = real_data / "official_comc"
    words = made_up.without("--checkpoint", folder / "model-best.pth.tar")
    words[words.index("--label-embeddings") + 1] = str(folder / "coco_templates.pt")
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "73 of 80 label embeddings are classified as their own label" in told
    assert "lengths 0.9995 to 1.0005" in told
