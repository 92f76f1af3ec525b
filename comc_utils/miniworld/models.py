"""Where the embedded models' configurations, vocabulary and weights lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from comc_utils.clip.torchvision_ops import ensure_torchvision_imports

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

FOLDER = Path(__file__).parent
CONFIGS = FOLDER / "configs"
WEIGHTS = FOLDER / "weights"
VOCABULARY = FOLDER / "vocabulary.txt.gz"
CONTEXT_LENGTH = 64

MODEL_NAMES = ("miniworld-RN-small", "miniworld-RN-large", "miniworld-ViT")
"""Two ModifiedResNets and a vision transformer, as RN50, RN101 and ViT-B/32 are in the paper."""


def register_models() -> None:
    """Make the names in `MODEL_NAMES` known to open_clip."""
    ensure_torchvision_imports()
    import open_clip

    open_clip.add_model_config(CONFIGS)


def tokenizer() -> SimpleTokenizer:
    """open_clip's byte-pair tokenizer with the embedded world's own merges."""
    ensure_torchvision_imports()
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(bpe_path=str(VOCABULARY), context_length=CONTEXT_LENGTH)


def weights_path(name: str) -> Path:
    """The file of trained weights of one of `MODEL_NAMES` (safetensors, float16)."""
    return WEIGHTS / f"{name}.safetensors"
