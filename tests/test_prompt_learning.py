"""Learned prompts against literal transcriptions, on RN50 with random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tasks import task_of
from torch import Tensor
from torch.nn.functional import linear, normalize

from comc_utils.baselines import CoOp, CoOpDpt, DualCoOp, Sgd, TaiDpt, dual_coop, zero_shot_scores
from comc_utils.baselines.dual_coop import attention_tokens, presence_logits
from comc_utils.baselines.prompts import ALL, PromptTower, pool_regions, pool_tokens, random_contexts
from comc_utils.clip import Clip, ImageEmbeddings, load_clip
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import ranking_loss
from comc_utils.method.protocol import LabelledImages, LabelledText

import open_clip  # isort: skip (after the encoders, which make torchvision importable)

NAMES = ("dog", "dining table", "aeroplane", "potted plant")
TEXTS = (
    "a dog under a dining table",
    "an aeroplane",
    "A potted plant stands on the dining table in the hall, and a dog sleeps beside it.",
)
LABELS = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 1]])
ONE_STEP = Sgd(epochs=1, batch_size=8, warmup_epochs=0, learning_rate=0.1)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip("RN50-quickgelu", None, seed=0)


@pytest.fixture(scope="module")
def drawn() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    drawn = [Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8)) for _ in range(3)]
    return [image.resize((224, 224)) for image in drawn]


@pytest.fixture(scope="module")
def images(clip: Clip, drawn: list[Image.Image]) -> LabelledImages:
    return LabelledImages(NAMES, clip.encode_images(drawn), LABELS)


@pytest.fixture(scope="module")
def text(clip: Clip) -> LabelledText:
    return LabelledText(clip.encode_text(TEXTS), LABELS, "texts", clip.encode_tokens(TEXTS))


@torch.no_grad()
def literal_prompts(clip: Clip, context: Tensor) -> Tensor:
    """Prompts as CoOp's code makes them: words X in the context's place, their embeddings replaced."""
    model, embedded = clip.model, []
    tokenizer = open_clip.get_tokenizer("RN50-quickgelu")
    for name in NAMES:
        tokens = tokenizer([" ".join(["X"] * len(context)) + f" {name}."])
        x = model.token_embedding(tokens)
        x[0, 1 : 1 + len(context)] = context
        x = model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask)
        x = model.ln_final(x)[0, tokens[0].argmax()] @ model.text_projection
        embedded.append(x / x.norm())
    return torch.stack(embedded)


@torch.no_grad()
def literal_tokens(clip: Clip, sentence: str) -> tuple[Tensor, Tensor]:
    """Whole context of a sentence: unit vectors of all 77 tokens, and which are no padding."""
    model = clip.model
    tokens = open_clip.get_tokenizer("RN50-quickgelu")([sentence])
    x = model.token_embedding(tokens) + model.positional_embedding
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask)) @ model.text_projection
    return normalize(x[0], dim=-1), tokens[0] != 0


def test_prompts_equal_coops(clip: Clip) -> None:
    contexts = random_contexts(2, 16, 512, seed=1)
    embedded = PromptTower(clip, NAMES).embed(contexts)
    for context, prompts in zip(contexts, embedded, strict=True):
        torch.testing.assert_close(prompts, literal_prompts(clip, context), rtol=0, atol=1e-5)


def test_tai_dpt_equals_its_equations(clip: Clip, text: LabelledText) -> None:
    contexts = random_contexts(2, 16, 512, seed=2)
    embedded = PromptTower(clip, NAMES).embed(contexts)
    whole, local = TaiDpt().logits(embedded, text, torch.tensor([2, 0, 1]))
    prompts, local_prompts = (literal_prompts(clip, context) for context in contexts)
    for row, sentence in enumerate((TEXTS[2], TEXTS[0], TEXTS[1])):
        tokens, is_token = literal_tokens(clip, sentence)
        end = tokens[is_token.nonzero()[-1, 0]]
        for c in range(len(NAMES)):
            assert whole[row, c] == pytest.approx(4 * float(end @ prompts[c]), abs=1e-4)
            cosines = (tokens @ local_prompts[c] - 10_000 * ~is_token).double()
            weights = (50 * cosines).softmax(dim=0)
            assert local[row, c] == pytest.approx(float((4 * cosines * weights).sum()), abs=1e-4)


def test_tai_dpt_scores_images_by_its_equations(clip: Clip, text: LabelledText, images: LabelledImages) -> None:
    method = TaiDpt(training=replace(TaiDpt().training, epochs=0))
    task = task_of(clip, NAMES, text=text)
    fitted = method.fit(task, seed=3)
    prompts = [literal_prompts(clip, context) for context in random_contexts(2, 16, 512, seed=3)]
    scores = fitted.score(images.embeddings)
    for row in range(3):
        regions = images.embeddings.local[row]
        for c in range(len(NAMES)):
            cosines = (regions @ prompts[1][c]).double()
            weights = (40 * cosines).exp() / (40 * cosines).exp().sum()
            whole = images.embeddings.global_[row] @ prompts[0][c]
            expected = (4 * float(whole) + 4 * float((weights * cosines).sum())) / 2
            assert scores[row, c] == pytest.approx(expected, abs=1e-4)
    assert method.learn(task, seed=3).n_parameters == 2 * 16 * 512


@pytest.mark.parametrize("method", [TaiDpt, CoOp, CoOpDpt, DualCoOp])
def test_only_contexts_learn(clip: Clip, text: LabelledText, images: LabelledImages, method: type) -> None:
    before = {name: tensor.clone() for name, tensor in clip.model.state_dict().items()}
    task = task_of(clip, NAMES, text=text, images=images)
    start = method(training=replace(ONE_STEP, epochs=0), n_context=4).fit(task, seed=0)
    moved = method(training=ONE_STEP, n_context=4).fit(task, seed=0)
    assert not torch.equal(start.score(images.embeddings), moved.score(images.embeddings))
    assert all(parameter.grad is None for parameter in clip.model.parameters())
    for name, tensor in clip.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    again = method(training=ONE_STEP, n_context=4).fit(task, seed=0)
    assert torch.equal(again.score(images.embeddings), moved.score(images.embeddings))
    other = method(training=ONE_STEP, n_context=4).fit(task, seed=1)
    assert not torch.equal(other.score(images.embeddings), moved.score(images.embeddings))


def test_one_step_of_tai_dpt_is_that_of_autograd(clip: Clip, text: LabelledText) -> None:
    learned = TaiDpt(training=ONE_STEP, n_context=4).fit(task_of(clip, NAMES, text=text), seed=0)
    contexts = random_contexts(2, 4, 512, seed=0).requires_grad_()
    tower = PromptTower(clip, NAMES)
    whole, local = TaiDpt().logits(tower.embed(contexts), text, torch.arange(3))
    loss = ranking_loss(whole, LABELS) + ranking_loss(local, LABELS)
    (gradient,) = torch.autograd.grad(loss, contexts)
    assert gradient.abs().amax(dim=(1, 2)).min() > 1e-4
    moved = tower.embed(contexts - 0.1 * (gradient + 5e-4 * contexts)).detach()
    found = torch.stack([learned.global_prompts, learned.local_prompts])
    torch.testing.assert_close(found, moved, rtol=0, atol=1e-5)


def test_coop_without_a_step_is_zero_shot_clip(clip: Clip, images: LabelledImages) -> None:
    method = CoOp(training=replace(ONE_STEP, epochs=0), words="a photo of a", scale=100.0)
    scores = method.fit(task_of(clip, NAMES, images=images), seed=0).score(images.embeddings)
    prompts = clip.encode_text([f"a photo of a {name}." for name in NAMES])
    expected = zero_shot_scores(images.embeddings.with_position, prompts, scale=100.0)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-3)


def test_coop_learns_to_rank_its_images(clip: Clip, images: LabelledImages) -> None:
    task = task_of(clip, NAMES, images=images)

    def loss(epochs: int, method: type) -> float:
        training = Sgd(epochs=epochs, learning_rate=0.05, warmup_epochs=0)
        fitted = method(training=training, n_context=4).fit(task, seed=0)
        return float(ranking_loss(fitted.score(images.embeddings), LABELS))

    assert loss(5, CoOp) < loss(0, CoOp)
    assert loss(5, CoOpDpt) < loss(0, CoOpDpt)


def test_dual_coop_aggregates_as_its_code_does() -> None:
    generator = torch.Generator().manual_seed(0)
    local, present, absent = (
        normalize(torch.randn(*shape, 8, generator=generator), dim=-1) for shape in ((2, 5), (3,), (3,))
    )
    logits = presence_logits(local, present, absent, sharpness=20.0, scale=100.0)
    for n in range(2):
        for c in range(3):
            weights = (20 * local[n] @ present[c]).softmax(dim=0)
            both = [5 * (20 * local[n] @ prompt * weights).sum() for prompt in (absent[c], present[c])]
            probability = torch.stack(both).softmax(dim=0)[1]
            assert logits[n, c].sigmoid() == pytest.approx(float(probability), rel=1e-4)


@torch.no_grad()
def literal_attention_tokens(clip: Clip, image: Image.Image) -> Tensor:
    """Mean and regions of layer4 through the attention pool as DualCoOp's authors run it, [1 + K, d]."""
    visual = clip.model.visual
    x = open_clip.image_transform(clip.image_size, is_train=False)(image)[None]
    for layer in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    pool, x = visual.attnpool, x[0].flatten(1).T
    x = torch.cat([x.mean(dim=0, keepdim=True), x]) + pool.positional_embedding
    x = linear(x, pool.v_proj.weight, pool.v_proj.bias)
    x = linear(x, pool.c_proj.weight, pool.c_proj.bias)
    return x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("image_size", [224, 96])
