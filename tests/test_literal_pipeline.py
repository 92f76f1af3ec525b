"""From pixels to scores: the package against a second implementation, written from the paper's words.

The first part of this file is that second implementation. It uses nothing of the package: Pillow, torch and
numpy alone, the weights taken as tensors from open_clip's model, loops where the paper has indices. The second
part scores the same images on the way that the notebooks take, and compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, relu

from comc_utils.clip import Clip, load_clip
from comc_utils.clip.cached import CachedClip
from comc_utils.datasets.base import MultiLabelImages
from comc_utils.experiment import Experiment
from comc_utils.method.classifier import LinearClassifier
from comc_utils.method.presets import PAPER, RELEASED, Preset
from comc_utils.method.scores import score_images
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import get_profile
from comc_utils.sentences import Record
from comc_utils.sources.towers import Benchmark
from comc_utils.store.cache import EmbeddingCache

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

# The literal implementation


@dataclass(frozen=True)
class Words:
    """What the words leave open, or what paper and released code do differently."""

    whole_image: bool
    """Resized as a whole, or by the short side and then cropped in the centre."""
    position: bool
    """Whether the attention pool adds its positional embedding."""
    renormalise: bool
    """Whether mapped embeddings are scaled to unit length."""
    alpha: float
    tau: float = 1 / 100
    over_regions: Callable[[Iterable[float]], float] = max
    """Eq. 10."""
    attended_regions: bool = False
    """Whether local embeddings go through attention; by the protocol they do not."""


LITERAL_PAPER = Words(whole_image=True, position=True, renormalise=False, alpha=0.4)
LITERAL_RELEASED = Words(whole_image=False, position=False, renormalise=True, alpha=0.7)

PROMPTS = [
    "a photo of an aeroplane.", "a photo of a bicycle.", "a photo of a bird.", "a photo of a boat.",
    "a photo of a bottle.", "a photo of a bus.", "a photo of a car.", "a photo of a cat.",
    "a photo of a chair.", "a photo of a cow.", "a photo of a dining table.", "a photo of a dog.",
    "a photo of a horse.", "a photo of a motorbike.", "a photo of a person.",
    "a photo of a potted plant.", "a photo of a sheep.", "a photo of a sofa.", "a photo of a train.",
    "a photo of a tv monitor.",
]  # fmt: skip
"""Section 3.3: "a photo of a/an [c]." for each class of VOC2007, in the official order."""

# Of the images that CLIP was trained on, as its authors published them.
CHANNEL_MEANS = np.array([0.48145466, 0.4578275, 0.40821073])
CHANNEL_DEVIATIONS = np.array([0.26862954, 0.26130258, 0.27577711])


def literal_pixels(image: Image.Image, whole_image: bool) -> Tensor:
    """Give an image as the tower takes it: [3, 224, 224]."""
    image = image.convert("RGB")
    if whole_image:
        image = image.resize((224, 224), Image.Resampling.BICUBIC)
    else:
        width, height = image.size
        short = min(width, height)
        width, height = int(224 * width / short), int(224 * height / short)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - 224) / 2), round((height - 224) / 2)
        image = image.crop((left, top, left + 224, top + 224))
    values = np.asarray(image, dtype=np.float64) / 255  # (rows, columns, channels)
    values = (values - CHANNEL_MEANS) / CHANNEL_DEVIATIONS
    return torch.from_numpy(values.transpose(2, 0, 1)).float()


def literal_feature_map(weights: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """Run RN50's convolutions: [n, 3, 224, 224] to [n, 2048, 7, 7]."""

    def convolve(x: Tensor, convolution: str, norm: str, stride: int = 1, padding: int = 0):
        x = conv2d(x, weights[f"{convolution}.weight"], stride=stride, padding=padding)
        return batch_norm(
            x,
            weights[f"{norm}.running_mean"],
            weights[f"{norm}.running_var"],
            weights[f"{norm}.weight"],
            weights[f"{norm}.bias"],
        )

    x = relu(convolve(pixels, "conv1", "bn1", stride=2, padding=1))
    x = relu(convolve(x, "conv2", "bn2", padding=1))
    x = relu(convolve(x, "conv3", "bn3", padding=1))
    x = avg_pool2d(x, 2)
    for layer, n_blocks in enumerate((3, 4, 6, 3), start=1):
        for number in range(n_blocks):
            block = f"layer{layer}.{number}"
            # Strides are average pools, so that no pixel is passed over.
            halved = layer > 1 and number == 0
            out = relu(convolve(x, f"{block}.conv1", f"{block}.bn1"))
            out = relu(convolve(out, f"{block}.conv2", f"{block}.bn2", padding=1))
            if halved:
                out = avg_pool2d(out, 2)
            out = convolve(out, f"{block}.conv3", f"{block}.bn3")
            if number == 0:
                x = avg_pool2d(x, 2) if halved else x
                x = convolve(x, f"{block}.downsample.0", f"{block}.downsample.1")
            x = relu(out + x)
    return x


