"""Reasoning that a language model shows before its answer: marked, whatever the marks, or not.

A mark is a name in brackets, such as ``<think>``, ``[/THINK]`` or ``<|end_of_thought|>``. Names differ from
model to model, so rules go by where marks stand: what a pair of marks at the beginning of a line encloses is
not the answer, nor is anything before a closing mark whose opening one the chat template has kept to itself.
Only marks of formatting, and those around the answer itself, are known by name.
"""

from __future__ import annotations

import re
from itertools import zip_longest

_MARK = re.compile(
    r"(?:<\|?|\[|\{|\u25c1|\u3010)\s*(?P<closes>/|end[_ ]of[_ ]|end[_ :])?"
    r"(?:(?:begin|start)[_ ]of[_ ]|(?:begin|start)[_:])?(?P<name>[a-z][\w:.-]{0,30}(?: [a-z]{2,12})?)"
    r"(?:\s+[\w-]+\s*=[^<>\[\]{}]*)?\s*(?:\|?>|\]|\}|\u25b7|\u3011)",
    re.I,
)
_FORMATTING = re.compile(
    r"[abiuspq]|em|br|hr|li|[uod]l|d[td]|h[1-6]|div|pre|su[bp]|code|font|html|body|span|small|strong|center|inst|sys|"
    r"text|assistant|user|system|start|end|[eb]os|pad|unk|im_start|im_end|eot_id"
)
_ANSWER = re.compile(
    r"(?:final|my|the|short|brief)?[ _-]?"
    r"(?:answer|response|output|caption|sentence|solution|result|reply|description)s?",
    re.I,
)
_THOUGHT = re.compile(
    r".*(?:think|thought|reason|analy[sz]|reflect|scratch|deliberat|plan|monologue|cot|draft|commentary|work).*",
    re.I,
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(?P<name>\w+)[^<]*<\|message\|>(?P<content>.*?)(?=<\|\w+\|>|\Z)", re.S)
# The same where a server has taken the special tokens out: "analysisWe need ...assistantfinalA dog ...".
_BARE_CHANNELS = re.compile(
    r"\A\s*(?:analysis|commentary)(?=[A-Z\"']).*?(?:assistant\s*final\s*(?=\S)|\Z)", re.S
)
_UNUSED_TOKENS = re.compile(r"<unused\d+>\s*thought\b.*?(?:<unused\d+>|\Z)", re.S)
_TIME_TAKEN = re.compile(r"\A[\s#*_>-]*thought for [^\n]{1,30}\n", re.I)
_HEADED = re.compile(
    r"\A[\s#*_>-]*(?:thoughts?|thinking|reasoning|analysis|rationale|plan|scratchpad|chain[- ]of[- ]thought|"
    r"step[- ]by[- ]step|brainstorm\w*)\b[^\n:]{0,30}(?:[:*]|\n)",
    re.I,
)
_ANSWER_HEADING = re.compile(
    r"(?:^|\n|(?<=[.!?])\s)[\s#*_>-]*(?:(?:final|my|the)\s+)?"
    r"(?:answer|sentence|caption|output|response|result)\b[*_ ]*(?::[*_ ]*|\n)",
    re.I,
)
_FEW_WORDS = 4

_LEAD = (
    r"(?:(?:so|okay|ok|alright|all right|hm+|well|now|first(?:ly)?|next|then|wait|right|yes|but|and|also|"
    r"got it)\b[\s,.:;!\u2014-]*)*"
)
_MUSINGS = (
    r"(?:the |this )?user(?:['\u2019]s)? (?:wants?|asks?|asked|needs?|request|said|says|gave|would|provided|"
    r"might|probably|prompt|instruction|is asking|has asked|is requesting)\w*\b",
    r"(?:i|we)(?:['\u2019](?:ll|m|ve|re)| will| am| are| have| should| must| could| can| might| just)* "
    r"(?:need|have to|should|must|think|consider|include|mention|describe|combine|make sure|write|craft|"
    r"come up|asked|been asked|supposed|going to|aim|try|want to|"
    r"to (?:write|make|create|describe|produce|generate))\b",
    r"let(?:['\u2019]s| me| us) (?:think|see|make|write|craft|start|try|consider|break|come|combine|check|"
    r"draft|create|figure|imagine|say|produce|do)\b",
    r"(?:maybe|perhaps|something like|how about|what about|possibly|alternatively)\b[^.]*"
    r"(?:[:\"\u201c]|\b(?:sentence|caption|describe|say|could|like)\b)",
    r"(?:the|my|this|our) (?:task|prompt|instructions?|request|goal|requirement|sentence|caption|response|"
    r"answer|output|description|labels?|keywords?)\b[^.]{0,60}"
    r"\b(?:is to|should|must|needs? to|has to|have to|asks?|says?|requires?|to include)\b",
    r"(?:i|we|it|just|and)?\s*(?:needs?|must|make sure|remember|have|has)(?: to)? "
    r"(?:include|mention|describe|write|be (?:brief|short|one)|produce)\b",
    r"(?:wait|hm+)\b",
)
_MUSING = re.compile(f"{_LEAD}(?:{'|'.join(_MUSINGS)})", re.I)


def without_reasoning(answer: str) -> str:
    """Leave of an answer what follows, or is outside of, the reasoning that is marked as such.

    Parameters
    ----------
    answer : str
        As the model gave it.

    Returns
    -------
    str
        Empty where all of it is reasoning, also where that was cut before its end.
    """
    channels = list(_CHANNEL.finditer(answer))
    if channels:
        *earlier, last = channels
        named_before = last["name"] in {channel["name"] for channel in earlier}
        return "" if named_before or _THOUGHT.fullmatch(last["name"]) else last["content"]
    text = answer
    for pattern in (_BARE_CHANNELS, _UNUSED_TOKENS, _TIME_TAKEN):
        text = pattern.sub("", text)
    text = _without_blocks(text)
    text = _answer_alone(text)
    if _HEADED.match(text):
        headings = list(_ANSWER_HEADING.finditer(text))
        text = text[headings[-1].end() :] if headings else ""
    return text


def is_musing(sentence: str) -> bool:
    """Whether a sentence speaks of the task: of the user, of what is to be included, of a try at it."""
    return bool(_MUSING.match(sentence))


def _without_blocks(text: str) -> str:
    """Take out what marks enclose, the innermost first, and what stands before a closing mark alone."""
    at = 0
    while closing := _next(text, at, closes=True):
        name = _name(closing)
        opening = None
        for mark in _MARK.finditer(text, 0, closing.start()):
            if not mark["closes"] and _name(mark) == name:
                opening = mark
        inside = text[opening.end() : closing.start()] if opening else ""
        starts_line = opening and not text[: opening.start()].rpartition("\n")[2].strip()
        is_word = opening and not starts_line and len(inside.split()) <= _FEW_WORDS and "\n" not in inside
        if is_word and not _THOUGHT.fullmatch(name):
            at = closing.end()
            continue
        start = opening.start() if opening else 0
        text = text[:start] + "\n" + text[closing.end() :]
        at = 0
    opening = _next(text, 0, closes=False)
    while opening:
        if _THOUGHT.fullmatch(_name(opening)):
            return text[: opening.start()]
        opening = _next(text, opening.end(), closes=False)
    return text


def _answer_alone(text: str) -> str:
    """Leave what stands between marks of the answer, where there are any."""
    marks = [mark for mark in _MARK.finditer(text) if _ANSWER.fullmatch(_name(mark))]
    parts = []
    for mark, following in zip_longest(marks, marks[1:]):
        if not mark["closes"]:
            parts.append(text[mark.end() : following.start() if following else len(text)])
    if parts:
        return "\n".join(parts)
    return text[: marks[-1].start()] if marks else text


def _next(text: str, start: int, *, closes: bool) -> re.Match[str] | None:
    for mark in _MARK.finditer(text, start):
        name = _name(mark)
        if bool(mark["closes"]) == closes and not (_FORMATTING.fullmatch(name) or _ANSWER.fullmatch(name)):
            return mark
    return None


def _name(mark: re.Match[str]) -> str:
    return mark["name"].lower()
