"""Three small CLIP models, trained by us on rendered scenes, in open_clip's own classes."""

from comc_utils.miniworld_clip.models import MODEL_NAMES, register_models, tokenizer, weights_path

__all__ = ["MODEL_NAMES", "register_models", "tokenizer", "weights_path"]
