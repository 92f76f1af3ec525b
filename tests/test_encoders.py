"""The encoders against open_clip's own forward passes and against literal computations."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate, normalize

from comc_utils.clip import ImageEmbeddings, load_clip
from comc_utils.clip.image import MOST_STRETCHED, make_transforms
from comc_utils.clip.reading import read_batches
from comc_utils.clip.vit import is_plain
from comc_utils.errors import CoMCError
from comc_utils.miniworld import load_miniworld
from comc_utils.sources.backbones import load_backbone
from comc_utils.store.rgb import ImageError

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

TINY_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
TINY_RESNET = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
    "text_cfg": TINY_TEXT,
}
TINY_VIT = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "layers": 3,
        "width": 64,
        "head_width": 32,
        "patch_size": 8,
        "ls_init_value": 0.5,
    },
    "text_cfg": TINY_TEXT,
}
MODELS = {
    "test-resnet": TINY_RESNET,
    "test-resnet-quickgelu": {**TINY_RESNET, "quick_gelu": True},
    "test-resnet-deeper-quickgelu": {
        **TINY_RESNET,
        "vision_cfg": {**TINY_RESNET["vision_cfg"], "layers": [1, 2, 1, 1]},
        "quick_gelu": True,
    },
    "test-vit": TINY_VIT,
    "test-vit-custom-text": {
        **TINY_VIT,
        "text_cfg": {**TINY_TEXT, "pool_type": "eos", "eos_id": 49407, "proj_bias": True},
        "custom_text": True,
    },
    "test-vit-not-causal": {
        **TINY_VIT,
        "text_cfg": {**TINY_TEXT, "no_causal_mask": True, "pool_type": "last"},
        "custom_text": True,
    },
    "test-vit-attention-pool": {
        **TINY_VIT,
        "vision_cfg": {**TINY_VIT["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2},
        "custom_text": True,
    },
    "test-vit-ragged": {
        **TINY_VIT,
        "vision_cfg": {**TINY_VIT["vision_cfg"], "image_size": 30},  # no multiple of the patch
    },
    "test-timm": {
        "embed_dim": 32,
        "vision_cfg": {
            "timm_model_name": "convnext_atto",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 64,
        },
        "text_cfg": TINY_TEXT,
    },
}
SENTENCES = [
    "A dog sleeps on the sofa beside two cats.",
    "a photo of a car.",
    "A very long walk through the old town, with bicycles, buses, trains and people everywhere.",
    "a photo of a car.",
    "horse",
    "",
]


def randomise(model: nn.Module) -> None:
    """Leave no weight at zero or one: open_clip starts with residual branches switched off."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
            if isinstance(module, nn.Linear | nn.MultiheadAttention):
                bias = getattr(module, "bias", getattr(module, "in_proj_bias", None))
                if bias is not None:
                    bias.normal_(0, 0.1, generator=generator)
        if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
            calibrate(model, generator)


