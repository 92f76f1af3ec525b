"""A tagger in Python: what it gives, what its scores depend on, and what it refuses."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from PIL import Image
from tagging import LABELS, MODEL, learn, own_cache, scene, write_scenes  # noqa: F401

from comc_utils import Tagger, load_experiment, mean_average_precision
from comc_utils.clip import ImageEmbeddings, load_clip
from comc_utils.errors import CoMCError
from comc_utils.sentences import Record, write_corpus
from comc_utils.tagging import opening
from comc_utils.tagging.thresholds import (
    EXPECTED,
    KNOWN_DRAWINGS,
    OFFSET_SPREAD,
    SLOPE_SPREAD,
    Threshold,
    calibrate,
    read_answers,
    read_thresholds,
)

METHODS = ("zero-shot", "comc")


@pytest.fixture(scope="module")
def taggers() -> dict[str, Tagger]:
    return {method: learn(method=method) for method in METHODS}


@pytest.fixture(scope="module")
def images() -> ImageEmbeddings:
    return learn().towers.clip.encode_images([scene(i) for i in range(24)])


def test_a_photo_gives_its_labels_sorted(tmp_path: Path) -> None:
    tagger, path = learn(), write_scenes(tmp_path, 2) / "test-00001.png"
    of_path = tagger(path)
    assert [set(tag) for tag in of_path] == [{"label", "score"}] * len(LABELS)
    assert {tag["label"] for tag in of_path} == set(LABELS)
    scores = [tag["score"] for tag in of_path]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert of_path == tagger(str(path)) == tagger(scene(1))
    of_list = tagger([path, path])
    assert [[tag["label"] for tag in tags] for tags in of_list] == [[tag["label"] for tag in of_path]] * 2


def test_tags_are_what_reaches_the_threshold_and_none_is_an_answer() -> None:
    tagger, photo = learn(), scene(1)
    least = tagger.threshold.value
    assert tagger(photo, threshold="auto") == [tag for tag in tagger(photo) if tag["score"] >= least]
    assert tagger(photo, threshold=1.0) == []
    assert len(tagger(photo, top_k=2)) == 2
    with pytest.raises(CoMCError, match="give 1 or more tags a photo"):
        tagger(photo, top_k=0)
    with pytest.raises(CoMCError, match="give a number"):
        tagger(photo, threshold="high")
    with pytest.raises(CoMCError, match="Scores lie between 0 and 1"):
        tagger(photo, threshold=5)
    assert tagger(photo, threshold="all") == tagger(photo)
    assert repr(tagger) == "Tagger of 3 labels with miniworld-RN-small: dog, car, potted plant"
    with pytest.raises(CoMCError, match="There is no photo nope.jpg"):
        tagger("nope.jpg")
    with pytest.raises(CoMCError, match=r"Here are str in place of embeddings; give those of tagger.embed"):
        tagger.tag("photos/")


@pytest.mark.parametrize("method", METHODS)
def test_one_label_alone_has_the_score_that_it_has_among_others(
    taggers: dict[str, Tagger], images: ImageEmbeddings, method: str
) -> None:
    alone = learn(["car"], method=method).scores(images)[:, 0]
    among = taggers[method].scores(images)[:, LABELS.index("car")]
    np.testing.assert_allclose(alone, among, atol=1e-5)
    more = learn([*LABELS, "volcano", "dogs playing = some dogs"], method=method).scores(images)
    np.testing.assert_allclose(more[:, :3], taggers[method].scores(images), atol=1e-5)
    volcano = learn(["volcano"], method=method).scores(images)  # which is no word of the background
    np.testing.assert_allclose(more[:, [3]], volcano, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_photo_s_scores_do_not_depend_on_other_photos(
    taggers: dict[str, Tagger], images: ImageEmbeddings, method: str
) -> None:
    tagger = taggers[method]
    alone = np.concatenate([tagger.scores(images[[row]]) for row in range(4)])
    np.testing.assert_allclose(alone, tagger.scores(images)[:4], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_word_of_the_background_is_not_held_against_itself(
    taggers: dict[str, Tagger], images: ImageEmbeddings, method: str
) -> None:
    # "dog" is a word of the background; were it held against the label, no share could be above a half.
    found = learn(["dog", "car", "bus", "boat"], method=method).scores(images)
    assert found.max() > 0.5


def test_other_labels_for_one_call_are_those_of_a_tagger_of_their_own() -> None:
    tagger, photo = learn(), scene(3)
    assert tagger(photo, candidate_labels="boat, bus") == learn(["boat", "bus"])(photo)
    assert tagger(photo) == learn()(photo)


def test_scores_of_comc_without_background_are_the_notebooks(tmp_path: Path) -> None:
    experiment = load_experiment("miniworld", smoke=True)
    corpus = [record for record in experiment.corpus if record.generator != "prompt templates"]
    write_corpus(tmp_path / "corpus.jsonl", corpus)
    full = load_experiment("miniworld", limit=40, sentences=tmp_path / "corpus.jsonl")
    tagger = learn(full.class_names, method="comc", background="none", corpus=tmp_path / "corpus.jsonl")
    theirs = full.fit().scores()
    ours = tagger.scores(full.image_embeddings)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    labels = full.image_labels
    found, expected = (mean_average_precision(scores, labels).value for scores in (ours, theirs))
    assert abs(found - expected) < 1e-6
    with pytest.raises(CoMCError, match="have no threshold by themselves"):
        tagger.tag(full.image_embeddings)


def test_scores_of_prompts_without_background_are_clip_dpt_s(images: ImageEmbeddings) -> None:
    from comc_utils import baselines

    experiment = load_experiment("miniworld", smoke=True)
    tagger = learn(experiment.class_names, background="none")
    theirs = experiment.fit(baselines.ClipDpt()).scores(images)
    np.testing.assert_allclose(tagger.scores(images), theirs, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_gives_the_same(
    taggers: dict[str, Tagger], images: ImageEmbeddings, tmp_path: Path, method: str
) -> None:
    tagger = taggers[method]
    tagger.save(tmp_path / "park")
    assert {path.suffix for path in (tmp_path / "park").iterdir()} == {".json", ".safetensors", ".md"}
    loaded = Tagger.load(tmp_path / "park")
    assert loaded.about == tagger.about
    np.testing.assert_array_equal(loaded.scores(images), tagger.scores(images))
    assert loaded(scene(0)) == tagger(scene(0))
    tagger.save(tmp_path / "park")  # a tagger may be replaced
    written = json.loads((tmp_path / "park" / "config.json").read_text())["tagger"]
    assert written["labels"] == list(LABELS)
    assert written["towers"]["model"] == MODEL
    assert "no probabilities" in written["scores are"]


def test_a_folder_is_a_repository_of_the_hub(tmp_path: Path, images: ImageEmbeddings) -> None:
    tagger = learn()
    tagger.save_pretrained(tmp_path / "hub")
    again = Tagger.from_pretrained(tmp_path / "hub")
    np.testing.assert_array_equal(again.scores(images), tagger.scores(images))


def test_pushing_uploads_what_save_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is not there; what would go over it is looked at."""
    sent = {}

    def upload(self: HfApi, *, folder_path: Path, **given: object) -> None:
        sent.update({path.name: path.read_bytes() for path in Path(folder_path).iterdir()})

    monkeypatch.setattr(
        HfApi, "create_repo", lambda self, repo_id, **_: type("Url", (), {"repo_id": repo_id})()
    )
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    learn().push_to_hub("me/park")
    learn().save(tmp_path / "park")
    assert sent == {path.name: path.read_bytes() for path in (tmp_path / "park").iterdir()}


