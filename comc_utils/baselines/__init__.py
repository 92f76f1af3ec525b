"""The methods that the paper compares with, one file each."""

from comc_utils.baselines.biam import BiAM
from comc_utils.baselines.choice import criteria, inference_agreement, prototype_agreement, prototype_family
from comc_utils.baselines.class_concepts import ClassConcepts
from comc_utils.baselines.clip_dpt import ClipDpt, clip_dpt_scores
from comc_utils.baselines.conse import ConSE
from comc_utils.baselines.coop import CoOp
from comc_utils.baselines.coop_dpt import CoOpDpt
from comc_utils.baselines.descent import Sgd
from comc_utils.baselines.dual_coop import DualCoOp
from comc_utils.baselines.fast0tag import Fast0Tag
from comc_utils.baselines.label_em import LabelEM
from comc_utils.baselines.lesa import Lesa
from comc_utils.baselines.mkt import Mkt
from comc_utils.baselines.one_attention import OneAttention
from comc_utils.baselines.piaa import Piaa
from comc_utils.baselines.prompt_ensemble import PromptEnsemble
from comc_utils.baselines.prototypes import Evidence, Prototypes
from comc_utils.baselines.ridge import RidgeClassifier
from comc_utils.baselines.sdl import Sdl
from comc_utils.baselines.sparc import Sparc
from comc_utils.baselines.tai_dpt import TaiDpt
from comc_utils.baselines.zero_shot_clip import ZeroShotClip, zero_shot_scores

TRAINED_ON_SEEN = (ConSE, LabelEM, Fast0Tag, OneAttention, Lesa, BiAM, Sdl, Mkt, DualCoOp)
"""What the paper's Table 2 compares with, in its order: methods that learn from images of other classes."""

__all__ = [
    "TRAINED_ON_SEEN",
    "BiAM",
    "ClassConcepts",
    "ClipDpt",
    "CoOp",
    "CoOpDpt",
    "ConSE",
    "DualCoOp",
    "Evidence",
    "Fast0Tag",
    "LabelEM",
    "Lesa",
    "Mkt",
    "OneAttention",
    "Piaa",
    "PromptEnsemble",
    "Prototypes",
    "RidgeClassifier",
    "Sdl",
    "Sgd",
    "Sparc",
    "TaiDpt",
    "ZeroShotClip",
    "clip_dpt_scores",
    "criteria",
    "inference_agreement",
    "prototype_agreement",
    "prototype_family",
    "zero_shot_scores",
]
