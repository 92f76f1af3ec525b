"""The methods that the paper compares with, one file each."""

from comc_utils.baselines.clip_dpt import clip_dpt_scores
from comc_utils.baselines.zero_shot_clip import zero_shot_scores

__all__ = ["clip_dpt_scores", "zero_shot_scores"]
