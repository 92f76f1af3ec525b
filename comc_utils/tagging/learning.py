"""What a tagger learns from text: CoMC's linear layer, the row of each label against the same background."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from comc_utils.baselines.run import learn
from comc_utils.clip.cached import CachedClip
from comc_utils.datasets.image_files import name_some
from comc_utils.errors import CoMCError
from comc_utils.method.classifier import LinearClassifier, train_classifier
from comc_utils.method.comc import CoMC
from comc_utils.method.protocol import LabelledText, Task
from comc_utils.sentences import Record, draw_label_sets, label_matrix
from comc_utils.sentences.common import common_things
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import PROMPT_TEMPLATE, LabelSet
from comc_utils.sentences.nouns import counting, with_article
from comc_utils.sentences.templates import PLAIN_COPIES, template_records
from comc_utils.store.fingerprint import hash_texts
from comc_utils.tagging.against import twins
from comc_utils.tagging.labels import Label

from open_clip import OPENAI_IMAGENET_TEMPLATES  # isort: skip (after the encoders)

BACKGROUND_SENTENCES = 4_000
"""About background words alone; written and embedded once for a model."""
NEGATIVES = 600
"""Of these, as many are held against each label."""
SENTENCES_A_LABEL = 100
"""By default: docs/own_photos.md says how mAP grows with their number."""
THE_LABEL = "= the label itself ="
"""In `own_sentences`; no name begins so."""
COMC_SCALE = 3.0
"""Of CoMC's logits against the background: with it the best threshold on the known drawings is near a score of
0.5."""
ROW_RATE, ROW_EPOCHS = 30.0, 60
"""A label's row has a few hundred sentences, where the preset is made for forty thousand: times its learning
rate, and for so many epochs. Chosen on the known drawings."""


def background_words(background: str | Sequence[str]) -> tuple[str, ...]:
    """Give the words that labels are scored against.

    Parameters
    ----------
    background : {"common", "none"} or sequence of str
        The vocabulary of the package, none, or these words.

    Raises
    ------
    CoMCError
        Another name, or fewer than two words.
    """
    if isinstance(background, str):
        if background not in ("common", "none"):
            raise CoMCError(f"There is no background {background!r}; known: common, none.")
        return common_things() if background == "common" else ()
    if len(background) < 2:
        raise CoMCError(f"The background has {len(background)} words; give two or more, some hundreds at best.")
    return tuple(background)


def check_templates(templates: Sequence[str]) -> None:
    """Refuse templates of prompts that have no place for a label."""
    if not templates:
        raise CoMCError("There is no template for prompts; give one such as 'a photo of {}.'.")
    for template in templates:
        if template.count("{}") != 1:
            raise CoMCError(f"Template {template!r} must have one {{}} where the label goes, article and all.")


def read_templates(path: Path) -> list[str]:
    """Read templates of prompts from a text file (UTF-8), one a line; a `CoMCError` where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CoMCError(f"The templates {path} cannot be read ({error}); give a text file in UTF-8.") from None
    return [line.strip() for line in lines if line.strip()]


def embed_phrases(phrases: Sequence[str], templates: Sequence[str], towers: CachedClip) -> Float[Tensor, "n d"]:
    """Unit vectors of phrases: the mean over their prompts by all templates."""
    prompts = [template.replace("{}", phrase) for phrase in phrases for template in templates]
    embedded = towers.embed_texts(prompts).unflatten(0, (len(phrases), len(templates)))
    return embedded[:, 0] if len(templates) == 1 else normalize(embedded.mean(dim=1), dim=-1)