def test_what_is_no_tagger_is_refused(tmp_path: Path) -> None:
    learn().save(tmp_path / "park")
    config, tensors = tmp_path / "park" / "config.json", tmp_path / "park" / "model.safetensors"
    sound = config.read_text()
    for text, expected in (
        (sound.replace('"format": 1', '"format": 2'), "was made by a newer version"),
        (sound.replace('"format": 1', '"form": 1'), "it has no format"),
        (sound.replace('"method"', '"meth"'), "is no tagger's description"),
        (sound[:100], "cannot be read"),
        ("[]", "it has no format"),
    ):
        config.write_text(text)
        with pytest.raises(CoMCError, match=expected):
            Tagger.load(tmp_path / "park")
    config.write_text(sound)
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-8])
    with pytest.raises(CoMCError, match="cannot be read"):
        Tagger.load(tmp_path / "park")
    learn(["cat", "cow", "bus"]).save(tmp_path / "other")
    tensors.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(CoMCError, match="is not the one that config.json describes"):
        Tagger.load(tmp_path / "park")
    with pytest.raises(CoMCError, match="There is no folder"):
        Tagger.load(tmp_path / "nowhere")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CoMCError, match="holds other things"):
        learn().save(tmp_path / "mine")
    with pytest.raises(CoMCError, match="holds no tagger"):
        Tagger.load(tmp_path / "mine")


