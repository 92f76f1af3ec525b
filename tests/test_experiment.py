"""Profiles made ready: the same arrays again, from the cache or not; every image scored once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from comc_utils.baselines import ClipDpt, ZeroShotClip
from comc_utils.clip import Clip, cached
from comc_utils.errors import CoMCError
from comc_utils.experiment import Experiment
from comc_utils.method.presets import PAPER, RELEASED
from comc_utils.options import ExperimentOptions
from comc_utils.profiles import PROFILES, get_profile
from comc_utils.sentences import language_model_corpus, write_corpus
from comc_utils.sources import load_experiment
from comc_utils.sources.towers import EmbeddedWorld
from comc_utils.store import shards as sharded_embeddings
from comc_utils.store.cache import EmbeddingCache


def tiny(tmp_path, *, smoke=False, seed=3, preset=None, **options) -> Experiment:
    profile = replace(get_profile("miniworld"), n_sentences=300, n_images=24)
    return EmbeddedWorld(
        profile,
        preset or replace(RELEASED, templates_in_training_text=False),
        seed,
        smoke,
        None,
        ExperimentOptions(backbone="miniworld-RN-small", **options),
        EmbeddingCache(tmp_path / "embeddings"),
    )


def test_two_runs_with_one_seed_agree_with_and_without_a_cache(tmp_path):
    scores = []
    for folder in ("a", "a", "b"):
        experiment = tiny(tmp_path / folder)
        scores.append(experiment.fit().components().at(0.7).final)
        corpus = [record.text for record in experiment.corpus]
        assert corpus == [record.text for record in tiny(tmp_path / "c").corpus]
    assert torch.equal(scores[0], scores[1])
    torch.testing.assert_close(scores[0], scores[2], rtol=0, atol=1e-6)
    assert [r.text for r in tiny(tmp_path, seed=4).corpus] != corpus


def test_shapes_and_labels_fit(tmp_path):
    experiment = tiny(tmp_path)
    n, d = experiment.global_embeddings.shape
    assert experiment.local_embeddings.shape == (n, 9, d)
    assert experiment.image_embeddings.with_position.shape == (n, d)
    assert experiment.text_embeddings.shape == (300, d)
    assert experiment.label_embeddings.shape == (20, d)
    assert experiment.image_labels.shape == (24, 20) and len(experiment.image_ids) == 24
    assert experiment.text_labels.sum(1).min() >= 1
    assert experiment.image(0).mode == "RGB"
    assert 0 < experiment.tau < 0.1
    for array in (experiment.global_embeddings, experiment.local_embeddings):
        assert torch.allclose(array.norm(dim=-1), torch.ones(array.shape[:-1]), atol=1e-5)


def test_the_preset_chooses_the_positional_embedding_and_the_templates(tmp_path):
    released, paper = tiny(tmp_path), tiny(tmp_path, preset=PAPER)
    assert torch.equal(paper.global_embeddings, paper.image_embeddings.with_position)
    assert not torch.allclose(released.global_embeddings, released.image_embeddings.with_position)
    with_templates = tiny(tmp_path, preset=RELEASED)
    added = with_templates.corpus[300:]
    assert len(added) == 20 * (9 + 80)
    assert {record.generator for record in added} == {"prompt templates"}


def test_more_text_or_other_images_are_embedded_anew(tmp_path):
    first = tiny(tmp_path)
    assert not torch.equal(first.embed_texts(["a dog."]), first.embed_texts(["a cat."]))
    files = len(list((tmp_path / "embeddings").iterdir()))
    first.embed_texts(["a dog."])
    assert len(list((tmp_path / "embeddings").iterdir())) == files


def test_texts_in_parts_go_on_where_they_stopped_and_where_more_are_added(tmp_path, monkeypatch):
    texts = [f"a photo of {n} dogs." for n in (5, 3, 5, 1, 2, 4, 3, 6)]
    whole = tiny(tmp_path / "whole").embed_texts(texts)
    monkeypatch.setattr(cached, "TEXTS_A_PART", 2)
    experiment = tiny(tmp_path)
    parts, encode_text = [], Clip.encode_text

    def stopped_at_the_third(clip, part, **options):
        parts.append(part)
        if len(parts) == 3:
            raise KeyboardInterrupt
        return encode_text(clip, part, **options)

    monkeypatch.setattr(Clip, "encode_text", stopped_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        experiment.embed_texts(texts)
    torch.testing.assert_close(experiment.embed_texts(texts), whole, rtol=0, atol=1e-6)
    assert len(experiment.embed_texts([*texts, "a cat."])) == 9
    third = [texts[5], texts[7]]
    assert parts == [texts[:2], [texts[3], texts[4]], third, third, ["a cat."]]


def test_images_in_shards_go_on_where_they_stopped(tmp_path, monkeypatch):
    in_one_piece = tiny(tmp_path / "whole")
    expected = in_one_piece.global_embeddings, in_one_piece.local_embeddings
    monkeypatch.setattr(cached, "FEW_IMAGES", 10)
    monkeypatch.setattr(sharded_embeddings, "SHARD_BYTES", 100_000)  # 10 of the 24 images
    experiment = tiny(tmp_path)
    sizes, encode_images = [], Clip.encode_images

    def stopped_at_the_last(clip, images, **options):
        sizes.append(len(images))
        if len(sizes) == 4:
            raise KeyboardInterrupt
        return encode_images(clip, images, **options)

    monkeypatch.setattr(Clip, "encode_images", stopped_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        _ = experiment.global_embeddings
    found = experiment.global_embeddings, experiment.local_embeddings
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    # One to learn the size, and three shards; then the same with what was missing.
    assert sizes == [1, 10, 10, 4, 1, 4]


def test_kept_embeddings_without_lengths_are_not_taken_for_those_with(tmp_path, monkeypatch):
    keys, get = [], EmbeddingCache.get
    monkeypatch.setattr(
        EmbeddingCache, "get", lambda cache, key, *rest: keys.append(dict(key)) or get(cache, key, *rest)
    )
    embedded = tiny(tmp_path / "new").image_embeddings
    kept = {name: part for name, part in vars(embedded).items() if name != "local_norms"}
    without = {name: value for name, value in keys[-1].items() if name != "local norms"}
    EmbeddingCache(tmp_path / "embeddings").get(without, lambda: kept)
    again = tiny(tmp_path).image_embeddings
    torch.testing.assert_close(again.local_norms, embedded.local_norms)
    monkeypatch.setattr(Clip, "projected_positions", None)  # as of other towers
    del keys[:]
    assert torch.equal(tiny(tmp_path).image_embeddings.local, embedded.local)
    assert keys[-1] == without


def test_many_images_in_shards_score_as_in_one_piece(tmp_path, monkeypatch):
    whole = tiny(tmp_path / "whole")
    monkeypatch.setattr(cached, "FEW_IMAGES", 10)
    monkeypatch.setattr(cached, "LARGE_BYTES", 1000)
    monkeypatch.setattr(sharded_embeddings, "SHARD_BYTES", 30_000)
    sharded = tiny(tmp_path / "sharded")
    assert sharded.local_embeddings.shape == whole.local_embeddings.shape
    assert sharded.local_embeddings.dtype == torch.float16
    assert len(list((tmp_path / "sharded" / "embeddings").glob("*.safetensors"))) == 4
    norms = [e.image_embeddings.local_norms for e in (whole, sharded)]
    assert norms[0].shape == (24, 9)
    torch.testing.assert_close(*norms)
    for alpha in (0.0, 0.7, 1.0):
        scores = [e.fit().components().at(alpha).final for e in (whole, sharded)]
        torch.testing.assert_close(*scores, rtol=0, atol=2e-3)
    for method in (ZeroShotClip(), ClipDpt()):
        expected = whole.fit(method).scores()
        assert abs(sharded.fit(method).scores() - expected).max() < 5e-3, method


def test_a_corpus_file_takes_the_place_of_the_grammar(tmp_path):
    path = tmp_path / "corpus.jsonl"
    write_corpus(path, language_model_corpus()[:40])
    experiment = load_experiment("miniworld", sentences=path, preset=PAPER)
    assert [record.generator for record in experiment.corpus] == ["large language model"] * 40


def test_a_trial_has_so_many_images_at_most():
    assert len(load_experiment("miniworld", limit=7).images) == 7
    assert len(load_experiment("miniworld", limit=5000).images) == 2000
    assert len(load_experiment("miniworld", limit=5000, smoke=True).images) == 200
    with pytest.raises(CoMCError, match="The limit is 0 images; give 1 or more"):
        load_experiment("miniworld", limit=0)


@pytest.mark.parametrize(
    ("profile", "option", "message"),
    [
        ("miniworld", {"weights": "openai"}, "has its own weights"),
        ("coco500", {"weights": "openai"}, "has its own weights"),
        ("coco500", {"limit": 5}, "has no trials"),
        ("coco500", {"draft": True}, "reads no JPEG files"),
        ("miniworld", {"skip_unreadable": True}, "reads no files"),
        ("coco500", {"openvino": True}, "has no image tower"),
        ("coco500", {"sentences": "corpus.jsonl"}, "has no text tower"),
        ("miniworld", {"sentences": "nowhere.jsonl"}, "nowhere.jsonl does not exist"),
    ],
)
def test_what_a_profile_cannot_use_is_refused(profile, option, message):
    with pytest.raises(CoMCError, match=message):
        load_experiment(profile, **option)


def test_a_benchmark_without_its_folder_says_where_to_name_it():
    with pytest.raises(CoMCError, match="say where they are by --data DIR"):
        _ = load_experiment("voc2007", weights="openai").images


def test_unknown_profile_and_backbone_are_named():
    with pytest.raises(CoMCError, match="Unknown profile 'mars'; known: miniworld, coco500"):
        load_experiment("mars")
    with pytest.raises(CoMCError, match="no backbone 'RN50'; it has miniworld-RN-small"):
        load_experiment("miniworld", backbone="RN50")


def test_profiles_say_what_the_paper_needs():
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert 0 < profile.alpha < 1
        assert profile.reported_dataset in ("MS-COCO", "VOC2007", "NUS-WIDE")


def test_coco500_never_scores_an_image_by_its_own_caption(real_data):
    experiment = load_experiment("coco500", data=real_data / "coco500")
    captions = experiment.images.captions
    scored = []
    for text_rows, image_rows in experiment.folds:
        texts = {experiment.corpus[row].text for row in text_rows}
        assert texts.isdisjoint(captions[row] for row in image_rows if captions.count(captions[row]) == 1)
        scored += list(image_rows)
    assert sorted(scored) == list(range(len(experiment.image_ids)))


def test_a_mistyped_option_is_named_with_the_nearest():
    with pytest.raises(CoMCError, match="no option 'bakcbone'.*did you mean 'backbone'"):
        load_experiment("miniworld", bakcbone="miniworld-RN-small")


def test_another_preset_shares_images_and_towers(tmp_path):
    released = tiny(tmp_path)
    _ = released.image_embeddings
    paper = released.with_preset(PAPER)
    assert paper.images is released.images and paper.clip is released.clip
    assert paper.preset == PAPER and released.preset != PAPER
    assert not torch.equal(paper.global_embeddings, released.global_embeddings)


def test_embeddings_alone_embed_no_text(real_data):
    experiment = load_experiment("coco500", data=real_data / "coco500")
    with pytest.raises(CoMCError, match="needs a text tower"):
        experiment.embed_texts(["a dog"])
    assert experiment.clip is None and experiment.local_embeddings is None
    assert "none are left to learn from" in experiment.labelled_missing


def test_all_text_rows_by_name_learn_as_all_by_default(tmp_path):
    experiment = tiny(tmp_path)
    whole, named = experiment.fit(), experiment.fit(rows=range(300))
    assert torch.equal(whole.classifier.weight, named.classifier.weight)
    half = experiment.fit(rows=range(150))
    assert not torch.equal(whole.classifier.weight, half.classifier.weight)
