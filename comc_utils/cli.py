"""The command line: ``python -m comc_utils <command>``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from comc_utils import __version__
from comc_utils.errors import CoMCError
from comc_utils.notebooks.photos.app import app, app_arguments
from comc_utils.options import ExperimentOptions, flags
from comc_utils.tagging import commands

if TYPE_CHECKING:
    from comc_utils.sentences.llm.answers import LanguageModel


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes
    ----------
    help : str
        What it does, in a line.
    add_arguments : callable
        Adds its options to a parser.
    run : callable
        Carries it out on the parsed options and gives the exit status. Its imports stand inside, so
        that ``--help`` does not wait for torch.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="miniworld", help="data and models to run on")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the profile's data")
    for name, about in flags().items():
        parser.add_argument(name, **about)
    parser.add_argument("--smoke", action="store_true", help="a run of seconds, on little data")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="notebooks to run, by name or beginning (01 03)"
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="where to write (default: results/<profile>)"
    )
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="set a parameter of the notebooks; may be repeated",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="notebooks to run at once (default: as many as there are cores)"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="run the finished notebooks, too, whose code, parameters and data are unchanged",
    )
    parser.add_argument(
        "--record-times",
        action="store_true",
        help="make this run's times those that the results show (times.json); implies --again",
    )


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _reproduce(arguments: argparse.Namespace) -> int:
    from comc_utils.notebooks.run import NotebookError, reproduce

    try:
        reproduce(
            arguments.profile,
            data=arguments.data,
            options={option.name: getattr(arguments, option.name) for option in fields(ExperimentOptions)},
            smoke=arguments.smoke,
            only=arguments.only,
            output=arguments.results,
            parameters=dict(arguments.parameter),
            jobs=arguments.jobs,
            again=arguments.again,
            record_times=arguments.record_times,
        )
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train_miniworld_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models to train (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, metavar="DIR", help="for rendered scenes and checkpoints (13 GB)")
    parser.add_argument("--bfloat16", action="store_true", help="half precision, on a processor made for it")


def _train_miniworld(arguments: argparse.Namespace) -> int:
    from comc_utils.miniworld import MODEL_NAMES
    from comc_utils.miniworld.train import train
    from comc_utils.store.paths import cache_dir

    unknown = set(arguments.models) - set(MODEL_NAMES)
    if unknown:
        raise CoMCError(f"Unknown model {min(unknown)!r}; known: {', '.join(MODEL_NAMES)}.")
    for name in arguments.models or MODEL_NAMES:
        work = arguments.work or cache_dir() / "miniworld-training"
        print(train(name, work, seed=arguments.seed, bfloat16=arguments.bfloat16))
    return 0


def _download_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data_set", metavar="DATA_SET", help="voc2007 or coco2014")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="folder to unpack the data set in"
    )
    parser.add_argument(
        "--split", nargs="+", default=[], metavar="NAME", help="splits (default: the test split)"
    )
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="base address to try before the official ones; may be repeated",
    )
    parser.add_argument("--keep-archives", action="store_true", help="leave the archives beside what they held")


def _download(arguments: argparse.Namespace) -> int:
    from comc_utils.datasets.download import download

    folder = download(
        arguments.data_set,
        arguments.to,
        splits=arguments.split,
        mirrors=arguments.mirror,
        keep_archives=arguments.keep_archives,
        progress=True,
    )
    print(f"{arguments.data_set}: {folder}")
    return 0


def _backbones_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Path, metavar="FILE", help="Markdown file to write (default: print it)")


def _backbones(arguments: argparse.Namespace) -> int:
    from comc_utils.clip.survey import as_markdown, survey
    from comc_utils.store.atomic import atomic_path, make_writable

    if arguments.to:
        make_writable(arguments.to.absolute().parent, "--to")
    table = as_markdown(survey())
    if not arguments.to:
        print(table, end="")
        return 0
    with atomic_path(arguments.to) as temporary:
        temporary.write_text(table, encoding="utf-8")
    print(f"Backbones: {arguments.to}")
    return 0


def _check_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    for name, metavar, about in (
        ("--data", "DIR", "folder of MS-COCO with val2014/ and annotations/"),
        ("--checkpoint", "FILE", "the authors' model-best.pth.tar"),
        ("--label-embeddings", "FILE", "the authors' coco_templates.pt"),
    ):
        parser.add_argument(name, type=Path, required=True, metavar=metavar, help=about)
    for name in ("--weights", "--limit"):
        parser.add_argument(name, **flags()[name])
    parser.add_argument(
        "--resolution",
        type=int,
        default=448,
        metavar="PIXELS",
        help="of the larger images, a multiple of 32 (default: 448, whose embeddings take 16 GB of disk)",
    )


def _check_checkpoint(arguments: argparse.Namespace) -> int:
    from comc_utils.sources.published import check_published

    given = {name: value for name, value in vars(arguments).items() if name != "run"}
    for line in check_published(**given):
        print(line, flush=True)
    return 0


def _write_sentences_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="the corpus (JSONL)")
    parser.add_argument(
        "--labels",
        required=True,
        metavar="NAME|FILE",
        help="classes to write about: voc2007, coco2014, nuswide, or your labels, a text file with one a line",
    )
    writer = parser.add_mutually_exclusive_group(required=True)
    writer.add_argument("--model", metavar="NAME", help="model of an OpenAI-compatible endpoint")
    writer.add_argument("--local", metavar="PATH_OR_NAME", help="model of transformers, run on this machine")
    parser.add_argument("--sentences", type=int, default=40_000, metavar="N", help="label sets")
    parser.add_argument("--seed", type=int, default=0, help="of the label sets")
    parser.add_argument("--style", choices=("chat", "completion"), default="chat")
    parser.add_argument("--temperature", type=float, metavar="T", help="default: the model's own")
    parser.add_argument("--max-tokens", type=int, default=40, metavar="N", help="longest answer (default: 40)")
    parser.add_argument("--max-requests", type=int, metavar="N", help="budget, over all runs")
    parser.add_argument("--max-tokens-total", type=int, metavar="N", help="budget, over all runs")
    parser.add_argument(
        "--force", action="store_true", help="go on where most of the answers looked at are unusable"
    )

    endpoint = parser.add_argument_group("endpoint")
    endpoint.add_argument(
        "--base-url", metavar="URL", help="http://host:port/v1 (default: $OPENAI_BASE_URL, OpenAI)"
    )
    endpoint.add_argument(
        "--key-variable",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="environment variable that holds the key (default: OPENAI_API_KEY)",
    )
    endpoint.add_argument("--concurrency", type=int, default=8, metavar="N", help="requests at once")
    endpoint.add_argument(
        "--options",
        type=_json_object,
        default={},
        metavar="JSON",
        help="further fields of each request; null leaves a field out",
    )
    endpoint.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    endpoint.add_argument("--tries", type=int, default=10, metavar="N", help="of a failing request")
    endpoint.add_argument(
        "--first-wait", type=float, default=1.0, metavar="SECONDS", help="before the second try"
    )

    local = parser.add_argument_group("model on this machine")
    local.add_argument("--batch-size", type=int, default=8, metavar="N", help="prompts at once")
    local.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")

    cleaning = parser.add_argument_group("cleaning")
    cleaning.add_argument(
        "--missing-labels",
        choices=("keep", "drop", "ask-again"),
        default="keep",
        help="what becomes of a sentence that does not name all its labels",
    )
    cleaning.add_argument("--attempts", type=int, default=3, metavar="N", help="at a label set, with ask-again")
    cleaning.add_argument(
        "--other-labels",
        choices=("keep", "drop"),
        default="keep",
        help="what becomes of a sentence that names other classes, too",
    )
    cleaning.add_argument("--cut-short", choices=("keep", "drop"), default="drop")
    cleaning.add_argument("--duplicates", choices=("keep", "drop"), default="drop")
    cleaning.add_argument("--keep-all", action="store_true", help="of several sentences in an answer, keep all")
    cleaning.add_argument(
        "--whole-paragraphs", action="store_true", help="do not split a text into its sentences"
    )


def _json_object(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return value


def _write_sentences(arguments: argparse.Namespace) -> int:
    from comc_utils.sentences.labels import COCO, NUSWIDE, VOC2007
    from comc_utils.sentences.llm.cleaning import CleaningPolicy
    from comc_utils.sentences.llm.writing import Budget, Patience, describe, write_sentences
    from comc_utils.tagging.labels import label_set_of

    policy = CleaningPolicy(
        sentences="all" if arguments.keep_all else "first",
        paragraphs="keep" if arguments.whole_paragraphs else "split",
        missing_labels=arguments.missing_labels,
        attempts=arguments.attempts,
        other_labels=arguments.other_labels,
        cut_short=arguments.cut_short,
        duplicates=arguments.duplicates,
    )
    with closing(_language_model(arguments)) as model:
        outcome = write_sentences(
            model,
            {"voc2007": VOC2007, "coco2014": COCO, "nuswide": NUSWIDE}.get(arguments.labels)
            or label_set_of(arguments.labels),
            arguments.sentences,
            arguments.to,
            seed=arguments.seed,
            policy=policy,
            budget=Budget(arguments.max_requests, arguments.max_tokens_total),
            patience=Patience(arguments.tries, arguments.first_wait),
            force=arguments.force,
        )
    print(describe(outcome, arguments.to))
    return 0


def _language_model(arguments: argparse.Namespace) -> LanguageModel:
    answers = {
        "style": arguments.style,
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temperature,
    }
    if arguments.local:
        from comc_utils.sentences.llm.local_model import LocalModel

        return LocalModel(arguments.local, **answers, batch_size=arguments.batch_size, device=arguments.device)
    from comc_utils.sentences.llm.endpoint import Endpoint

    return Endpoint(
        arguments.model,
        **answers,
        base_url=arguments.base_url,
        options=arguments.options,
        key_variable=arguments.key_variable,
        concurrency=arguments.concurrency,
        timeout=arguments.timeout,
    )


def _refuse(unknown: Sequence[str], parser: argparse.ArgumentParser) -> NoReturn:
    """Stop at words that a command does not know, with the nearest that it knows."""
    known = [word for action in parser._actions for word in action.option_strings]
    near = [match for word in unknown for match in get_close_matches(word.partition("=")[0], known, 1)]
    hint = f"; did you mean {near[0]}?" if near else f"; {parser.prog} --help lists what there is"
    if any(word.startswith("--seed") for word in unknown) and "--parameter" in known:
        hint = "; a seed is a parameter of the notebooks: -p SEED=1"
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


COMMANDS = {
    "tag": Command("tag your photos with your labels", commands.tag_arguments, commands.tag),
    "learn": Command("learn a tagger from labels alone", commands.learn_arguments, commands.learn),
    "embed": Command(
        "embed photos once; tagging and searching open none again", commands.embed_arguments, commands.embed
    ),
    "find": Command("search photos by a sentence", commands.find_arguments, commands.find),
    "calibrate": Command(
        "make a tagger's scores probabilities, by some answers of yours",
        commands.calibrate_arguments,
        commands.calibrate,
    ),
    "app": Command("your photos in a page of this machine: drop, tag, look, correct", app_arguments, app),
    "reproduce": Command(
        "run the notebooks side by side and write their results", _reproduce_arguments, _reproduce
    ),
    "download": Command(
        "fetch a data set's official archives, check and unpack them; run again to go on",
        _download_arguments,
        _download,
    ),
    "check-checkpoint": Command(
        "score the classifier that the authors published on MS-COCO, beside what others read from it",
        _check_checkpoint_arguments,
        _check_checkpoint,
    ),
    "train-miniworld": Command(
        "train the embedded CLIP models anew, in place of the shipped ones",
        _train_miniworld_arguments,
        _train_miniworld,
    ),
    "backbones": Command(
        "list the CLIP models that open_clip has: which have regions", _backbones_arguments, _backbones
    ),
    "write-sentences": Command(
        "have a language model write the training sentences", _write_sentences_arguments, _write_sentences
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``python -m comc_utils``; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 where a notebook failed, 2 where the input was wrong (said on standard
        error), 130 where the user interrupted.

    Raises
    ------
    SystemExit
        From argparse: after ``--help`` and ``--version``, and on unknown options.
    """
    parser = argparse.ArgumentParser(prog="comc_utils", description="CoMC: from label names to scored images.")
    parser.add_argument("--version", action="version", version=f"comc-notebooks {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run, parser=subparser)
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        _refuse(unknown, parsed.parser)
    del parsed.parser
    try:
        return parsed.run(parsed)
    except CoMCError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
