"""Ask a language model what a journal of answers lacks: several questions at once, again after a fault."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

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
from comc_utils.sentences.instructions import comc_instruction
from comc_utils.sentences.labels import LabelSet
from comc_utils.sentences.llm.answers import Answer, Answered, LanguageModel, PassingFaultError
from comc_utils.sentences.llm.cleaning import CleaningPolicy, clean_answers, needs_another_answer
from comc_utils.sentences.llm.journal import Journal
from comc_utils.sentences.llm.watch import FIRST_LOOK, WINDOW, look_at


@dataclass(frozen=True)
class Budget:
    """What a corpus may cost, earlier runs of the same journal included.

    Attributes
    ----------
    max_requests : int or None
        Requests sent, failed ones included.
    max_tokens : int or None
        Tokens of instructions and answers. A request is sent only if it fits in with its longest answer.

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
class _Question:
    index: int
    attempt: int
    labels: tuple[str, ...]
    seed: int

    @property
    def instruction(self) -> str:
        return comc_instruction(self.labels)


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


@dataclass
class Asker:
    """Asks what the journal lacks. Worker threads ask; the thread that calls `run` alone writes.

    Attributes
    ----------
    model : LanguageModel
    label_set : LabelSet
    label_sets : sequence of tuple of str
        Names of classes; the journal knows a label set by its place.
    seed : int
        Of the label sets, and of the seeds that the model is given.
    journal : Journal
        Open.
    policy : CleaningPolicy
        Decides whether an answer will do.
    budget : Budget
    patience : Patience
    force : bool
        Whether to go on where most answers are unusable.
    meter : _Meter
        What was spent so far.
    stopped_by : str
        "requests" or "tokens" where the budget was spent, else ''.
    """

    model: LanguageModel
    label_set: LabelSet
    label_sets: Sequence[tuple[str, ...]]
    seed: int
    journal: Journal
    policy: CleaningPolicy
    budget: Budget
    patience: Patience
    force: bool = False
    stopped_by: str = field(default="", init=False)
    _looked_at: int = field(default=0, init=False)
    _failure: CoMCError | None = field(default=None, init=False)
    _last_fault: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.meter = _Meter(self.budget, self.journal.answered)
        self._stop = threading.Event()

    def questions(self) -> list[_Question]:
        """What is to be asked, by what the journal holds now."""
        last: dict[int, Answered] = {}
        for answered in self.journal.answered:
            if answered.index >= len(self.label_sets):
                continue
            if answered.labels != self.label_sets[answered.index]:
                raise CoMCError(
                    f"The journal {self.journal.path} has label set {answered.index} as "
                    f"{list(answered.labels)}, drawn is {list(self.label_sets[answered.index])}; choose "
                    "another --to."
                )
            if answered.index not in last or last[answered.index].attempt < answered.attempt:
                last[answered.index] = answered
        questions = []
        for index in range(len(self.label_sets)):
            if index not in last:
                questions.append(self._question(index, 0))
            elif self._again(last[index]):
                questions.append(self._question(index, last[index].attempt + 1))
        return questions

    def run(self, *, progress: bool) -> None:
        """Ask until all is answered, the budget is spent or the model refuses."""
        queue = deque(self.questions())
        running: dict[Future[list[Answered] | None], int] = {}  # and of how many questions each is
        if queue:
            self._look()
        if self._failure is not None:
            raise self._failure
        with (
            ThreadPoolExecutor(self.model.concurrency) as pool,
            tqdm(
                desc=self.model.name,
                total=len(self.label_sets),
                initial=len(self.label_sets) - len(queue),
                unit="set",
                disable=not progress,
            ) as bar,
        ):
            try:
                while running or (queue and not self._stop.is_set()):
                    while queue and len(running) < self.model.concurrency and not self._stop.is_set():
                        if (
                            not self._looked_at
                            and len(self.journal.answered) + sum(running.values()) >= FIRST_LOOK
                        ):
                            break  # no more than are looked at
                        batch = [queue.popleft() for _ in range(min(self.model.batch_size, len(queue)))]
                        running[pool.submit(self._answer, batch)] = len(batch)
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        del running[future]
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
        self.journal.append(answers)
        for answered in answers:
            if self._again(answered):
                queue.append(self._question(answered.index, answered.attempt + 1))
            else:
                bar.update()
        self._look()
        # Shown when the bar is drawn next; drawing it for every answer would take longer than asking.
        bar.set_postfix_str(
            f"{self.meter.requests} requests, {self.meter.tokens} tokens"
            + (f", last fault: {self._last_fault[:60]}" if self._last_fault else ""),
            refresh=False,
        )

    def _look(self) -> None:
        """Stop the run where most of the last answers are unusable: at the first of them, and now and then."""
        n, is_first = len(self.journal.answered), not self._looked_at
        if n - self._looked_at < (FIRST_LOOK if is_first else WINDOW) or self._failure is not None:
            return
        self._looked_at = n
        size = FIRST_LOOK if is_first else WINDOW
        answers = self.journal.answered[-size:]
        _, report = clean_answers(
            answers, label_set=self.label_set, generator=self.model.name, seed=self.seed, policy=self.policy
        )
        look = look_at(answers, report)
        if is_first or look.is_bad:
            tqdm.write(look.describe())
        if look.is_bad and not self.force:
            self._failure = CoMCError(
                f"{look.unusable} of the last {size} answers of {self.model.name} are of no use, so nothing "
                f"more is asked: {look.remedy()}. With other settings give another --to; --force goes on "
                "with these."
            )
            self._stop.set()

    def _answer(self, batch: Sequence[_Question]) -> list[Answered] | None:
        """Ask, in a worker thread, until an answer comes; None where the run stops before."""
        requests = tokens_of_empty = 0
        instructions = [question.instruction for question in batch]
        words = sum(len(instruction.split()) for instruction in instructions)
        # A label name is rarely more than two tokens a word.
        most_tokens = 2 * words + len(batch) * (self.model.max_tokens or 0)

        def ask() -> list[Answer]:
            nonlocal requests, tokens_of_empty
            if self._stop.is_set():
                raise PassingFaultError("The run stops")
            self.meter.begin(len(batch), most_tokens)
            requests += 1
            spent = 0
            try:
                answers = self.model.ask(instructions, seeds=[question.seed for question in batch])
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
                    f"{fault}, {requests} times for one instruction. What was answered before is kept: run the "
                    "same command again when the model can be reached."
                ) from None
            answers = [fault.answer]
            tokens_of_empty -= _tokens(batch[0], fault.answer)
        return [
            Answered(
                index=question.index,
                attempt=question.attempt,
                labels=question.labels,
                prompt=question.instruction,
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
            stop=stop_after_attempt(self.patience.tries) | stop_when_event_set(self._stop),
            wait=self._wait,
            # A stop wakes those that wait.
            sleep=sleep_using_event(self._stop),
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> float:
        fault = state.outcome.exception()
        self._last_fault = str(fault)
        if fault.retry_after > self.patience.longest_retry_after:
            raise CoMCError(
                f"{fault}: the server asks to wait {fault.retry_after:.0f} s. What was answered before is "
                "kept: run the same command again after that."
            )
        backoff = wait_random_exponential(multiplier=self.patience.first_wait, max=self.patience.longest_wait)
        return max(backoff(state), fault.retry_after)

    def _again(self, answered: Answered) -> bool:
        return needs_another_answer(answered, label_set=self.label_set, policy=self.policy)

    def _question(self, index: int, attempt: int) -> _Question:
        # The same label set drawn twice is not to be given the same sentence for the same seed.
        state = np.random.SeedSequence((self.seed, index, attempt)).generate_state(1)
        return _Question(index, attempt, self.label_sets[index], int(state[0]) >> 1)


def _tokens(question: _Question, answer: Answer) -> int:
    if answer.tokens is not None:
        return answer.tokens
    return len(question.instruction.split()) + len(answer.text.split())
