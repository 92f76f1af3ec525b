"""Answers of language models, taken apart: one rule after the other, then whole corpora."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comc_utils.errors import CoMCError
from comc_utils.sentences import comc_instruction
from comc_utils.sentences.labels import COCO, VOC2007
from comc_utils.sentences.llm import CleaningPolicy, clean_answers
from comc_utils.sentences.llm.answers import Answered
from comc_utils.sentences.llm.fates import CleanedAnswer

LABELS = ("dog", "sofa")
CLEAN = "A dog sleeps on the sofa."


def clean(answer: str, *labels: str, stopped_by: str = "stop", **policy):
    wanted = labels or LABELS
    answered = Answered(0, 0, wanted, comc_instruction(wanted), answer, stopped_by)
    records, report = clean_answers(
        [answered], label_set=VOC2007, generator="m", seed=0, policy=CleaningPolicy(**policy)
    )
    cleaned = CleanedAnswer(report.fates[0].pieces)
    assert [record.text for record in records] == list(cleaned.sentences)
    assert report.fates[0].fate == cleaned.fate
    return cleaned


def fates(answer: str, *labels: str, **options) -> list[str]:
    return [piece.fate for piece in clean(answer, *labels, **options).pieces]


@pytest.mark.parametrize(
    ("answer", "repair"),
    [
        (CLEAN, None),
        (f"1. {CLEAN}", "number removed"),
        (f"2) {CLEAN}", "number removed"),
        (f"(3) {CLEAN}", "number removed"),
        (f"a) {CLEAN}", "number removed"),
        (f"1.{CLEAN}", "number removed"),
        (f"- {CLEAN}", "bullet removed"),
        (f"* {CLEAN}", "bullet removed"),
        (f"• {CLEAN}", "bullet removed"),
        (f"> {CLEAN}", "bullet removed"),
        (f"- 1. {CLEAN}", "number removed"),
        (f'"{CLEAN}"', "quotes removed"),
        (f"“{CLEAN}”", "quotes removed"),
        (f"'{CLEAN}'", "quotes removed"),
        (f'"{CLEAN[:-1]}".', "quotes removed"),
        (f'"{CLEAN}', "quotes removed"),
        (f'1. "{CLEAN}"', "quotes removed"),
        (f"Sentence: {CLEAN}", "prefix removed"),
        (f"Caption 2: {CLEAN}", "prefix removed"),
        (f"Image description: {CLEAN}", "prefix removed"),
        (f"Example sentence - {CLEAN}", "prefix removed"),
        (f"3. image3: {CLEAN}", "prefix removed"),
        (f"**Caption:** {CLEAN}", "prefix removed"),
        (f"Description of the first image: {CLEAN}", "prefix removed"),
        (f"{CLEAN} (image description)", "remark in brackets removed"),
        (f"Here is a sentence: {CLEAN}", "announcement removed"),
        (f'Sure, here\'s a brief sentence for it: "{CLEAN}"', "announcement removed"),
        (f"Certainly! {CLEAN}", "announcement removed"),
        (f"**{CLEAN}**", "markdown removed"),
        ("A *dog* sleeps on the `sofa`.", "markdown removed"),
        (f"# {CLEAN}", "bullet removed"),
        ("A [dog](http://x.org/a) sleeps on the sofa.", "markdown removed"),
        ("  A  dog\tsleeps on the sofa. ", "white space"),
        ("A dog\u00a0sleeps on the sofa .", "white space"),
        ("A dog sleeps on the sofa 🐶.", "emoji or control character removed"),
        ("A dog 🐶 sleeps on the sofa.", "emoji or control character removed"),
        ("A d\u200bog\x07 sleeps on the sofa.", "emoji or control character removed"),
        (f"{CLEAN}<|im_end|>", "special token removed"),
        ("A dog sleeps on the sofa。", "full-width marks replaced"),
        ("A dog sleeps on the sofa", "full stop added"),
        ("a dog sleeps on the sofa.", None),
    ],
)
def test_what_stands_around_a_sentence_is_taken_away(answer: str, repair: str | None) -> None:
    cleaned = clean(answer)
    assert cleaned.sentences == (CLEAN,)
    assert cleaned.fate == "names its labels and no other class"
    (piece,) = (piece for piece in cleaned.pieces if piece.kept)
    assert repair is None or repair in piece.repairs


@pytest.mark.parametrize(
    "text",
    [
        "The sign says 'No dogs' above the sofa.",
        '"No dog" and "no cat" stand above the sofa.',
        "The dogs' sofa is 2.5 m long.",
        "Mr. Lee's dog and Dr. Wu's sofa fit.",
        "3 dogs share a sofa at 20 °C.",
        "A dog (brown) waits by the sofa!",
        "Café dogs rest on a sofa.",
        "On the sofa - a dog.",
        "Over there: a dog on a sofa.",
        "A well-known dog sits on a snow_white sofa.",
    ],
)
def test_what_belongs_to_a_sentence_stays(text: str) -> None:
    assert clean(text).sentences == (text,)


@pytest.mark.parametrize(
    ("piece", "fate"),
    [
        ("Sure!", "greeting or announcement"),
        ("Sure, here are four sentences:", "greeting or announcement"),
        ("Of course, I can help you with that.", "greeting or announcement"),
        ("Sure, I'll do my best with dogs.", "greeting or announcement"),
        ("I'd be happy to write a sentence.", "greeting or announcement"),
        ("Here you go:", "greeting or announcement"),
        ("I hope this helps!", "remark or question to the reader"),
        ("Let me know if you need more.", "remark or question to the reader"),
        ("Note that the dog is invented.", "remark or question to the reader"),
        ("Which dog do you mean?", "remark or question to the reader"),
        ("Image 1:", "heading or number alone"),
        ("3.", "heading or number alone"),
        ("---", "heading or number alone"),
        ("```text", "heading or number alone"),
        ("![a dog](http://x.org/dog.png)", "heading or number alone"),
        ("As an AI language model, I cannot see the dog.", "refusal"),
        ("I'm sorry, but the dog is beyond me.", "refusal"),
        ("I cannot describe a photo of a dog.", "refusal"),
        ("Unfortunately, I do not have the photo.", "refusal"),
        ("一只狗在沙发上。", "other script"),
        ("A dog sleeps on the 沙发.", "other script"),
        ("Собака спит на диване.", "other script"),
        ("Ein Hund schläft auf dem Sofa.", "other language"),
        ("Un chien dort sur le canapé.", "other language"),
        ("Un perro duerme en el sofá.", "other language"),
        ("Kissa nukkuu sohvalla koska ulkona sataa lunta koko talven.", "other language"),
        ("A dog.", "too short"),
        ("A dog and " * 40 + "a sofa.", "too long"),
    ],
)
def test_what_is_no_sentence(piece: str, fate: str) -> None:
    assert fates(f"{piece}\n{CLEAN}") == [fate, "names its labels and no other class"]
    assert clean(f"{piece}\n{CLEAN}").sentences == (CLEAN,)
    assert clean(piece).fate == fate
    assert clean(piece).sentences == ()


@pytest.mark.parametrize("answer", ["", "  \n\t", "\u200b", "🐶"])
def test_nothing(answer: str) -> None:
    assert clean(answer).sentences == ()
    assert clean(answer).fate in ("empty", "heading or number alone")


def test_reasoning_is_left_out() -> None:
    assert clean(f"<think>A dog on a sofa.\nOr so.</think>\n{CLEAN}").sentences == (CLEAN,)
    assert clean("<think>A dog on a sofa, that is").fate == "reasoning before the answer"


def test_echo_of_the_prompt() -> None:
    prompt = comc_instruction(LABELS)
    for echo in (f"{prompt}. {CLEAN}", f"{prompt}\n\n{CLEAN}", f'"{prompt.lower()}": {CLEAN}'):
        assert clean(echo).sentences == (CLEAN,)
    assert clean(prompt).fate == "echo of the prompt"
    reworded = "Please make a brief sentence to describe a photo that contains a dog and also a sofa."
    assert clean(reworded).fate == "echo of the prompt"


def test_last_sentence_cut_short() -> None:
    cut = "A dog sleeps on the sofa while"
    assert clean(cut, stopped_by="length").fate == "cut short"
    assert clean("A dog sleeps on the sofa", stopped_by="length").fate == "cut short"
    assert clean("A dog sleeps on the sofa", stopped_by="").fate == "cut short"
    assert clean(cut, stopped_by="stop").fate == "cut short"
    assert clean(CLEAN, stopped_by="length").sentences == (CLEAN,)
    # Only the end of an answer can be cut: what stands before is a caption without a full stop.
    assert clean(f"{cut[:-6]}\nA dog and", stopped_by="length").sentences == (CLEAN,)
    kept = clean(cut, stopped_by="length", cut_short="keep")
    assert kept.sentences == (cut,)
    assert kept.pieces[0].repairs == ("cut short",)


def test_first_of_the_best() -> None:
    listed = [
        "A quiet room.",
        "The sofa is red.",
        "A person pets a dog on a sofa.",
        "A dog chews a sofa.",
        "A dog naps on a sofa.",
    ]
    answer = "\n".join(f"{number}. {text}" for number, text in enumerate(listed, start=1))
    assert clean(answer).sentences == ("A dog chews a sofa.",)
    assert clean("\n".join(listed[:3])).sentences == ("A person pets a dog on a sofa.",)
    assert clean("\n".join(listed[:2])).sentences == ("The sofa is red.",)
    assert clean(answer, sentences="all").sentences == tuple(listed)
    assert fates(answer).count("another sentence of the answer was taken") == 4
    assert clean(answer, sentences="all", missing_labels="drop").sentences == tuple(listed[2:])
    assert clean(" ".join(answer.split("\n"))).sentences == ("A dog chews a sofa.",)


def test_several_sentences_on_a_line() -> None:
    answer = "A dog is here. It lies on the sofa. The sofa is red."
    assert clean(answer).sentences == ("A dog is here.",)
    assert fates(answer)[1] == "refers back to another sentence"
    assert clean(answer, paragraphs="keep").sentences == (answer,)


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("A dog sleeps on the couch.", "names its labels and no other class"),
        ("A dog and a cat share the sofa.", "names its labels and other classes"),
        ("A dog sleeps on the rug.", "names some of its labels"),
        ("A quiet street at night.", "names none of its labels"),
    ],
)
def test_labels_that_are_named(text: str, fate: str) -> None:
    assert clean(text).fate == fate
    assert clean(text).sentences == (text,)
    names_all = "its labels and" in fate
    assert clean(text).names_its_labels == names_all
    for missing in ("drop", "ask-again"):
        assert bool(clean(text, missing_labels=missing).sentences) == names_all
        assert clean(text, missing_labels=missing).fate == fate
    kept = clean(text, other_labels="drop").sentences
    assert bool(kept) == ("other classes" not in fate)


def test_label_of_another_set() -> None:
    with pytest.raises(CoMCError, match="'giraffe' is no class of VOC2007"):
        clean(CLEAN, "giraffe")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"sentences": "some"}, "sentences is 'some'; choose among first, all"),
        ({"paragraphs": "join"}, "paragraphs is 'join'"),
        ({"missing_labels": "ask"}, "missing_labels is 'ask'"),
        ({"other_labels": "x"}, "other_labels is 'x'"),
        ({"cut_short": "x"}, "cut_short is 'x'"),
        ({"duplicates": "x"}, "duplicates is 'x'"),
        ({"attempts": 0}, "has 0 attempts"),
        ({"min_words": 0}, "0 to 60 words"),
        ({"min_words": 9, "max_words": 8}, "9 to 8 words"),
        ({"max_foreign_share": 1.5}, "max_foreign_share is 1.5"),
    ],
)
def test_policies_that_cannot_be(policy: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=f"The cleaning policy.*{message}"):
        CleaningPolicy(**policy)


def test_foreign_letters_may_be_allowed() -> None:
    text = "A dog named Шарик sleeps on the sofa."
    assert clean(text).fate == "other script"
    assert clean(text, max_foreign_share=0.2).sentences == (text,)


@given(st.text() | st.lists(st.sampled_from([CLEAN, "1.", '"', "**", "Sure", ":", "\n", " "])).map("".join))
def test_any_text_has_a_fate(answer: str) -> None:
    cleaned = clean(answer)
    assert cleaned.pieces
    assert cleaned.fate
    assert all(sentence.strip() for sentence in cleaned.sentences)
    # A second cleaning finds nothing more to do.
    for sentence in cleaned.sentences:
        assert clean(sentence).sentences == (sentence,)


# Corpora


def answered(index: int, answer: str, *labels: str, attempt: int = 0) -> Answered:
    labels = labels or LABELS
    return Answered(index, attempt, labels, comc_instruction(labels), answer, "stop")


def corpus(*answers: Answered, **policy):
    return clean_answers(answers, label_set=VOC2007, generator="m", seed=3, policy=CleaningPolicy(**policy))


def test_corpus_is_in_order_and_complete() -> None:
    records, report = corpus(
        answered(2, "A cat yawns widely.", "cat"), answered(0, CLEAN), answered(1, "Sorry.")
    )
    assert [(record.text, record.labels) for record in records] == [
        (CLEAN, LABELS),
        ("A cat yawns widely.", ("cat",)),
    ]
    assert (records[0].generator, records[0].seed) == ("m", 3)
    assert records[0].prompt == comc_instruction(LABELS)
    assert [(fate.index, fate.fate) for fate in report.fates] == [
        (0, "names its labels and no other class"),
        (1, "refusal"),
        (2, "names its labels and no other class"),
    ]
    assert report.rows() == [
        ("answers", "names its labels and no other class", 2),
        ("answers", "refusal", 1),
        ("pieces", "names its labels and no other class", 2),
        ("pieces", "refusal", 1),
    ]


def test_duplicates() -> None:
    same = [answered(0, CLEAN), answered(1, CLEAN.upper()), answered(2, f"{CLEAN[:-1]}!")]
    records, report = corpus(*same)
    assert [record.text for record in records] == [CLEAN]
    assert report.answers["repeats another sentence"] == 2
    records, report = corpus(*same, duplicates="keep")
    assert len(records) == 3
    assert report.repairs["repeats another sentence"] == 2
    # The next sentence of the answer takes the place of one that is there already.
    records, _ = corpus(answered(0, CLEAN), answered(1, f"1. {CLEAN}\n2. A dog eats a sofa."))
    assert [record.text for record in records] == [CLEAN, "A dog eats a sofa."]


def test_attempts_count_as_one_answer() -> None:
    attempts = [
        answered(0, "A quiet street at night."),
        answered(0, CLEAN, attempt=1),
        answered(1, "A quiet street at dawn."),
        answered(1, "The dog is alone at home.", attempt=1),
    ]
    records, report = corpus(*attempts)
    assert [record.text for record in records] == [CLEAN, "The dog is alone at home."]
    assert report.answers["asked again"] == 2
    records, report = corpus(*attempts, missing_labels="ask-again")
    assert [record.text for record in records] == [CLEAN]
    assert report.answers["names some of its labels"] == 1


def test_real_answers_of_chatglm(real_data: Path) -> None:
    lines = (real_data / "chatglm_sentences" / "captions_3000.jsonl").read_text("utf-8")
    entries = [json.loads(line) for line in lines.splitlines()]
    answers = [
        Answered(i, 0, tuple(entry["labels"]), "", "\n".join(entry["captions"]))
        for i, entry in enumerate(entries)
    ]
    records, report = clean_answers(answers, label_set=COCO, generator="ChatGLM-6B", seed=0)
    assert report.answers.total() == 3000
    assert len(records) > 2950
    share = report.answers["names its labels and no other class"] / 3000
    assert 0.42 < share < 0.45
    at_least = share + report.answers["names its labels and other classes"] / 3000
    assert 0.85 < at_least < 0.88
    for record in records:
        assert record.text[0].isupper() or not record.text[0].isalpha()
        assert record.text.isascii() or all(ord(char) < 0x2100 for char in record.text)
        assert not record.text.lower().startswith(("sure", "here are", "image 1", "1."))
        assert "\n" not in record.text
