"""What a CLIP model embeds: the embedded world, and the paper's benchmarks in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from comc_utils.baselines import DualCoOp, Sdl, TaiDpt
from comc_utils.clip import ImageEmbeddings
from comc_utils.clip.cached import CachedClip
from comc_utils.clip.text import is_causal
from comc_utils.clip.tokens import TokenEmbeddings
from comc_utils.datasets.base import MultiLabelImages, draw_pairs
from comc_utils.datasets.coco2014 import SEEN as COCO_SEEN
from comc_utils.datasets.coco2014 import UNSEEN as COCO_UNSEEN
from comc_utils.datasets.coco2014 import load_captions, load_coco2014
from comc_utils.datasets.image_files import name_some
from comc_utils.datasets.nuswide import load_nuswide, load_nuswide_tags
from comc_utils.datasets.voc2007 import load_voc2007
from comc_utils.errors import CoMCError
from comc_utils.experiment import Experiment
from comc_utils.method.labelled import LabelledPool, SeenAndUnseen
from comc_utils.method.protocol import LabelledImages, Method, Need
from comc_utils.miniworld import (
    WORLD_SEED,
    load_icons,
    load_miniworld,
    miniworld_scenes,
    object_boxes,
    scene_captions,
)
from comc_utils.profiles import get_profile
from comc_utils.sentences import Record, draw_label_sets
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import label_prompt
from comc_utils.sentences.templates import template_records
from comc_utils.sources.backbones import backbones_at_hand, load_backbone
from comc_utils.store.fingerprint import hash_texts

_LOADERS = {"voc2007": load_voc2007, "coco2014": load_coco2014, "nuswide": load_nuswide}
"""Each loads its test split where none is named."""
SMOKE_SENTENCES = 500
SMOKE_IMAGES = 200
SMOKE_PROMPTS = 8
"""A smoke run takes one in so many of the prompts that a preset adds to the sentences."""
N_ICONS = 150
"""Images of icons that can be shown beside the embedded world's seen classes."""


@dataclass(frozen=True, eq=False)
class EncodedExperiment(Experiment):
    """Images and sentences that a CLIP model embeds."""

    @cached_property
    def towers(self) -> CachedClip:
        """The frozen towers, with the cache."""
        name = self.options.backbone or self.profile.backbones[0]
        clip = load_backbone(name, self.options.weights or self.profile.weights, tag=self.options.tag)
        if self.options.half:
            clip = clip.with_half_precision()
        if self.options.openvino:
            return CachedClip(clip.with_openvino(), name, "OpenVINO", self.cache)
        return CachedClip(clip, name, "", self.cache)

    @cached_property
    def offers(self) -> frozenset[Need]:
        prompts = {Need.LEARNED_PROMPTS, Need.TOKENS} if is_causal(self.towers.clip.model) else ()
        regions = () if self.towers.clip.why_no_regions else (Need.REGIONS,)
        return frozenset({Need.TEXT_TOWER, *regions, *prompts})

    @property
    def backbones(self) -> list[str]:
        given = self.options
        return backbones_at_hand(self.profile, backbone=given.backbone, weights=given.weights)

    @property
    def tau(self) -> float:
        return self.towers.clip.temperature if self.profile.tau is None else self.profile.tau

    @cached_property
    def corpus(self) -> list[Record]:
        written = self.options.sentences
        n_sentences = self.options.n_sentences or len(written or ()) or self.profile.n_sentences
        if self.smoke:
            n_sentences = min(n_sentences, SMOKE_SENTENCES)
        if not written:
            written = grammar_sentences(self.profile.name, n_sentences, self.seed, self.preset.max_labels)
        prompts = (
            template_records(self.profile.label_set.class_names)
            if self.preset.templates_in_training_text
            else []
        )[:: SMOKE_PROMPTS if self.smoke else 1]
        return [*written[:n_sentences], *prompts]

    @cached_property
    def text_embeddings(self) -> Tensor:
        return self.towers.embed_texts([record.text for record in self.corpus])

    @cached_property
    def text_fingerprint(self) -> str:
        records = hash_texts(f"{record.text}\t{record.labels}" for record in self.corpus)
        return hash_texts([records, self.towers.fingerprint])

    @property
    def token_embeddings(self) -> TokenEmbeddings:
        """Unit vectors of the sentences' tokens."""
        return self.towers.embed_tokens([record.text for record in self.corpus])

    @cached_property
    def label_embeddings(self) -> Tensor:
        return self.towers.embed_texts([label_prompt(name) for name in self.profile.label_set.class_names])

    @cached_property
    def image_embeddings(self) -> ImageEmbeddings:
        return self.embed_images(self.images)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return self.towers.embed_texts(texts)

    def embed_images(self, images: MultiLabelImages) -> ImageEmbeddings:
        return self.towers.embed_images(images, resize=self.preset.resize)

    def image(self, index: int) -> Image.Image:
        return self.images[index]

    @property
    def limit(self) -> int | None:
        """Test images at most; None for all."""
        limit = self.options.limit
        return min(limit or SMOKE_IMAGES, SMOKE_IMAGES) if self.smoke else limit


