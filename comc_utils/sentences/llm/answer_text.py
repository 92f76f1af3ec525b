"""The words and marks by which a language model's answer falls apart into sentences and the rest."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from comc_utils.sentences.llm.reasoning import is_musing, without_reasoning

EMPTY = "empty"
PREAMBLE = "greeting or announcement"
REMARK = "remark or question to the reader"
HEADING = "heading or number alone"
REASONING = "reasoning before the answer"
REFUSAL = "refusal"
ECHO = "echo of the prompt"
FOREIGN_SCRIPT = "other script"
FOREIGN_LANGUAGE = "other language"
TOO_SHORT = "too short"
TOO_LONG = "too long"
REFERS_BACK = "refers back to another sentence"
STRUCTURED = "structured data instead of text"

BESIDE_THE_POINT = (EMPTY, PREAMBLE, REMARK, HEADING, REASONING, ECHO, REFERS_BACK)
"""Fates of pieces that say nothing about why an answer has no sentence, where another piece does."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MARKS = ".!?"
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb\u300c\u300d"

_NUMBER = re.compile(r"\(?\d{1,3}\s*[.):,\uff0e](?!\d)\s*|\(?[a-h]\)\s+|\(?[ivx]{1,4}\)\s+", re.I)
_BULLET = re.compile(r"[-*+\u2013\u2014\u2022\u00b7\u25cf\u25cb\u25aa\u2043]+(?:\s+|(?=[A-Z\"]))|[#>]+\s*")
_PREFIX = re.compile(
    r"(?:(?:an?|the|my|brief|short|simple|possible|example|final|image|photo|picture)\s+)*"
    r"(?:sentence|caption|description|image|photo|picture|scene|answer|output|response|result|"
    r"assistant|example|option|prompt|scenario)s?"
    r"(?:\s+(?:description|caption|sentence|no\.?|number))?"
    r"(?:\s+(?:for|of)\s+(?:the\s+)?(?:\w+\s+)?(?:image|photo|picture))?\s*(?:[#(]?(?:\d{1,3}|[A-H]\b)\)?)?"
    r"\s*(?::|\s[-\u2013\u2014]\s)\s*",
    re.I,
)
_ANNOUNCEMENT = re.compile(
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|yes|great|no problem)\b[^.!?:]{0,40}[,.!:]\s*)?"
    r"(?:here(?:'s|\u2019s| is| are| you are| you go)|this is|these are|the following|below)\b"
    r"[^.:]*(?:\b(?:sentences?|captions?|descriptions?|examples?|options?|scenarios?|you are|you go)\b)"
    r"[^:]*:\s*",
    re.I,
)
_GREETING = re.compile(r"(?:sure|certainly|of course|absolutely|okay|ok|great|no problem|hello|hi)\b", re.I)
_OFFER = re.compile(
    r"(?:i|we)(?:'d|\u2019d|'ll|\u2019ll| can| will| would| could)?\s+(?:be\s+)?"
    r"(?:happy|glad|help|generate|create|provide|describe|write|give)\b",
    re.I,
)
_TO_THE_READER = re.compile(r"[,!.:]*\s+(?:i|we|you|here|let|this|these)\b", re.I)
_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial|large language|language)\b|\blanguage model\b|"
    r"^(?:i(?:'m|\u2019m| am)\s+(?:so\s+|very\s+|really\s+)?(?:sorry|afraid|unable|not able|not sure)|"
    r"sorry\b|my apologies|apologies\b|i apologi[sz]e|unfortunately,? (?:i|it is|there is)\b|"
    r"(?:[^.!?]{0,40}\b)?i (?:cannot|can't|can\u2019t|can not|do not|don't|don\u2019t|am not able|won't) "
    r"(?:\w+ )?(?:help|provide|create|generate|describe|see|view|have|know|understand|write|make|assist|"
    r"fulfill|comply|access))",
    re.I,
)
_REMARK = re.compile(
    r"(?:i hope|hope (?:this|that)|let me know|feel free|please (?:note|let|provide|specify|give|tell|"
    r"keep)|note(?: that)?\b\s*:?|would you like|do you|can you|could you|is there anything|"
    r"if you (?:have|need|would|want)|these (?:sentences|captions|descriptions|are)|thank you|thanks\b|"
    r"you(?:'re| are) welcome|remember(?: that)?\b|explanation\s*:)",
    re.I,
)
_BACK = re.compile(r"(?:they|it|its|it's|he|she|his|her|their|them|these|those|both|all of them)\b", re.I)
_STRUCTURED = re.compile(r"\A\s*(?:```\w*\s*)?(?:\{\s*[\"'\u201c}]|\[\s*[\"'{\[\u201c]|<\?xml\b)")
_SPECIAL_TOKEN = re.compile(
    r"<\|[^|<>]{1,40}\|>|</?s>|\[/?INST\]|<(?:pad|unk|eos|bos)>|</?[a-z]{1,12}\s*/?>", re.I
)
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|\*|__|_|~~|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)\s]*\)")
_FULL_WIDTH = str.maketrans({"\u3002": ". ", "\uff0c": ", ", "\u3001": ", ", "\uff01": "! ", "\uff1f": "? ",
                             "\uff1a": ": ", "\uff1b": "; ", "\uff08": " (", "\uff09": ") "})  # fmt: skip
