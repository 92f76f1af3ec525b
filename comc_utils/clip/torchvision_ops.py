"""Let torchvision be imported beside a CPU-only torch.

PyPI's torchvision wheels are built for CUDA. Beside a CPU-only torch their C++ library cannot be
loaded, so the operators it defines do not exist, and ``import torchvision`` fails where it
registers shape functions for two of them ("operator torchvision::nms does not exist"). open_clip
and timm need torchvision for its transforms only, which are plain Python. Declaring the two
operators' signatures, without an implementation, is enough for the import.
"""

from __future__ import annotations

import importlib
import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",  # since torchvision 0.28
)

# A library's declarations live as long as the object does.
_libraries: list[torch.library.Library] = []


def ensure_torchvision_imports() -> None:
    """Import torchvision, declaring its missing operators where the import fails for want of them.

    A torchvision whose C++ library loads is imported as it is: declaring its operators a second
    time would break it.

    Raises
    ------
    ImportError, RuntimeError
        torchvision cannot be imported for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        # The failed import leaves submodules behind that a second import would take as complete.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _libraries.append(library)
        importlib.import_module("torchvision")
