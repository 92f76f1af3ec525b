"""Run every notebook anew in smoke mode and keep the executed copies for nbval to compare with."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from comc_utils.notebooks.run import reproduce

REPOSITORY = Path(__file__).parents[1]
KEPT = REPOSITORY / "tests" / "smoke_notebooks"


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        # In the layout of the repository, so that the injected RESULTS is the same on any machine.
        notebooks = Path(temporary) / "notebooks"
        shutil.copytree(REPOSITORY / "notebooks", notebooks)
        output = Path(temporary) / "results" / "miniworld"
        reproduce("miniworld", smoke=True, notebooks=notebooks, output=output)
        shutil.rmtree(KEPT, ignore_errors=True)
        shutil.copytree(output / "notebooks", KEPT)


if __name__ == "__main__":
    main()