def test_dual_coop_scores_all_tokens_of_the_attention_pool(image_size: int, drawn: list[Image.Image]) -> None:
    clip = load_clip("RN50-quickgelu", None, seed=0, image_size=image_size)
    embeddings = clip.encode_images(drawn)
    expected = torch.stack([literal_attention_tokens(clip, image) for image in drawn])
    assert expected.shape == (3, 1 + (image_size // 32) ** 2, 1024)
    tokens = attention_tokens(embeddings, clip.projected_positions)
    torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-5)
    without = attention_tokens(embeddings, torch.zeros_like(clip.projected_positions))
    assert (without - expected).abs().amax(dim=(0, 2)).min() > 1e-3, "the position is not to be seen"
    task = task_of(clip, NAMES, images=LabelledImages(NAMES, embeddings, LABELS))
    scores = DualCoOp(training=replace(ONE_STEP, epochs=0), n_context=4).fit(task, seed=0).score(embeddings)
    present, absent = (literal_prompts(clip, context) for context in random_contexts(2, 4, 512, seed=0))
    for row, image_tokens in enumerate(expected.double()):
        for c in range(len(NAMES)):
            cosines, of_absent = image_tokens @ present[c].double(), image_tokens @ absent[c].double()
            weights = (20 * cosines).exp() / (20 * cosines).exp().sum()
            found = 100 * float((weights * (cosines - of_absent)).sum())
            assert scores[row, c] == pytest.approx(found, abs=1e-3)


def test_dual_coop_learns_from_the_tokens_that_it_scores(clip, images, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        dual_coop, "presence_logits", lambda x, *rest: seen.append(x) or presence_logits(x, *rest)
    )
    task = task_of(clip, NAMES, images=images)
    DualCoOp(training=ONE_STEP, n_context=4).fit(task, seed=0).score(images.embeddings)
    learned_from, scored = (tokens.sum(dim=(1, 2)).sort().values for tokens in seen)
    assert seen[0].shape == (3, 50, 1024)
    torch.testing.assert_close(learned_from, scored)


def test_dual_coop_without_an_attention_pool_keeps_to_regions(clip: Clip, images: LabelledImages) -> None:
    embeddings = replace(images.embeddings, local_norms=None)
    assert torch.equal(attention_tokens(embeddings, None), embeddings.local)
    task = task_of(clip, NAMES, images=replace(images, embeddings=embeddings))
    with pytest.raises(CoMCError, match="DualCoOp needs the lengths of local embeddings"):
        DualCoOp(training=ONE_STEP, n_context=4).fit(task, seed=0)


def test_dual_coop_takes_as_many_vectors_as_there_is_room_for(clip: Clip, images: LabelledImages) -> None:
    task = task_of(clip, ("zebra", "traffic light"), images=images)
    method = DualCoOp(training=replace(ONE_STEP, epochs=0), n_context=77)
    fitted = method.fit(task, seed=0)
    room = PromptTower(clip, NAMES).room
    assert method.learn(task, seed=0).n_parameters == 2 * room * 512
    assert fitted.score(images.embeddings).shape == (3, 2)
    with pytest.raises(CoMCError, match=f"more than the 77 tokens .* use at most {room}"):
        PromptTower(clip, NAMES).embed(torch.zeros(1, room + 1, 512))


def test_tokens_are_pooled_as_regions_are() -> None:
    cosines = torch.rand(6, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    pooled = pool_tokens(cosines, torch.tensor([0, 0, 1, 1, 1, 2]), 3, sharpness=50.0)
    for row, tokens in enumerate((cosines[:2], cosines[2:5], cosines[5:])):
        torch.testing.assert_close(pooled[row], pool_regions(tokens[None], 50.0)[0])


def test_tokens_of_sentences_stay_apart(clip: Clip, text: LabelledText) -> None:
    tokens = text.tokens
    assert len(tokens) == 3
    for rows in ([1], [2, 1], [0, 1, 2]):
        values, sentence = tokens.of(torch.tensor(rows))
        for place, row in enumerate(rows):
            expected, is_token = literal_tokens(clip, TEXTS[row])
            found = values[sentence == place]
            assert len(found) == is_token.sum()
            torch.testing.assert_close(found, expected[is_token], rtol=0, atol=1e-3)
            last = found[-1]
            torch.testing.assert_close(last, text.embeddings[row], rtol=0, atol=1e-3)


def test_what_a_method_needs_is_said(clip: Clip, images: LabelledImages) -> None:
    with pytest.raises(CoMCError, match="TaI-DPT learns from sentences"):
        TaiDpt().fit(task_of(clip, NAMES, images=images), seed=0)
    for method in (CoOp(), CoOpDpt(), DualCoOp()):
        with pytest.raises(CoMCError, match=f"{method.name} learns from labelled images"):
            method.fit(task_of(clip, NAMES), seed=0)
    whole = images.embeddings.with_position
    without = LabelledImages(NAMES, ImageEmbeddings(whole, None, whole), LABELS)
    for method in (CoOpDpt(), DualCoOp()):
        with pytest.raises(CoMCError, match="learns from regions"):
            method.fit(task_of(clip, NAMES, images=without), seed=0)


def test_labels_of_other_classes_are_refused(clip: Clip, images: LabelledImages) -> None:
    for method in (CoOp(), CoOpDpt()):
        with pytest.raises(CoMCError, match=f"{method.name} learns from images in which the class"):
            method.fit(task_of(clip, NAMES[::-1], images=images), seed=0)


def test_tai_dpt_without_tokens_says_so(clip: Clip, text: LabelledText) -> None:
    with pytest.raises(CoMCError, match="TaI-DPT looks at single tokens"):
        TaiDpt().fit(task_of(clip, NAMES, text=replace(text, tokens=None)), seed=0)


def test_some_classes_embed_as_among_all(clip: Clip) -> None:
    tower, contexts = PromptTower(clip, NAMES), random_contexts(2, 4, 512, seed=0)
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(
        tower.embed(contexts, chosen), tower.embed(contexts)[:, chosen], rtol=0, atol=1e-5
    )


def test_dual_coop_learns_from_a_few_classes_at_a_time(clip: Clip, images: LabelledImages) -> None:
    task = task_of(clip, NAMES, images=images)

    def scores(seed: int, **changes: int) -> Tensor:
        method = DualCoOp(training=replace(ONE_STEP, learning_rate=10.0), n_context=4, **changes)
        return method.fit(task, seed=seed).score(images.embeddings)

    assert not torch.equal(scores(0), scores(0, classes_per_step=2))
    assert torch.equal(scores(0, classes_per_step=2), scores(0, classes_per_step=2))
    assert torch.allclose(scores(0), scores(0, classes_per_step=4), atol=1e-4)


def test_dual_coop_compares_logits_with_the_labels_of_the_same_classes(clip, images, monkeypatch):
    labels = torch.zeros(len(images.labels), len(NAMES), dtype=images.labels.dtype)
    for column in range(len(NAMES)):
        labels[:column, column] = 1  # as many positives as the number of the class
    chosen, compared = [], []
    embed, loss = PromptTower.embed, dual_coop.asymmetric_loss
    monkeypatch.setattr(
        PromptTower,
        "embed",
        lambda self, contexts, classes=ALL: chosen.append(classes) or embed(self, contexts, classes),
    )
    monkeypatch.setattr(
        dual_coop, "asymmetric_loss", lambda logits, of, **rest: compared.append(of) or loss(logits, of, **rest)
    )
    task = task_of(clip, NAMES, images=replace(images, labels=labels))
    training = replace(ONE_STEP, epochs=4)
    DualCoOp(training=training, n_context=4, classes_per_step=2).fit(task, seed=0)
    assert len(compared) == 4
    for of, classes in zip(compared, chosen, strict=False):  # then all are embedded, to score with
        assert torch.equal(of.sum(0), classes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_prompts_are_learned_through_a_tower_on_a_gpu(images: LabelledImages) -> None:
    on_gpu = load_clip("RN50-quickgelu", None, seed=0, device="cuda")
    task = task_of(on_gpu, NAMES, images=images)
    scores = CoOp(training=ONE_STEP, n_context=4).fit(task, seed=0).score(images.embeddings)
    assert scores.device.type == "cpu"
