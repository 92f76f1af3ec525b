"""What the paper asserts, where, and the test that decides each assertion."""

from __future__ import annotations

from comc_utils.evaluation import groups
from comc_utils.evaluation.rules import MARGIN, AllOf, BestAlphaInside, Claim, Greater, NotWorse, SmallGain

_REGIONS = ("local embeddings",)
_LEARNED_PROMPTS = ("a text tower through which prompts are learned",)
_LABELLED = ("labelled images beside those of the test",)
_WITHOUT_IMAGES = "4.2.1, Methods without Image Training"
_FEW_SHOT = "4.2.2, Few-shot Methods"
_LOCAL = "4.3, Fine-grained Image Embeddings"
_MAPPING = "4.3, Cross-modal Mapping"
_TEXT = "4.4, Language Data Size"
_WRITERS = "4.4, Different LLMs"
_BACKBONES = "4.4, Visual Backbones"
_ALPHA = "4.4, Weighting Factor"


def _at_both_rates(
    group: str, *names: str, needs: tuple[str, ...] = (), searched: tuple[str, ...] = ()
) -> AllOf:
    """A rival may be at its best at its authors' learning rate or at a searched one: be above both."""
    at_own = Greater(group, names, needs=needs)
    return AllOf((at_own, Greater(group + groups.SEARCHED, names, needs=needs + searched)))


