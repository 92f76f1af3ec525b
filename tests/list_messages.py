"""Write docs/messages.md: every message by which the package stops, as its code has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "messages.md"
_HEAD = """# Messages

What a run, a command or a function of the package says when it stops, and what can be done: everything that
raises a `CoMCError` or an error of the notebooks' runner, room by room. Words in braces are filled in. Most end
with the remedy. Options, commands, targets of make, pages, extras and parameters that messages name are checked
to exist (`tests/test_messages.py`); this page is written by `python tests/list_messages.py`.
"""


def messages() -> Iterator[tuple[str, str]]:
    """Give the module and the text of every raised error, in order; text that is made elsewhere is followed."""
    for path in sorted((ROOT / "comc_utils").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
        for node in sorted(calls, key=lambda call: call.lineno):
            if ast.unparse(node.func) in {"CoMCError", "ImageError", "NotebookError"} and (
                text := _text(node.args[0])
            ):
                yield path.relative_to(ROOT / "comc_utils").as_posix(), text


def _text(node: ast.expr) -> str:
    """Join the parts of a text, with what is filled in by its name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(p.value if isinstance(p, ast.Constant) else _filled(p.value) for p in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return ""


def _filled(node: ast.expr) -> str:
    """Name what is filled in, where its code is short enough to be read."""
    code = ast.unparse(node)
    return f"{{{code}}}" if len(code) <= 24 else "{...}"


def page() -> str:
    """Lay the messages out, a section a room."""
    parts, room, module = [_HEAD], None, None
    for path, text in messages():
        if (here := path.split("/")[0].removesuffix(".py")) != room:
            room = here
            parts.append(f"\n## {room}\n")
        if path != module:
            module = path
            parts.append(f"\n`{module}`\n\n")
        escaped = re.sub(r"([<>|*_`])", r"\\\1", " ".join(text.split()))
        parts.append(f"- {escaped}\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
