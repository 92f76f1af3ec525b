"""Where a label is seen: regions laid out on images, whether they are on the object, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import logit
from tagging import LABELS, MODEL, learn, write_scenes
from tagging import scene as photo_of

from comc_utils import Tagger, load_experiment
from comc_utils.baselines import ClipDpt, ZeroShotClip
from comc_utils.baselines.run import Trained
from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.image import MOST_STRETCHED, make_transforms, seen_part
from comc_utils.errors import CoMCError
from comc_utils.evaluation.where import OnObject, RegionScores, grid_side, on_object
from comc_utils.experiment import Experiment
from comc_utils.miniworld import MODEL_NAMES, load_miniworld, miniworld_scenes, object_boxes, render
from comc_utils.miniworld.drawings import VOC_DRAWINGS
from comc_utils.miniworld.renderer import SHADOW_OFFSET, object_box
from comc_utils.miniworld.scenes import Scene, SceneObject
from comc_utils.tagging.embeddings import PHOTOS_A_CHUNK, PhotoEmbeddings
from comc_utils.tagging.learning import background_words
from comc_utils.tagging.models import load_towers
from comc_utils.tagging.where import where

METHODS = ("zero-shot", "comc")
SIZES = ((96, 96), (112, 96), (96, 112), (200, 150), (150, 200), (255, 31), (40, 251), (97, 96))
Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def taggers() -> dict[str, Tagger]:
    words = background_words("common")[::10]  # whose sentences are soon embedded
    return {"zero-shot": learn(), "comc": learn(method="comc", n_sentences=50, background=words)}


@pytest.fixture(scope="module")
def images(taggers: dict[str, Tagger]) -> ImageEmbeddings:
    return taggers["zero-shot"].towers.clip.encode_images([photo_of(i) for i in range(24)])


@pytest.fixture(scope="module")
def photos(taggers: dict[str, Tagger], tmp_path_factory: pytest.TempPathFactory) -> PhotoEmbeddings:
    return taggers["zero-shot"].embed(write_scenes(tmp_path_factory.mktemp("photos"), 24))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return load_experiment("miniworld", smoke=True)


# What the tower sees of an image.


def places(size: tuple[int, int]) -> Image.Image:
    """An image whose red is the pixel's column and whose green is its row, counted from the middle."""
    columns, rows = (np.arange(n) + 0.5 - n / 2 + 128 for n in size)
    pixels = np.zeros((size[1], size[0], 3))
    pixels[:, :, 0], pixels[:, :, 1] = columns[None, :], rows[:, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def looked_at(size: tuple[int, int], resize: str) -> Box:
    """Left, top, right, bottom of what the model's own preprocessing takes, read from the pixels it gives."""
    crop, _ = make_transforms(load_towers(MODEL).clip.model, resize)
    seen = crop(places(size)).numpy().astype(float)
    assert seen.shape[:2] == (96, 96)
    edges = []
    for axis, n in enumerate(size):
        line = seen[48, :, 0] if axis == 0 else seen[:, 48, 1]
        # From pixels that are no longer touched by how the resizing treats the edges.
        slope = (line[84] - line[12]) / 72
        first, last = line[12] - 12.5 * slope, line[84] + 11.5 * slope
        edges.append([edge + 0.5 - 128 + n / 2 for edge in (first, last)])
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


@pytest.mark.parametrize("resize", ["crop", "plain"])
@pytest.mark.parametrize("size", SIZES)
def test_the_part_that_is_seen_is_what_the_preprocessing_takes(size: tuple[int, int], resize: str) -> None:
    expected = looked_at(size, resize)
    # Grey values are whole numbers, and open_clip rounds the size and the corner to whole pixels.
    off = 1.5 * max(1, min(size) / 96)
    np.testing.assert_allclose(seen_part(size, resize), expected, atol=off)
    left, top, right, bottom = seen_part(size, resize)
    if resize == "plain":
        assert (left, top, right, bottom) == (0, 0, *size)
    else:
        assert right - left == bottom - top == min(size)
        assert left + right == size[0] and top + bottom == size[1]


@pytest.mark.parametrize("size", [(20, 30 * MOST_STRETCHED), (30 * MOST_STRETCHED, 20)])
def test_of_a_very_long_image_the_middle_is_seen(size: tuple[int, int]) -> None:
    np.testing.assert_allclose(seen_part(size, "crop"), looked_at(size, "crop"), atol=1.5)


# Regions on an image.


def test_scores_are_laid_out_row_by_row() -> None:
    found = RegionScores.of([0, 1, 2, 3, 9, 4, 5, 6, 7], (112, 96))
    assert found.scores.tolist() == [[0, 1, 2], [3, 9, 4], [5, 6, 7]]
    assert found.highest == (1, 1)
    assert found.seen == (8, 0, 104, 96)
    assert found.box(0, 0) == (8, 0, 40, 32)
    assert found.box(1, 2) == (72, 32, 104, 64)
    assert RegionScores.of([1, 2, 5, 4], (96, 112)).highest == (1, 0)
    assert RegionScores.of([1, 2, 5, 4], (96, 112)).box(1, 0) == (0, 56, 48, 104)
    assert RegionScores.of([1, 2, 5, 4], (96, 112), "plain").box(1, 0) == (0, 56, 48, 112)
    assert RegionScores.of([-0.5], (30, 20)).box(*RegionScores.of([-0.5], (30, 20)).highest) == (5, 0, 25, 20)
    assert all(type(number) is int for number in found.highest)


def test_of_equal_scores_the_first_is_the_highest() -> None:
    assert RegionScores.of([0, 3, 3, 3], (96, 96)).highest == (0, 1)


def test_boxes_of_regions_tile_what_is_seen() -> None:
    for size, resize in ((size, resize) for size in SIZES for resize in ("crop", "plain")):
        found = RegionScores.of(np.zeros(16), size, resize)
        boxes = [found.box(row, column) for row in range(4) for column in range(4)]
        assert np.allclose(boxes[0][:2], found.seen[:2]) and np.allclose(boxes[-1][2:], found.seen[2:])
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
        left, top, right, bottom = found.seen
        assert np.isclose(sum(areas), (right - left) * (bottom - top))
        assert np.allclose(areas, areas[0])


@pytest.mark.parametrize("count", [0, 2, 3, 5, 8, 48, 50])
def test_a_count_that_is_no_square_is_refused(count: int) -> None:
    with pytest.raises(CoMCError, match=f"{count} regions do not make a square; give all of an image's"):
        RegionScores.of(np.zeros(count), (96, 96))
    with pytest.raises(CoMCError, match=f"{count} regions do not make a square"):
        grid_side(count)
    assert grid_side(49) == 7


# Whether the highest region is on the object.


def literally(
    highest: np.ndarray, boxes: np.ndarray, sizes: Sequence[tuple[int, int]], side: int, resize: str
) -> OnObject:
    """Image by image, label by label and region by region, with every pixel painted."""
    on, by_chance, middle, middle_by_chance = [], [], [], []
    for image, (width, height) in enumerate(sizes):
        if resize == "crop":
            length = min(width, height)
            x0, y0, w, h = (width - length) // 2, (height - length) // 2, length // side, length // side
        else:
            x0, y0, w, h = 0, 0, width // side, height // side
        for label in range(boxes.shape[1]):
            if np.isnan(boxes[image, label]).any():
                continue
            left, top, right, bottom = boxes[image, label].astype(int)
            painted = {(x, y) for x in range(left, right) for y in range(top, bottom)}
            touched, pointed = [], []
            for row in range(side):
                for column in range(side):
                    x1, y1 = x0 + column * w, y0 + row * h
                    pixels = {(x, y) for x in range(x1, x1 + w) for y in range(y1, y1 + h)}
                    touched.append(bool(pixels & painted))
                    x, y = x1 + w / 2, y1 + h / 2
                    pointed.append(left <= x <= right and top <= y <= bottom)
            on.append(touched[highest[image, label]])
            middle.append(pointed[highest[image, label]])
            by_chance.append(sum(touched) / side**2)
            middle_by_chance.append(sum(pointed) / side**2)
    n = len(on)
    return OnObject(n, *(100 * sum(values) / n for values in (on, by_chance, middle, middle_by_chance)))


@pytest.mark.parametrize("resize", ["crop", "plain"])
@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_hits_are_those_of_a_loop_over_pixels(side: int, resize: str) -> None:
    rng = np.random.default_rng((side, resize == "crop"))
    n, n_labels = 12, 4
    # Whole pixels a region, so that boxes often end just where a region does.
    sizes = [(side * 6 + 2 * side * int(rng.integers(3)), side * 6) for _ in range(n)]
    sizes = [size[::-1] if rng.random() < 0.5 else size for size in sizes]
    boxes = np.full((n, n_labels, 4), np.nan)
    for image, (width, height) in enumerate(sizes):
        for label in range(n_labels):
            if rng.random() < 0.4:
                continue
            left, right = sorted(rng.choice(width + 1, 2, replace=False))
            top, bottom = sorted(rng.choice(height + 1, 2, replace=False))
            boxes[image, label] = left, top, right, bottom
    highest = rng.integers(side**2, size=(n, n_labels))
    found = on_object(highest, boxes, sizes, side**2, resize)
    expected = literally(highest, boxes, sizes, side, resize)
    assert found.n_labels == expected.n_labels == (~np.isnan(boxes[:, :, 0])).sum()
    for name in ("overlaps", "overlaps_by_chance", "middle", "middle_by_chance"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name
    if side == 3:
        assert 0 < found.middle_by_chance < found.overlaps_by_chance < 100


@pytest.mark.parametrize("length", [96, 224, 288, 333])
def test_a_box_that_ends_where_a_region_begins_does_not_overlap_it(length: int) -> None:
    for side in (3, 7, 9, 12):
        if length % side:
            continue
        step = length // side
        # A box for each region but for the first in its row: all that lies left of the region.
        boxes = np.array([[[0, 0, step * column, length] for column in range(1, side)]], dtype=float)
        highest = np.array([range(1, side)])
        assert on_object(highest, boxes, [(length, length)], side**2).overlaps == 0, side
        boxes = np.array([[[step * column, 0, length, length] for column in range(1, side)]], dtype=float)
        assert on_object(highest - 1, boxes, [(length, length)], side**2).overlaps == 0, side
        assert on_object(highest, boxes, [(length, length)], side**2).overlaps == 100, side


def test_the_middle_of_a_region_counts_up_to_the_box_s_edge() -> None:
    def middle(box: Box) -> float:
        return on_object(np.array([[4]]), np.array([[box]]), [(96, 96)], 9).middle

    assert middle((48, 48, 60, 60)) == 100
    assert middle((20, 20, 48, 48)) == 100
    assert middle((49, 20, 90, 90)) == 0
    assert middle((20, 20, 90, 47)) == 0


def test_an_object_that_is_cropped_away_is_on_no_region() -> None:
    box = np.array([[[0.0, 0.0, 7.0, 96.0]]])
    found = on_object(np.array([[0]]), box, [(112, 96)], 9, "crop")
    assert (found.n_labels, found.overlaps, found.overlaps_by_chance) == (1, 0, 0)
    found = on_object(np.array([[0]]), box, [(112, 96)], 9, "plain")
    assert found.overlaps == 100
    assert found.overlaps_by_chance == pytest.approx(100 / 3)


def test_no_label_anywhere_is_refused() -> None:
    boxes = np.full((2, 3, 4), np.nan)
    with pytest.raises(CoMCError, match="No image shows any of the labels; give images with boxes"):
        on_object(np.zeros((2, 3), dtype=int), boxes, [(96, 96)] * 2, 9)


# Where the embedded world's objects are drawn.


def changed(one: Scene, other: Scene) -> Box | None:
    """Box of the pixels in which two scenes differ."""
    differ = (np.asarray(render(one)) != np.asarray(render(other))).any(axis=2)
    return Image.fromarray(differ).getbbox()


def in_another_colour(scene: Scene, number: int, level: int) -> Scene:
    objects = list(scene.objects)
    objects[number] = replace(objects[number], fill=(level,) * 3, line=(level,) * 3)
    return replace(scene, objects=tuple(objects))


def alone(scene: Scene, scene_object: SceneObject) -> Scene:
    return replace(scene, objects=(scene_object,), noise=0.0)


def test_an_object_s_box_is_that_of_its_pixels() -> None:
    techniques = set()
    for scene in (*miniworld_scenes("test", 60), *miniworld_scenes("train", 20)):
        for scene_object in scene.objects:
            techniques.add(scene_object.technique)
            of_it = alone(scene, scene_object)
            box = object_box(of_it, scene_object)
            # Black or white: all but its shadow differs.
            assert box == changed(in_another_colour(of_it, 0, 0), in_another_colour(of_it, 0, 255))
            assert object_box(scene, scene_object) == box, "what others cover counts"
    assert techniques == {"ink", "filled", "silhouette"}


def test_with_and_without_an_object_pixels_change_in_its_box_and_its_shadow() -> None:
    for scene in miniworld_scenes("test", 60):
        for number in range(len(scene.objects)):
            # Red on any ground is seen; of the last object nothing is covered.
            last = replace(scene.objects[number], fill=(255, 0, 0), line=(0, 255, 255))
            others = tuple(o for o in scene.objects if o is not scene.objects[number])
            left, top, right, bottom = object_box(scene, last)
            with_it, without = (replace(scene, objects=o, noise=0.0) for o in ((*others, last), others))
            of_both = changed(with_it, without)
            shadow = round(SHADOW_OFFSET * last.size)
            # A pixel that is covered by a few per cent may keep its value.
            np.testing.assert_allclose(of_both[:2], (left, top), atol=1)
            for found, edge, end in ((of_both[2], right, scene.width), (of_both[3], bottom, scene.height)):
                assert edge - 1 <= found <= min(edge + shadow, end)


def test_an_object_outside_has_no_box_and_one_at_the_edge_what_is_within() -> None:
    scene = miniworld_scenes("test", 1)[0]
    whole = scene.objects[0]
    assert object_box(scene, replace(whole, centre=(-200.0, 40.0))) is None
    left, top, _, bottom = object_box(scene, replace(whole, centre=(scene.width, scene.height / 2)))
    assert left > scene.width / 2 and 0 <= top < bottom <= scene.height
    at_edge = alone(scene, replace(whole, centre=(3.0, scene.height / 2)))
    box = object_box(at_edge, at_edge.objects[0])
    assert box[0] == 0
    assert box == changed(in_another_colour(at_edge, 0, 0), in_another_colour(at_edge, 0, 255))


@pytest.mark.parametrize("split", ["test", "validation"])
def test_boxes_are_where_the_labels_are(split: str) -> None:
    world, boxes = load_miniworld(split, 100), object_boxes(split, 100)
    assert boxes.shape == (*world.labels.shape, 4)
    np.testing.assert_array_equal(~np.isnan(boxes).any(axis=2), world.labels == 1)
    np.testing.assert_array_equal(np.isnan(boxes).all(axis=2), world.labels == 0)
    for row, scene in enumerate(miniworld_scenes(split, 100)):
        for scene_object in scene.objects:
            if scene_object.class_name in VOC_DRAWINGS:
                column = list(VOC_DRAWINGS).index(scene_object.class_name)
                assert tuple(boxes[row, column]) == object_box(scene, scene_object)
    assert not np.array_equal(object_boxes(split, 5, seed=1), boxes[:5], equal_nan=True)


def test_an_experiment_has_boxes_where_scenes_are_drawn(experiment: Experiment) -> None:
    there = ~np.isnan(experiment.object_boxes[:, :, 0])
    np.testing.assert_array_equal(there, experiment.image_labels == 1)


# Logits of regions before eq. 10.


def check_maxima(trained: Trained, experiment: Experiment, rows: Sequence[int]) -> None:
    aggregated = trained.components().at(experiment.alpha).aggregated
    regions = trained.region_logits(rows)
    assert regions.shape == (len(rows), 9, len(experiment.class_names))
    torch.testing.assert_close(regions.amax(dim=1), aggregated[list(rows)], atol=1e-5, rtol=1e-5)


def test_the_maximum_over_regions_is_what_comc_aggregates(experiment: Experiment) -> None:
    trained = experiment.fit()
    n = len(experiment.image_ids)
    check_maxima(trained, experiment, range(n))
    rng = np.random.default_rng(0)
    check_maxima(trained, experiment, rng.permutation(n)[:7].tolist())
    check_maxima(trained, experiment, [n - 1])
    check_maxima(trained, experiment, [5, 2, 5])


def test_with_folds_each_row_is_scored_by_its_own_classifier(experiment: Experiment) -> None:
    one, other = experiment.fit(seed=0), experiment.fit(seed=1)
    n = len(experiment.image_ids)
    folds = (range(1, n, 2), range(0, n, 2))
    both = replace(one, recognisers=one.recognisers + other.recognisers, folds=folds)
    rows = np.random.default_rng(1).permutation(n).tolist()
    check_maxima(both, experiment, rows)
    check_maxima(both, experiment, [3, 1])  # of one fold alone
    torch.testing.assert_close(both.region_logits([3, 4])[0], one.region_logits([3])[0])
    torch.testing.assert_close(both.region_logits([3, 4])[1], other.region_logits([4])[0])
    assert not torch.allclose(one.region_logits([4]), other.region_logits([4]))


def test_many_rows_are_scored_in_several_chunks(experiment: Experiment) -> None:
    trained = experiment.fit(ClipDpt())
    n = len(experiment.image_ids)
    once = trained.region_logits(range(n))
    rows = np.random.default_rng(3).integers(n, size=600).tolist()
    assert len(list(trained.recognisers[0].logits(trained.images()[rows]))) > 1
    torch.testing.assert_close(trained.region_logits(rows), once[rows])


def test_a_method_without_regions_is_named(experiment: Experiment) -> None:
    with pytest.raises(CoMCError, match="looks at no regions here; ask a method and a profile that do"):
        experiment.fit(ZeroShotClip()).region_logits([0])


# A tagger's scores of regions.


def regions_of(tagger: Tagger, images: PhotoEmbeddings | ImageEmbeddings) -> np.ndarray:
    parts = list(tagger.scorer.where(images))
    assert [part.start for part, _ in parts] == [0, *(part.stop for part, _ in parts[:-1])]
    assert parts[-1][0].stop == len(images)
    assert all(len(scores) == part.stop - part.start for part, scores in parts)
    return np.concatenate([scores for _, scores in parts])


def without_regions(images: ImageEmbeddings) -> ImageEmbeddings:
    return replace(images, local=None, local_norms=None)


def check_in_the_middle(tagger: Tagger, images: PhotoEmbeddings | ImageEmbeddings, whole: np.ndarray) -> None:
    """The score is, as log-odds, the mean of the whole image's and of the highest region's."""
    regions = regions_of(tagger, images)
    assert regions.shape == (len(images), 9, len(tagger.labels))
    assert ((regions > 0) & (regions < 1)).all()
    found = 2 * logit(tagger.scores(images)) - logit(regions.max(axis=1))
    np.testing.assert_allclose(found, logit(whole), atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_score_lies_between_the_whole_photo_s_and_the_highest_region_s(
    taggers: dict[str, Tagger], images: ImageEmbeddings, method: str
) -> None:
    tagger = taggers[method]
    whole = tagger.scores(without_regions(images))
    check_in_the_middle(tagger, images, whole)
    regions = regions_of(tagger, images)
    # A region by itself is an image of that embedding.
    alone = replace(
        without_regions(images), global_=images.local[:, 5].float(), with_position=images.local[:, 5].float()
    )
    np.testing.assert_allclose(logit(regions[:, 5]), logit(tagger.scores(alone)), atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_photos_in_several_chunks_are_scored_as_in_one(
    taggers: dict[str, Tagger], images: ImageEmbeddings, photos: PhotoEmbeddings, method: str
) -> None:
    tagger, n = taggers[method], PHOTOS_A_CHUNK + 100
    rows = np.random.default_rng(2).integers(len(photos), size=n).tolist()
    many = replace(
        photos,
        photos=photos.photos.subset(rows),
        parts=tuple(photos.parts[row] for row in rows),
        rows=tuple(photos.rows[row] for row in rows),
    )
    once = regions_of(tagger, images)
    np.testing.assert_allclose(logit(regions_of(tagger, photos)), logit(once), atol=1e-2)  # kept in float16
    np.testing.assert_allclose(regions_of(tagger, many), regions_of(tagger, photos)[rows], atol=1e-6)
    np.testing.assert_allclose(regions_of(tagger, images[rows]), once[rows], atol=1e-6)
    check_in_the_middle(tagger, images[rows], tagger.scores(without_regions(images))[rows])
    assert len(list(tagger.scorer.where(many))) > 1


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_regions_are_probabilities_as_the_scores_are(
    taggers: dict[str, Tagger], images: ImageEmbeddings, photos: PhotoEmbeddings, method: str
) -> None:
    before = taggers[method]
    names = photos.photos.names
    answers = {
        (names[row], label): bool((row + column) % 3 == 0)
        for column, label in enumerate(LABELS[:2])
        for row in range(24)
    }
    after = before.calibrate(photos, answers, "answers.csv")
    about = after.about.calibration
    assert about.by_label[LABELS[0]] != about.by_label[LABELS[1]]
    check_in_the_middle(after, images, after.scores(without_regions(images)))
    own = np.array([about.by_label.get(label, 0.0) for label in LABELS])
    expected = about.slope * logit(regions_of(before, images)) + about.intercept + own
    np.testing.assert_allclose(logit(regions_of(after, images)), expected, atol=1e-6)


def test_without_a_background_regions_have_the_method_s_own_scores(images: ImageEmbeddings) -> None:
    comc = learn(method="comc", n_sentences=50, background="none")
    regions, whole = regions_of(comc, images), comc.scores(without_regions(images))
    np.testing.assert_allclose(comc.scores(images), (whole + regions.max(axis=1)) / 2, atol=1e-5)
    prompts = learn(background="none")
    regions = regions_of(prompts, images)
    cosines = images.local.float() @ prompts.scorer.tensors["labels"].float().T
    np.testing.assert_allclose(regions, cosines.numpy() / prompts.about.tau, rtol=1e-4, atol=1e-4)
    assert regions.min() < 0 or regions.max() > 1


def test_a_model_without_regions_has_none(taggers: dict[str, Tagger]) -> None:
    tagger = Tagger.learn(LABELS, model="miniworld-ViT")
    embedded = tagger.towers.clip.encode_images([photo_of(i) for i in range(3)], local=False)
    ((part, scores),) = tagger.scorer.where(embedded)
    assert (part.start, part.stop, scores) == (0, 3, None)
    with pytest.raises(CoMCError, match="miniworld-ViT looks at the whole photo alone; a ResNet such as RN50"):
        where(tagger, photo_of(0), "dog")
    with pytest.raises(CoMCError, match="looks at the whole photo alone"):
        tagger = taggers["zero-shot"]
        regionless = replace(tagger.about, towers=replace(tagger.about.towers, regions=False))
        where(Tagger(regionless, tagger.scorer.tensors), photo_of(0), "dog")


def test_other_embeddings_are_refused(taggers: dict[str, Tagger], photos: PhotoEmbeddings) -> None:
    tagger = taggers["zero-shot"]
    for strange, message in (
        ("photos", "Here are str in place of embeddings"),
        (replace(photos, towers=replace(photos.towers, weights="0")), "the tagger needs miniworld-RN-small"),
        (ImageEmbeddings(torch.ones(2, 5), None, torch.ones(2, 5)), "These embeddings have 5 numbers each"),
    ):
        with pytest.raises(CoMCError, match=message):
            list(tagger.scorer.where(strange))


@pytest.mark.parametrize("model", [name for name in MODEL_NAMES if "RN" in name])
@pytest.mark.parametrize(("width", "height"), [(112, 96), (96, 112)])
def test_the_highest_region_of_a_file_is_on_its_one_object(
    tmp_path: Path, model: str, width: int, height: int
) -> None:
    (scene,) = (s for s in miniworld_scenes("test", 10) if s.class_names == ("cat",))
    tagger = Tagger.learn(["dog", "cat"], model=model)
    for row, column in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1)):
        # An object as large as a region, in the middle of one.
        x, y = (width - 96) / 2 + 32 * column + 16, (height - 96) / 2 + 32 * row + 16
        small = replace(scene.objects[0], size=32.0, centre=(x, y), rotation=0.0)
        drawn = replace(scene, width=width, height=height, objects=(small,))
        path = tmp_path / f"{row}{column}.png"
        render(drawn).save(path)
        photo, found = where(tagger, path, "cat")
        assert photo.size == (width, height)
        assert np.array_equal(np.asarray(photo), np.asarray(render(drawn)))
        assert found.highest == (row, column)
        assert found.seen == ((8, 0, 104, 96) if width > height else (0, 8, 96, 104))
        left, top, right, bottom = object_box(drawn, small)
        box = found.box(*found.highest)
        assert max(left, box[0]) < min(right, box[2]) and max(top, box[1]) < min(bottom, box[3])
        # The scores are the tagger's own of this photo.
        photos = tagger.embed(path)
        np.testing.assert_allclose(
            logit(found.scores).ravel(), logit(regions_of(tagger, photos)[0, :, 1]), atol=2e-2
        )


def test_a_photo_is_turned_before_it_is_looked_at(tmp_path: Path, taggers: dict[str, Tagger]) -> None:
    upright = photo_of(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    photo, found = where(taggers["zero-shot"], tmp_path / "turned.png", "car")
    assert photo.size == upright.size
    _, expected = where(taggers["zero-shot"], upright, "car")
    assert found.highest == expected.highest
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_what_cannot_be_looked_at_is_said(tmp_path: Path, taggers: dict[str, Tagger]) -> None:
    tagger = taggers["zero-shot"]
    with pytest.raises(CoMCError, match="'bus' is no label of the tagger; give one of dog, car, potted plant"):
        where(tagger, photo_of(0), "bus")
    with pytest.raises(CoMCError, match="There is no photo"):
        where(tagger, tmp_path / "nothing.png", "dog")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(CoMCError, match="broken.png"):
        where(tagger, tmp_path / "broken.png", "dog")