@dataclass(frozen=True, eq=False)
class EmbeddedWorld(EncodedExperiment):
    """The embedded world. Its labelled split shows the drawings that the CLIP models were trained on."""

    @cached_property
    def images(self) -> MultiLabelImages:
        n_images = self.profile.n_images
        return load_miniworld("test", min(self.limit or n_images, n_images))

    @cached_property
    def labelled(self) -> LabelledPool:
        images = load_miniworld(self.profile.training_split, 600 if self.smoke else 4000)
        pool, known = (400, 100) if self.smoke else (1000, 2000)
        rows = np.split(np.arange(len(images)), [pool, pool + known])
        parts = dict(zip(("pool", "known drawings", "choice"), rows, strict=True))
        return LabelledPool(images, parts, self.embed_images, few=True)

    @cached_property
    def object_boxes(self) -> np.ndarray:
        return object_boxes("test", len(self.images))

    def image_text_pairs(self, n_pairs: int, *, seed: int) -> tuple[Tensor, Tensor]:
        world = WORLD_SEED + seed
        images = self.embed_images(load_miniworld("pairs", n_pairs, seed=world))
        captions = scene_captions(miniworld_scenes("pairs", n_pairs, seed=world), seed=world)
        whole = images.whole(positional_embedding=self.preset.positional_embedding)
        return whole, self.towers.embed_texts(captions)

    def seen_and_unseen(self) -> SeenAndUnseen:
        n_labelled, split = len(self.labelled.images), self.profile.training_split
        seen = load_miniworld(split, n_labelled, classes="distractors")
        everything = load_miniworld("test", len(self.images), classes="all")
        return SeenAndUnseen(seen.subset(self.labelled.parts["pool"]), self.class_names, everything.labels)

    def more_and_more_seen(self, split: SeenAndUnseen) -> dict[str, LabelledImages]:
        """As for any profile, and then with images of other things, each alone, and their names for labels."""
        found = super().more_and_more_seen(split)
        *_, shown = found.values()  # with all classes
        icons = self.embed_labelled(load_icons(100 if self.smoke else N_ICONS))
        labels = torch.block_diag(shown.labels, icons.labels)
        names = (*shown.class_names, *icons.class_names)
        embeddings = ImageEmbeddings.concatenate([shown.embeddings, icons.embeddings])
        found[f"{len(names)} classes, with icons"] = LabelledImages(names, embeddings, labels)
        return found