def learn_comc(
    labels: Sequence[Label],
    words: Sequence[str],
    tensors: Mapping[str, Tensor],
    towers: CachedClip,
    method: CoMC,
    *,
    n_sentences: int,
    corpus: Sequence[Record] | None,
    progress: bool,
) -> tuple[dict[str, Tensor], str]:
    """Learn CoMC's linear layer of the labels, and of the background words behind them.

    Without a background it is learned as the notebooks learn it: from all sentences at once, each label ranked
    with the others.

    Parameters
    ----------
    labels : sequence of Label
    words : sequence of str
        B background words, perhaps none.
    tensors : mapping of str to Tensor
        Prompts of the ``labels`` and of the ``background``.
    towers : CachedClip
    method : CoMC
    n_sentences : int
        That the grammar writes about each label.
    corpus : sequence of Record or None
        In place of the grammar's.
    progress : bool

    Returns
    -------
    tensors : dict of str to Tensor
        ``weight`` [N + B, d] and, where the preset has one, ``bias``.
    what : str
        What was learned from.

    Raises
    ------
    CoMCError
        A corpus without sentences about a label, or one label alone without a background.
    """
    if n_sentences < 1:
        raise CoMCError(f"{n_sentences} sentences a label were asked for; ask for 1 or more.")
    names = [label.name for label in labels]
    if corpus is not None:
        about = Counter(name for record in corpus for name in record.labels)
        if lacking := [name for name in names if not about[name]]:
            raise CoMCError(
                f"The corpus has no sentence about {name_some(lacking)}; write some, or leave the corpus out "
                "for the grammar's."
            )
        others = sorted(set(about) - set(names))
        if others:
            raise CoMCError(
                f"The corpus is about {name_some(others)}, too, which {'are' if len(others) > 1 else 'is'} no "
                "label; add the label, or take a corpus of these labels."
            )
        what = f"{len(corpus):,} of a corpus, SHA-256 {hash_texts(f'{r.text} {r.labels}' for r in corpus)[:16]}"
    else:
        what = f"{n_sentences:,} a label, by the grammar"
    if words:
        background = BackgroundText.of(words, tensors["background"], towers, method)
        rows = learn_rows(
            labels,
            twins(labels, words),
            background,
            towers,
            method,
            n_sentences=n_sentences,
            corpus=corpus,
            progress=progress,
        )
        both = [rows, background.classifier]
        learned = {"weight": torch.cat([part.weight for part in both])}
        if method.preset.bias:
            learned["bias"] = torch.cat([part.bias for part in both])
        return learned, f"{what}; {BACKGROUND_SENTENCES:,} about the background"
    if len(labels) < 2:
        raise CoMCError(
            "CoMC ranks labels, and one alone has none to be ranked with; add a label, or take the background."
        )
    if corpus is None:
        nouns = tuple(label.noun for label in labels)
        sets = draw_label_sets(nouns, n_sentences * len(labels), seed=0, max_labels=method.preset.max_labels)
        name_of = dict(zip(nouns, names, strict=True))
        written = Grammar(LabelSet("labels", nouns, {}), counting=counting).generate(sets, seed=0)
        corpus = [replace(record, labels=tuple(name_of[noun] for noun in record.labels)) for record in written]
    prompts = template_records(names) if method.preset.templates_in_training_text else []
    text = labelled_text([*corpus, *prompts], names, towers)
    task = Task(tuple(names), tensors["labels"], towers.clip.temperature, text, clip=towers.clip)
    learned, _ = learn(method, task, seed=0, cache=towers.cache, progress=progress)
    return dict(learned.tensors), what


def labelled_text(records: Sequence[Record], classes: Sequence[str], towers: CachedClip) -> LabelledText:
    """Embed sentences with their labels, by the frozen text tower.

    Parameters
    ----------
    records : sequence of Record
        M sentences.
    classes : sequence of str
        N names; the records' labels.
    towers : CachedClip

    Returns
    -------
    LabelledText
    """
    fingerprint = hash_texts([*(f"{r.text}\t{r.labels}" for r in records), towers.fingerprint])
    embeddings = towers.embed_texts([record.text for record in records])
    return LabelledText(embeddings, torch.from_numpy(label_matrix(records, classes)), fingerprint)


@dataclass(frozen=True, eq=False)
class BackgroundText:
    """Sentences about background words, and the classifier that they train: the same for all labels.

    Attributes
    ----------
    words : tuple of str
        B names.
    text : LabelledText
        The prompts of the words come after the sentences.
    classifier : LinearClassifier
        Of B rows.
    """

    words: tuple[str, ...]
    text: LabelledText
    classifier: LinearClassifier

    @classmethod
    def of(
        cls, words: Sequence[str], embeddings: Float[Tensor, "n_words d"], towers: CachedClip, method: CoMC
    ) -> BackgroundText:
        """Write the sentences and train on them, or take all of it from the cache.

        Parameters
        ----------
        words : sequence of str
        embeddings : Tensor [B, d]
            Of their prompts.
        towers : CachedClip
        method : CoMC
        """
        sets = draw_label_sets(words, BACKGROUND_SENTENCES, seed=0, max_labels=method.preset.max_labels)
        grammar = Grammar(LabelSet("background", tuple(words), {}), counting=counting)
        records = [*grammar.generate(sets, seed=0), *_prompts(words)]
        text = labelled_text(records, words, towers)
        task = Task(tuple(words), embeddings, towers.clip.temperature, text, clip=towers.clip)
        learned, _ = learn(method, task, seed=0, cache=towers.cache)
        return cls(tuple(words), text, LinearClassifier(**learned.tensors))


