"""Have a language model write a corpus: ask, keep every answer, go on after a stop, clean."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event
from tqdm.auto import tqdm

from comc_utils.errors import CoMCError
from comc_utils.sentences.corpus import write_corpus
from comc_utils.sentences.instructions import comc_prompt
from comc_utils.sentences.label_sets import draw_label_sets
from comc_utils.sentences.labels import LabelSet
from comc_utils.sentences.llm.answers import (
    Answer,
    Answered,
    Journal,
    LanguageModel,
    Origin,
    PassingFaultError,
)
from comc_utils.sentences.llm.cleaning import (
    CleaningPolicy,
    CleaningReport,
    clean_answers,
    needs_another_answer,
)
from comc_utils.store.atomic import atomic_path

MAX_LABELS = 5
"""Largest label set, as in the authors' released code."""

_EMPTY_IN_A_ROW = 20
"""So many answers without a word, one after the other, are no accident."""


@dataclass(frozen=True)
class Budget:
    """What a corpus may cost, earlier runs of the same journal included.

    Attributes
    ----------
    max_requests : int or None
        Requests sent, failed ones included.
    max_tokens : int or None
        Tokens of prompts and answers. A request is sent only if it fits in with its longest answer.

    Raises
    ------
    CoMCError
        For a negative number.
    """

    max_requests: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if min(self.max_requests or 0, self.max_tokens or 0) < 0:
            raise CoMCError(
                f"The budget is {self.max_requests} requests and {self.max_tokens} tokens; give 0 or more."
            )


