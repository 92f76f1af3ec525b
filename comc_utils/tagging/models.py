"""The CLIP model of a tagger: by default one for photos, loaded when it is first needed."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike
from pathlib import Path

from comc_utils.clip.cached import CachedClip
from comc_utils.errors import CoMCError
from comc_utils.miniworld import MODEL_NAMES
from comc_utils.sources.backbones import load_backbone
from comc_utils.store.cache import EmbeddingCache
from comc_utils.store.paths import cache_dir
from comc_utils.tagging.embeddings import Towers

from open_clip.modified_resnet import ModifiedResNet  # isort: skip (after the encoders)
from open_clip.pretrained import get_pretrained_cfg  # isort: skip

DEFAULT_MODEL = "ViT-B-16-quickgelu"
DEFAULT_WEIGHTS = "openai"
BRING_IT = (
    "The file is open_clip_model.safetensors of huggingface.co/timm/vit_base_patch16_clip_224.openai; then say "
    "--weights open_clip_model.safetensors --tag openai, in Python weights= and tag=."
)
FOR_DRAWN_SCENES = "{} knows the drawn scenes of the embedded world alone; for photos leave the model out."


@lru_cache(maxsize=2)
def load_towers(
    model: str = DEFAULT_MODEL,
    weights: str | Path | None = None,
    device: str | None = None,
    tag: str | None = None,
) -> CachedClip:
    """Load a CLIP model, with the cache of its texts' embeddings.

    Parameters
    ----------
    model : str
        open_clip's name, or one of the embedded models.
    weights : str or Path, optional
        A tag of open_clip's or a file; OpenAI's by default, which are fetched once.
    device : str, optional
        Such as "cpu" or "cuda"; by default a GPU where there is one.
    tag : str, optional
        Of weights in a file, where the file does not say how it was trained.

    Returns
    -------
    CachedClip

    Raises
    ------
    CoMCError
        As `load_backbone`; or a device that torch does not find here.
    """
    try:
        clip = load_backbone(model, weights or DEFAULT_WEIGHTS, tag=tag, device=device)
    except CoMCError as error:
        if model != DEFAULT_MODEL or weights is not None or "could not be downloaded" not in str(error):
            raise
        raise CoMCError(f"{error} {BRING_IT}") from None
    return CachedClip(clip, model, "", EmbeddingCache(cache_dir() / "embeddings"))


def name_of_weights(model: str, weights: str | PathLike[str] | None) -> str:
    """Name weights as a saved tagger has them: a tag, or a file's name without its folder."""
    if model in MODEL_NAMES:
        return "embedded"
    return DEFAULT_WEIGHTS if weights is None else Path(weights).name


def describe_towers(towers: CachedClip) -> Towers:
    """Say what embeddings of photos depend on.

    Regions are looked at by a ModifiedResNet alone, whose attention pool is made for one place as for all. A
    vision transformer's could be had, at 200 kB a photo; what they are worth for photos could not be measured
    here.
    """
    clip = towers.clip
    return Towers(
        model=towers.name,
        weights=clip.fingerprint,
        preprocessing=clip.preprocessing,
        image_size=clip.image_size,
        regions=isinstance(clip.model.visual, ModifiedResNet),
        runtime="float16" if clip.half else "",
    )


def load_again(model: str, weights: str) -> CachedClip:
    """Load the model of a saved tagger, which knows a file of weights by its name alone."""
    if model not in MODEL_NAMES and not get_pretrained_cfg(model, weights):
        raise CoMCError(
            f"The tagger was learned with weights of {model} in a file, {weights}; say where that file is: "
            "--weights, in Python tagger.with_weights(PATH)."
        )
    return load_towers(model, weights)


def notice(model: str) -> str:
    """What a user should know of a model before it is used; '' for nothing."""
    return FOR_DRAWN_SCENES.format(model) if model in MODEL_NAMES else ""


def check_same(towers: Towers, own: Towers, whose: str) -> None:
    """Refuse embeddings of another model, or of the same one that is run otherwise."""
    if towers != own:
        differ = [name for name in vars(own) if getattr(own, name) != getattr(towers, name)]
        raise CoMCError(
            f"{whose} of {towers.model}, and the tagger needs {own.model} with the same weights and "
            f"preprocessing (they differ in: {', '.join(differ)}); embed the photos with the tagger's own "
            "model."
        )