_FENCE = re.compile(r"\s*```[\w-]*\s*|\s*(?:[-*_=]\s*){3,}")
_INLINE_NUMBER = re.compile(r"(?<=[.!?\"'\u201d:;])\s+(?=\(?\d{1,2}[.)]\s+[\"'\u201c]?[A-Z])")
_SENTENCE_END = re.compile(r"[.!?]+[\"'\u2019\u201d)\]]*\s+(?=[\"'\u2018\u201c(\[]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|mt|vs|jr|sr|prof|no|e\.g|i\.e|etc)|\b[A-Z])\.\s+$", re.I)

_SPACE_BEFORE_MARK = re.compile(r" +([.,!?;:](?:\s|$))")
_ASIDE = re.compile(r"\s*\(\s*(?:image|photo|picture)?\s*(?:description|caption)\s*\)\s*$", re.I)
_YES = re.compile(r"(?:sure|certainly|of course|absolutely|okay|ok)\b[,!.:]\s+(?!i\b|i'|here\b)", re.I)
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk")
_VARIATION_SELECTORS = "\ufe0e\ufe0f"
_ENGLISH = _words(
    "a an the of in on at to by with and or is are was were be being has have near next beside behind "
    "under over its his her their some two three four five several many while as from into this that "
    "there it who which for through inside outside around between against along out up down off where "
    "one each another other"
)
_OTHER_LANGUAGES = _words(
    # Articles, prepositions and the like of German, French, Spanish, Italian, Portuguese and Dutch that are
    # no English words.
    "der das und ein eine einen einem einer ist mit auf dem den im zwei neben le la les un une des du et "
    "avec dans sur est sont deux el los las una con en y del que il lo gli nel sulla di che um uma e com "
    "na no os de het een op van met zijn"
)
_ENDS_NO_SENTENCE = _words(
    "a an the of in on at to by with and or but is are was were has its his her their while as from into "
    "that which who for through next near between under over beside"
)


@dataclass(frozen=True)
class Fragment:
    """A piece of an answer before it is judged as a sentence.

    Attributes
    ----------
    raw : str
        As it was written.
    text : str
        Without numbers, marks and prefixes.
    fate : str
        Why it is no sentence; '' where it may be one.
    repairs : tuple of str
        What was taken away.
    """

    raw: str
    text: str
    fate: str = ""
    repairs: tuple[str, ...] = ()


