"""What messages and help name exists: options, commands, targets of make, files, extras, parameters."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import list_messages
import pytest

from comc_utils.cli import COMMANDS
from comc_utils.notebooks.files import declared_parameters, read_source

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "comc_utils").rglob("*.py"))
}
OF_OTHER_PROGRAMS = {"--head", "--name-only", "pad"}
"""Options of Ray's and git's, and a parameter of matplotlib's."""


@cache
def texts() -> list[tuple[str, str]]:
    """Give every text that the package may show, with its place: all strings but docstrings."""
    found = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):
                node.value = ast.Constant(None)
        # Joined, since a name may be cut by the end of a line of code, and what is filled in stands between.
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.append((f"{path}:{node.lineno}", "".join(map(str, parts))))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((f"{path}:{node.lineno}", node.value))
    return found


def named(pattern: str) -> Iterator[tuple[str, str]]:
    for place, text in texts():
        for match in re.finditer(pattern, text):
            yield match.group(1), place


def options(command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    return {word for action in parser._actions for word in action.option_strings}


def parameters() -> set[str]:
    """Give the names of the parameters of all functions and classes, and of the notebooks."""
    names = set()
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        names |= declared_parameters(read_source(path), path.stem).keys()
    return names


def setup() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


KINDS = {
    "option": (r"(?<![\w-])(--[a-z][a-z-]+)", lambda: set().union(*map(options, COMMANDS)), 40),
    "command": (r"python -m comc_utils ([a-z][a-z-]*)", lambda: set(COMMANDS), 4),
    "target of make": (
        r"\bmake ((?:re|lint|lab|bench|test|try|smoke|constr)[a-z-]*)",
        lambda: set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)),
        0,
    ),
    "page": (r"\b(docs/\w+\.md)", lambda: {f"docs/{path.name}" for path in (ROOT / "docs").iterdir()}, 1),
    "extra": (r"(?:\(the extra |-e '\.\[)([a-z-]+)[)\]]", lambda: set(setup()["optional-dependencies"]), 2),
    "parameter": (r"\b([A-Za-z_]+)=(?:True|False|None|N\b|\d|\"|\.\.\.|\))", parameters, 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_exists(kind: str) -> None:
    pattern, known, at_least = KINDS[kind]
    found = list(named(pattern))
    known = known()
    assert len(found) >= at_least
    unknown = [
        f"{place} names the {kind} {name}" for name, place in found if name not in known | OF_OTHER_PROGRAMS
    ]
    assert not unknown, "\n".join(unknown)


def test_options_of_a_command_named_in_full_are_its_own() -> None:
    for place, text in texts():
        for command, rest in re.findall(r"python -m comc_utils ([a-z-]+)((?: [A-Za-z-]+)*)", text):
            wrong = set(re.findall(r"--[a-z-]+", rest)) - options(command) - {"--help"}
            assert not wrong, f"{place}: {command} has no {', '.join(wrong)}"


def test_the_page_of_messages_is_what_the_code_says() -> None:
    assert list_messages.PAGE.read_text(encoding="utf-8") == list_messages.page(), (
        "run python tests/list_messages.py"
    )
    assert len(list(list_messages.messages())) > 200