CLAIMS = (
    Claim(
        "above-zero-shot-clip",
        "CoMC recognises images better than zero-shot CLIP on every data set.",
        f"{_WITHOUT_IMAGES}, sentence 6; Table 1",
        "03_inference",
        Greater(groups.COMC_OVER, ("Zero-shot CLIP",)),
        comparable=Greater(groups.COMC_OVER_COMPARABLE, ("Zero-shot CLIP, softmax",)),
    ),
    Claim(
        "above-clip-dpt",
        "CoMC recognises images better than CLIP-DPT on every data set.",
        f"{_WITHOUT_IMAGES}, sentence 3; Table 1",
        "03_inference",
        Greater(groups.COMC_OVER, ("CLIP-DPT",), needs=_REGIONS),
        comparable=Greater(groups.COMC_OVER_COMPARABLE, ("CLIP-DPT, softmax",), needs=_REGIONS),
    ),
    Claim(
        "local-helps-without-mapping",
        "Local embeddings help where there is no mapping.",
        "4.3, Table 4, third row against first",
        "04_ablations",
        Greater(groups.LOCAL_ADDS, ("without mapping",), needs=_REGIONS),
    ),
    Claim(
        "local-helps-with-mapping",
        "Local embeddings help on top of the mapping.",
        f"{_LOCAL}, sentence 4; Table 4",
        "04_ablations",
        Greater(groups.LOCAL_ADDS, ("with mapping",), needs=_REGIONS),
    ),
    Claim(
        "mapping-helps-without-local",
        "The mapping helps where there are no local embeddings.",
        "4.3, Table 4, second row against first",
        "04_ablations",
        Greater(groups.MAPPING_ADDS, ("without local",)),
    ),
    Claim(
        "mapping-helps-with-local",
        "The mapping helps on top of local embeddings.",
        f"{_MAPPING}, sentence 3; Table 4",
        "04_ablations",
        Greater(groups.MAPPING_ADDS, ("with local",), needs=_REGIONS),
    ),
    Claim(
        "both-together-best",
        "Local embeddings and mapping together are better than either alone.",
        "4.3, Table 4, fourth row",
        "04_ablations",
        AllOf(
            (
                Greater(groups.LOCAL_ADDS, ("with mapping",), needs=_REGIONS),
                Greater(groups.MAPPING_ADDS, ("with local",), needs=_REGIONS),
            )
        ),
    ),
    Claim(
        "best-alpha-inside",
        "The best alpha lies strictly between 0 and 1: original and mapped embeddings are both needed.",
        f"{_ALPHA}, sentence 7; Figure 3",
        "05_alpha_sweep",
        AllOf((BestAlphaInside(), Greater(groups.OPTIMUM_OVER, ("alpha 0", "alpha 1")))),
    ),
    Claim(
        "small-alpha-loses",
        f"Below alpha = 0.4 the loss is marked (more than {MARGIN:g} point).",
        f"{_ALPHA}, sentence 10; Figure 3",
        "05_alpha_sweep",
        Greater(groups.OPTIMUM_OVER, ("alpha 0", "alpha 0.2", "alpha 0.3"), by=MARGIN),
    ),
    Claim(
        "alpha-one-below-best",
        "The original embedding alone (alpha = 1) is below the best mixture.",
        f"{_ALPHA}, sentence 8; Figure 3",
        "05_alpha_sweep",
        Greater(groups.OPTIMUM_OVER, ("alpha 1",)),
    ),
    Claim(
        "images-and-texts-apart",
        "Images and texts lie in separate parts of the embedding space.",
        "4.5, sentence 2; Figure 4(a)",
        "06_modality_gap",
        Greater(groups.BEFORE_OVER_CHANCE),
    ),
    Claim(
        "mapping-closes-gap",
        "The mapping brings images and texts together.",
        "4.5, sentence 4; Figure 4(b)",
        "06_modality_gap",
        Greater(groups.BEFORE_OVER_AFTER),
    ),
    Claim(
        "more-text-never-worse",
        "More training text never makes the classifier worse.",
        f"{_TEXT}, sentence 3; Figure 2",
        "07_data_size",
        NotWorse(groups.MORE_TEXT),
    ),
    Claim(
        "half-of-text-nearly-enough",
        f"Half of the text is nearly enough: the other half adds less than {MARGIN:g} point.",
        f"{_TEXT}, sentence 4; Figure 2",
        "07_data_size",
        SmallGain(groups.ALL_OVER_HALF),
    ),
    Claim(
        "better-writer-better-classifier",
        "A better writer of sentences gives a better classifier.",
        f"{_WRITERS}, sentences 2 and 3; Table 5",
        "08_language_models",
        Greater(groups.BETTER_WRITER),
        "In Table 5 itself, Llama-2-7b is 0.1 below the smaller ChatGLM-6b on MS-COCO.",
    ),
    Claim(
        "every-writer-above-zero-shot-clip",
        "With every writer's sentences, CoMC is above zero-shot CLIP.",
        f"{_WRITERS}, sentence 4; Table 5",
        "08_language_models",
        Greater(groups.WRITERS_OVER_ZERO_SHOT_CLIP),
    ),
    Claim(
        "better-backbone-better-comc",
        "The larger the visual backbone, the better CoMC.",
        f"{_BACKBONES}, sentence 3; Table 6",
        "09_backbones",
        Greater(groups.BETTER_BACKBONE),
        "In Table 6 itself, ViT-B/32 is below RN101, by 0.1 on VOC2007 and by 0.2 on NUS-WIDE.",
    ),
    Claim(
        "backbones-above-zero-shot-clip",
        "CoMC is above zero-shot CLIP with every backbone.",
        f"{_BACKBONES}, Table 6",
        "09_backbones",
        Greater(groups.comc_over("Zero-shot CLIP")),
    ),
    Claim(
        "backbones-above-clip-dpt",
        "CoMC is above CLIP-DPT with every backbone.",
        f"{_BACKBONES}, sentence 4; Table 6",
        "09_backbones",
        Greater(groups.comc_over("CLIP-DPT"), needs=_REGIONS),
    ),
    Claim(
        "each-added-shot-helps",
        "Each step to more labelled images helps.",
        f"{_FEW_SHOT}, sentence 5; Table 3",
        "10_few_shot",
        Greater(groups.MORE_SHOTS, needs=_LABELLED),
    ),
    Claim(
        "zero-shot-above-few-shot-prompts",
        "Without an image, CoMC is above prompts learned from 4 (VOC2007) or 8 (MS-COCO) images a class.",
        f"{_FEW_SHOT}, sentence 4; Table 3",
        "10_few_shot",
        _at_both_rates(groups.ZERO_SHOT_OVER_PROMPTS, needs=("a data set of the paper's Table 3",)),
    ),
    Claim(
        "above-tai-dpt",
        "CoMC recognises images better than TaI-DPT on every data set.",
        f"{_WITHOUT_IMAGES}, sentence 3; Table 1",
        "11_rivals",
        _at_both_rates(groups.COMC_OVER, "TaI-DPT", needs=_LEARNED_PROMPTS, searched=_LABELLED),
    ),
    Claim(
        "above-methods-trained-on-images",
        "CoMC's mAP is above that of methods trained on images of other classes.",
        "4.2.1, Methods with Image Training, sentence 4; Table 2",
        "12_seen_and_unseen",
        _at_both_rates(groups.COMC_OVER_TRAINED_ON_SEEN),
        "The paper has nine methods' figures from their papers, most with VGG-19; here they start as CLIP.",
    ),
)
"""The paper's claims, in the order of the notebooks that test them."""
