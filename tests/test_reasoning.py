"""Answers of models that reason first, and the look at the first of them before the rest is paid for."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from language_model_server import LanguageModelServer, running_server, sentence

from comc_utils.cli import main
from comc_utils.sentences import read_corpus
from comc_utils.sentences.labels import VOC2007
from comc_utils.sentences.llm.answers import Answered
from comc_utils.sentences.llm.cleaning import clean_answers
from comc_utils.sentences.llm.reasoning import is_musing, without_reasoning

ANSWER = "A dog sleeps on the sofa."
THOUGHTS = "The user wants a short sentence with dog and sofa.\nOkay, maybe: a dog on a sofa."
LABELS = ("dog", "sofa")


def kept(answer: str, stopped_by: str = "stop") -> tuple[list[str], str]:
    """Give the sentences that are kept of an answer, and what became of it."""
    answered = Answered(index=0, attempt=0, labels=LABELS, prompt="", answer=answer, stopped_by=stopped_by)
    records, report = clean_answers([answered], label_set=VOC2007, generator="model", seed=0)
    return [record.text for record in records], report.fates[0].fate


@pytest.mark.parametrize(
    "marked",
    [
        "<think>{}</think>", "<thinking>{}</thinking>", "<THINK>\n{}\n</THINK>\n\n", "[THINK]{}[/THINK]",
        "<|begin_of_thought|>{}<|end_of_thought|>\n", "<seed:think>{}</seed:think>",
        "\u25c1think\u25b7{}\u25c1/think\u25b7",
        "<reflection type=\"inner\">{}</reflection>", "<zxqv>{}</zxqv>\n", "{{musing}}{}{{/musing}}",
        "{}</think>", "{}\n</zxqv>\n", "{}[/THINK]", "{}<|end_of_thought|>", "<think>{}</thinking>",
        "<think>a<think>{}</think>b</think>", "<think>{}</think><think>again</think>",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|channel|>analysis<|message|>{}<|end|><|channel|>commentary<|message|>x<|end|><|channel|>final<|message|>",
        "analysis{}assistantfinal", "<unused94>thought\n{}<unused95>", "Reasoning: {}\n\nFinal answer: ",
        "**Thinking**\n{}\n\n**Answer:** ", "Thought for 4 seconds\n\n", "Sure!\n<plan>{} We go on.</plan>\n",
        "<details><summary>Thoughts</summary>{}</details>\n", "{}\n\n",
    ],
)  # fmt: skip
def test_only_the_answer_is_kept_whatever_marks_the_reasoning(marked: str) -> None:
    assert kept(marked.format(THOUGHTS) + ANSWER)[0] == [ANSWER]


@pytest.mark.parametrize(
    "enclosed",
    ["<answer>{}</answer>", "<think>x</think><final_answer>{}</final_answer>", "{}</s>", "{}<|im_end|>",
     "{}</answer>", "<caption>{}</caption>", "<|begin_of_solution|>{}<|end_of_solution|>", "[INST] [/INST] {}",
     "<p>{}</p>",
     "{}\n<think>Was that what I was asked for? It may be.</think>"],
)  # fmt: skip
def test_marks_of_the_answer_itself_enclose_the_answer(enclosed: str) -> None:
    assert kept(enclosed.format(ANSWER))[0] == [ANSWER]


@pytest.mark.parametrize(
    "answer", ["A <b>dog</b> sleeps on the <i>sofa</i>.", "A <obj>dog</obj> sleeps on the [sofa]."]
)
def test_marks_within_a_sentence_are_no_reasoning(answer: str) -> None:
    (text,) = kept(answer)[0]
    assert text.replace("[", "").replace("]", "") == ANSWER


@pytest.mark.parametrize(
    "cut",
    ["<think>{}", "[THINK]{}", "{}", "<|channel|>analysis<|message|>{}", "analysis{}", "Reasoning:\n{}",
     "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>analysis<|message|>more"],
)  # fmt: skip
def test_reasoning_that_was_cut_is_no_sentence(cut: str) -> None:
    assert kept(cut.format(f"{THOUGHTS} {ANSWER} The"), "length") == ([], "reasoning before the answer")


def test_a_remark_behind_a_sentence_leaves_the_sentence() -> None:
    assert kept(f"{ANSWER} I should include more dogs.")[0] == [ANSWER]
    assert kept(f"{ANSWER}\nLet me think of another.", "length")[0] == [ANSWER]


@pytest.mark.parametrize(
    "text",
    ["A user types on a laptop.", "We see a dog.", "Perhaps the dog is hungry.", "First, a dog runs.",
     "Now it sleeps.", "The labels are on the bottle.", "People need to cross the road.", "I have a dog.",
     "The task is hard."],
)  # fmt: skip
def test_what_a_caption_may_say_is_no_musing(text: str) -> None:
    assert not is_musing(text)


def test_what_has_no_reasoning_stays_as_it_is() -> None:
    for text in (
        ANSWER,
        f"1. {ANSWER}\n2. A [dog](http://x.org/a).",
        "[1] A dog.",
        "{dog} on a sofa",
        "Answer: A dog.",
    ):
        assert without_reasoning(text) == text


@pytest.mark.parametrize(
    "data",
    ['{"sentence": "A dog sleeps on the sofa."}', '```json\n["A dog sleeps on the sofa."]\n```', '{"sen', "[{"],
)
def test_structured_data_is_no_text(data: str) -> None:
    assert kept(data) == ([], "structured data instead of text")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LanguageModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verydistinctive-0123456789abcdef")
    with running_server() as server:
        yield server


def words(server: LanguageModelServer, path: Path, n: int, *more: str) -> list[str]:
    command = [
        "write-sentences",
        "--labels",
        "voc2007",
        "--model",
        "tiny",
        "--to",
        str(path),
        "--base-url",
        server.url,
    ]
    return [
        *command,
        "--sentences",
        str(n),
        "--first-wait",
        "0.001",
        "--timeout",
        "5",
        "--concurrency",
        "64",
        *more,
    ]


UNUSABLE = {
    "cut in tags": (lambda prompt, n: f"<think>{THOUGHTS}", "length", "--max-tokens"),
    "cut without tags": (
        lambda prompt, n: f"Okay, the user wants a photo. {sentence(prompt, n)} So",
        "length",
        "--max-tokens",
    ),
    "nothing": (lambda prompt, n: None, "length", "--max-tokens"),
    "structured": (lambda prompt, n: json.dumps({"sentence": sentence(prompt, n)}), "stop", "response_format"),
    "off topic": (lambda prompt, n: f"A cloud number {n} is over a hill.", "stop", "--model"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_twenty_unusable_answers_are_the_last(
    kind: str, server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, reason, remedy = UNUSABLE[kind]
    server.message = lambda prompt, number: ({"content": answer(prompt, number), "reasoning": THOUGHTS}, reason)
    for _ in range(2):  # on resuming, too, and then for nothing
        assert main(words(server, tmp_path / "c.jsonl", 3000)) == 2
        assert len(server.requests) == 20
        printed = capsys.readouterr()
        assert "A look at 20 answers: 20 " in printed.out and len(printed.out.splitlines()) == 4
        assert "20 of the last 20 answers of tiny are of no use" in printed.err and remedy in printed.err
    assert not (tmp_path / "c.jsonl").exists()
    assert main(words(server, tmp_path / "c.jsonl", 25, "--force")) in (0, 2)
    assert len(server.requests) == 25


def test_answers_that_become_unusable_later_stop_the_run(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.message = lambda prompt, n: ({"content": sentence(prompt, n) if n < 200 else "{}"}, "stop")
    assert main(words(server, tmp_path / "c.jsonl", 3000)) == 2
    assert 250 < len(server.requests) < 450
    assert "answers of tiny are of no use" in capsys.readouterr().err


def kinds() -> dict[str, Callable[[str, int], tuple[dict, str]]]:
    """Ten kinds of answers: message and reason of the end."""
    thoughts = THOUGHTS
    first, second = (f"<|channel|>{name}<|message|>" for name in ("analysis", "final"))
    return {
        "good": lambda p, n: ({"content": sentence(p, n)}, "stop"),
        "lone closing tag": lambda p, n: ({"content": f"{thoughts}</think>\n{sentence(p, n)}"}, "stop"),
        "square brackets": lambda p, n: ({"content": f"[THINK]{thoughts}[/THINK]{sentence(p, n)}"}, "stop"),
        "unknown tag": lambda p, n: ({"content": f"<mull>{thoughts}</mull>\n{sentence(p, n)}"}, "stop"),
        "separate field": lambda p, n: ({"content": sentence(p, n), "reasoning_content": thoughts}, "stop"),
        "cut": lambda p, n: ({"content": f"{thoughts} The photo of a"}, "length"),
        "structured": lambda p, n: ({"content": json.dumps({"sentence": sentence(p, n)})}, "stop"),
        "refused": lambda p, n: ({"content": None, "refusal": "I'm sorry, I cannot help."}, "stop"),
        "empty": lambda p, n: ({"content": None, "reasoning_content": thoughts}, "length"),
        "channels": lambda p, n: ({"content": f"{first}{thoughts}<|end|>{second}{sentence(p, n)}"}, "stop"),
    }


def test_of_two_thousand_answers_of_ten_kinds_only_sentences_are_left(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, of_kind = list(kinds()), kinds()
    drawn = random.Random(0).choices(names, weights=[3, *[1] * 9], k=10_000)
    given: dict[str, str] = {}

    def message(prompt: str, number: int) -> tuple[dict, str]:
        if drawn[number] in (
            "good",
            "lone closing tag",
            "square brackets",
            "unknown tag",
            "separate field",
            "channels",
        ):
            given[sentence(prompt, number)] = drawn[number]
        return of_kind[drawn[number]](prompt, number)

    server.message = message
    assert main(words(server, tmp_path / "c.jsonl", 2000, "--force")) == 0
    texts = [record.text for record in read_corpus(tmp_path / "c.jsonl")]
    assert set(texts) <= set(given)
    found, wanted = Counter(given[text] for text in texts), Counter(given.values())
    for kind, count in wanted.items():
        assert found[kind] >= 0.98 * count, kind
    printed = capsys.readouterr().out
    for fate in ("reasoning before the answer", "structured data instead of text", "refusal", "tokens used up"):
        assert fate in printed
