"""How weights were trained, which they do not say themselves: activation, normalisation, interpolation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg

from comc_utils.clip.weights import WeightsFile
from comc_utils.errors import CoMCError
from comc_utils.store.checksum import sha256_of

QUICKGELU = "-quickgelu"
CONFIG_FILE = "open_clip_config.json"
"""Beside the weights, as open_clip's authors publish both."""
_HASH_IN_ADDRESS = re.compile(r"/([0-9a-f]{64})/|-([0-9a-f]{8})\.\w+$")
_READ = ("mean", "std", "interpolation", "quick_gelu")


@dataclass(frozen=True)
class Training:
    """How weights were trained.

    Attributes
    ----------
    settings : mapping
        As open_clip records them for a tag: ``mean``, ``std``, ``interpolation``, ``quick_gelu``; empty for a
        model of which open_clip lists no weights, whose own configuration then holds.
    known_from : str
        What says so.
    """

    settings: Mapping[str, Any]
    known_from: str


def training_of(name: str, path: Path, file: WeightsFile, tag: str | None = None) -> Training:
    """Find out how a file of weights was trained.

    Asked in this order: the tag that the caller names, the configuration beside the file, OpenAI's layout,
    open_clip's tags of the model where they all say the same, and the file's SHA-256 as open_clip records it.

    Parameters
    ----------
    name : str
        A name of ``open_clip.list_models()``.
    path : Path
        The file.
    file : WeightsFile
        What it holds.
    tag : str, optional
        The one of ``open_clip.list_pretrained()`` whose weights these are.

    Returns
    -------
    Training

    Raises
    ------
    CoMCError
        The tag is none of the model's, the configuration cannot be read, or nothing decides.
    """
    known = {one: get_pretrained_cfg(name, one) for one in open_clip.list_pretrained_tags_by_model(name)}
    if tag is not None:
        if tag not in known:
            raise CoMCError(f"{tag!r} is no tag of model {name!r}; its tags: {', '.join(known) or 'none'}.")
        return Training(known[tag], f"the tag {tag}")
    if (config := path.with_name(CONFIG_FILE)).is_file():
        return Training(_read_config(config), f"{CONFIG_FILE} beside the file")
    if file.openai_layout:  # all of OpenAI's models were trained so
        return Training(known.get("openai", {"quick_gelu": True}), "the file's layout, which is OpenAI's")
    # A setting that is not recorded is open_clip's default.
    settings = {tuple(str(of_tag.get(key, False)) for key in _READ) for of_tag in known.values()}
    if not known:
        return Training({}, "the model's own configuration")
    if len(settings) == 1:
        return Training(next(iter(known.values())), "open_clip's tags of the model, which all say the same")
    # Last, since it reads all of the file.
    if by_hash := _by_hash(path, known):
        return Training(by_hash, "the file's SHA-256, as open_clip records it")
    raise CoMCError(
        f"Weights file {path} does not say how it was trained, and open_clip's weights of {name!r} differ "
        "in that; say which these are by --tag (in a notebook OPTIONS, in Python tag=), one of "
        f"{', '.join(known)}; or put their {CONFIG_FILE} beside the file."
    )


def check_activation(name: str, weights: str, config: Mapping[str, Any], training: Training) -> None:
    """See that a model is built with the activation that its weights were trained with.

    Parameters
    ----------
    name : str
    weights : str
        What to call the weights.
    config : mapping
        The model's, as open_clip gives it.
    training : Training
        The weights'.

    Raises
    ------
    CoMCError
        It is another one, which would give wrong embeddings.
    """
    if not training.settings:
        return
    trained_with_quick_gelu = training.settings.get("quick_gelu", False)
    if trained_with_quick_gelu == config.get("quick_gelu", False):
        return
    right = name + QUICKGELU if trained_with_quick_gelu else name.removesuffix(QUICKGELU)
    trained, built = ("QuickGELU", "GELU") if trained_with_quick_gelu else ("GELU", "QuickGELU")
    raise CoMCError(
        f"Weights {weights} were trained with {trained}, but model {name!r} is built with "
        f"{built} and would give wrong embeddings; use the model name {right!r}."
    )


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        quick_gelu = bool(content["model_cfg"].get("quick_gelu", False))
        return {**content.get("preprocess_cfg", {}), "quick_gelu": quick_gelu}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CoMCError(
            f"{path} is no configuration of open_clip's; fetch it again, or take it away and name --tag."
        ) from None


def _by_hash(path: Path, known: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    recorded = {}
    for of_tag in known.values():
        for whole, beginning in _HASH_IN_ADDRESS.findall(of_tag.get("url") or ""):
            recorded[whole or beginning] = of_tag
    if not recorded:
        return None
    sha256 = sha256_of(path)
    return recorded.get(sha256) or recorded.get(sha256[:8])
