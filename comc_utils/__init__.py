"""CoMC: multi-label image recognition by a classifier that has only seen text.

What notebooks use can be imported from here; each name is fetched from its module when it is first touched.
"""

from importlib import import_module

__version__ = "0.1.0"

_PLACES = {
    "Comparison": "comc_utils.evaluation.comparison",
    "LinearClassifier": "comc_utils.method.classifier",
    "Normalisation": "comc_utils.method.normalise",
    "PAPER": "comc_utils.method.presets",
    "SWITCHES": "comc_utils.method.presets",
    "Tagger": "comc_utils.tagging.tagger",
    "answers": "comc_utils.notebooks.answers",
    "baselines": "comc_utils.baselines",
    "begin": "comc_utils.notebooks.begin",
    "bootstrap_map": "comc_utils.evaluation.metrics",
    "bootstrap_samples": "comc_utils.evaluation.metrics",
    "cache_dir": "comc_utils.store.paths",
    "claims": "comc_utils.evaluation.claims",
    "compare": "comc_utils.evaluation.comparison",
    "compare_steps": "comc_utils.evaluation.comparison",
    "explore_scores": "comc_utils.notebooks.explore",
    "few_shot": "comc_utils.method.few_shot",
    "figures": "comc_utils.notebooks.figures",
    "fuse": "comc_utils.method.mapping",
    "gap": "comc_utils.evaluation.modality_gap",
    "groups": "comc_utils.evaluation.groups",
    "in_front_end": "comc_utils.notebooks.outputs",
    "label_weights": "comc_utils.method.mapping",
    "load_experiment": "comc_utils.sources",
    "map_along_alpha": "comc_utils.evaluation.sweep",
    "map_over_seeds": "comc_utils.evaluation.comparison",
    "map_percent": "comc_utils.evaluation.comparison",
    "map_to_text": "comc_utils.method.mapping",
    "mean_average_precision": "comc_utils.evaluation.metrics",
    "metrics": "comc_utils.evaluation.metrics",
    "miniworld": "comc_utils.miniworld",
    "modality_gap": "comc_utils.evaluation.modality_gap",
    "over_seeds": "comc_utils.evaluation.comparison",
    "presets": "comc_utils.method.presets",
    "ranking_loss": "comc_utils.method.classifier",
    "rates": "comc_utils.notebooks.rates",
    "report": "comc_utils.notebooks.report",
    "reported": "comc_utils.evaluation.reported",
    "score_components": "comc_utils.method.scores",
    "score_images": "comc_utils.method.scores",
    "sentences": "comc_utils.sentences",
    "switched": "comc_utils.method.presets",
    "top_k_metrics": "comc_utils.evaluation.metrics",
    "where": "comc_utils.tagging.where",
    "your_photos": "comc_utils.notebooks.photos.page",
}
"""Where each name is made; a module stands under a name of its own."""

__all__ = [*_PLACES]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'comc_utils' has no attribute {name!r}")
    module = import_module(_PLACES[name])
    # `begin` and `reported` are functions in modules of these names.
    is_module = module.__name__.endswith(f".{name}") and not hasattr(module, name)
    found = module if is_module else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
