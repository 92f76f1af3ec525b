"""Every model that open_clip names: which have regions, and which must fetch more than weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import open_clip
import torch
from open_clip.model import _build_vision_tower

from comc_utils.clip.image import why_no_regions
from comc_utils.clip.loading import quiet_logging

_FETCHED = {"hf_tokenizer_name": "tokenizer", "hf_model_name": "text tower"}


@dataclass(frozen=True)
class Surveyed:
    """What a model can do here.

    Attributes
    ----------
    name : str
    tower : str
        Kind of its image tower; '' where it cannot be built.
    millions : float
        Parameters of the image tower, in millions.
    why_no_regions : str
        '' where each region has an embedding; without one the global half of the method runs.
    fetches : str
        What has to come from a hub beside the weights: the tokenizer, the text tower; '' for nothing.
    """

    name: str
    tower: str
    millions: float
    why_no_regions: str
    fetches: str


def survey() -> Iterator[Surveyed]:
    """Look at every name of ``open_clip.list_models()``, without weights: towers are built on no device.

    Yields
    ------
    Surveyed
        In the order of the names.
    """
    for name in sorted(open_clip.list_models()):
        config = open_clip.get_model_config(name)
        text = config["text_cfg"]
        fetches = [what for key, what in _FETCHED.items() if text.get(key)]
        try:
            with quiet_logging(), torch.device("meta"):
                quick_gelu = config.get("quick_gelu", False)
                visual = _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu)
        # Towers of timm bring their own exceptions.
        except Exception as error:
            reason = f"it cannot be built here ({type(error).__name__})"
            yield Surveyed(name, "", 0.0, reason, ", ".join(fetches))
            continue
        millions = sum(parameter.numel() for parameter in visual.parameters()) / 1e6
        kind = type(getattr(visual, "trunk", visual)).__name__
        yield Surveyed(name, kind, round(millions, 1), why_no_regions(visual), ", ".join(fetches))


def as_markdown(models: Iterable[Surveyed]) -> str:
    """Lay out a survey as a Markdown table.

    Parameters
    ----------
    models : iterable of Surveyed

    Returns
    -------
    str
    """
    lines = [
        "# Models of open_clip",
        "",
        "What `python -m comc_utils backbones` finds in open_clip "
        f"{version('open_clip_torch')}, towers built without weights. A model without regions runs with the "
        "global half of the method.",
        "",
        "| name | image tower | million parameters | regions | fetched beside the weights |",
        "|---|---|---:|---|---|",
    ]
    for model in models:
        regions = f"no: {model.why_no_regions}" if model.why_no_regions else "yes"
        lines.append(f"| {model.name} | {model.tower} | {model.millions:,.1f} | {regions} | {model.fetches} |")
    return "\n".join(lines) + "\n"