def test_another_model_is_refused(tmp_path: Path, own_cache: Path) -> None:  # noqa: F811
    tagger = learn()
    photos = write_scenes(tmp_path / "scenes", 3)
    other = Tagger.learn(LABELS, model="miniworld-RN-large").embed(photos)
    with pytest.raises(CoMCError, match="These are embeddings of miniworld-RN-large, and the tagger needs"):
        tagger.scores(other)
    with pytest.raises(CoMCError, match="have 7 numbers each"):
        tagger.scores(ImageEmbeddings(torch.ones(1, 7), None, torch.ones(1, 7)))
    tagger.save(tmp_path / "park")
    config = tmp_path / "park" / "config.json"
    written = json.loads(config.read_text())
    written["tagger"]["towers"]["weights"] = "0" * 64
    config.write_text(json.dumps(written))
    with pytest.raises(CoMCError, match="they differ in: weights"):
        Tagger.load(tmp_path / "park")(scene(0))


def test_weights_of_a_file_are_asked_for_again(tmp_path: Path) -> None:
    model = "RN50-quickgelu"
    torch.save(load_clip(model, None).model.state_dict(), tmp_path / "own.pt")
    tagger = Tagger.learn(["dog"], model=model, weights=tmp_path / "own.pt", tag="openai")
    tagger.save(tmp_path / "park")
    loaded = Tagger.load(tmp_path / "park")
    with pytest.raises(
        CoMCError, match="with weights of RN50-quickgelu in a file, own.pt; say where that file is"
    ):
        loaded(scene(0))
    assert loaded.with_weights(tmp_path / "own.pt", tag="openai")(scene(0)) == tagger(scene(0))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "magic"}, "There is no method 'magic'"),
        ({"background": "all"}, "There is no background 'all'"),
        ({"background": ["one"]}, "The background has 1 words"),
        ({"templates": ["a photo"]}, "must have one {} where the label goes"),
        ({"templates": []}, "There is no template"),
        ({"corpus": "corpus.jsonl"}, "does not exist"),
        ({"method": "comc", "n_sentences": 0}, "ask for 1 or more"),
        ({"labels": ["dog"], "method": "comc", "background": "none"}, "one alone has none to be ranked with"),
        ({"device": "cuda:7"}, "cannot be used here"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], expected: str) -> None:
    with pytest.raises(CoMCError, match=expected):
        learn(**options)


def test_a_corpus_of_other_labels_is_refused() -> None:
    records = [Record("A dog.", ("dog",), "me", "", 0)]
    with pytest.raises(CoMCError, match="has no sentence about car, potted plant"):
        learn(method="comc", corpus=records)
    more = [Record("All.", (*LABELS, "cat"), "me", "", 0)]
    with pytest.raises(CoMCError, match="about cat, too, which is no label"):
        learn(method="comc", corpus=more)
    with pytest.raises(CoMCError, match="A corpus is for the method comc"):
        learn(corpus=records)


def test_several_templates_are_averaged(images: ImageEmbeddings) -> None:
    both = learn(templates=["a photo of {}.", "a drawing of {}."])
    assert not np.allclose(both.scores(images), learn().scores(images))
    twice = learn(templates=["a photo of {}.", "a photo of {}."])
    np.testing.assert_allclose(twice.scores(images), learn().scores(images), atol=1e-5)


def test_a_photo_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    upright = scene(5)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    tagger = learn()
    assert tagger(tmp_path / "turned.png") == tagger(tmp_path / "upright.png")
    with Image.open(tmp_path / "turned.png") as opened:
        assert tagger(opened) == tagger(upright)