def split_answer(
    answer: str, *, instruction: str = "", split: bool = True, ended: bool = True
) -> list[Fragment]:
    """Take an answer apart into sentences, or numbered texts, and the rest.

    Parameters
    ----------
    answer : str
    instruction : str
        What was asked.
    split : bool
        Whether several sentences in a row are pieces each.
    ended : bool
        Whether the model ended by itself.

    Returns
    -------
    list of Fragment
        In the answer's order.
    """
    fragments = []
    body = without_reasoning(answer)
    if len(body) < len(answer):
        fragments.append(Fragment("(reasoning)", "", REASONING))
    if _STRUCTURED.match(body):
        return [*fragments, Fragment(body.strip(), "", STRUCTURED)]
    if instruction and instruction.casefold() in body.casefold():
        start = body.casefold().index(instruction.casefold())
        fragments.append(Fragment(instruction, "", ECHO))
        # A mark behind it belongs to it.
        body = body[:start] + "\n" + body[start + len(instruction) :].lstrip(" .:!?\"'")
    lines = [line.strip() for line in re.split(r"[\r\n\u2028\u2029\x85\v\f]+|\\n", body) if line.strip()]
    read = [_read_line(line, instruction, split) for line in lines]
    fragments += _without_musings(read, ended) if split else [part for parts in read for part in parts]
    return fragments or [Fragment("", "", EMPTY)]


def _without_musings(lines: list[list[Fragment]], ended: bool) -> list[Fragment]:
    """Mark as reasoning what a model says to itself before it answers, where no mark tells the two apart.

    What follows on a line of its own is the answer, if the model ended; of the rest nobody can tell.
    """
    parts = [(number, part) for number, line in enumerate(lines) for part in line]
    first = next((part for _, part in parts if part.fate not in (PREAMBLE, HEADING, ECHO)), None)
    if first is None or first.fate != REASONING:
        # Said behind a sentence it is a remark.
        return [replace(part, fate=REMARK) if part.fate == REASONING else part for _, part in parts]
    last = max(number for number, part in parts if part.fate == REASONING)
    return [part if number > last and ended else replace(part, fate=REASONING) for number, part in parts]