def calibrate(model: nn.Module, generator: torch.Generator) -> None:
    """Give the batch norms true statistics: a deep random network sees all images alike without."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    size = model.visual.image_size
    coarse = torch.randn(4, 3, 4, 4, generator=generator)
    model.train().encode_image(interpolate(coarse, size=(size, size)))
    model.eval()


@pytest.fixture(scope="module", autouse=True)
def registered_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    for name, config in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.fixture(scope="module")
def rn50():
    clip = load_clip("RN50-quickgelu", None)
    randomise(clip.model)
    return clip


@pytest.fixture(scope="module")
def vit(registered_models):
    clip = load_clip("test-vit", None)
    randomise(clip.model)
    return clip


@pytest.fixture(scope="module")
def small_resnet(registered_models):
    clip = load_clip("test-resnet-quickgelu", None)
    randomise(clip.model)
    return clip


@pytest.fixture(scope="module")
def images():
    """Coarse patches of colour: finer noise averages out, and all images would embed alike."""
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.NEAREST
        )
        for size in [(300, 260), (224, 224), (80, 100)]
    ]


def open_clip_pixels(clip, images, resize_mode="shortest") -> torch.Tensor:
    transform = open_clip.image_transform(clip.image_size, is_train=False, resize_mode=resize_mode)
    return torch.stack([transform(image) for image in images])


def unit(x: torch.Tensor) -> torch.Tensor:
    return normalize(x.detach(), dim=-1)


def assert_close(given: torch.Tensor, expected: torch.Tensor) -> None:
    assert given.shape == expected.shape
    assert given.dtype == torch.float32
    assert (given - expected).abs().max() < 1e-5


# Text


def full_context(clip, texts) -> torch.Tensor:
    with torch.no_grad():
        return unit(clip.model.encode_text(clip.tokenizer(texts, 77)))


def test_cut_text_equals_full_context_rn50(rn50):
    assert_close(rn50.encode_text(SENTENCES), full_context(rn50, SENTENCES))


@pytest.mark.parametrize("name", ["test-vit", "test-vit-custom-text", "test-vit-not-causal"])
def test_text_equals_open_clip(name):
    clip = load_clip(name, None)
    randomise(clip.model)
    embeddings = clip.encode_text(SENTENCES, batch_size=2)
    assert_close(embeddings, full_context(clip, SENTENCES))
    assert (embeddings[0] - embeddings[2]).abs().max() > 0.01


def test_the_text_transformer_sees_only_the_longest_sentence(vit):
    lengths = []
    hook = vit.model.transformer.resblocks[0].ln_1.register_forward_pre_hook(
        lambda _, inputs: lengths.append(tuple(inputs[0].shape[:2]))
    )
    texts = ["a dog", "a cat", "two dogs and a cat", "a dog"]
    vit.encode_text(texts, batch_size=2)
    vit.encode_text(texts, batch_tokens=20)  # three sentences of 7 would be 21
    vit.encode_text(texts, batch_tokens=5)
    hook.remove()
    # Each distinct sentence once, begin and end tokens included.
    assert lengths == [(2, 4), (1, 7), (2, 4), (1, 7), (1, 4), (1, 4), (1, 7)]


def test_text_order_and_duplicates(vit):
    texts = [SENTENCES[i] for i in (4, 0, 4, 2, 1, 0)]
    together = vit.encode_text(texts, batch_size=2)
    alone = torch.cat([vit.encode_text([text]) for text in texts])
    assert_close(together, alone)
    assert torch.equal(together[0], together[2])
    torch.testing.assert_close(together.norm(dim=1), torch.ones(6))


def test_text_embeddings_can_be_trained_on(vit):
    classifier = nn.Linear(32, 3)
    classifier(vit.encode_text(["a dog"])).sum().backward()
    assert classifier.weight.grad is not None


def test_truncated_sentences_are_counted(vit):
    exactly_full = " ".join(["dog"] * 75)
    too_long = " ".join(["dog"] * 76)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vit.encode_text([exactly_full, "a dog"])
    with pytest.warns(UserWarning, match=r"1 of 3 .* 77 tokens"):
        vit.encode_text([exactly_full, too_long, "a dog", too_long])


@pytest.mark.parametrize(
    ("texts", "message"), [([], "no sentences"), ("a dog", "sequence"), (["a", 3], "Sentence 1")]
)
def test_bad_texts(vit, texts, message):
    with pytest.raises(CoMCError, match=message):
        vit.encode_text(texts)


# Images


@pytest.fixture(scope="module")
def rn50_embeddings(rn50, images):
    return rn50.encode_images(images, batch_size=2)


def test_attention_pool_with_positional_embedding_equals_encode_image(rn50, images, rn50_embeddings):
    with torch.no_grad():
        expected = unit(rn50.model.encode_image(open_clip_pixels(rn50, images)))
    assert_close(rn50_embeddings.with_position, expected)
    assert (expected[0] - expected[1]).abs().max() > 1e-3, "too alike to tell images apart"


def test_attention_pool_without_positional_embedding(rn50, images, rn50_embeddings):
    given = rn50.encode_images(images, local=False)
    assert given.local is None and given.local_norms is None
    pool = rn50.model.visual.attnpool
    kept = pool.positional_embedding.data.clone()
    pool.positional_embedding.data.zero_()
    with torch.no_grad():
        expected = unit(rn50.model.encode_image(open_clip_pixels(rn50, images)))
    pool.positional_embedding.data.copy_(kept)
    assert_close(given.global_, expected)
    assert_close(rn50_embeddings.global_, expected)
    assert (expected - rn50_embeddings.with_position).abs().max() > 1e-3


def test_resnet_local_embeddings_region_by_region(rn50, images, rn50_embeddings):
    visual = rn50.model.visual
    with torch.no_grad():
        x = visual.stem(open_clip_pixels(rn50, images))
        x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))
    x, pool = x.double().numpy(), visual.attnpool
    v_weight, v_bias, c_weight, c_bias = (
        parameter.detach().double().numpy()
        for parameter in (*pool.v_proj.parameters(), *pool.c_proj.parameters())
    )
    expected, norms = np.empty((3, 49, 1024)), np.empty((3, 49))
    for image in range(3):
        for row in range(7):
            for column in range(7):
                value = v_weight @ x[image, :, row, column] + v_bias
                region = c_weight @ value + c_bias
                norms[image, 7 * row + column] = np.linalg.norm(region)
                expected[image, 7 * row + column] = region / np.linalg.norm(region)
    assert_close(rn50_embeddings.local, torch.from_numpy(expected))
    given = rn50_embeddings.local_norms.double()
    torch.testing.assert_close(given, torch.from_numpy(norms), rtol=1e-4, atol=0)
    assert torch.equal(rn50_embeddings[[2, 0]].local_norms, rn50_embeddings.local_norms[[2, 0]])


def test_vit_global_equals_encode_image(vit, images):
    with torch.no_grad():
        expected = unit(vit.model.encode_image(open_clip_pixels(vit, images)))
    for local in (True, False):
        given = vit.encode_images(images, local=local)
        assert_close(given.with_position, expected)
        assert torch.equal(given.global_, given.with_position)


def test_a_vit_of_another_kind_runs_as_it_is(vit, images):
    other = copy.deepcopy(vit)
    assert is_plain(vit.model.visual)
    other.model.visual.pool_type = "avg"
    assert not is_plain(other.model.visual)
    with torch.no_grad():
        expected = unit(other.model.encode_image(open_clip_pixels(other, images)))
    assert_close(other.encode_images(images, local=False).with_position, expected)


def test_vit_value_path_token_by_token(vit, images):
    """A token alone in its sequence can attend to itself only: the block then is the value path."""
    visual = vit.model.visual
    with torch.no_grad():
        x = visual._embeds(open_clip_pixels(vit, images))
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            x = block(x)
        alone = torch.stack([torch.cat([last(token[None, None])[0] for token in image[1:]]) for image in x])
        expected = unit(visual.ln_post(alone) @ visual.proj)
    embedded = vit.encode_images(images)
    assert embedded.local_norms is None and vit.projected_positions is None
    given = embedded.local
    assert given.shape == (3, 16, 32)
    assert_close(given, expected)
    visual.output_tokens = True
    with torch.no_grad():
        _, tokens = visual(open_clip_pixels(vit, images))  # the last block's own patch tokens
    visual.output_tokens = False
    assert (given - unit(tokens @ visual.proj)).abs().max() > 1e-3


def test_plain_resize_keeps_the_border(vit, images):
    given = vit.encode_images(images, resize="plain", local=False).with_position
    with torch.no_grad():
        pixels = open_clip_pixels(vit, images, "squash")
        assert_close(given, unit(vit.model.encode_image(pixels)))
    framed = Image.new("RGB", (96, 32), "black")
    marked = framed.copy()
    marked.paste("white", (0, 0, 20, 32))
    cropped = vit.encode_images([framed, marked], resize="crop").with_position
    squeezed = vit.encode_images([framed, marked], resize="plain").with_position
    assert_close(cropped[0], cropped[1])
    assert (squeezed[0] - squeezed[1]).abs().max() > 1e-3


def test_palette_images_are_resized_in_rgb(vit, images):
    palette = images[0].quantize(16)
    both = vit.encode_images([palette, palette.convert("RGB")]).with_position
    assert_close(both[0], both[1])


def test_images_are_taken_on_demand_and_in_order(vit, images):
    class Lazy:
        taken: list[int] = []  # noqa: RUF012

        def __len__(self):
            return 5

        def __getitem__(self, index):
            self.taken.append(index)
            return images[index % 3]

    given = vit.encode_images(Lazy(), batch_size=2)
    assert Lazy.taken == [0, 1, 2, 3, 4]
    expected = vit.encode_images(images)
    rows = [0, 1, 2, 0, 1]
    assert_close(given.with_position, expected.with_position[rows])
    assert_close(given.local, expected.local[rows])


def test_a_damaged_image_is_named(vit, images, tmp_path):
    path = tmp_path / "damaged.png"
    images[0].save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with Image.open(path) as damaged, pytest.raises(CoMCError, match=r"Image 1 \(.*damaged\.png\)"):
        vit.encode_images([images[0], damaged])


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError("no such file"), "Image 0 does not open"), (CoMCError("scene 7 is bad"), "^scene 7")],
)
def test_errors_of_the_image_sequence(vit, error, message):
    class Broken:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise error

    with pytest.raises(CoMCError, match=message):
        vit.encode_images(Broken())


def test_bad_image_arguments(vit, images):
    with pytest.raises(CoMCError, match="no images"):
        vit.encode_images([])
    with pytest.raises(CoMCError, match=r"Item 0 .* ndarray"):
        vit.encode_images([np.zeros((8, 8, 3))])
    with pytest.raises(CoMCError, match="Unknown resize"):
        vit.encode_images(images, resize="squash")
    pooled = load_clip("test-vit-attention-pool", None)
    with pytest.raises(CoMCError, match="local=False"):
        pooled.encode_images(images)
    with torch.no_grad():
        expected = unit(pooled.model.encode_image(open_clip_pixels(pooled, images)))
    assert_close(pooled.encode_images(images, local=False).with_position, expected)


def test_progress_only_where_asked(vit, images, capsys):
    vit.encode_text(["a dog"])
    vit.encode_images(images)
    assert capsys.readouterr().err == ""
    vit.encode_text(["a dog"], progress=True)
    vit.encode_images(images, progress=True)
    shown = capsys.readouterr().err
    assert "1/1" in shown and "3/3" in shown


class DrawnInProcesses:
    """Images that come from a closure, as no pickle takes them along, and note who drew them."""

    def __init__(self, images, folder: Path, n: int = 7, before=lambda index: None) -> None:
        self.draw = lambda index: images[index % len(images)].rotate(20 * index)
        self.folder, self.n, self.before = folder, n, before

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.before(index)
        (self.folder / f"{index}").write_text(f"{os.getpid()} {torch.get_num_threads()}")
        return self.draw(index)

    def notes(self) -> list[tuple[int, int]]:
        """Process and its threads, by image."""
        texts = [(self.folder / f"{index}").read_text() for index in range(self.n)]
        return [tuple(map(int, text.split())) for text in texts]


needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@needs_fork
@pytest.mark.parametrize("name", ["test-resnet-quickgelu", "test-vit"])
def test_workers_change_nothing(name, images, tmp_path, request):
    clip = load_clip(name, None)
    drawn = DrawnInProcesses(images, tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    here = clip.encode_images(drawn, batch_size=2, num_workers=0)
    assert {process for process, _ in drawn.notes()} == {os.getpid()}
    state = torch.get_rng_state()
    ahead = clip.encode_images(drawn, batch_size=2, num_workers=2)
    assert torch.get_num_threads() == 2
    processes = {process for process, _ in drawn.notes()}
    assert len(processes) == 2 and os.getpid() not in processes
    assert {n_threads for _, n_threads in drawn.notes()} == {1}
    for kind in ("with_position", "global_", "local"):
        assert torch.equal(getattr(ahead, kind), getattr(here, kind))
    assert torch.equal(torch.get_rng_state(), state)
    assert multiprocessing.active_children() == []


@needs_fork
def test_who_reads_by_default(small_resnet, images, tmp_path):
    few = DrawnInProcesses(images, tmp_path, n=20)
    small_resnet.encode_images(few, batch_size=4)
    small_resnet.encode_images(few, batch_size=20, num_workers=1)  # nothing to work on meanwhile
    assert {process for process, _ in few.notes()} == {os.getpid()}
    many = DrawnInProcesses(images, tmp_path, n=100)
    small_resnet.encode_images(many, batch_size=50)
    assert os.getpid() not in {process for process, _ in many.notes()}


def test_open_files_are_read_in_this_process(vit, images, tmp_path):
    """A worker that reads from an open file would move the position that this process reads at."""
    for row in range(3):
        images[0].resize((400, 400)).rotate(row).save(tmp_path / f"{row}.bmp")
    opened = [Image.open(path) for path in sorted(tmp_path.iterdir())]
    vit.encode_images(opened, batch_size=1, num_workers=2)
    assert not any(image.fp for image in opened), "Pillow closes a file once its pixels are read"


@needs_fork
def test_a_workers_error_is_the_same_line(vit, images, tmp_path):
    def fail(index):
        if index >= 3:
            raise OSError(f"no disk for {index}")

    drawn = DrawnInProcesses(images, tmp_path, before=fail)
    messages = []
    for num_workers in (0, 2):
        with pytest.raises(CoMCError, match=r"^Image 3 does not open: no disk for 3\. ") as caught:
            vit.encode_images(drawn, batch_size=2, num_workers=num_workers)
        messages.append(str(caught.value))
        assert multiprocessing.active_children() == []
    assert messages[0] == messages[1]


@needs_fork
def test_a_killed_worker_is_explained(vit, images, tmp_path):
    def end(index):
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    drawn = DrawnInProcesses(images, tmp_path, before=end)
    with pytest.raises(CoMCError, match=r"killed .*num_workers=0"):
        vit.encode_images(drawn, batch_size=2, num_workers=1)
    assert multiprocessing.active_children() == []


@needs_fork
@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "reset by peer")])
def test_a_worker_killed_while_a_batch_of_it_is_fetched_is_explained(images, tmp_path, error):
    # When exactly it dies cannot be chosen, so that the error is raised in its place.
    drawn = DrawnInProcesses(images, tmp_path)
    for n_workers, expected in ((1, CoMCError), (0, type(error))):
        with (
            pytest.raises(expected, match="connection to it broke" if n_workers else None),
            read_batches(drawn, None, batch_size=2, num_workers=n_workers, pin_memory=False),
        ):
            raise error


@needs_fork
def test_an_interrupt_leaves_no_process(vit, images, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    hook = vit.model.visual.transformer.resblocks[0].register_forward_pre_hook(interrupt)
    drawn = DrawnInProcesses(images, tmp_path, n=20)
    # The caught exception keeps its traceback, and so everything that was at work.
    with pytest.raises(KeyboardInterrupt) as caught:
        vit.encode_images(drawn, batch_size=2, num_workers=2)
    hook.remove()
    assert multiprocessing.active_children() == []
    assert caught.tb is not None


def test_a_negative_number_of_workers(vit, images):
    with pytest.raises(CoMCError, match="num_workers is -1"):
        vit.encode_images(images, num_workers=-1)


@pytest.mark.parametrize(("resize", "mode"), [("crop", "shortest"), ("plain", "squash")])
def test_the_two_halves_of_the_transform_equal_open_clips(vit, images, resize, mode):
    crop, scale = make_transforms(vit.model, resize)
    pixels = scale(torch.stack([crop(image) for image in images]))
    assert torch.equal(pixels, open_clip_pixels(vit, images, mode))
    assert pixels.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stretched", [(1, 60_000), (60_000, 1)])
def test_a_very_long_image_takes_no_more_memory_than_a_long_one(vit, stretched):
    tracked = []
    crop, _ = make_transforms(vit.model, "crop")
    resize = Image.Image.resize

    def watched(image, size, *arguments, **options):
        tracked.append(size)
        return resize(image, size, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", watched)
        image = Image.effect_noise(stretched, 60).convert("RGB")
        pixels = crop(image)
    assert tuple(pixels.shape) == (vit.image_size, vit.image_size, 3)
    assert max(map(max, tracked)) <= MOST_STRETCHED * vit.image_size
    assert make_transforms(vit.model, "plain")[0](image).shape == pixels.shape


@pytest.mark.parametrize("size", [(4, 400), (4, 401), (450, 3)])
def test_of_a_very_long_image_the_same_middle_is_shown(vit, size):
    image = Image.effect_noise(size, 60).convert("RGB")
    whole = open_clip_pixels(vit, [image], "shortest")
    crop, scale = make_transforms(vit.model, "crop")
    torch.testing.assert_close(scale(crop(image)[None]), whole, atol=0.02, rtol=0)


def test_embedding_leaves_a_resnet_as_it_is(small_resnet, images):
    model = small_resnet.model
    before = copy.deepcopy(model.state_dict())
    first = small_resnet.encode_images(images)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    bias = model.visual.layer4[0].bn2.bias
    bias.add_(1)
    changed = small_resnet.encode_images(images).with_position
    with torch.no_grad():
        expected = unit(model.encode_image(open_clip_pixels(small_resnet, images)))
    bias.sub_(1)
    assert_close(changed, expected)
    assert (changed - first.with_position).abs().max() > 1e-3


# Loading


def test_properties(rn50):
    assert rn50.name == "RN50-quickgelu"
    assert (rn50.embedding_dim, rn50.image_size) == (1024, 224)
    assert rn50.temperature == pytest.approx(0.07)
    assert rn50.device == torch.device("cpu")
    assert not any(module.training for module in rn50.model.modules())


def test_random_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (load_clip("test-vit", None, seed=s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.fixture
def state(small_resnet):
    """Weights in half precision, as OpenAI's are."""
    return {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.clone()
        for name, tensor in small_resnet.model.state_dict().items()
    }


