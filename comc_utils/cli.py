"""The command line: ``python -m comc_utils <command>``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from comc_utils import __version__
from comc_utils.errors import CoMCError


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
        "--jobs",
        type=int,
        metavar="N",
        help="notebooks to run at once (default: as many as there are cores)",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="run the finished notebooks, too, whose code, parameters and data are unchanged",
    )


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _reproduce(arguments: argparse.Namespace) -> int:
    from comc_utils.reproduce import NotebookError, reproduce

    try:
        reproduce(
            arguments.profile,
            data=arguments.data,
            smoke=arguments.smoke,
            only=arguments.only,
            output=arguments.results,
            parameters=dict(arguments.parameter),
            jobs=arguments.jobs,
            again=arguments.again,
        )
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train_miniworld_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models to train (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="for rendered scenes and checkpoints (8 GB)"
    )


def _train_miniworld(arguments: argparse.Namespace) -> int:
    from comc_utils.miniworld_clip import MODEL_NAMES
    from comc_utils.miniworld_clip.train import train
    from comc_utils.paths import cache_dir

    unknown = set(arguments.models) - set(MODEL_NAMES)
    if unknown:
        raise CoMCError(f"Unknown model {min(unknown)!r}; known: {', '.join(MODEL_NAMES)}.")
    for name in arguments.models or MODEL_NAMES:
        work = arguments.work or cache_dir() / "miniworld-training"
        print(train(name, work, seed=arguments.seed))
    return 0


COMMANDS = {
    "reproduce": Command(
        "run the notebooks side by side and write their results", _reproduce_arguments, _reproduce
    ),
    "train-miniworld": Command(
        "train the embedded CLIP models anew, in place of the shipped ones",
        _train_miniworld_arguments,
        _train_miniworld,
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
    parser = argparse.ArgumentParser(
        prog="comc_utils", description="CoMC: from label names to scored images."
    )
    parser.add_argument("--version", action="version", version=f"comc-notebooks {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    parsed = parser.parse_args(arguments)
    try:
        return parsed.run(parsed)
    except CoMCError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