@pytest.fixture
def address() -> Iterator[str]:
    """Serve one photo, one that is too large, and a page."""
    photo = io.BytesIO()
    scene(0).save(photo, "PNG")
    pages = {"/photo.png": photo.getvalue(), "/page.html": b"<html>", "/large.png": b"x" * 3_000_000}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_is_fetched_where_that_is_asked_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = learn()
    with pytest.raises(CoMCError, match="nothing is fetched unasked"):
        tagger(f"{address}/photo.png")
    assert tagger(f"{address}/photo.png", fetch=True) == tagger(scene(0))
    with pytest.raises(CoMCError, match="content is no image"):
        tagger(f"{address}/page.html", fetch=True)
    with pytest.raises(CoMCError, match="404"):
        tagger(f"{address}/nothing.png", fetch=True)
    monkeypatch.setattr(opening, "MOST_BYTES", 2**20)
    with pytest.raises(CoMCError, match="holds more than 1 MB"):
        tagger(f"{address}/large.png", fetch=True)
    with pytest.raises(CoMCError, match="give a path, an address or a PIL image"):
        tagger([3])


def test_a_threshold_is_chosen_on_photos_without_labels(tmp_path: Path, own_cache: Path) -> None:  # noqa: F811
    photos = learn().embed(write_scenes(tmp_path / "scenes", 30))
    for method in METHODS:
        before = learn(method=method)
        after = before.choose_threshold(photos, "scenes")
        assert after.threshold.value != before.threshold.value
        assert "30 photos of scenes, without labels" in after.threshold.origin
        assert 0 < after.threshold.value < 1
    bare = learn(background="none")
    with pytest.raises(CoMCError, match="have no background to choose a threshold by"):
        bare.choose_threshold(photos, "scenes")


def test_answers_make_probabilities(tmp_path: Path, own_cache: Path) -> None:  # noqa: F811
    tagger = learn()
    photos = tagger.embed(write_scenes(tmp_path / "scenes", 30))
    scores, files = tagger.scores(photos), photos.photos.names
    middle = np.median(scores[:, 0])
    lines = [f"{file},dog,{int(s >= middle)}" for file, s in zip(files, scores[:, 0], strict=True)]
    (tmp_path / "answers.csv").write_text("\n".join(["file,label,answer", *lines]) + "\n")
    answers = read_answers(tmp_path / "answers.csv", tagger.labels)
    known = tagger.calibrate(photos, answers, "answers.csv")
    after = known.scores(photos)
    assert ((after[:, 0] >= 0.5) == (scores[:, 0] >= middle)).mean() > 0.8
    # Of labels that nobody was asked about the tags are the same: the threshold went along.
    others = slice(1, None)
    tags = (after >= known.threshold.value)[:, others]
    np.testing.assert_array_equal(tags, (scores >= tagger.threshold.value)[:, others])
    assert "probabilities, calibrated on 30 answers" in known.about.scores_are
    known.save(tmp_path / "park")
    np.testing.assert_array_equal(Tagger.load(tmp_path / "park").scores(photos), after)
    again = known.calibrate(photos, answers, "answers.csv")
    np.testing.assert_allclose(again.scores(photos), after, atol=1e-6)
    assert again.threshold.value == pytest.approx(known.threshold.value)
    with pytest.raises(CoMCError, match="mine holds 1 answers, and 10 or more are needed"):
        tagger.calibrate(photos, {(files[0], "dog"): True}, "mine")
    with pytest.raises(CoMCError, match="1 of the answers' photos are not among the 30"):
        tagger.calibrate(photos, {("elsewhere.png", "dog"): True}, "mine")
    with pytest.raises(CoMCError, match="holds no answer"):
        tagger.calibrate(photos, {}, "mine")
    exchanged = {key: not answer for key, answer in answers.items()} | {
        (file, label): scores[row, column] < middle
        for row, file in enumerate(files)
        for column, label in enumerate(tagger.labels)
    }
    with pytest.raises(CoMCError, match="see whether yes and no are exchanged"):
        tagger.calibrate(photos, exchanged, "mine")