def literal_pool_weights(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Pick the attention pool's weights, in double precision."""
    return {
        name.removeprefix("attnpool."): value.double().numpy()
        for name, value in weights.items()
        if name.startswith("attnpool.")
    }


def literal_cells(feature_map: Tensor) -> np.ndarray:
    """List a map's cells row by row from the top left: [2048, 7, 7] to [49, 2048]."""
    x = feature_map.double().numpy()
    return np.array([x[:, row, column] for row in range(7) for column in range(7)])


def literal_attention(parameter: Mapping[str, np.ndarray], cells: np.ndarray, position: bool) -> np.ndarray:
    """Pool cells by attention: all 50 tokens, the mean's first [50, 1024]."""
    tokens = np.concatenate([cells.mean(axis=0, keepdims=True), cells])  # (50, 2048)
    if position:
        tokens = tokens + parameter["positional_embedding"]
    query, key, value = (
        tokens @ parameter[f"{kind}_proj.weight"].T + parameter[f"{kind}_proj.bias"] for kind in "qkv"
    )
    heads = []
    for start in range(0, 2048, 64):  # 32 heads of 64 numbers
        one = slice(start, start + 64)
        attention = query[:, one] @ key[:, one].T / math.sqrt(64)
        attention = np.exp(attention - attention.max(axis=1, keepdims=True))
        attention = attention / attention.sum(axis=1, keepdims=True)
        heads.append(attention @ value[:, one])
    pooled = np.concatenate(heads, axis=1)
    return pooled @ parameter["c_proj.weight"].T + parameter["c_proj.bias"]


def literal_regions(parameter: Mapping[str, np.ndarray], cells: np.ndarray) -> np.ndarray:
    """Project each cell by itself: [49, 1024]."""
    values = cells @ parameter["v_proj.weight"].T + parameter["v_proj.bias"]
    return values @ parameter["c_proj.weight"].T + parameter["c_proj.bias"]


def literal_label_embeddings(model: nn.Module, tokenize: Callable) -> np.ndarray:
    """Embed the prompts, all 77 tokens of each: [20, 1024]."""
    with torch.no_grad():
        embeddings = model.encode_text(tokenize(PROMPTS)).double().numpy()
    return np.array([s / np.linalg.norm(s) for s in embeddings])


def literal_scores(
    pool_weights: Mapping[str, np.ndarray],
    feature_map: Tensor,
    s: np.ndarray,
    classifier: tuple[np.ndarray, np.ndarray | None],
    words: Words,
) -> list[float]:
    """Score one image for N labels: eq. 4 to 12."""
    w, b = classifier
    n_labels = len(s)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.sum(x * x))

    def classify(v: np.ndarray) -> list[float]:
        exponentials = [math.exp(np.dot(s[i], v) / words.tau) for i in range(n_labels)]
        m = np.zeros_like(v)
        for i in range(n_labels):
            m = m + exponentials[i] / sum(exponentials) * s[i]  # eq. 4 and 5
        if words.renormalise:
            m = unit(m)
        u = words.alpha * v + (1 - words.alpha) * m  # eq. 6 and 7
        # eq. 8 and 9
        return [float(np.dot(w[i], u)) + (0 if b is None else float(b[i])) for i in range(n_labels)]

    cells = literal_cells(feature_map)
    tokens = literal_attention(pool_weights, cells, words.position)
    regions = tokens[1:] if words.attended_regions else literal_regions(pool_weights, cells)
    p_global = classify(unit(tokens[0]))
    p_local = [classify(unit(region)) for region in regions]
    q = [words.over_regions([p[i] for p in p_local]) for i in range(n_labels)]  # eq. 10 and 11
    return [(p_global[i] + q[i]) / 2 for i in range(n_labels)]  # eq. 12


# The package beside it

TOLERANCE = 1e-4
PRESETS = {"paper": (PAPER, LITERAL_PAPER), "released": (RELEASED, LITERAL_RELEASED)}
BY_PRESET = pytest.mark.parametrize("name", list(PRESETS))


