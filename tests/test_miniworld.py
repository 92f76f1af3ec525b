"""The embedded world: deterministic, labelled as drawn, held-out drawings in the test split alone."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest

from comc_utils.errors import CoMCError
from comc_utils.miniworld import drawings as drawings_module
from comc_utils.miniworld import load_miniworld, miniworld_scenes, scene_captions
from comc_utils.miniworld.captions import (
    DISPLAY_NAMES,
    LIGHT_PHRASES,
    PLACE_PHRASES,
    WORLD_LABELS,
    write_caption,
)
from comc_utils.miniworld.drawings import (
    DRAWINGS,
    VOC_DRAWINGS,
    font_path,
    glyph,
    held_out_drawing,
    training_drawings,
)
from comc_utils.miniworld.icons import MOST_ALIKE, icon_drawings
from comc_utils.miniworld.renderer import render
from comc_utils.miniworld.scenes import LIGHTS, PLACES, SPLITS, sample_scene
from comc_utils.sentences.labels import VOC2007

N = 300


def drawn(split: str) -> dict[str, set]:
    found: dict[str, set] = defaultdict(set)
    for index in range(N):
        for scene_object in sample_scene(0, split, index).objects:
            found[scene_object.class_name].add(scene_object.drawing)
    return found


@pytest.mark.slow
def test_held_out_drawings_appear_in_the_test_split_alone():
    for split in SPLITS:
        for name, seen in drawn(split).items():
            if name not in DRAWINGS:
                assert split == "icons"
                continue
            held_out = held_out_drawing(name)
            if held_out is None:
                continue
            if split == "test":
                assert seen <= {held_out}, name
            else:
                assert held_out not in seen, (split, name)


def test_more_drawings_are_learned_from_than_labelled_splits_show():
    for split in ("few_shot", "validation", "objects", "plain"):
        for name, seen in drawn(split).items():
            assert seen <= set(training_drawings(name)), (split, name)
    assert any(seen - set(training_drawings(name)) for name, seen in drawn("train").items())


def test_icons_are_of_other_things_by_several_hands():
    icons = icon_drawings()
    assert len(icons) > 1000
    named = {name for name in icons if WORLD_LABELS.find(name)}
    assert named == {"buildings"}  # a word for houses, which are no label
    for name, drawings in icons.items():
        assert len({font.split("-")[0] for font, _ in drawings}) > 1, name
    assert "flag" in icons and "rocket" in icons


def test_no_icon_looks_like_a_held_out_drawing():
    held_out = [np.asarray(glyph(d)[0]) > 127 for d in map(held_out_drawing, DRAWINGS) if d]
    flat = {drawing for drawings in icon_drawings().values() for drawing in drawings}
    for drawing in sorted(flat)[::20]:
        ink = np.asarray(glyph(drawing)[0]) > 127
        for other in held_out:
            for turned in (other, other[:, ::-1]):
                assert (ink & turned).sum() <= MOST_ALIKE * (ink | turned).sum(), drawing


def test_half_of_the_scenes_with_icons_show_the_worlds_classes():
    names = [sample_scene(0, "icons", index).class_names for index in range(N)]
    assert all(len(of_scene) == 1 for of_scene in names)
    assert 0.4 < np.mean([of_scene[0] in DRAWINGS for of_scene in names]) < 0.6


def test_every_class_with_three_drawings_holds_one_out():
    assert {n for n, d in DRAWINGS.items() if len(d) >= 3} == {
        n for n in DRAWINGS if held_out_drawing(n) is not None
    }
    assert tuple(VOC_DRAWINGS) == VOC2007.official_names


def test_every_drawing_draws_something_of_its_own():
    inks = {}
    for name, drawings in DRAWINGS.items():
        for drawing in drawings:
            ink, silhouette = (np.asarray(mask) for mask in glyph(drawing))
            assert (ink > 127).mean() > 0.02, (name, drawing)
            assert (silhouette > 100)[ink > 150].all()
            inks[ink.tobytes()] = (name, drawing)
    assert len(inks) == sum(len(drawings) for drawings in DRAWINGS.values())


def test_a_scene_depends_on_seed_split_and_index_alone():
    program = (
        "from comc_utils.miniworld.scenes import sample_scene;"
        "from comc_utils.miniworld.renderer import render;import hashlib;"
        "print(hashlib.sha256(render(sample_scene(3, 'test', 7)).tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    import hashlib

    # Other scenes first: nothing may carry over from one to the next.
    for index in (9, 0):
        render(sample_scene(3, "test", index))
    here = hashlib.sha256(render(sample_scene(3, "test", 7)).tobytes()).hexdigest()
    assert other.stdout.strip() == here
    assert render(sample_scene(3, "test", 8)).tobytes() != render(sample_scene(4, "test", 8)).tobytes()


def test_labels_are_what_was_drawn():
    images = load_miniworld("test", 50)
    scenes = miniworld_scenes("test", 50)
    official = list(VOC2007.official_names)
    for row, scene in zip(images.labels, scenes, strict=True):
        assert {official[j] for j in np.flatnonzero(row)} == set(scene.class_names) & set(official)
    assert images.labels.any(axis=1).all()
    assert {images[i].size for i in range(50)} == {(96, 96), (112, 96), (96, 112)}


def test_more_images_begin_with_the_same_ones():
    few, many = load_miniworld("test", 5), load_miniworld("test", 9)
    assert few.ids == many.ids[:5]
    assert few[4].tobytes() == many[4].tobytes()
    assert few.fingerprint != many.fingerprint


def test_captions_mostly_name_the_dominant_object_and_nothing_that_is_not_there():
    rng = np.random.default_rng(0)
    named = {"dominant": [], "other": [], "dominant first": []}
    for index in range(N):
        scene = sample_scene(0, "train", index)
        caption, mentioned = write_caption(scene, rng)
        assert mentioned and set(mentioned) <= set(scene.class_names)
        wanted = {WORLD_LABELS.class_names.index(DISPLAY_NAMES[name]) for name in mentioned}
        assert wanted <= WORLD_LABELS.find(caption), caption
        dominant, *others = scene.class_names
        named["other"] += [other in mentioned for other in others]
        if set(mentioned) & set(others):
            named["dominant"].append(dominant in mentioned)
            named["dominant first"].append(mentioned[0] == dominant)
    assert 0.3 < np.mean(named["other"]) < 0.5
    assert 0.9 < np.mean(named["dominant"]) < 1
    assert 0.3 < np.mean(named["dominant first"]) < 0.6


def test_places_and_lights_have_words():
    assert set(PLACE_PHRASES) == set(PLACES)
    assert set(LIGHT_PHRASES) == set(LIGHTS)
    assert scene_captions(miniworld_scenes("pairs", 3)) == scene_captions(miniworld_scenes("pairs", 3))


def test_a_missing_font_names_package_and_remedy(monkeypatch):
    monkeypatch.setitem(drawings_module.FONTS, "lucide", ("iconipy", "assets/lucide/gone.ttf"))
    with pytest.raises(CoMCError, match="gone.ttf of the package iconipy.*pip install"):
        font_path("lucide")


def test_an_empty_glyph_is_noticed():
    with pytest.raises(CoMCError, match="draws nothing for code point U\\+0020"):
        glyph(("noto", 0x20))


def test_an_unknown_split_is_named():
    with pytest.raises(CoMCError, match="Unknown split 'dev' of the embedded world; known: vocabulary, test"):
        load_miniworld("dev", 3)
