"""Have a language model write a corpus: ask, keep every answer, go on after a stop, clean."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from comc_utils.errors import CoMCError
from comc_utils.sentences.corpus import write_corpus
from comc_utils.sentences.label_sets import draw_label_sets
from comc_utils.sentences.labels import LabelSet
from comc_utils.sentences.llm.answers import LanguageModel
from comc_utils.sentences.llm.asking import Asker, Budget, Patience
from comc_utils.sentences.llm.cleaning import CleaningPolicy, clean_answers
from comc_utils.sentences.llm.fates import CleaningReport
from comc_utils.sentences.llm.journal import Journal, Origin
from comc_utils.sentences.llm.watch import look_at
from comc_utils.store.atomic import atomic_path, make_writable

MAX_LABELS = 5
"""Largest label set, as in the authors' released code."""


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
    force: bool = False,
    progress: bool = True,
) -> Outcome:
    """Give a language model the paper's instruction for n label sets, and write the corpus.

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
    force : bool
        Go on where most of the answers looked at are unusable.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Outcome

    Raises
    ------
    CoMCError
        The files cannot be written, the model refuses or stays silent, most of the first 20 answers or of 100
        later ones are unusable, the journal is another run's or in use, or no answer holds a sentence. What was
        answered before is in the journal.

    References
    ----------
    CoMC (ICML 2024), section 3.1.
    """
    policy = policy or CleaningPolicy()
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
    answers, fates = (path.with_name(f"{path.stem}.{kind}.jsonl") for kind in ("answers", "cleaning"))
    _check_writable(path, answers, fates)
    with Journal(answers, origin) as journal:
        asker = Asker(
            model,
            label_set,
            label_sets,
            seed,
            journal,
            policy,
            budget or Budget(),
            patience or Patience(),
            force,
        )
        asker.run(progress=progress)
        answered = [answer for answer in journal.answered if answer.index < n]
        records, report = clean_answers(
            answered, label_set=label_set, generator=model.name, seed=seed, policy=policy, progress=progress
        )
        _write_fates(fates, report)
        if not records and not asker.stopped_by:
            remedy = look_at(answered, report).remedy()
            raise CoMCError(
                f"None of the {len(report.fates)} answers in {journal.path} holds a sentence to keep "
                f"(most often: {report.answers.most_common(1)[0][0]}); look at them. What may help: {remedy}."
            )
        if records:
            write_corpus(path, records)
    return Outcome(
        finished=n - len(asker.questions()),
        wanted=n,
        requests=asker.meter.requests,
        tokens=asker.meter.tokens,
        tokens_estimated=any(answered.tokens_estimated for answered in journal.answered),
        sentences=len(records),
        stopped_by=asker.stopped_by,
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
    lines.append(f"Sentences: {outcome.sentences:,} in {path}" if outcome.sentences else "Sentences: none")
    return "\n".join(lines)


def _check_writable(corpus: Path, *beside: Path) -> None:
    """Find out before the first request whether what it leads to can be kept."""
    for path in (corpus, *beside):
        if path.is_dir():
            raise CoMCError(f"{path} is a folder; give the name of a file with --to.")
    make_writable(corpus.parent, "--to")


def _write_fates(path: Path, report: CleaningReport) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for fate in report.fates:
            file.write(json.dumps(asdict(fate), ensure_ascii=False) + "\n")
