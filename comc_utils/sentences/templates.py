"""Prompt templates as training text: the released code adds them to the sentences."""

from __future__ import annotations

from collections.abc import Sequence

from comc_utils.clip.torchvision_ops import ensure_torchvision_imports
from comc_utils.sentences.corpus import Record
from comc_utils.sentences.labels import label_prompt

PLAIN_COPIES = 9
"""Copies of the plain prompt for each class, as the released code has them."""


def plain_prompt_records(class_names: Sequence[str]) -> list[Record]:
    """Plain prompts, "a photo of a {c}.", `PLAIN_COPIES` times for each class in turn.

    Parameters
    ----------
    class_names : sequence of str

    Returns
    -------
    list of Record
    """
    return [_record(name, label_prompt(name)) for name in class_names for _ in range(PLAIN_COPIES)]


def template_records(class_names: Sequence[str]) -> list[Record]:
    """Everything that the released code adds to the sentences.

    Parameters
    ----------
    class_names : sequence of str

    Returns
    -------
    list of Record
        The plain prompts, then for each class one each of the 80 ImageNet templates of CLIP's authors,
        which open_clip carries.
    """
    ensure_torchvision_imports()
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return plain_prompt_records(class_names) + [
        _record(name, template(name)) for name in class_names for template in OPENAI_IMAGENET_TEMPLATES
    ]


def _record(class_name: str, text: str) -> Record:
    return Record(text=text, labels=(class_name,), generator="prompt templates", prompt="", seed=0)
