"""A notebook's file: the parameters it takes, and what to keep of it once it ran."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comc_utils.errors import CoMCError

if TYPE_CHECKING:
    from nbformat import NotebookNode

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"

# A progress bar's clock ("[00:02<00:05, ", "[01:12, "), and a notice of a first run on a machine.
_NOISE = re.compile(r"\[\d+:\d\d(:\d\d)?[<,]|Matplotlib is building the font cache")
# What a bar within a bar leaves: the cursor goes back up.
_CURSOR_UP = "\x1b[A"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_BINARY = {"image/png", "image/jpeg", "application/pdf"}
# Where IPython keeps a cell's code for tracebacks and warnings: another name in each run.
_CELL_FILE = re.compile(r"\S*/ipykernel_\d+/\d+\.py")


def read_source(path: Path) -> dict[str, Any]:
    """Read a notebook as plain JSON: nbformat takes seconds to import, longer than a run without changes.

    Parameters
    ----------
    path : Path
        The ``.ipynb`` file.

    Returns
    -------
    dict of str to object
        As nbformat 4 lays it out; a cell's ``source`` is a string or a list of its lines.

    Raises
    ------
    CoMCError
        The file is not there or is not a notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        all("".join(cell["source"]) for cell in notebook["cells"])
    except FileNotFoundError:
        raise CoMCError(f"There is no notebook {path}; check the name.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CoMCError(
            f"{path} is not a readable notebook; restore it, for example by `git checkout {path}`."
        ) from None
    return notebook


def declared_parameters(notebook: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read the parameters a notebook takes and their defaults from its cell tagged ``parameters``.

    Parameters
    ----------
    notebook : mapping
        The notebook, not executed, as `read_source` gives it.
    name : str
        What to call it in messages.

    Returns
    -------
    dict of str to object
        The defaults by name, in the notebook's order.

    Raises
    ------
    CoMCError
        The notebook has no such cell or several, or the cell holds something other than assignments
        of literals to UPPERCASE names. A value derived from another there would keep its old value
        when the other is set from outside.
    """
    cells = [c for c in notebook["cells"] if PARAMETERS_TAG in c["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise CoMCError(f"Notebook {name} has {len(cells)} cells tagged `{PARAMETERS_TAG}`; tag exactly one.")
    defaults: dict[str, Any] = {}
    try:
        for statement in ast.parse("".join(cells[0]["source"])).body:
            target, value = _assignment(statement)
            defaults[target] = ast.literal_eval(value)
    except (SyntaxError, ValueError) as error:
        raise CoMCError(
            f"The parameters cell of notebook {name} may hold only lines like SEED = 0, an "
            f"UPPERCASE name and a literal value ({error}); move anything else to a later cell."
        ) from None
    return defaults


def _assignment(statement: ast.stmt) -> tuple[str, ast.expr]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value) if name.isupper():
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name.isupper():
            return name, value
    raise ValueError(f"found `{ast.unparse(statement)}`")


def says(notebook: Mapping[str, Any], what: str) -> bool:
    """Tell what a notebook says of itself to the runner, by its metadata.

    Parameters
    ----------
    notebook : mapping
        Its metadata hold ``{"comc": {what: true}}`` where it says so.
    what : str
        "reads_results": it reads what the others left; "reads_text_alone": it needs no images;
        "starts_first": it takes so long that it should start before the others.

    Returns
    -------
    bool
    """
    return notebook["metadata"].get("comc", {}).get(what, False)


def clean_notebook(notebook: NotebookNode, folders: Mapping[str, Path]) -> None:
    """Leave in an executed notebook what a second run on another machine would give again.

    Time stamps, execution times, the interpreter's version, progress bars, widgets and absolute
    paths go; sources, outputs, execution counts, tags and what is folded away stay.

    Parameters
    ----------
    notebook : NotebookNode
        The executed notebook, changed in place.
    folders : mapping of str to Path
        Folders whose paths are replaced by ``<name>`` in outputs and injected parameters.
    """
    import nbformat

    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernelspec, "language_info": {"name": "python"}})
    hide = _path_hider(folders)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        # Tags, and what JupyterLab folds away.
        kept = {key: cell.metadata[key] for key in ("tags", "jupyter") if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(kept)
        if INJECTED_TAG in tags:
            cell.id = INJECTED_TAG  # papermill draws another one in each run
            cell.source = hide(cell.source)
        if cell.cell_type == "code":
            cell.outputs = [_hide_paths(output, hide) for output in _kept_outputs(cell.outputs)]


def _kept_outputs(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    for output in outputs:
        if _WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream" and output.name == "stderr":
            lines = output.text.replace(_CURSOR_UP, "").splitlines(keepends=True)
            output.text = "".join(line for line in lines if not _NOISE.search(line))
            if not output.text.strip():
                continue
        yield output


def _path_hider(folders: Mapping[str, Path]) -> Callable[[str], str]:
    """Make a function that puts ``<name>`` in the place of each folder's path in a text."""
    names = {
        str(form): name
        for name, folder in folders.items()
        for form in (folder, folder.resolve())
        if len(form.parts) > 1  # the root is part of every path
    }
    # The longest first, for a folder may lie in another.
    paths = "|".join(re.escape(path) for path in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"({paths})(?![\w-]|\.\w)")

    def hide(text: str) -> str:
        text = _CELL_FILE.sub("<cell>", text)
        return pattern.sub(lambda match: f"<{names[match[0]]}>", text)

    return hide


def _hide_paths(node: Any, hide: Callable[[str], str]) -> Any:
    """Apply ``hide`` to every string in an output except pictures."""
    if isinstance(node, str):
        return hide(node)
    if isinstance(node, list):
        return [_hide_paths(item, hide) for item in node]
    if isinstance(node, dict):
        return type(node)(
            {key: item if key in _BINARY else _hide_paths(item, hide) for key, item in node.items()}
        )
    return node
