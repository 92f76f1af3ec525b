"""The paper's numbers, and the sizes of its backbones."""

from __future__ import annotations

import pytest

# From there, where torchvision is made to fit first.
from comc_utils.clip.loading import open_clip
from comc_utils.evaluation.reported import IMAGE_PARAMETERS, reported
from comc_utils.profiles import get_profile


def test_the_papers_backbones_have_the_sizes_of_open_clips_models():
    counted = {}
    for name in get_profile("voc2007").backbones:
        visual = open_clip.create_model(name, device="meta").visual
        counted[name] = sum(p.numel() for p in visual.parameters()) / 1e6
    assert list(counted.values()) == pytest.approx(list(IMAGE_PARAMETERS.values()), abs=0.005)
    assert list(IMAGE_PARAMETERS) == list(reported(6, dataset="VOC2007").setting.unique())
