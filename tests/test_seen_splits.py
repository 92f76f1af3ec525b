"""What zero-shot learning from images goes by: seen and unseen classes of each profile that has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_benchmarks import write_coco, write_nuswide
from test_experiment import tiny

from comc_utils import load_experiment
from comc_utils.baselines import TRAINED_ON_SEEN, ConSE, DualCoOp, Lesa, Sdl
from comc_utils.datasets.coco2014 import SEEN, UNSEEN
from comc_utils.evaluation.reported import reported
from comc_utils.miniworld import load_icons
from comc_utils.miniworld.drawings import DRAWINGS
from comc_utils.notebooks.run import reproduce

SMALL = {"backbone": "miniworld-RN-small"}


def test_all_systems_of_table_2_are_here_in_its_order():
    theirs = reported(2).method.unique().tolist()
    first = [system.name.lower().replace(" (ban-style)", "")[:7] for system in TRAINED_ON_SEEN]
    order = [next(i for i, name in enumerate(theirs) if name.lower().startswith(short[:3])) for short in first]
    assert order == sorted(order) and len(set(order)) == len(TRAINED_ON_SEEN) == 9


def test_the_embedded_worlds_split(tmp_path):
    experiment = tiny(tmp_path)
    split = experiment.seen_and_unseen()
    assert split.unseen == experiment.class_names and not set(split.unseen) & set(split.seen.class_names)
    assert split.all_names == (*split.unseen, *split.seen.class_names)
    np.testing.assert_array_equal(split.unseen_labels, experiment.image_labels)
    assert not set(split.seen.ids) & set(experiment.image_ids)


def test_more_and_more_seen_classes(tmp_path):
    experiment = load_experiment("miniworld", smoke=True)
    split = experiment.seen_and_unseen()
    more = experiment.more_and_more_seen(split)
    *fewer, with_icons = more.values()
    assert list(more)[:3] == ["4 classes", "8 classes", "16 classes"]
    names = [set(images.class_names) for images in fewer]
    assert [len(of) for of in names] == [4, 8, 16] and names[0] < names[1] < names[2] == set(
        split.seen.class_names
    )
    for images in fewer:
        columns = [split.seen.class_names.index(name) for name in images.class_names]
        np.testing.assert_array_equal(images.labels, split.seen.labels[:, columns])
    n_seen = len(split.seen)
    assert len(with_icons.labels) == len(with_icons.embeddings) == n_seen + 100
    assert not with_icons.labels[:n_seen, 16:].any() and not with_icons.labels[n_seen:, :16].any()
    assert (with_icons.labels[n_seen:].sum(dim=1) == 1).all()
    assert len(set(with_icons.class_names)) == len(with_icons.class_names) > 90
    assert not set(with_icons.class_names) & set(experiment.class_names)
    other = load_experiment("miniworld", smoke=True, seed=1)
    assert set(next(iter(other.more_and_more_seen(split).values())).class_names) != names[0]


def test_icons_are_things_of_no_class():
    icons = load_icons(30)
    assert len(icons) == 30 and (icons.labels.sum(axis=1) == 1).all() and icons.labels.any(axis=0).all()
    assert not set(icons.class_names) & {*DRAWINGS, ""}
    assert icons[3].size == load_icons(30)[3].size and load_icons(40).ids[:30] == icons.ids


def test_cocos_split_is_48_and_17_and_no_image_learned_from_shows_an_unseen_class(tmp_path):
    root = write_coco(tmp_path / "coco", n_images=60)
    experiment = load_experiment("coco2014", data=root, limit=50, **SMALL)
    split = experiment.seen_and_unseen()
    assert (split.unseen, split.seen.class_names) == (UNSEEN, SEEN)
    assert (len(UNSEEN), len(SEEN), len({*UNSEEN, *SEEN})) == (17, 48, 65)
    labelled = experiment.labelled.images
    row_of = dict(zip(labelled.ids, labelled.labels, strict=True))
    unseen = [experiment.class_names.index(name) for name in UNSEEN]
    chosen_on = set(labelled.subset(experiment.labelled.parts["choice"]).ids)
    assert split.seen.ids and not set(split.seen.ids) & chosen_on
    assert not any(row_of[name][unseen].any() for name in split.seen.ids)
    kept = {name for name, row in row_of.items() if not row[unseen].any()} - chosen_on
    assert set(split.seen.ids) == kept
    for column, name in enumerate(split.all_names):
        own = experiment.class_names.index(name)
        np.testing.assert_array_equal(split.all_labels[:, column], experiment.image_labels[:, own])
    assert experiment.as_published(Sdl).n_vectors == 2 and experiment.as_published(Lesa) == Lesa()


def test_nuswides_split_is_all_its_tags_and_all_its_images(tmp_path):
    root = write_nuswide(tmp_path / "nuswide", n_images=40)
    experiment = load_experiment("nuswide", data=root, limit=40, **SMALL)
    split = experiment.seen_and_unseen()
    assert (len(split.unseen), len(split.seen.class_names)) == (81, 925)
    assert len(split.seen) == 40 - 8  # a fifth is set apart for choices
    assert split.all_labels.shape == (40, 81 + 925)
    assert experiment.as_published(Sdl).n_vectors == 7 and experiment.as_published(DualCoOp) != DualCoOp()


def test_regions_of_many_images_are_learned_from_in_shards(tmp_path, monkeypatch):
    """As with 161,789 images: their regions never are in memory all at once."""
    monkeypatch.setattr("comc_utils.clip.cached.FEW_IMAGES", 5)
    experiment = tiny(tmp_path)
    split = experiment.seen_and_unseen()
    whole = experiment.fit(Lesa().of_epochs(1), shown=experiment.embed_labelled(split.seen))
    monkeypatch.setattr("comc_utils.clip.cached.LARGE_BYTES", 1)
    again = tiny(tmp_path / "in shards")
    shown = again.embed_labelled(split.seen)
    assert not isinstance(shown.embeddings.local, torch.Tensor)
    assert len({shown.fingerprint, shown.of_classes(shown.class_names[:2]).fingerprint}) == 2
    from_shards = again.fit(Lesa().of_epochs(1), shown=shown)
    np.testing.assert_allclose(from_shards.scores(), whole.scores(), atol=0.05)  # half precision
    assert again.fit(ConSE(), shown=shown).scores().shape == whole.scores().shape


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("profile", ["nuswide", "coco2014"])
def test_notebook_12_runs_on_a_folder_in_the_official_layout(profile: str, tmp_path: Path):
    """2,000 images, which a smoke run takes a part of."""
    write = {"nuswide": write_nuswide, "coco2014": write_coco}[profile]
    data = write(tmp_path / "data", n_images=1000)
    options = {"limit": 1000, **SMALL}
    output = reproduce(
        profile, data=data, options=options, smoke=True, only=["12"], output=tmp_path / "results"
    )
    metrics = json.loads((output / "metrics" / "12_seen_and_unseen.json").read_text())
    methods = {name.split(", ")[1] for name in metrics["map of unseen classes"]}
    assert {system.name for system in TRAINED_ON_SEEN} < methods
