"""Every published notebook ends in an answer with this run's numbers, or in the reason why it was not asked."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from comc_utils.notebooks.committed import flatten
from comc_utils.notebooks.manifest import read_manifest

RESULTS = Path(__file__).parents[1] / "results"
PUBLISHED = sorted(RESULTS.glob("*/notebooks/*.ipynb"))
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def shown_at_the_end(notebook: Path) -> str:
    """Give the last Markdown that the executed notebook shows."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    shown = ["".join(output.get("data", {}).get("text/markdown", "")) for output in outputs]
    return [text for text in shown if text][-1]


@pytest.mark.parametrize("notebook", PUBLISHED, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_a_published_notebook_ends_in_its_answer(notebook):
    folder = notebook.parents[1]
    metrics = json.loads((folder / "metrics" / f"{notebook.stem}.json").read_text(encoding="utf-8"))
    text = shown_at_the_end(notebook)
    if "skipped" in metrics:
        assert text == f"**Not asked here.** {metrics['skipped']}"
        return
    (answer,) = [entry for entry in read_manifest(folder, notebook.stem).left if entry.kind == "answer"]
    assert text == f"**Answer.** {answer.caption}"
    values = [v for v in flatten(metrics).values() if isinstance(v, int | float) and not isinstance(v, bool)]
    stated = NUMBER.findall(text)
    # Of verdicts, which are words, the answer gives the numbers.
    words = ([v for v in flatten(part).values() if isinstance(v, str)] for part in metrics.values())
    counted = {str(n) for of_part in words for n in Counter(of_part).values()}
    rounded = counted | {f"{abs(value):.{digits}f}" for value in values for digits in (0, 1, 2, 3)}
    assert any("." in number and number in rounded for number in stated) or set(stated) & rounded