@dataclass(frozen=True, eq=False)
class Benchmark(EncodedExperiment):
    """A benchmark of the paper, in a folder that the user has."""

    @cached_property
    def images(self) -> MultiLabelImages:
        return self._load(self.limit)

    @property
    def pairs_left_out(self) -> np.ndarray | None:
        return self.images.difficult

    @property
    def draft_size(self) -> int | None:
        """Side in pixels below which no JPEG draft goes; None for whole images."""
        return self.towers.clip.image_size if self.options.draft else None

    @cached_property
    def labelled(self) -> LabelledPool:
        # In a trial a share, more than of the test split: rare classes have to be among them.
        limit = self.options.limit
        images = self._load(None if limit is None else 20 * limit, split=self.profile.training_split)
        order = np.random.default_rng(self.seed).permutation(len(images))
        n_choice = min(500, len(images) // 5)
        parts = {"pool": order[n_choice:], "choice": order[:n_choice]}
        return LabelledPool(images, parts, self.embed_images, few=False)

    def _load(self, limit: int | None, **split: str) -> MultiLabelImages:
        if self.data is None:
            raise CoMCError(
                f"The images of {self.profile.name} are yours to bring: say where they are by --data DIR, in a "
                "notebook by DATA in its parameters cell. docs/benchmarks.md says where to get them."
            )
        load = _LOADERS[self.profile.name]
        return self.usable(load(self.data, limit=limit, draft_size=self.draft_size, **split))

    def usable(self, images: MultiLabelImages) -> MultiLabelImages:
        """Leave out images that do not open, where that is asked for, and say how many."""
        if not self.options.skip_unreadable:
            return images
        kept = images.readable(progress=True)
        if kept.unreadable:
            print(
                f"{len(kept.unreadable)} of {len(images)} images of {images.name}, split {images.split}, "
                f"do not open and are left out: {name_some(kept.unreadable)}"
            )
        return kept

    def image_text_pairs(self, n_pairs: int, *, seed: int) -> tuple[Tensor, Tensor]:
        rows = draw_pairs(self.profile.name, len(self.images), n_pairs, seed=seed)
        captions = load_captions(self.data, self.images)
        whole = self.image_embeddings.whole(positional_embedding=self.preset.positional_embedding)
        return whole[rows], self.towers.embed_texts([captions[i] for i in rows])


@dataclass(frozen=True, eq=False)
class Coco2014(Benchmark):
    """MS-COCO, of which 48 classes are seen and 17 are not."""

    def as_published(self, method: type[Method]) -> Method:
        return method.on_coco() if method is Sdl else method()

    def seen_and_unseen(self) -> SeenAndUnseen:
        # Images in which an unseen class is labelled would show it, named or not.
        labelled, pool = self.labelled.images, self.labelled.parts["pool"]
        unseen = [self.class_names.index(name) for name in COCO_UNSEEN]
        seen = [self.class_names.index(name) for name in COCO_SEEN]
        rows = np.sort(pool[~labelled.labels[pool][:, unseen].any(axis=1)])
        shown = labelled.subset(rows).of_classes(COCO_SEEN)
        return SeenAndUnseen(shown, COCO_UNSEEN, self.image_labels[:, [*unseen, *seen]])


@dataclass(frozen=True, eq=False)
class NusWide(Benchmark):
    """NUS-WIDE, where Flickr's tags are the seen classes."""

    def as_published(self, method: type[Method]) -> Method:
        return method.on_nuswide() if method in (TaiDpt, DualCoOp) else method()

    def seen_and_unseen(self) -> SeenAndUnseen | None:
        if not (self.data / "NUS_WID_Tags").is_dir():
            return None
        images, labelled = self.images, self.labelled
        n_looked_at = len(images) + len(images.unreadable)
        limit = n_looked_at if self.options.limit or self.smoke else None
        tags = load_nuswide_tags(self.data, "test", limit=limit)
        # As many images to learn from as the labelled ones, which are the same files; none of those on which
        # settings are chosen.
        chosen_on = set(labelled.images.subset(labelled.parts["choice"]).ids)
        seen = load_nuswide_tags(
            self.data, "train", limit=len(labelled.images) if limit else None, draft_size=self.draft_size
        )
        rows = [row for row, name in enumerate(seen.ids) if name not in chosen_on]
        of_tests = tags.labels[tags.rows_of(images.ids)]
        everything = np.concatenate([images.labels, of_tests], axis=1)
        return SeenAndUnseen(self.usable(seen.subset(rows)), self.class_names, everything)


@lru_cache(maxsize=8)
def grammar_sentences(profile: str, n_sentences: int, seed: int, max_labels: int) -> tuple[Record, ...]:
    """Sentences of the grammar, kept, since every preset and backbone of a notebook asks for the same ones."""
    label_set = get_profile(profile).label_set
    label_sets = draw_label_sets(label_set.class_names, n_sentences, seed=seed, max_labels=max_labels)
    written = Grammar(label_set).generate(label_sets, seed=seed)
    return tuple(tqdm(written, total=n_sentences, desc="sentences written", leave=False))