def assert_holds(clip, state) -> None:
    loaded = clip.model.state_dict()
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor.to(loaded[name].dtype))
    assert {t.dtype for t in loaded.values() if t.is_floating_point()} == {torch.float32}


def test_every_file_format_gives_the_same_weights(state, tmp_path):
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pt")
    checkpoint = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 3, "state_dict": checkpoint}, tmp_path / "c.pt")
    clips = [load_clip("test-resnet-quickgelu", path) for path in sorted(tmp_path.iterdir())]
    for clip in clips:
        assert_holds(clip, state)
    assert len({clip.fingerprint for clip in clips}) == 1
    state["logit_scale"] += 1
    torch.save(state, tmp_path / "d.pt")
    assert load_clip("test-resnet-quickgelu", str(tmp_path / "d.pt")).fingerprint != (clips[0].fingerprint)


def test_openai_layout_needs_the_quickgelu_name(state, tmp_path):
    scalars = {"input_resolution": 64, "context_length": 77, "vocab_size": 49408}
    path = tmp_path / "openai.pt"
    torch.save({**state, **{k: torch.tensor(v) for k, v in scalars.items()}}, path)
    assert_holds(load_clip("test-resnet-quickgelu", path), state)
    with pytest.raises(CoMCError, match=r"were trained with QuickGELU.*'test-resnet-quickgelu'"):
        load_clip("test-resnet", path)


