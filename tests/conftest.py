"""What all tests share: the real data, a cache of their own, a browser, notebooks to run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

REPOSITORY = Path(__file__).parents[1]
REAL_DATA = REPOSITORY.parent / "shared" / "real"

# The first example of a property often pays for an import; time limits are pytest-timeout's.
settings.register_profile("comc", deadline=None)
settings.load_profile("comc")
# Small tensors gain nothing from more, and lose much where other processes run beside them.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real data that is not part of the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip("the folder of real data, ../shared/real, is not on this machine")
    return REAL_DATA


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep every test, and the processes it starts, away from the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMC_CACHE_DIR", str(folder))
        # Tests run side by side: kernels on all cores at once would mostly wait for each other's threads.
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


# Playwright's event loop runs as long as the browser does, and other modules' tests run loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(names)})")
    with sync_playwright() as playwright:
        # Chromium refuses to run as root, as in a container, with its sandbox.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def write_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes ``notebooks/<name>.ipynb`` from a parameters cell and others."""

    def write(name: str, parameters: str, *cells: str, **metadata: bool) -> Path:
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        if metadata:
            notebook.metadata["comc"] = metadata
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *cells)]
        notebook.cells[0].metadata["tags"] = ["parameters"]
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number}"
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return write
