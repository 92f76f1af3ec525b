"""``python -m comc_utils app``: the notebook of one's own photos as a page, on this machine alone."""

from __future__ import annotations

import argparse
import json
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comc_utils.errors import CoMCError
from comc_utils.store.paths import READ_ONLY_VARIABLE, repository_root
from comc_utils.tagging.commands import given, model_arguments

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from tornado.web import RequestHandler

NOTEBOOK = "14_your_photos.ipynb"
TAG = "app"
"""Of the notebook's cells that are the page."""
ADDRESS = "127.0.0.1"
PORT = 8866
MODEL = "RN50-quickgelu"
"""Looks at regions, so that a tag can be seen where it comes from."""
IDLE_SECONDS, LOOK_SECONDS = 600, 60
"""A page that was closed without a word, as by a lost connection, is forgotten after so long."""


def app_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``app``."""
    model_arguments(parser, MODEL)
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"(default: {PORT})")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser, only say the address")


def app(arguments: argparse.Namespace) -> int:
    """Serve the page until it is stopped."""
    try:
        from voila.app import Voila
    except ModuleNotFoundError:
        raise CoMCError(
            "The page needs Voila: pip install voila, or in the checkout pip install -e '.[app]'."
        ) from None
    from traitlets.config import Config

    from comc_utils.notebooks.photos.page import APP_VARIABLE
    from comc_utils.tagging.models import load_towers
    from comc_utils.tagging.tagger import Tagger

    notebook = repository_root() / "notebooks" / NOTEBOOK
    _check_port(arguments.port)
    model = {"model": MODEL} | given(arguments, "model", "weights", "tag", "device")
    if os.path.isfile(model.get("weights", "")):
        model["weights"] = os.path.abspath(model["weights"])
    print(f"Making {model['model']} ready, which takes a minute or some the first time ...", flush=True)
    for method in ("zero-shot", "comc"):  # the background's part, which visitors' pages read and do not write
        Tagger.learn(["a thing"], method=method, **model)
    load_towers.cache_clear()
    os.environ |= {
        APP_VARIABLE: json.dumps(model),
        READ_ONLY_VARIABLE: "1",
        "JUPYTER_PATH": os.pathsep.join(filter(None, (str(Path(__file__).parent), os.getenv("JUPYTER_PATH")))),
    }
    server = Voila(config=Config(_settings(arguments)), notebook_path=str(notebook))
    server.initialize([])
    print(
        f"http://{ADDRESS}:{arguments.port}/ is the page, on this machine alone; photos, labels and answers "
        "do not leave it. Ctrl-C ends it.",
        flush=True,
    )
    server.start()
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Voila's configuration."""
    only_here = (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob: "
        f"ws://{ADDRESS}:{arguments.port}; frame-ancestors 'none'"
    )
    return {
        "Voila": {
            "ip": ADDRESS,
            "port": arguments.port,
            "port_retries": 0,
            "open_browser": not arguments.no_browser,
            # Voila itself would answer to any name: another site may have its own lead here.
            "tornado_settings": {
                "allow_remote_access": False,
                "local_hostnames": ["localhost"],
                "headers": {"Content-Security-Policy": only_here},
            },
        },
        "VoilaConfiguration": {
            "template": "comc",
            "prelaunch_hook": _page_alone,
            "allow_template_override": "NO",
            "file_allowlist": [],
        },
        "MappingKernelManager": {"cull_idle_timeout": IDLE_SECONDS, "cull_interval": LOOK_SECONDS},
    }


def _page_alone(request: RequestHandler, notebook: NotebookNode, cwd: str) -> NotebookNode:
    """Leave of the notebook what is the page."""
    # Asked for, it is sent along as a cookie: without it the page, when it is closed, may not end its kernel.
    _ = request.xsrf_token
    notebook.cells = [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", ())]
    return notebook


def _check_port(port: int) -> None:
    try:
        if port < 1:
            raise OverflowError("ports begin at 1")
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, port))
    except (OSError, OverflowError) as error:
        raise CoMCError(
            f"Port {port} cannot be used ({error}); the page may be running already, or choose another: --port."
        ) from None
