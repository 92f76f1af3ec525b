"""Where the embedded models' configurations and weights lie."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from torch import nn

from comc_utils.clip import Clip
from comc_utils.clip.torchvision_ops import ensure_torchvision_imports

FOLDER = Path(__file__).parent
CONFIGS = FOLDER / "configs"
WEIGHTS = FOLDER / "weights"

MODEL_NAMES = ("miniworld-RN-small", "miniworld-RN-large", "miniworld-ViT")
"""Two ModifiedResNets and a vision transformer, as RN50, RN101 and ViT-B/32 are in the paper."""


def register_models() -> None:
    """Make the names in `MODEL_NAMES` known to open_clip."""
    ensure_torchvision_imports()
    import open_clip

    open_clip.add_model_config(CONFIGS)


def weights_path(name: str) -> Path:
    """The file of trained weights of one of `MODEL_NAMES` (safetensors, float16)."""
    return WEIGHTS / f"{name}.safetensors"


def training_history() -> pd.DataFrame:
    """Losses along the training of `MODEL_NAMES`.

    Returns
    -------
    pandas.DataFrame
        Columns stage, samples (seen in it), loss (in nats), scale (learned, 1 / tau), model.
    """
    files = {name: weights_path(name).with_suffix(".history.json") for name in MODEL_NAMES}
    histories = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
    return pd.concat(pd.DataFrame(h["history"]).assign(model=name) for name, h in histories.items())


def describe_model(name: str, clip: Clip) -> dict[str, object]:
    """Say how large one of `MODEL_NAMES` is, for a row of a table: parameters in millions, 1 / tau."""
    whole, image = (_millions(module) for module in (clip.model, clip.model.visual))
    return {
        "model": name,
        "image tower (M)": round(image, 2),
        "text tower (M)": round(whole - image, 2),
        "file (MB)": round(weights_path(name).stat().st_size / 1e6, 1),
        "learned scale 1/tau": round(1 / clip.temperature, 1),
    }


def _millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6