@pytest.fixture(scope="module")
def clip() -> Clip:
    """RN50 with OpenAI's temperature and random weights that tell images apart, and labels.

    As they come, random weights embed everything alike: residual branches are switched off, and what all
    images have in common outweighs the rest. So the norms get the statistics of a few images, and the last
    bias of each tower takes away the mean of what it embeds.
    """
    clip = load_clip("RN50-quickgelu", None)
    model, generator = clip.model, torch.Generator().manual_seed(0)
    pool = model.visual.attnpool
    pixels = torch.stack([literal_pixels(image, True) for image in drawn_images()])
    with torch.no_grad():
        for module in model.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.momentum = 1.0  # one batch sets the statistics
        for projection in (pool.q_proj, pool.k_proj, pool.v_proj):
            projection.bias.normal_(0, 0.1, generator=generator)
        for projection in (pool.q_proj, pool.k_proj):
            projection.weight.mul_(0.3)
        pool.positional_embedding.mul_(10)
        model.train().encode_image(pixels)
        model.eval()
        pool.c_proj.bias.sub_(model.encode_image(pixels).mean(dim=0))
        mean_label = model.encode_text(clip.tokenizer(PROMPTS, 77)).mean(dim=0)
        model.ln_final.bias.sub_(torch.linalg.lstsq(model.text_projection.T, mean_label).solution)
        model.logit_scale.fill_(math.log(100))
    return clip


@pytest.fixture(scope="module")
def weights(clip) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in clip.model.visual.state_dict().items()}


@pytest.fixture(scope="module")
def label_embeddings(clip) -> np.ndarray:
    return literal_label_embeddings(clip.model, open_clip.get_tokenizer("RN50-quickgelu"))