def objection(text: str, *, min_words: int, max_words: int, max_foreign_share: float) -> str:
    """Why a text is no English sentence of fitting length; '' where it is one.

    Parameters
    ----------
    text : str
    min_words, max_words : int
    max_foreign_share : float
        In [0, 1], of the letters.

    Returns
    -------
    str
    """
    letters = [char for char in text if char.isalpha()]
    foreign = sum(not unicodedata.name(char, "").startswith("LATIN") for char in letters)
    if letters and foreign / len(letters) > max_foreign_share:
        return FOREIGN_SCRIPT
    words = re.findall(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*", text.lower())
    if len(words) < min_words:
        return TOO_SHORT
    if len(words) > max_words:
        return TOO_LONG
    english = sum(word in _ENGLISH for word in words)
    others = sum(word in _OTHER_LANGUAGES for word in words)
    # A headline such as "Dogs chase cats across parks" has no such word of any language.
    if others > english or (english == 0 and len(words) > 8):
        return FOREIGN_LANGUAGE
    return ""


def is_finished(text: str) -> bool:
    """Whether a text ends with a final mark, perhaps within quotes."""
    return text.rstrip(_QUOTES + ")]").endswith(tuple(_MARKS))


def breaks_off(text: str) -> bool:
    """Whether a text ends with a comma or on a word that ends no sentence."""
    words = text.split()
    return not words or words[-1][-1] in ",;:-" or words[-1].lower() in _ENDS_NO_SENTENCE


def _read_line(line: str, instruction: str, split: bool) -> list[Fragment]:
    if _FENCE.fullmatch(line):
        return [Fragment(line, "", HEADING)]
    fragments = []
    for item in _INLINE_NUMBER.split(line):
        text, repairs = _strip_marks(item)
        parts = _split_sentences(text) if split else [text]
        for position, part in enumerate(parts):
            fragments.append(_classify(item, part, repairs, instruction, position))
            repairs = ()
    return fragments


def _classify(item: str, part: str, repairs: tuple[str, ...], instruction: str, position: int) -> Fragment:
    text, more = _strip_marks(part)
    repairs = (*repairs, *more)
    raw = item if position == 0 else part
    if not any(char.isalpha() for char in text):
        return Fragment(raw, "", HEADING, repairs)
    fate = ""
    if is_musing(text):
        fate = REASONING
    elif _REFUSAL.search(text):
        fate = REFUSAL
    elif _is_echo(text, instruction):
        fate = ECHO
    elif _REMARK.match(text) or text.endswith("?"):
        fate = REMARK
    elif text.endswith(":") or _OFFER.match(text) or _is_greeting(text):
        fate = PREAMBLE
    elif position and _BACK.match(text):
        fate = REFERS_BACK
    return Fragment(raw, text if fate else text[0].upper() + text[1:], fate, repairs)


def _is_greeting(text: str) -> bool:
    match = _GREETING.match(text)
    return bool(match) and (len(text.split()) < 4 or bool(_TO_THE_READER.match(text, match.end())))


def _is_echo(text: str, instruction: str) -> bool:
    def plain(words: str) -> str:
        return " ".join(re.findall(r"\w+", words.casefold()))

    if not instruction:
        return False
    return plain(text) in plain(instruction) or plain(text).startswith(plain(instruction)[:40])


def _strip_marks(text: str) -> tuple[str, tuple[str, ...]]:
    """Take away all that stands around a sentence; say what it was."""
    repairs: list[str] = []

    def take(changed: str, repair: str) -> None:
        nonlocal text
        if changed != text:
            text = changed
            if repair and repair not in repairs:
                repairs.append(repair)

    take(_printable(text), "emoji or control character removed")
    take(_SPECIAL_TOKEN.sub(" ", text), "special token removed")
    if (half_width := text.translate(_FULL_WIDTH)) != text:
        take(_tight(half_width), "full-width marks replaced")
    take(_LINK.sub(r"\1", _PICTURE.sub(" ", text)), "markdown removed")
    before = None
    while before != text:
        before = text
        take(_tight(text), "white space")
        take(_EMPHASIS.sub(r"\2", text), "markdown removed")
        take(text.lstrip("*_#~ ") if text[:2] in ("**", "__", "~~") else text, "markdown removed")
        take(_without(_BULLET, text), "bullet removed")
        take(_without(_NUMBER, text), "number removed")
        take(_unquoted(text), "quotes removed")
        # An announcement alone stays, to be counted as what it is.
        take(_without(_ANNOUNCEMENT, text) or text, "announcement removed")
        take(_without(_YES, text) or text, "announcement removed")
        take(_without(_PREFIX, text), "prefix removed")
        take(_ASIDE.sub("", text), "remark in brackets removed")
    return text, tuple(repairs)


def _tight(text: str) -> str:
    return _SPACE_BEFORE_MARK.sub(r"\1", " ".join(text.split()))


def _without(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.match(text)
    return text[match.end() :] if match else text


def _printable(text: str) -> str:
    # A symbol parts words; a joiner or a control character may stand within one. Degrees are text.
    kept = []
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if char in "\t\u00b0" or (category not in _UNPRINTABLE and char not in _VARIATION_SELECTORS):
            kept.append(char)
        elif category == "So":
            kept.append(" ")
    return "".join(kept)


def _unquoted(text: str) -> str:
    stripped = text.strip()
    inner = stripped.strip(_QUOTES)
    opened = stripped[:1] in _QUOTES and bool(stripped)
    closed = stripped[-1:] in _QUOTES and bool(stripped)
    if opened and closed:
        return inner.strip()
    # A full stop behind the closing quote.
    if opened and len(stripped) > 2 and stripped[-1] in _MARKS and stripped[-2] in _QUOTES:
        return stripped[:-1].strip(_QUOTES).rstrip(_MARKS) + stripped[-1]
    # One quote alone belongs to nothing, except an apostrophe at the end.
    if (opened or (closed and stripped[-1] not in "'\u2019")) and not any(
        quote in inner for quote in '"\u201c\u201d'
    ):
        return inner.strip()
    return text


def _split_sentences(text: str) -> list[str]:
    parts, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[start : end.end()]):
            parts.append(text[start : end.end()].strip())
            start = end.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part] or [text]
