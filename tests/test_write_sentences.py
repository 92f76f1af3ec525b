"""A corpus by a language model: journal, faults, kills, budgets, and the command."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from language_model_server import FAULTS, LanguageModelServer, running_server, sentence

from comc_utils.cli import main
from comc_utils.errors import CoMCError
from comc_utils.sentences import comc_instruction, draw_label_sets, read_corpus
from comc_utils.sentences.labels import VOC2007
from comc_utils.sentences.llm.answers import Answer, PassingFaultError
from comc_utils.sentences.llm.asking import Budget, Patience
from comc_utils.sentences.llm.cleaning import CleaningPolicy
from comc_utils.sentences.llm.journal import Journal, Origin
from comc_utils.sentences.llm.writing import write_sentences

KEY = "sk-verydistinctive-0123456789abcdef"
SOON = Patience(tries=10, first_wait=0.001, longest_wait=0.01)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LanguageModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running_server() as server:
        yield server


def words(server: LanguageModelServer, path: Path, n: int, *more: str) -> list[str]:
    command = ["write-sentences", "--labels", "voc2007", "--model", "tiny", "--to", str(path)]
    quick = ["--first-wait", "0.001", "--timeout", "0.4", "--tries", "20"]
    return [*command, "--base-url", server.url, "--sentences", str(n), *quick, *more]


def test_sentences_about_labels_of_one_s_own(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("dog\njogger = a person jogging\n")
    command = words(server, tmp_path / "own.jsonl", 4)
    command[command.index("voc2007")] = str(labels)
    assert main(command) == 0
    written = read_corpus(tmp_path / "own.jsonl")
    assert {name for record in written for name in record.labels} <= {"dog", "jogger"}
    command[command.index(str(labels))] = "voc2008"
    assert main(command) == 2
    assert "--labels voc2008: neither voc2007, coco2014 or nuswide, nor a text file" in capsys.readouterr().err


def label_names(n: int) -> list[tuple[str, ...]]:
    drawn = draw_label_sets(VOC2007.class_names, n, seed=0)
    return [tuple(VOC2007.class_names[i] for i in labels) for labels in drawn]


def journal_lines(path: Path) -> list[dict[str, Any]]:
    text = path.with_name(f"{path.stem}.answers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[1:-1]]


class Scripted:
    """A model that answers from a function of prompt and number of the call."""

    name = "scripted"
    settings: Mapping[str, Any] = {"temperature": 0}
    batch_size = 1
    max_tokens: int | None = 10

    def __init__(self, answer: Any, *, concurrency: int = 1, batch_size: int = 1) -> None:
        self.answer = answer
        self.concurrency = concurrency
        self.batch_size = batch_size
        self.asked: list[str] = []
        self.seeds: list[int] = []
        self.batches: list[int] = []

    def ask(self, prompts: Sequence[str], *, seeds: Sequence[int]) -> list[Answer]:
        self.batches.append(len(prompts))
        self.seeds += seeds
        answers = []
        for prompt in prompts:
            self.asked.append(prompt)
            answers.append(self.answer(prompt, len(self.asked) - 1))
        return answers

    def close(self) -> None:
        pass


def good(prompt: str, number: int) -> Answer:
    names = prompt.rpartition("contains ")[2]
    return Answer(f"A photo of {names} in room {number}.", "stop", 20)


# Everything at once


def test_thousands_through_faults_and_a_kill(server: LanguageModelServer, tmp_path: Path) -> None:
    n = 2000
    path = tmp_path / "corpus.jsonl"
    journal = tmp_path / "corpus.answers.jsonl"
    rng = random.Random(0)
    faults = [rng.choice(FAULTS) if rng.random() < 0.3 else "" for _ in range(10 * n)]
    # Each hang costs the client its timeout.
    server.fault = faults.__getitem__
    command = [sys.executable, "-m", "comc_utils", *words(server, path, n, "--concurrency", "8")]

    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 700:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    before = journal.read_bytes()
    kept = {line["index"] for line in map(json.loads, before.split(b"\n")[1:-1])}
    assert 690 < len(kept) < n
    with open(journal, "ab") as file:
        file.write(b'{"index": 1999, "attempt"')  # what a kill in the middle of a line leaves

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Sentences: 2,000 in {path}" in done.stdout
    assert "tiny: 100%" in done.stderr
    assert journal.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    expected = label_names(n)
    lines = journal_lines(path)
    assert sorted(line["index"] for line in lines) == list(range(n))
    assert all(tuple(line["labels"]) == expected[line["index"]] for line in lines)
    records = read_corpus(path)
    assert [record.labels for record in records] == expected
    assert [record.prompt for record in records] == [comc_instruction(names) for names in expected]
    assert {record.generator for record in records} == {"tiny"}
    assert len({record.text for record in records}) == n
    # Nothing that was finished is asked again: beyond one answer each, only what the kill cut off.
    wanted = Counter(map(comc_instruction, expected))
    assert sum((server.answered - wanted).values()) <= 8
    assert server.answered.total() <= n + 8
    assert server.most_in_flight <= 8
    assert set(faults[: len(server.requests)]) == {"", *FAULTS}


def test_requests_at_once(server: LanguageModelServer, tmp_path: Path) -> None:
    server.seconds = 0.05
    assert main(words(server, tmp_path / "c.jsonl", 40, "--concurrency", "4")) == 0
    assert server.most_in_flight == 4


def test_key_reaches_nothing(
    server: LanguageModelServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    faults = [*FAULTS, "cut JSON", "error in 200", "empty"]
    server.fault = lambda number: faults[number] if number < len(faults) else ""
    server.answer = lambda prompt, number: f"{KEY} beside {sentence(prompt, number)}"
    assert main(words(server, tmp_path / "c.jsonl", 10, "--concurrency", "2")) == 0
    server.fault = lambda number: "401"
    assert main(words(server, tmp_path / "c.jsonl", 12)) == 2
    printed = capfd.readouterr()
    error = printed.err.splitlines()[-1]
    assert error.startswith("error: The server at http://127.0.0.1")
    assert "HTTP 401 (You sent Bearer [key]); check the key in $OPENAI_API_KEY." in error
    texts = [printed.out, printed.err, caplog.text]
    texts += [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} == {
        "c.jsonl",
        "c.answers.jsonl",
        "c.answers.jsonl.lock",
        "c.cleaning.jsonl",
    }
    assert all(KEY[4:14] not in text for text in texts)


@pytest.mark.parametrize("fault", ["401", "404"])
def test_lasting_fault_stops_at_once(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    server.fault = lambda number: fault if number >= 20 else ""
    assert main(words(server, tmp_path / "c.jsonl", 500, "--concurrency", "4")) == 2
    assert len(server.requests) <= 20 + 4
    assert len(journal_lines(tmp_path / "c.jsonl")) == 20
    assert not (tmp_path / "c.jsonl").exists()
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert f"HTTP {fault}" in lines[-1]


# Retries


def test_fault_that_lasts_ends_the_run(tmp_path: Path) -> None:
    def down(prompt: str, number: int) -> Answer:
        raise PassingFaultError("HTTP 503")

    model = Scripted(down)
    with pytest.raises(CoMCError, match="HTTP 503, 3 times for one instruction.*run the same command"):
        write(model, tmp_path, 5, patience=replace(SOON, tries=3))
    assert len(model.asked) == 3


def test_wait_that_the_server_asks_for_is_kept(tmp_path: Path) -> None:
    times = []

    def hurried(prompt: str, number: int) -> Answer:
        times.append(time.monotonic())
        if number == 0:
            raise PassingFaultError("HTTP 429", retry_after=0.3)
        return good(prompt, number)

    write(Scripted(hurried), tmp_path, 1)
    assert times[1] - times[0] >= 0.3  # a bound of what is asked for, not of the machine's speed


def test_server_that_asks_for_too_long_a_wait(tmp_path: Path) -> None:
    def closed(prompt: str, number: int) -> Answer:
        raise PassingFaultError("HTTP 429", retry_after=7200)

    with pytest.raises(CoMCError, match="HTTP 429: the server asks to wait 7200 s"):
        write(Scripted(closed), tmp_path, 1)


def test_prompt_without_an_answer_does_not_stop_the_others(tmp_path: Path) -> None:
    def silent(prompt: str, number: int) -> Answer:
        if prompt == comc_instruction(label_names(3)[1]):
            raise PassingFaultError("The answer is empty", answer=Answer("", "length", 7))
        return good(prompt, number)

    outcome = write(Scripted(silent), tmp_path, 3, patience=replace(SOON, tries=4))
    assert outcome.sentences == 2
    assert outcome.report.answers["tokens used up before the answer"] == 1
    assert outcome.requests == 6
    assert outcome.tokens == 2 * 20 + 4 * 7
    assert journal_lines(tmp_path / "c.jsonl")[1]["tokens"] == 4 * 7


def test_model_that_says_nothing_at_all(tmp_path: Path) -> None:
    def silent(prompt: str, number: int) -> Answer:
        raise PassingFaultError("The answer is empty", answer=Answer("", "length", 7))

    with pytest.raises(CoMCError, match="20 of the last 20 answers of scripted are of no use.*--max-tokens"):
        write(Scripted(silent), tmp_path, 100, patience=replace(SOON, tries=1))
    assert len(journal_lines(tmp_path / "c.jsonl")) == 20


# Budget


def test_budget_of_requests_ends_well_and_goes_on(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.jsonl"
    server.fault = lambda number: "500" if number % 3 == 0 else ""
    assert main(words(server, path, 50, "--max-requests", "30")) == 0
    assert len(server.requests) == 30
    printed = capsys.readouterr().out
    n = len(read_corpus(path))
    assert n == len(journal_lines(path)) >= 15
    assert f"The budget of requests is spent: {n} of 50 label sets are answered." in printed
    assert "run the same command with a larger --max-requests" in printed
    # Of what one run spent the next one knows all but the requests that never led to an answer.
    assert main(words(server, path, 50, "--max-requests", "30")) == 0
    assert len(server.requests) < 30 + 15
    assert main(words(server, path, 50, "--max-requests", "200")) == 0
    assert len(read_corpus(path)) == 50
    assert "The budget" not in capsys.readouterr().out.rpartition("Spent")[2]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_budget_of_tokens_is_never_passed(tmp_path: Path, concurrency: int) -> None:
    outcome = write(Scripted(good, concurrency=concurrency), tmp_path, 100, budget=Budget(max_tokens=500))
    assert outcome.stopped_by == "tokens"
    # 20 tokens an answer; a question is only asked if its longest answer fits in.
    assert 300 <= outcome.tokens <= 500
    assert outcome.sentences == outcome.tokens / 20
    assert not outcome.tokens_estimated


def test_server_that_counts_no_tokens(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reports_usage = False
    assert main(words(server, tmp_path / "c.jsonl", 5)) == 0
    lines = journal_lines(tmp_path / "c.jsonl")
    n_words = sum(len(line["prompt"].split()) + len(line["answer"].split()) for line in lines)
    assert f"5 requests, {n_words} words (the server counts no tokens)." in capsys.readouterr().out


# Journal


def test_whatever_is_cut_off_is_asked_again(tmp_path: Path) -> None:
    write(Scripted(good), tmp_path, 4)
    journal = tmp_path / "c.answers.jsonl"
    whole = journal.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in [0, 5, 30, *(end + more for end in ends for more in (-1, 0, 1, 40))]:
        journal.write_bytes(whole[:length])
        model = Scripted(good)
        outcome = write(model, tmp_path, 4)
        complete = max(sum(end <= length for end in ends) - 1, 0)
        assert len(model.asked) == 4 - complete
        assert outcome.sentences == 4
        assert len(journal_lines(tmp_path / "c.jsonl")) == 4


def test_longer_corpus_goes_on_and_a_shorter_one_asks_nothing(tmp_path: Path) -> None:
    write(Scripted(good), tmp_path, 4)
    longer = Scripted(good)
    assert write(longer, tmp_path, 6).sentences == 6
    assert longer.asked == [comc_instruction(names) for names in label_names(6)[4:]]
    shorter = Scripted(good)
    assert write(shorter, tmp_path, 3).sentences == 3
    assert shorter.asked == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "another"}, "its model is 'scripted' there and 'another' now"),
        ({"settings": {"temperature": 1}}, "its settings is {'temperature': 0} there"),
        ({"seed": 1}, "its seed is 0 there and 1 now"),
        ({"instruction": "Describe"}, "its instruction is"),
        ({"label_set": "MS-COCO"}, "its label_set is 'VOC2007' there and 'MS-COCO' now"),
        ({"class_names": ("dog",)}, "its class_names are others now"),
    ],
)
def test_journal_of_another_run_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    origin = Origin("scripted", {"temperature": 0}, "VOC2007", VOC2007.class_names, 0)
    path = tmp_path / "c.answers.jsonl"
    with Journal(path, origin):
        pass
    with Journal(path, origin):
        pass
    before = path.read_bytes()
    with pytest.raises(CoMCError) as caught, Journal(path, replace(origin, **changed)):
        pass
    assert message in str(caught.value)
    assert "choose another --to" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"{}\n", b"text\n", b"text", b"[1]\n", b"\xff\xfe\n"])
def test_file_that_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.answers.jsonl").write_bytes(content)
    with pytest.raises(CoMCError, match=r"c\.answers\.jsonl is no journal of answers"):
        write(Scripted(good), tmp_path, 1)
    assert (tmp_path / "c.answers.jsonl").read_bytes() == content


@pytest.mark.parametrize("line", ["{}", "text", '"a"', '{"labels": 1}'])
def test_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    write(Scripted(good), tmp_path, 2)
    journal = tmp_path / "c.answers.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], line, lines[2], ""]))
    with pytest.raises(CoMCError, match=r"c\.answers\.jsonl, line 3 is no answer"):
        write(Scripted(good), tmp_path, 2)


def test_labels_that_are_not_those_drawn(tmp_path: Path) -> None:
    write(Scripted(good), tmp_path, 1)
    journal = tmp_path / "c.answers.jsonl"
    names = json.dumps(list(label_names(1)[0]))
    head, line, _ = journal.read_text().split("\n")
    journal.write_text(f"{head}\n{line.replace(names, json.dumps(['no such']))}\n")
    with pytest.raises(CoMCError, match="has label set 0 as \\['no such'\\]"):
        write(Scripted(good), tmp_path, 1)


def test_second_process_is_refused(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.jsonl"
    server.seconds = 0.1
    command = [sys.executable, "-m", "comc_utils", *words(server, path, 10_000)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while len(server.requests) < 10:
            assert process.poll() is None
            time.sleep(0.02)
        assert main(words(server, path, 10_000)) == 2
        assert "is being written by another process" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait()


def test_interrupt_keeps_what_is_under_way(server: LanguageModelServer, tmp_path: Path) -> None:
    server.seconds = 0.3
    path = tmp_path / "c.jsonl"
    command = [sys.executable, "-m", "comc_utils", *words(server, path, 100, "--concurrency", "3")]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them, and their children, ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(server.requests) < 7:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert printed.splitlines()[-1].endswith("interrupted")
    assert len(journal_lines(path)) == len(server.requests)


# Asking again


def test_asking_again_until_all_labels_are_named(tmp_path: Path) -> None:
    def forgetful(prompt: str, number: int) -> Answer:
        attempt = sum(prompt == asked for asked in model.asked) - 1
        answer = good(prompt, number)
        return answer if attempt == 1 else Answer("A quiet street at night.", "stop", 5)

    model = Scripted(forgetful)
    policy = CleaningPolicy(missing_labels="ask-again", attempts=3)
    outcome = write(model, tmp_path, 5, policy=policy)
    assert outcome.sentences == outcome.finished == 5
    assert Counter(model.asked) == {comc_instruction(names): 2 for names in label_names(5)}
    assert outcome.report.answers["asked again"] == 5
    attempts = Counter(line["attempt"] for line in journal_lines(tmp_path / "c.jsonl"))
    assert attempts == {0: 5, 1: 5}
    assert len(set(model.seeds)) == 10


def test_asking_again_ends_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    def off_topic(prompt: str, number: int) -> Answer:
        return Answer(f"A quiet street number {number}.", "stop", 5)

    policy = CleaningPolicy(missing_labels="ask-again", attempts=3)
    stopped = Scripted(off_topic)
    outcome = write(stopped, tmp_path, 4, policy=policy, budget=Budget(max_requests=7))
    assert (outcome.stopped_by, outcome.sentences) == ("requests", 0)
    model = Scripted(off_topic)
    with pytest.raises(CoMCError, match="None of the 12 answers.*holds a sentence to keep"):
        write(model, tmp_path, 4, policy=policy)
    assert len(model.asked) == 4 * 3 - 7
    # The same answers under a milder policy.
    assert write(Scripted(off_topic), tmp_path, 4).sentences == 4


# Odds and ends


def test_batches_and_seeds(tmp_path: Path) -> None:
    model = Scripted(good, batch_size=4)
    write(model, tmp_path, 10)
    assert model.batches == [4, 4, 2]
    assert len(set(model.seeds)) == 10
    assert all(0 <= seed < 2**31 for seed in model.seeds)
    (tmp_path / "c.answers.jsonl").unlink()
    again = Scripted(good)
    write(again, tmp_path, 10)
    assert again.seeds == model.seeds


def test_fate_of_every_answer_is_written(tmp_path: Path) -> None:
    def odd(prompt: str, number: int) -> Answer:
        return good(prompt, number) if number else Answer("Sure!\nI'm sorry, I cannot see.", "stop")

    write(Scripted(odd), tmp_path, 3)
    text = (tmp_path / "c.cleaning.jsonl").read_text(encoding="utf-8")
    fates = [json.loads(line) for line in text.splitlines()]
    assert [fate["index"] for fate in fates] == [0, 1, 2]
    assert fates[0]["fate"] == "refusal"
    assert [piece["raw"] for piece in fates[0]["pieces"]] == ["Sure!", "I'm sorry, I cannot see."]


def test_text_that_is_no_unicode(tmp_path: Path) -> None:
    model = Scripted(lambda prompt, number: Answer("A dog \ud800 \u2028 naps here."))
    write(model, tmp_path, 1, policy=CleaningPolicy(min_words=1))
    (line,) = journal_lines(tmp_path / "c.jsonl")
    assert line["answer"] == "A dog ? \u2028 naps here."


def test_failing_model_code_keeps_the_answers(tmp_path: Path) -> None:
    def failing(prompt: str, number: int) -> Answer:
        if number == 3:
            raise ZeroDivisionError
        return good(prompt, number)

    with pytest.raises(ZeroDivisionError):
        write(Scripted(failing), tmp_path, 10)
    assert len(journal_lines(tmp_path / "c.jsonl")) == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sentences", "0"], "0 sentences"),
        (["--seed", "-1"], "seed -1"),
        (["--concurrency", "0"], "0 requests at once"),
        (["--base-url", "nowhere"], "of the form http"),
        (["--attempts", "0"], "0 attempts"),
        (["--tries", "0"], "0 tries"),
        (["--max-requests", "-5"], "budget"),
    ],
)
def test_wrong_options_end_with_a_message(
    server: LanguageModelServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert main(words(server, tmp_path / "c.jsonl", 1, *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_an_instruction_that_a_filter_refuses_does_not_end_the_run(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"error": {"message": "filtered", "code": "content_filter", "status": 400}}
    server.fault = lambda number: refused if number == 3 else ""
    assert main(words(server, tmp_path / "c.jsonl", 30)) == 0
    assert len(read_corpus(tmp_path / "c.jsonl")) == 29
    assert "1  refused by the server's content filter" in capsys.readouterr().out
    assert main(words(server, tmp_path / "c.jsonl", 30)) == 0  # and is not asked again
    assert len(server.requests) == 30


def test_what_cannot_be_written_is_found_before_the_first_request(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "c.cleaning.jsonl").mkdir()
    for path, message in (
        (tmp_path / "file" / "c.jsonl", "Nothing can be written to"),
        (tmp_path / "folder.jsonl", "is a folder; give the name of a file with --to"),
        (tmp_path / "c.jsonl", "c.cleaning.jsonl is a folder"),
    ):
        assert main(words(server, path, 30)) == 2
        assert message in capsys.readouterr().err
    assert server.requests == []


def test_options_of_the_request_reach_the_server(
    server: LanguageModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--options", '{"seed": null, "top_p": 0.5}', "--style", "completion"]
    limits = ["--max-tokens", "30", "--temperature", "0.7"]
    assert main(words(server, tmp_path / "c.jsonl", 1, *options, *limits)) == 0
    prompt = comc_instruction(label_names(1)[0])
    assert server.requests == [
        {"model": "tiny", "prompt": prompt, "max_tokens": 30, "temperature": 0.7, "top_p": 0.5}
    ]
    for wrong in ("[1]", "{"):
        with pytest.raises(SystemExit):
            main(words(server, tmp_path / "c.jsonl", 1, "--options", wrong))
    assert "is no JSON object" in capsys.readouterr().err


def write(model: Any, folder: Path, n: int, **options: Any) -> Any:
    options = {"seed": 0, "patience": SOON, "progress": False} | options
    return write_sentences(model, VOC2007, n, folder / "c.jsonl", **options)
