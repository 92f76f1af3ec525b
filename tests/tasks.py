"""Tasks for methods, made of a tower and class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comc_utils.method.protocol import Task
from comc_utils.sentences.labels import label_prompt


def task_of(tower: Any, class_names: Sequence[str], **shown: Any) -> Task:
    """Give what an experiment would: class embeddings by the tower, and what is to be seen."""
    return Task(
        class_names=tuple(class_names),
        class_embeddings=tower.encode_text([label_prompt(name) for name in class_names]),
        tau=getattr(tower, "temperature", 0.01),
        clip=tower,
        embed_texts=tower.encode_text,
        **shown,
    )
