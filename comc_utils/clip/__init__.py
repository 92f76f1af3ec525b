"""CLIP's two towers: sentences and images to unit vectors in one space."""

from __future__ import annotations

from comc_utils.clip.torchvision_ops import ensure_torchvision_imports

# Before the first import of open_clip, which imports torchvision.
ensure_torchvision_imports()

from comc_utils.clip.image import ImageEmbeddings  # noqa: E402
from comc_utils.clip.loading import describe_weights, load_clip  # noqa: E402
from comc_utils.clip.model import Clip  # noqa: E402

__all__ = ["Clip", "ImageEmbeddings", "describe_weights", "load_clip"]