@pytest.mark.parametrize("name", ["RN50", "RN101", "ViT-B-32", "ViT-B-16", "ViT-L-14"])
def test_the_openai_tag_needs_the_quickgelu_name(name):
    with pytest.raises(CoMCError, match=f"use the model name '{name}-quickgelu'"):
        load_clip(name, "openai")


def test_a_plain_tag_is_no_tag_of_the_quickgelu_name():
    with pytest.raises(CoMCError, match="'laion2b_s34b_b79k' is neither"):
        load_clip("ViT-B-32-quickgelu", "laion2b_s34b_b79k")


@pytest.fixture(scope="module")
def archive(small_resnet, tmp_path_factory):
    """A TorchScript archive as OpenAI's: half precision, traced, with the three scalars."""
    path = tmp_path_factory.mktemp("archive") / "tiny.pt"
    model = copy.deepcopy(small_resnet.model)  # half() below reaches through the trace
    for name, value in {"input_resolution": 64, "context_length": 77, "vocab_size": 49408}.items():
        if hasattr(model, name):
            delattr(model, name)
        model.register_buffer(name, torch.tensor(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's notes on tracing, and on TorchScript's age
        traced = torch.jit.trace_module(
            model,
            {"encode_image": torch.zeros(1, 3, 64, 64), "encode_text": torch.zeros(1, 77, dtype=torch.long)},
        )
        traced.half().save(str(path))
    return path


def test_a_torchscript_archive_is_read(archive, state):
    clip = load_clip("test-resnet-quickgelu", archive)
    assert_holds(clip, state)
    larger = load_clip("test-resnet-quickgelu", archive, image_size=96)
    assert larger.model.visual.attnpool.positional_embedding.shape[0] == 1 + 3 * 3
    assert larger.fingerprint != clip.fingerprint
    with pytest.raises(CoMCError, match=r"were trained with QuickGELU.*'test-resnet-quickgelu'"):
        load_clip("test-resnet", archive)


def test_a_damaged_torchscript_archive(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    (tmp_path / "damaged.pt").write_bytes(content)
    with pytest.raises(CoMCError, match=r"damaged\.pt.*fetch it again"):
        load_clip("test-resnet-quickgelu", tmp_path / "damaged.pt")


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_does_not_run(state, tmp_path):
    path, trace = tmp_path / "bomb.pt", tmp_path / "exploded"
    torch.save({**state, "extra": Bomb(trace)}, path)
    with pytest.raises(CoMCError, match=r"bomb\.pt.*never loaded"):
        load_clip("test-resnet-quickgelu", path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the bomb is a dud and proves nothing"


def test_code_in_a_torchscript_archive_does_not_run(archive, tmp_path):
    import zipfile

    path, trace = tmp_path / "bomb.pt", tmp_path / "exploded"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            is_tree = name.endswith("/data.pkl")
            new.writestr(name, pickle.dumps(Bomb(trace)) if is_tree else old.read(name))
    with pytest.raises(CoMCError, match=r"bomb\.pt.*never loaded"):
        load_clip("test-resnet-quickgelu", path)
    assert not trace.exists()


def garbage(path: Path, state) -> None:
    path.write_bytes(b"not weights at all" * 50)


def empty(path: Path, state) -> None:
    path.write_bytes(b"")


def half(path: Path, state) -> None:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_a_state(path: Path, state) -> None:
    if path.suffix == ".safetensors":
        save_file({}, path)
    else:
        torch.save([1, 2], path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("write", [garbage, empty, half, not_a_state])
def test_damaged_weights_are_named(state, tmp_path, write, suffix):
    path = tmp_path / f"broken{suffix}"
    write(path, state)
    with pytest.raises(CoMCError, match=rf"broken\{suffix}") as raised:
        load_clip("test-resnet-quickgelu", path)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert "weights_only" not in str(raised.value)


def test_weights_of_another_architecture(state, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(CoMCError, match=r"weights\.safetensors is not of model 'test-resnet-deep.*miss"):
        load_clip("test-resnet-deeper-quickgelu", path)
    with pytest.raises(CoMCError, match="is not of model 'test-vit'"):
        load_clip("test-vit", path)
    with pytest.raises(CoMCError, match="is not of model 'test-resnet-deep.*miss"):
        load_clip("test-resnet-deeper-quickgelu", path, image_size=96)
    state["text_projection"] = state["text_projection"][:, :16].contiguous()
    save_file(state, path)
    with pytest.raises(CoMCError, match=r"text_projection has shape \(64, 16\) where \(64, 32\)"):
        load_clip("test-resnet-quickgelu", path)


def test_a_vision_transformers_weights_for_a_resnet(vit, tmp_path):
    path = tmp_path / "vit.pt"
    torch.save(vit.model.state_dict(), path)
    with pytest.raises(CoMCError, match=r"vit\.pt is not of model 'RN50-quickgelu'") as raised:
        load_clip("RN50-quickgelu", path)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


# Another input size


def test_other_towers_keep_their_size():
    assert load_clip("test-timm", None).image_size == 64
    with pytest.raises(CoMCError, match="image tower TimmModel .*'test-timm' cannot be changed"):
        load_clip("test-timm", None, image_size=96)


@pytest.mark.parametrize(("name", "own_size"), [("test-resnet-quickgelu", 64), ("test-vit", 32)])
def test_the_own_size_changes_nothing(name, own_size):
    plain = load_clip(name, None)
    same = load_clip(name, None, image_size=own_size)
    assert_holds(same, plain.model.state_dict())
    assert same.fingerprint == plain.fingerprint
    assert same.image_size == plain.image_size == own_size


@pytest.mark.parametrize(("image_size", "n_regions"), [(16, 4), (48, 36), (80, 100)])
@pytest.mark.parametrize("resize", ["crop", "plain"])
def test_a_vision_transformer_at_another_size_equals_open_clips(
    vit, images, tmp_path, image_size, n_regions, resize
):
    path = tmp_path / "weights.pt"
    torch.save(vit.model.state_dict(), path)
    clip = load_clip("test-vit", path, image_size=image_size)
    assert clip.image_size == image_size
    expected_model = open_clip.create_model(
        "test-vit", pretrained=str(path), force_image_size=image_size
    ).eval()
    mode = {"crop": "shortest", "plain": "squash"}[resize]
    with torch.no_grad():
        expected = expected_model.encode_image(open_clip_pixels(clip, images, mode))
    given = clip.encode_images(images, resize=resize)
    assert_close(given.with_position, unit(expected))
    assert given.local.shape == (3, n_regions, 32)
    assert_close(clip.encode_text(SENTENCES), vit.encode_text(SENTENCES))


@pytest.mark.parametrize(("image_size", "side"), [(32, 1), (96, 3), (160, 5)])
@pytest.mark.parametrize("resize", ["crop", "plain"])
def test_a_resnet_at_another_size_equals_open_clips(small_resnet, images, tmp_path, image_size, side, resize):
    path = tmp_path / "weights.pt"
    state = small_resnet.model.state_dict()
    torch.save(state, path)
    clip = load_clip("test-resnet-quickgelu", path, image_size=image_size)
    assert clip.image_size == image_size
    # open_clip interpolates for vision transformers alone, so the embedding is stretched here.
    key = "visual.attnpool.positional_embedding"
    first, cells = state[key][:1], state[key][1:]
    cells = cells.T.reshape(1, -1, 2, 2)  # (1, c, rows, columns)
    cells = interpolate(cells, size=(side, side), mode="bicubic", antialias=True)
    state[key] = torch.cat([first, cells[0].flatten(1).T])
    expected_model = open_clip.create_model(
        "test-resnet-quickgelu", pretrained_image=False, force_image_size=image_size
    ).eval()
    expected_model.load_state_dict(state)
    mode = {"crop": "shortest", "plain": "squash"}[resize]
    with torch.no_grad():
        expected = unit(expected_model.encode_image(open_clip_pixels(clip, images, mode)))
    given = clip.encode_images(images, resize=resize)
    assert_close(given.with_position, expected)
    assert given.local.shape == (3, side**2, 32)
    assert (given.with_position - given.global_).abs().max() > 1e-3


def test_rn50_at_another_size():
    clip = load_clip("RN50-quickgelu", None, image_size=288)
    assert clip.image_size == 288
    image = Image.effect_noise((300, 320), 60)
    assert clip.encode_images([image]).local.shape == (1, 81, 1024)


@pytest.mark.parametrize(
    ("name", "sizes"), [("test-resnet-quickgelu", (32, 64, 96)), ("test-vit", (16, 32, 48))]
)
def test_no_two_sizes_share_a_fingerprint(name, sizes):
    plain = load_clip(name, None)
    fingerprints = [load_clip(name, None, image_size=size).fingerprint for size in sizes]
    assert len(set(fingerprints)) == len(sizes)
    assert fingerprints[1] == plain.fingerprint


@pytest.mark.parametrize("image_size", [0, -64, 1, 65, 63, 100])
def test_sizes_that_no_grid_fits(image_size):
    with pytest.raises(CoMCError, match=rf"image_size is {image_size}; .* multiple of 32"):
        load_clip("test-resnet-quickgelu", None, image_size=image_size)
    with pytest.raises(CoMCError, match=rf"image_size is {image_size}; .* multiple of 8"):
        load_clip("test-vit", None, image_size=image_size)


def test_a_size_of_the_same_grid_is_refused():
    """Its weights would have the fingerprint of the model's own size."""
    assert load_clip("test-vit-ragged", None, image_size=30).image_size == 30
    with pytest.raises(CoMCError, match=r"image_size is 24; .* made for 30 pixels"):
        load_clip("test-vit-ragged", None, image_size=24)


def test_custom_text_models_take_the_flat_layout(vit, tmp_path):
    path = tmp_path / "weights.pt"
    state = {f"module.{k}": v for k, v in vit.model.state_dict().items()}
    torch.save(state, path)
    clip = load_clip("test-vit-not-causal", path)
    assert torch.equal(clip.model.text.ln_final.weight, vit.model.ln_final.weight)


def test_unknown_names_and_tags(tmp_path):
    with pytest.raises(CoMCError, match=r"did you mean .*RN50-quickgelu"):
        load_clip("RN50-quickgelo", None)
    with pytest.raises(CoMCError, match=r"neither a file nor a weights tag.*openai"):
        load_clip("RN50-quickgelu", "opnai")
    with pytest.raises(CoMCError, match=r"none.pt does not exist"):
        load_clip("RN50-quickgelu", tmp_path / "none.pt")
    with pytest.raises(CoMCError, match="on device 'gpu'"):
        load_clip("test-vit", None, device="gpu")


def test_a_failed_download_is_explained(monkeypatch):
    def offline(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("comc_utils.clip.loading.download_pretrained", offline)
    with pytest.raises(CoMCError, match=r"'openai' .* could not be downloaded .*give its path"):
        load_clip("RN50-quickgelu", "openai")


def test_a_tag_is_read_like_a_file(monkeypatch, state, tmp_path):
    """The download alone is replaced: there is no network in the tests."""
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    tag = {"url": "", "quick_gelu": True, "mean": (0.5, 0.5, 0.5), "interpolation": "bilinear"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "test-resnet-quickgelu", {"openai": tag})
    monkeypatch.setattr("comc_utils.clip.loading.download_pretrained", lambda _: str(path))
    clip = load_clip("test-resnet-quickgelu", "openai")
    assert_holds(clip, state)
    assert clip.model.visual.preprocess_cfg["mean"] == (0.5, 0.5, 0.5)
    larger = load_clip("test-resnet-quickgelu", "openai", image_size=96)
    assert larger.model.visual.preprocess_cfg["mean"] == (0.5, 0.5, 0.5)
    assert (larger.image_size, clip.image_size) == (96, 64)
    same = load_clip("test-resnet-quickgelu", path, image_size=96)
    assert larger.fingerprint == same.fingerprint != clip.fingerprint
    tag["quick_gelu"] = False
    with pytest.raises(CoMCError, match="use the model name 'test-resnet'"):
        load_clip("test-resnet-quickgelu", "openai")


def test_a_tokenizer_of_ones_own(tmp_path):
    import gzip

    path = tmp_path / "bpe.txt.gz"
    with gzip.open(path, "wt") as file:
        file.write("#version: 0.2\nd o\ndo g</w>")
    tokenizer = open_clip.SimpleTokenizer(bpe_path=str(path))
    with pytest.raises(CoMCError, match=f"49408 tokens, the tokenizer has {tokenizer.vocab_size}"):
        load_clip("test-vit", None, tokenizer=tokenizer)
    config = {**TINY_VIT, "text_cfg": {**TINY_TEXT, "vocab_size": tokenizer.vocab_size, "context_length": 20}}
    (tmp_path / "test-own-vocabulary.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "test-own-vocabulary.json")
    with pytest.raises(CoMCError, match="has 49408"):
        load_clip("test-own-vocabulary", None)
    clip = load_clip("test-own-vocabulary", None, tokenizer=tokenizer)
    assert clip.encode_text(["a dog", "dogs"]).shape == (2, 32)


def test_torchvision_ops_are_declared_only_where_they_are_missing():
    """In a fresh process: the import works, and a second call changes nothing."""
    script = (
        "from comc_utils.clip.torchvision_ops import ensure_torchvision_imports as ensure\n"
        "ensure()\n"
        "import sys, torch, torchvision, torchvision.transforms\n"
        "first = sys.modules['torchvision']\n"
        "ensure()\n"
        "assert sys.modules['torchvision'] is first\n"
        "assert torchvision.extension._has_ops() or torch.ops.torchvision.nms\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


class OpenedOneByOne:
    """Photos some of which do not open."""

    def __init__(self, images, faulty):
        self.images, self.faulty = images, faulty

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index in self.faulty:
            raise ImageError(f"Image {index} does not open.", "damaged")
        return self.images[index]


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=needs_fork)])
def test_what_does_not_open_is_told_and_left_out(vit, images, num_workers):
    many = [images[i % len(images)] for i in range(11)]
    told = {}
    given = {"batch_size": 3, "local": False, "num_workers": num_workers}
    photos = OpenedOneByOne(many, {0, 4, 6, 7, 8, 10})  # the third batch has none that opens
    found = list(vit.encode_in_batches(photos, faulty=told.__setitem__, fill=True, **given))
    assert {index: error.kind for index, error in told.items()} == dict.fromkeys((0, 4, 6, 7, 8, 10), "damaged")
    assert [len(batch) for batch in found] == [2, 2, 1]
    expected = vit.encode_images([many[i] for i in (1, 2, 3, 5, 9)], local=False)
    torch.testing.assert_close(ImageEmbeddings.concatenate(found).global_, expected.global_, atol=1e-6, rtol=0)
    with pytest.raises(CoMCError, match="Image 0 does not open"):
        list(vit.encode_in_batches(photos, **given))


def test_a_filled_batch_gives_the_same_bits_however_many_images_there_are():
    clip = load_backbone("miniworld-RN-small")
    world = load_miniworld("test", 40)

    def embed(n, **given):
        batches = clip.encode_in_batches(world.subset(range(n)), batch_size=32, num_workers=0, **given)
        return ImageEmbeddings.concatenate(list(batches))

    whole, few = embed(40, fill=True), embed(33, fill=True)
    assert len(few) == 33
    assert torch.equal(few.local, whole.local[:33])
    assert torch.equal(few.with_position, whole.with_position[:33])
