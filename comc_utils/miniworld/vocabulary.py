"""A small byte-pair vocabulary for the embedded models' text towers.

OpenAI's 49,408 tokens would be most of a small model's weights. The merges here are learned from the
words of captions, of grammar sentences and of the grammar's lexicon; any other word still
tokenizes, into letters and fragments.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comc_utils.clip.torchvision_ops import ensure_torchvision_imports
from comc_utils.miniworld.captions import write_caption
from comc_utils.miniworld.scenes import sample_scene
from comc_utils.sentences import lexicon
from comc_utils.sentences.grammar import Grammar
from comc_utils.sentences.labels import VOC2007

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

VOCABULARY = Path(__file__).parent / "vocabulary.txt.gz"
CONTEXT_LENGTH = 64
HEADER = "#version: comc miniworld"
# As open_clip splits ASCII text: words, single digits, runs of marks.
_WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")


def tokenizer() -> SimpleTokenizer:
    """open_clip's byte-pair tokenizer with the embedded world's own merges."""
    ensure_torchvision_imports()
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(bpe_path=str(VOCABULARY), context_length=CONTEXT_LENGTH)


def learn_merges(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges until every word of the texts is one token.

    Parameters
    ----------
    texts : iterable of str
        ASCII texts.

    Returns
    -------
    list of (str, str)
        Pairs in the order of learning: the most frequent first, ties in alphabetical order.

    References
    ----------
    Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", ACL 2016.
    """
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    merges = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, symbols in words.items():
            words[word] = _merged(symbols, best)


def write_vocabulary(path: Path, merges: Iterable[tuple[str, str]]) -> None:
    """Write merges as open_clip's SimpleTokenizer reads them (gzip without a time stamp)."""
    text = "\n".join([HEADER, *(" ".join(pair) for pair in merges)])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    result: list[str] = []
    for symbol in symbols:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return result


def vocabulary_texts(n_texts: int = 20_000) -> Iterator[str]:
    """Texts from which the embedded vocabulary is learned: captions, grammar sentences, the lexicon."""
    grammar = Grammar(VOC2007)
    n_classes = len(VOC2007.class_names)
    for index in range(n_texts):
        rng = np.random.default_rng(index)
        yield write_caption(sample_scene(0, "vocabulary", index), rng)[0]
        drawn = rng.choice(n_classes, size=rng.integers(1, 6), replace=False)
        yield grammar.sentence([VOC2007.class_names[i] for i in drawn], rng)
    for table in (lexicon.KINDS, lexicon.ADJECTIVES, lexicon.ACTIONS):
        for words in table.values():
            yield " ".join(sorted(words))
    for words in (lexicon.PLACES, lexicon.LIGHTS, lexicon.OPENINGS, lexicon.RELATIONS):
        yield " ".join(words)