@pytest.fixture(scope="module")
def classifier_of() -> Callable[[Preset], LinearClassifier]:
    """Random, with rows as long as those of the authors' classifier: about 5."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(20, 1024, generator=generator) * 0.16
    bias = torch.randn(20, generator=generator)
    return lambda preset: LinearClassifier(weight, bias if preset.bias else None)


def drawn_images() -> list[Image.Image]:
    """Wide, tall, smaller than the input, and of other modes than RGB."""
    generator = np.random.default_rng(3)
    images = []
    for width, height in [(401, 260), (150, 333), (224, 224), (97, 80)]:
        image = Image.new("RGB", (width, height), tuple(generator.integers(256, size=3).tolist()))
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            left, top = generator.integers(0, (width * 3 // 4, height * 3 // 4))
            box = (left, top, left + width // 4, top + height // 4)
            shape = draw.ellipse if generator.random() < 0.5 else draw.rectangle
            shape([int(x) for x in box], fill=tuple(generator.integers(256, size=3).tolist()))
        images.append(image)
    return [*images[:2], images[2].quantize(16), images[3].convert("L")]


class BothWays:
    """Both ways to score a set of images, each computing a feature map or an embedding once."""

    def __init__(
        self,
        images: Sequence[Image.Image],
        clip: Clip,
        weights: Mapping[str, Tensor],
        label_embeddings: np.ndarray,
        classifier_of: Callable[[Preset], LinearClassifier],
        cache: EmbeddingCache,
    ) -> None:
        self.images, self.clip, self.weights, self.s = images, clip, weights, label_embeddings
        self.classifier_of, self.cache = classifier_of, cache
        self.pool_weights = literal_pool_weights(weights)
        self.maps: dict[bool, Tensor] = {}

    def literal(self, words: Words, preset: Preset) -> Tensor:
        if words.whole_image not in self.maps:
            pixels = [literal_pixels(image, words.whole_image) for image in self.images]
            with torch.no_grad():
                self.maps[words.whole_image] = torch.cat(
                    [literal_feature_map(self.weights, x[None]) for x in pixels]
                )
        classifier = self.classifier_of(preset)
        arrays = (classifier.weight.double().numpy(), classifier.bias)
        return torch.tensor(
            [
                literal_scores(self.pool_weights, feature_map, self.s, arrays, words)
                for feature_map in self.maps[words.whole_image]
            ]
        )

    def experiment(self, preset: Preset) -> Experiment:
        n = len(self.images)
        written = (Record("A dog.", ("dog",), generator="by hand", prompt="", seed=0),)
        options = ExperimentOptions(backbone=self.clip.name, sentences=written)
        source = Benchmark(get_profile("voc2007"), preset, 0, False, None, options, self.cache)
        # Cached properties, filled with what is at hand instead of what would be downloaded.
        vars(source)["towers"] = CachedClip(self.clip, self.clip.name, "", self.cache)
        vars(source)["images"] = MultiLabelImages(
            name="twenty",
            split="test",
            class_names=source.profile.label_set.class_names,
            labels=np.zeros((n, 20), dtype=np.uint8),
            ids=tuple(map(str, range(n))),
            load_image=lambda index: self.images[index].copy(),
            fingerprint="twenty",
        )
        return source

    def notebooks(self, preset: Preset, alpha: float) -> Tensor:
        experiment = self.experiment(preset)
        recogniser = replace(experiment.recogniser_of(self.classifier_of(preset)), alpha=alpha)
        components = recogniser.components(experiment.image_embeddings)
        assert_equal(recogniser.score(experiment.image_embeddings), components.at(alpha).final)
        return components.at(alpha).final


@pytest.fixture(scope="module")
def drawn(clip, weights, label_embeddings, classifier_of, tmp_path_factory) -> BothWays:
    cache = EmbeddingCache(tmp_path_factory.mktemp("drawn"))
    return BothWays(drawn_images(), clip, weights, label_embeddings, classifier_of, cache)


@pytest.fixture(scope="module")
def photos(real_data: Path, clip, weights, label_embeddings, classifier_of, tmp_path_factory) -> BothWays:
    folder = real_data / "voc2007_sample" / "VOCdevkit" / "VOC2007" / "JPEGImages"
    images = []
    for path in sorted(folder.iterdir())[:20]:
        with Image.open(path) as image:
            images.append(image.copy())
    cache = EmbeddingCache(tmp_path_factory.mktemp("photos"))
    return BothWays(images, clip, weights, label_embeddings, classifier_of, cache)


def assert_equal(given: Tensor, expected: Tensor) -> None:
    assert given.shape == expected.shape
    torch.testing.assert_close(given, expected, rtol=0, atol=TOLERANCE)


def assert_telling(scores: Tensor) -> None:
    """Scores of images that all embed alike would prove little."""
    assert scores.std(dim=0).min() > 100 * TOLERANCE


@pytest.mark.slow
@BY_PRESET
def test_twenty_photos(photos, name) -> None:
    preset, words = PRESETS[name]
    expected = photos.literal(words, preset)
    assert expected.shape == (20, 20)
    assert_telling(expected)
    assert_equal(photos.notebooks(preset, words.alpha), expected)


@BY_PRESET
def test_drawn_images(drawn, name) -> None:
    preset, words = PRESETS[name]
    expected = drawn.literal(words, preset)
    assert_telling(expected)
    assert_equal(drawn.notebooks(preset, words.alpha), expected)
    made = drawn.experiment(preset)
    at_once = score_images(
        drawn.classifier_of(preset),
        made.global_embeddings,
        made.local_embeddings,
        made.label_embeddings,
        alpha=words.alpha,
        tau=made.tau,
        renormalise=preset.renormalise_mapped,
    )
    assert_equal(at_once.final, expected)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@BY_PRESET
@pytest.mark.parametrize(
    "changes",
    [
        {"whole_image": None},
        {"position": None},
        {"renormalise": None},
        {"alpha": 0.45},
        {"tau": 1 / 90},
        {"over_regions": mean},
        {"over_regions": min},
        {"attended_regions": True},
    ],
    ids=lambda changes: " ".join(map(str, changes)),
)
def test_another_reading_of_the_words_is_noticed(drawn, name, changes) -> None:
    """None stands for the opposite."""
    preset, words = PRESETS[name]
    changes = {k: not getattr(words, k) if v is None else v for k, v in changes.items()}
    other = drawn.literal(replace(words, **changes), preset)
    difference = (drawn.notebooks(preset, words.alpha) - other).abs().max()
    assert difference > 10 * TOLERANCE


@BY_PRESET
@pytest.mark.parametrize("switch", ["renormalise_mapped", "positional_embedding", "resize", "bias"])
def test_another_setting_of_the_package_is_noticed(drawn, name, switch) -> None:
    preset, words = PRESETS[name]
    (opposite,) = (p for p, _ in PRESETS.values() if p is not preset)
    changed = replace(preset, **{switch: getattr(opposite, switch)})
    difference = (drawn.notebooks(changed, words.alpha) - drawn.literal(words, preset)).abs().max()
    assert difference > 10 * TOLERANCE