@dataclass(frozen=True)
class Patience:
    """How often a question that fails is asked, and how long is waited in between.

    Attributes
    ----------
    tries : int
        At least 1.
    first_wait : float
        Seconds before the second try, at most; each further pause is up to twice as long.
    longest_wait : float
        Seconds.
    longest_retry_after : float
        Seconds; a server that asks to wait longer ends the run.

    Raises
    ------
    CoMCError
        For fewer tries, or a negative pause.
    """

    tries: int = 10
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_retry_after: float = 600.0

    def __post_init__(self) -> None:
        if self.tries < 1 or self.first_wait < 0:
            raise CoMCError(
                f"{self.tries} tries with a first pause of {self.first_wait:g} s were asked for; ask for 1 "
                "try or more, and a pause of 0 or more."
            )


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    finished : int
        Label sets that need no further answer.
    wanted : int
        Label sets.
    requests, tokens : int
        Spent so far, earlier runs included.
    tokens_estimated : bool
        The server did not report all tokens; words were counted in their place.
    sentences : int
        In the corpus.
    stopped_by : str
        "requests" or "tokens" where the budget was spent, else ''.
    report : CleaningReport
    """

    finished: int
    wanted: int
    requests: int
    tokens: int
    tokens_estimated: bool
    sentences: int
    stopped_by: str
    report: CleaningReport


def write_sentences(
    model: LanguageModel,
    label_set: LabelSet,
    n: int,
    path: Path,
    *,
    seed: int,
    policy: CleaningPolicy | None = None,
    budget: Budget | None = None,
    patience: Patience | None = None,
    progress: bool = True,
) -> Outcome:
    """Have a language model answer the paper's prompt for n label sets, and write the corpus.

    Every answer goes to ``<stem>.answers.jsonl`` beside the corpus as soon as it is there. A run that
    was stopped, in whatever way, goes on from there and loses no more than the requests under way. When
    all label sets are answered, or the budget is spent, the corpus is written anew from all answers, and
    ``<stem>.cleaning.jsonl`` with the fate of each.

    Parameters
    ----------
    model : LanguageModel
    label_set : LabelSet
    n : int
        Label sets, drawn by `draw_label_sets`: those of a shorter corpus are the first of a longer one.
    path : Path
        The corpus.
    seed : int
        Of the label sets, at least 0.
    policy : CleaningPolicy, optional
    budget : Budget, optional
        Without one there is no bound.
    patience : Patience, optional
    progress : bool
        Show a progress bar.

    Returns
    -------
    Outcome

    Raises
    ------
    CoMCError
        The model refuses or stays silent, the journal is another run's or in use, or no answer holds a
        sentence. What was answered before is in the journal.

    References
    ----------
    CoMC (ICML 2024), section 3.1.
    """
    policy, budget, patience = (
        policy or CleaningPolicy(),
        budget or Budget(),
        patience or Patience(),
    )
    if n < 1 or seed < 0:
        raise CoMCError(
            f"{n} sentences with seed {seed} were asked for; ask for 1 or more, with a seed of 0 or more."
        )
    label_sets = [
        tuple(label_set.class_names[i] for i in labels)
        for labels in draw_label_sets(label_set.class_names, n, seed=seed, max_labels=MAX_LABELS)
    ]
    origin = Origin(model.name, model.settings, label_set.name, label_set.class_names, seed)
    path = Path(path)
    with Journal(path.with_name(f"{path.stem}.answers.jsonl"), origin) as journal:
        writer = _Writer(model, label_set, label_sets, seed, journal, policy, budget, patience)
        writer.run(progress=progress)
        records, report = clean_answers(
            [answered for answered in journal.answered if answered.index < n],
            label_set=label_set,
            generator=model.name,
            seed=seed,
            policy=policy,
            progress=progress,
        )
        _write_fates(path.with_name(f"{path.stem}.cleaning.jsonl"), report)
        if not records and not writer.stopped_by:
            raise CoMCError(
                f"None of the {len(report.fates)} answers in {journal.path} holds a sentence to keep "
                f"(most often: {report.answers.most_common(1)[0][0]}); look at them, and change the model "
                "or the cleaning options."
            )
        if records:
            write_corpus(path, records)
    return Outcome(
        finished=n - len(writer.questions()),
        wanted=n,
        requests=writer.meter.requests,
        tokens=writer.meter.tokens,
        tokens_estimated=any(answered.tokens_estimated for answered in journal.answered),
        sentences=len(records),
        stopped_by=writer.stopped_by,
        report=report,
    )


def describe(outcome: Outcome, path: Path) -> str:
    """What a run came to, for a person to read.

    Parameters
    ----------
    outcome : Outcome
    path : Path
        The corpus.

    Returns
    -------
    str
        Several lines: the counts of the cleaning, what was spent, and how to go on.
    """
    lines = []
    for unit, reason, count in outcome.report.rows():
        lines.append(f"{unit:8}  {count:7,}  {reason}")
    unit = "words (the server counts no tokens)" if outcome.tokens_estimated else "tokens"
    lines.append(f"Spent: {outcome.requests:,} requests, {outcome.tokens:,} {unit}.")
    if outcome.stopped_by:
        option = {"requests": "--max-requests", "tokens": "--max-tokens-total"}[outcome.stopped_by]
        lines.append(
            f"The budget of {outcome.stopped_by} is spent: {outcome.finished:,} of {outcome.wanted:,} "
            f"label sets are answered. To go on, run the same command with a larger {option}; nothing "
            "that is answered is asked again."
        )
    lines.append(
        f"Sentences: {outcome.sentences:,} in {path}" if outcome.sentences else "Sentences: none"
    )
    return "\n".join(lines)


@dataclass(frozen=True)
class _Question:
    index: int
    attempt: int
    labels: tuple[str, ...]
    seed: int

    @property
    def prompt(self) -> str:
        return comc_prompt(self.labels)


class _BudgetSpentError(Exception):
    """Carries what is spent: "requests" or "tokens"."""


class _Meter:
    """Counts what is spent and set aside, from several threads."""

    def __init__(self, budget: Budget, answered: Iterable[Answered]) -> None:
        answered = list(answered)
        self._budget = budget
        self._lock = threading.Lock()
        self._set_aside = 0
        self.requests = sum(answer.requests for answer in answered)
        self.tokens = sum(answer.tokens for answer in answered)

    def begin(self, requests: int, most_tokens: int) -> None:
        budget = self._budget
        with self._lock:
            if budget.max_requests is not None and self.requests + requests > budget.max_requests:
                raise _BudgetSpentError("requests")
            needed = self.tokens + self._set_aside + most_tokens
            if budget.max_tokens is not None and needed > budget.max_tokens:
                raise _BudgetSpentError("tokens")
            self.requests += requests
            self._set_aside += most_tokens

    def end(self, most_tokens: int, tokens: int) -> None:
        with self._lock:
            self._set_aside -= most_tokens
            self.tokens += tokens


class _Writer:
    """Asks what the journal lacks. Worker threads ask; the thread that calls `run` alone writes."""

    def __init__(
        self,
        model: LanguageModel,
        label_set: LabelSet,
        label_sets: Sequence[tuple[str, ...]],
        seed: int,
        journal: Journal,
        policy: CleaningPolicy,
        budget: Budget,
        patience: Patience,
    ) -> None:
        self._model = model
        self._label_set = label_set
        self._label_sets = label_sets
        self._seed = seed
        self._journal = journal
        self._policy = policy
        self._patience = patience
        self._stop = threading.Event()
        self._failure: CoMCError | None = None
        self._empty_in_a_row = 0
        self._last_fault = ""
        self.meter = _Meter(budget, journal.answered)
        self.stopped_by = ""

    def questions(self) -> list[_Question]:
        """What is to be asked, by what the journal holds now."""
        last: dict[int, Answered] = {}
        for answered in self._journal.answered:
            if answered.index >= len(self._label_sets):
                continue
            if answered.labels != self._label_sets[answered.index]:
                raise CoMCError(
                    f"The journal {self._journal.path} has label set {answered.index} as "
                    f"{list(answered.labels)}, drawn is {list(self._label_sets[answered.index])}; choose "
                    "another --to."
                )
            if answered.index not in last or last[answered.index].attempt < answered.attempt:
                last[answered.index] = answered
        questions = []
        for index in range(len(self._label_sets)):
            if index not in last:
                questions.append(self._question(index, 0))
            elif self._again(last[index]):
                questions.append(self._question(index, last[index].attempt + 1))
        return questions

    def run(self, *, progress: bool) -> None:
        """Ask until all is answered, the budget is spent or the model refuses."""
        queue = deque(self.questions())
        running: set[Future[list[Answered] | None]] = set()
        with (
            ThreadPoolExecutor(self._model.concurrency) as pool,
            tqdm(
                desc=self._model.name,
                total=len(self._label_sets),
                initial=len(self._label_sets) - len(queue),
                unit="set",
                disable=not progress,
            ) as bar,
        ):
            try:
                while running or (queue and not self._stop.is_set()):
                    while (
                        queue and len(running) < self._model.concurrency and not self._stop.is_set()
                    ):
                        size = min(self._model.batch_size, len(queue))
                        batch = [queue.popleft() for _ in range(size)]
                        running.add(pool.submit(self._answer, batch))
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    running -= done
                    self._collect(done, queue, bar)
            except BaseException:
                # Ctrl-C: what is under way is paid for, so it is waited for and kept.
                self._stop.set()
                done, _ = wait(running)
                self._collect(done, queue, bar)
                raise
        if self._failure is not None:
            raise self._failure

    def _collect(
        self, done: Iterable[Future[list[Answered] | None]], queue: deque[_Question], bar: tqdm
    ) -> None:
        answers: list[Answered] = []
        for future in done:
            try:
                answers += future.result() or []
            except _BudgetSpentError as spent:
                self.stopped_by = str(spent)
                self._stop.set()
            except CoMCError as failure:
                self._failure = self._failure or failure
                self._stop.set()
        self._journal.append(answers)
        for answered in answers:
            self._empty_in_a_row = 0 if answered.answer.strip() else self._empty_in_a_row + 1
            if self._again(answered):
                queue.append(self._question(answered.index, answered.attempt + 1))
            else:
                bar.update()
        if self._empty_in_a_row >= _EMPTY_IN_A_ROW:
            self._failure = self._failure or CoMCError(
                f"The last {self._empty_in_a_row} answers of {self._model.name} were empty. A model that "
                "reasons first needs a larger --max-tokens."
            )
            self._stop.set()
        # Shown when the bar is drawn next; drawing it for every answer would take longer than asking.
        bar.set_postfix_str(
            f"{self.meter.requests} requests, {self.meter.tokens} tokens"
            + (f", last fault: {self._last_fault[:60]}" if self._last_fault else ""),
            refresh=False,
        )

    def _answer(self, batch: Sequence[_Question]) -> list[Answered] | None:
        """Ask, in a worker thread, until an answer comes; None where the run stops before."""
        requests = tokens_of_empty = 0
        prompts = [question.prompt for question in batch]
        words = sum(len(prompt.split()) for prompt in prompts)
        # A label name is rarely more than two tokens a word.
        most_tokens = 2 * words + len(batch) * (self._model.max_tokens or 0)

        def ask() -> list[Answer]:
            nonlocal requests, tokens_of_empty
            if self._stop.is_set():
                raise PassingFaultError("The run stops")
            self.meter.begin(len(batch), most_tokens)
            requests += 1
            spent = 0
            try:
                answers = self._model.ask(prompts, seeds=[question.seed for question in batch])
                spent = sum(map(_tokens, batch, answers))
            except PassingFaultError as fault:
                if fault.answer is not None:
                    spent = _tokens(batch[0], fault.answer)
                    tokens_of_empty += spent
                raise
            finally:
                self.meter.end(most_tokens, spent)
            return answers

        try:
            answers = self._retrying()(ask)
        except PassingFaultError as fault:
            if fault.answer is None and self._stop.is_set():
                return None
            if fault.answer is None:
                raise CoMCError(
                    f"{fault}, {requests} times for one prompt. What was answered before is kept: run the "
                    "same command again when the model can be reached."
                ) from None
            answers = [fault.answer]
            tokens_of_empty -= _tokens(batch[0], fault.answer)
        return [
            Answered(
                index=question.index,
                attempt=question.attempt,
                labels=question.labels,
                prompt=question.prompt,
                # A lone surrogate, which JSON can carry and UTF-8 cannot, becomes a question mark.
                answer=answer.text.encode(errors="replace").decode(),
                stopped_by=answer.stopped_by,
                requests=requests,
                tokens=_tokens(question, answer) + (tokens_of_empty if position == 0 else 0),
                tokens_estimated=answer.tokens is None,
            )
            for position, (question, answer) in enumerate(zip(batch, answers, strict=True))
        ]

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(PassingFaultError),
            stop=stop_after_attempt(self._patience.tries) | stop_when_event_set(self._stop),
            wait=self._wait,
            # A stop wakes those that wait.
            sleep=sleep_using_event(self._stop),
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> float:
        fault = state.outcome.exception()
        self._last_fault = str(fault)
        if fault.retry_after > self._patience.longest_retry_after:
            raise CoMCError(
                f"{fault}: the server asks to wait {fault.retry_after:.0f} s. What was answered before is "
                "kept: run the same command again after that."
            )
        backoff = wait_random_exponential(
            multiplier=self._patience.first_wait, max=self._patience.longest_wait
        )
        return max(backoff(state), fault.retry_after)

    def _again(self, answered: Answered) -> bool:
        return needs_another_answer(answered, label_set=self._label_set, policy=self._policy)

    def _question(self, index: int, attempt: int) -> _Question:
        # The same label set drawn twice is not to be given the same sentence for the same seed.
        state = np.random.SeedSequence((self._seed, index, attempt)).generate_state(1)
        return _Question(index, attempt, self._label_sets[index], int(state[0]) >> 1)


def _tokens(question: _Question, answer: Answer) -> int:
    if answer.tokens is not None:
        return answer.tokens
    return len(question.prompt.split()) + len(answer.text.split())


def _write_fates(path: Path, report: CleaningReport) -> None:
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        for fate in report.fates:
            file.write(json.dumps(asdict(fate), ensure_ascii=False) + "\n")