def test_answers_about_the_least_sure_tags_leave_the_slope_alone() -> None:
    rng = np.random.default_rng(0)
    centre = KNOWN_DRAWINGS["zero-shot"]
    odds = centre + 0.01 * rng.standard_normal(30)
    found = calibrate(odds, ["dog"] * 30, odds < centre, "mine")  # by themselves they say: the reverse
    assert found.slope == pytest.approx(EXPECTED["zero-shot"].slope, abs=0.1)
    assert 0.3 < found.probabilities(np.array([centre]))[0] < 0.7


def test_a_label_that_is_always_wrong_loses_its_tags_and_others_keep_theirs() -> None:
    odds = np.full(40, KNOWN_DRAWINGS["zero-shot"] + 1)
    labels = ["dog", "cat"] * 20
    found = calibrate(odds, labels, np.array(labels) == "cat", "mine")
    assert found.by_label["dog"] < -0.3 and found.by_label["cat"] > 0.3
    dog, cat, other = found.probabilities(odds[:3], ["dog", "cat", "bird"])
    assert dog < other < cat


def test_calibrating_finds_the_likeliest_values() -> None:
    rng = np.random.default_rng(1)
    odds, names = rng.normal(-4, 2, 200), np.array(["a", "b", "c"])[rng.integers(3, size=200)]
    said = rng.random(200) < 0.4
    found = calibrate(odds, list(names), said, "mine", "comc")
    about, centre = EXPECTED["comc"], KNOWN_DRAWINGS["comc"]

    def unlikely(slope: float, offset: float, a: float, b: float, c: float) -> float:
        z = slope * (odds - centre) + offset + np.select([names == "a", names == "b"], [a, b], c)
        p = 1 / (1 + np.exp(-z))
        likelihood = np.log(np.where(said, p, 1 - p)).sum()
        prior = ((slope - about.slope) / SLOPE_SPREAD) ** 2 + ((offset - about.offset) / OFFSET_SPREAD) ** 2
        return -likelihood + (prior + (np.array([a, b, c]) ** 2).sum() / about.of_label**2) / 2

    best = [found.slope, found.intercept + found.slope * centre, *(found.by_label[n] for n in "abc")]
    for i in range(5):
        for step in (-0.05, 0.05):
            moved = [value + step * (i == j) for j, value in enumerate(best)]
            assert unlikely(*moved) > unlikely(*best)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photo,label,yes\n", "must begin with the line file,label,answer"),
        ("file,label,answer\na.png,dog\n", "line 2 has 2 columns"),
        ("file,label,answer\na.png,cat,1\n", "which is no label of the tagger"),
        ("file,label,answer\na.png,dog,maybe\n", "write 1 or yes, 0 or no"),
        ("file,label,answer\na.png,dog,1\na.png,dog,no\n", "answers both yes and no"),
    ],
)
def test_bad_answers_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(CoMCError, match=expected):
        read_answers(tmp_path / "answers.csv", LABELS)


def test_thresholds_are_bound_to_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.csv"
    path.write_text("label,threshold\ndog,0.1\ncar,0.2\npotted plant,1e-3\n")
    assert read_thresholds(path, LABELS).of(LABELS).tolist() == [0.1, 0.2, 1e-3]
    for text, expected in (
        ("label,threshold\ndog,0.1\n", "no threshold for 'car'"),
        ("label,threshold\ncat,0.1\n", "'cat', which is no label"),
        ("label,threshold\ndog,0.1\ndog,0.2\n", "'dog', which is there twice"),
        ("label,threshold\ndog,high\n", "no number"),
        ("dog 0.1\n", "must begin with the line label,threshold"),
    ):
        path.write_text(text)
        with pytest.raises(CoMCError, match=expected):
            read_thresholds(path, LABELS)
    with pytest.raises(CoMCError, match="neither a number such as 0.05, auto or all, nor a file"):
        read_thresholds(tmp_path / "nothing.csv", LABELS)
    with pytest.raises(CoMCError, match="are for other labels, 'cat'"):
        learn().about.with_threshold(Threshold(0.1, "elsewhere", {"cat": 0.2}))


def test_a_score_is_the_same_to_the_bit_whichever_photos_are_scored_with_it() -> None:
    tagger = learn()
    embedded = tagger.towers.clip.encode_images([scene(i) for i in range(70)])
    whole = tagger.scores(embedded)
    for rows in (slice(0, 1), slice(3, 10), slice(20, 53)):
        assert np.array_equal(tagger.scores(embedded[rows]), whole[rows])