def learn_rows(
    labels: Sequence[Label],
    same_words: Shaped[Tensor, "n_labels n_words"],
    background: BackgroundText,
    towers: CachedClip,
    method: CoMC,
    *,
    n_sentences: int = SENTENCES_A_LABEL,
    corpus: Sequence[Record] | None = None,
    progress: bool = False,
) -> LinearClassifier:
    """Train a row for each label, ranked with the background's rows, which stay as they are (eq. 3).

    No label's row depends on the other labels.

    Parameters
    ----------
    labels : sequence of Label
        N labels.
    same_words : Tensor [N, B]
        True where a background word is the label itself.
    background : BackgroundText
    towers : CachedClip
    method : CoMC
    n_sentences : int
        That the grammar writes about each label, at least 1.
    corpus : sequence of Record, optional
        Sentences to take in place of the grammar's; their labels are names of `labels`.
    progress : bool
        Whether to show a bar over the labels.

    Returns
    -------
    LinearClassifier
        Of N rows, on the CPU.
    """
    preset = method.preset
    faster = replace(preset, learning_rate=ROW_RATE * preset.learning_rate, epochs=ROW_EPOCHS)
    chosen = np.random.default_rng(0).permutation(BACKGROUND_SENTENCES)[:NEGATIVES]
    others, of_others = background.text.embeddings[chosen], background.text.labels[chosen].bool()
    fixed = background.classifier
    own = [
        own_sentences(label, same, background.words, n_sentences, preset.max_labels, corpus)
        for label, same in zip(labels, same_words, strict=True)
    ]
    embedded = towers.embed_texts([record.text for records in own for record in records])
    rows, biases, first = [], [], 0
    for records, same in zip(
        tqdm(own, desc="labels", unit="label", disable=not progress), same_words, strict=True
    ):
        x = torch.cat([embedded[first : first + len(records)], others])
        first += len(records)
        named = torch.from_numpy(label_matrix(records, (*background.words, THE_LABEL))).bool()
        # A sentence about a twin is one about the label.
        of_label = torch.cat([named[:, -1], of_others[:, same].any(dim=1)])
        y = torch.cat([torch.cat([named[:, :-1], of_others])[:, ~same], of_label[:, None]], dim=1)
        stays = LinearClassifier(*(None if t is None else t[~same] for t in (fixed.weight, fixed.bias)))
        row, _ = train_classifier(x.to(towers.clip.device), y, faster, seed=0, fixed=stays)
        rows.append(row.weight.cpu())
        biases.append(None if row.bias is None else row.bias.cpu())
    return LinearClassifier(torch.cat(rows), torch.cat(biases) if preset.bias else None)


def own_sentences(
    label: Label,
    same_words: Shaped[Tensor, " n_words"],
    words: Sequence[str],
    n_sentences: int,
    max_labels: int,
    corpus: Sequence[Record] | None = None,
) -> list[Record]:
    """Sentences about a label, alone and with background words, then its prompts.

    Parameters
    ----------
    label : Label
    same_words : Tensor [B]
        Background words that are the label itself.
    words : sequence of str
        The B background words.
    n_sentences : int
    max_labels : int
        That a sentence names, this one included.
    corpus : sequence of Record, optional
        As `learn_rows` takes it.

    Returns
    -------
    list of Record
        Labelled with the words that they name, and `THE_LABEL`.
    """
    rest = tuple(word for word, same in zip(words, same_words.tolist(), strict=True) if not same)
    if corpus is None:
        # Of the label's own: neither its place in a list nor other labels change its sentences.
        seed = zlib.crc32(label.noun.encode())
        rng = np.random.default_rng(seed)
        sizes = rng.integers(0, min(max_labels - 1, len(rest)), size=n_sentences, endpoint=True)
        sets = [(0, *(1 + rng.choice(len(rest), size, replace=False))) for size in sizes]
        grammar = Grammar(LabelSet("label", (label.noun, *rest), {}), counting=counting)
        written = [(record, record.labels[1:]) for record in grammar.generate(sets, seed=seed)]
    else:
        find = LabelSet("background", rest, {}).find
        about = [record for record in corpus if label.name in record.labels]
        written = [(record, tuple(rest[i] for i in sorted(find(record.text)))) for record in about]
    noun = re.sub("^(a|an|the) ", "", label.noun)
    prompts = [PROMPT_TEMPLATE.format(label.phrase)] * PLAIN_COPIES
    prompts += [template(noun) for template in OPENAI_IMAGENET_TEMPLATES]
    return [
        *(replace(record, labels=(THE_LABEL, *others)) for record, others in written),
        *(Record(text, (THE_LABEL,), "prompt templates", "", 0) for text in prompts),
    ]


def _prompts(words: Sequence[str]) -> list[Record]:
    texts = [PROMPT_TEMPLATE.format(with_article(word)) for word in words]
    return [
        Record(text, (word,), "prompt templates", "", 0)
        for text, word in zip(texts, words, strict=True)
        for _ in range(PLAIN_COPIES)
    ]
