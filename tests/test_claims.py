"""Claims: made-up metrics in which all hold, then each claim's numbers broken in turn."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from comc_utils.errors import CoMCError
from comc_utils.evaluation.claims import CLAIMS, MARGIN, Claim, Verdict, judge
from comc_utils.evaluation.comparison import Comparison
from comc_utils.evaluation.groups import is_known
from comc_utils.evaluation.rules import NoEvidenceError
from comc_utils.notebooks import answers

CLAIM = {claim.identifier: claim for claim in CLAIMS}
SHOTS = ("1 over 0", "2 over 1", "4 over 2", "8 over 4", "16 over 8")
SIZES = ("2 % over 1 %", "50 % over 10 %", "100 % over 50 %")
BACKBONES = ("RN50", "RN101")
PROMPTS = ("CoOp, 4 shots", "CoOp-DPT, 4 shots")
# Which comparisons each claim rests on: notebook, group, names.
RESTS_ON = {
    "above-zero-shot-clip": [("03_inference", "CoMC over", ["Zero-shot CLIP"])],
    "above-clip-dpt": [("03_inference", "CoMC over", ["CLIP-DPT"])],
    "local-helps-without-mapping": [("04_ablations", "local adds", ["without mapping"])],
    "local-helps-with-mapping": [("04_ablations", "local adds", ["with mapping"])],
    "mapping-helps-without-local": [("04_ablations", "mapping adds", ["without local"])],
    "mapping-helps-with-local": [("04_ablations", "mapping adds", ["with local"])],
    "both-together-best": [
        ("04_ablations", "local adds", ["with mapping"]),
        ("04_ablations", "mapping adds", ["with local"]),
    ],
    "best-alpha-inside": [("05_alpha_sweep", "optimum over", ["alpha 0", "alpha 1"])],
    "small-alpha-loses": [("05_alpha_sweep", "optimum over", ["alpha 0", "alpha 0.2", "alpha 0.3"])],
    "alpha-one-below-best": [("05_alpha_sweep", "optimum over", ["alpha 1"])],
    "images-and-texts-apart": [("06_modality_gap", "before over chance", ["probe accuracy"])],
    "mapping-closes-gap": [("06_modality_gap", "before over after", ["centroid distance", "probe accuracy"])],
    "more-text-never-worse": [("07_data_size", "more text", SIZES)],
    "half-of-text-nearly-enough": [("07_data_size", "all over half", ["100 % over 50 %"])],
    "better-writer-better-classifier": [
        ("08_language_models", "better writer", ["GPT-3 over grammar", "grammar over templates"])
    ],
    "every-writer-above-zero-shot-clip": [
        ("08_language_models", "over zero-shot CLIP", ["GPT-3", "grammar", "templates"])
    ],
    "better-backbone-better-comc": [("09_backbones", "better backbone", ["RN101 over RN50"])],
    "backbones-above-zero-shot-clip": [("09_backbones", "CoMC over Zero-shot CLIP", BACKBONES)],
    "backbones-above-clip-dpt": [("09_backbones", "CoMC over CLIP-DPT", BACKBONES)],
    "each-added-shot-helps": [("10_few_shot", "more shots", SHOTS)],
    "zero-shot-above-few-shot-prompts": [
        ("10_few_shot", "zero-shot over learned prompts", PROMPTS),
        ("10_few_shot", "zero-shot over learned prompts, searched rates", PROMPTS),
    ],
    "above-tai-dpt": [
        ("11_rivals", "CoMC over", ["TaI-DPT"]),
        ("11_rivals", "CoMC over, searched rates", ["TaI-DPT"]),
    ],
    "above-methods-trained-on-images": [
        ("12_seen_and_unseen", "CoMC over methods trained on seen classes", ["ConSE", "DualCoOp"]),
        (
            "12_seen_and_unseen",
            "CoMC over methods trained on seen classes, searched rates",
            ["ConSE", "DualCoOp"],
        ),
    ],
}
BREAKS = [
    (identifier, notebook, group, name)
    for identifier, groups in RESTS_ON.items()
    for notebook, group, names in groups
    for name in names
]
each_break = pytest.mark.parametrize(("identifier", "notebook", "group", "name"), BREAKS)


def comparison(difference: float, *, spread: float = 0.4) -> Comparison:
    """Make a difference up: its interval reaches `spread` to both sides, its five seeds half as far."""
    seeds = [difference + spread * step for step in (0.5, -0.5, 0.25, 0, -0.25)]
    return Comparison(
        difference=difference, low=difference - spread, high=difference + spread, over_seeds=seeds
    )


@pytest.mark.parametrize(
    ("lead", "verdict"), [(2.0, Verdict.HOLDS), (0.1, Verdict.WITHIN_NOISE), (-2.0, Verdict.FAILS)]
)
@pytest.mark.parametrize(
    ("identifier", "baseline"), [("above-zero-shot-clip", "Zero-shot CLIP"), ("above-clip-dpt", "CLIP-DPT")]
)
def test_a_claim_about_a_baseline_has_a_second_verdict(identifier, baseline, lead, verdict):
    metrics = metrics_in_which_all_hold()
    assert judge(CLAIM[identifier], metrics).comparable is None  # notebook 13 has not run
    over = {f"{baseline}, softmax": comparison(lead), f"{baseline}, as it is": comparison(9.0)}
    metrics["13_comparable_scores"] = {"comparisons": {"CoMC over comparable": over}}
    judgement = judge(CLAIM[identifier], metrics)
    assert judgement.verdict is Verdict.HOLDS and judgement.comparable is verdict
    assert f"compared between images, too: {verdict.value} (" in judgement.evidence
    assert f"{lead:+.2f} [" in judgement.notes[-1]


def metrics_in_which_all_hold() -> dict[str, dict]:
    metrics: dict[str, dict] = {}
    for groups in RESTS_ON.values():
        for notebook, group, names in groups:
            known = metrics.setdefault(notebook, {"comparisons": {}})["comparisons"]
            known.setdefault(group, {}).update({name: comparison(3.0) for name in names})
    metrics["07_data_size"]["comparisons"]["all over half"] = {"100 % over 50 %": comparison(0.2)}
    metrics["05_alpha_sweep"] |= {"best_alpha": 0.7, "best_alpha_interval": [0.55, 0.85]}
    return metrics


def verdicts(metrics: dict[str, dict]) -> dict[str, Verdict]:
    return {claim.identifier: judge(claim, metrics).verdict for claim in CLAIMS}


def changed(metrics: dict[str, dict]) -> dict[str, Verdict]:
    before = verdicts(metrics_in_which_all_hold())
    return {name: v for name, v in verdicts(metrics).items() if v != before[name]}


def sharing(notebook: str, group: str, name: str) -> set[str]:
    return {identifier for identifier, *where in BREAKS if where == [notebook, group, name]}


def test_with_such_metrics_every_claim_holds():
    assert set(verdicts(metrics_in_which_all_hold()).values()) == {Verdict.HOLDS}


@each_break
def test_a_number_against_a_claim_fails_it_and_no_other(identifier, notebook, group, name):
    metrics = metrics_in_which_all_hold()
    against = 3.0 if identifier == "half-of-text-nearly-enough" else -3.0
    metrics[notebook]["comparisons"][group][name] = comparison(against)
    expected = dict.fromkeys(sharing(notebook, group, name), Verdict.FAILS)
    assert identifier in expected
    assert changed(metrics) == expected


@each_break
def test_an_interval_on_both_sides_is_within_noise(identifier, notebook, group, name):
    metrics = metrics_in_which_all_hold()
    bound = {
        "more-text-never-worse": -MARGIN,
        "half-of-text-nearly-enough": MARGIN,
        "small-alpha-loses": MARGIN,
    }.get(identifier, 0.0)
    metrics[notebook]["comparisons"][group][name] = comparison(bound + 0.1)
    if identifier == "more-text-never-worse":  # wide, for else it would be measurably below 0
        metrics[notebook]["comparisons"][group][name] = comparison(bound + 0.1, spread=2)
    assert changed(metrics)[identifier] is Verdict.WITHIN_NOISE


@each_break
def test_one_seed_that_disagrees_is_noise_too(identifier, notebook, group, name):
    metrics = metrics_in_which_all_hold()
    other_side = 3.0 if identifier == "half-of-text-nearly-enough" else -3.0
    metrics[notebook]["comparisons"][group][name]["over_seeds"][2] = other_side
    expected = dict.fromkeys(sharing(notebook, group, name), Verdict.WITHIN_NOISE)
    assert changed(metrics) == expected


@each_break
def test_a_comparison_without_seeds_is_decided_by_its_interval(identifier, notebook, group, name):
    metrics = metrics_in_which_all_hold()
    metrics[notebook]["comparisons"][group][name]["over_seeds"] = []
    assert changed(metrics) == {}
    findings = [f for f in judge(CLAIM[identifier], metrics).findings if f.comparison is not None]
    (without,) = [f.name for f in findings if "seeds" not in f.numbers]
    assert name in without


@pytest.mark.parametrize("identifier", RESTS_ON)
def test_without_its_notebook_a_claim_is_not_testable_and_without_its_group_an_error(identifier):
    claim = CLAIM[identifier]
    metrics = metrics_in_which_all_hold()
    (notebook,) = {where[0] for where in RESTS_ON[identifier]}
    assert claim.notebook == notebook

    def reason() -> str:
        judgement = judge(claim, metrics)
        assert judgement.verdict is Verdict.NOT_TESTABLE
        assert judgement.findings == ()
        return judgement.reason

    for _, group, _ in RESTS_ON[identifier]:
        kept = copy.deepcopy(metrics[notebook])
        others = metrics[notebook]["comparisons"]
        others["a new name"] = others.pop(group)
        with pytest.raises(CoMCError, match=identifier) as error:
            judge(claim, metrics)
        for named in (f'"{group}"', f"notebook {notebook}", *(f'"{other}"' for other in others)):
            assert named in str(error.value)
        others[group] = {}  # there was nothing to compare
        assert f'"{group}"' in reason()
        metrics[notebook] = kept
    metrics[notebook] |= {"skipped": "There is nothing here."}
    assert reason() == f"Notebook {notebook} was skipped: There is nothing here."
    del metrics[notebook]
    assert reason() == f"Notebook {notebook} has left no metrics here."


def test_missing_comparisons_are_an_error_unless_nothing_shows_that_what_they_need_is_there():
    metrics = metrics_in_which_all_hold()
    ablations = metrics["04_ablations"]["comparisons"]
    del ablations["mapping adds"]["with local"]
    missing = 'have no "with local" in "mapping adds"; that needs local embeddings.'
    with pytest.raises(CoMCError, match=f"mapping-helps-with-local .* {missing}"):
        judge(CLAIM["mapping-helps-with-local"], metrics)
    del ablations["local adds"]
    del metrics["03_inference"]["comparisons"]["CoMC over"]["CLIP-DPT"]
    metrics["09_backbones"]["comparisons"]["CoMC over CLIP-DPT"] = {}
    judgement = judge(CLAIM["mapping-helps-with-local"], metrics)
    assert judgement.verdict is Verdict.NOT_TESTABLE
    assert judgement.reason == f"The results of this profile {missing}"
    of_regions = {name for name in CLAIM if "local" in name} - {"mapping-helps-without-local"}
    of_regions |= {"both-together-best", "above-clip-dpt", "backbones-above-clip-dpt"}
    assert set(changed(metrics)) == of_regions


def test_a_method_that_is_missing_at_both_rates_needs_what_is_not_there():
    metrics = metrics_in_which_all_hold()
    rivals = metrics["11_rivals"]["comparisons"]
    for members in rivals.values():
        members["Ridge regression"] = comparison(1.0)
    del rivals["CoMC over"]["TaI-DPT"]
    with pytest.raises(CoMCError, match='above-tai-dpt .* no "TaI-DPT" in "CoMC over"'):
        judge(CLAIM["above-tai-dpt"], metrics)
    del rivals["CoMC over, searched rates"]["TaI-DPT"]
    assert changed(metrics) == {"above-tai-dpt": Verdict.NOT_TESTABLE}


def test_without_labelled_images_no_rate_is_searched():
    metrics = metrics_in_which_all_hold()
    del metrics["11_rivals"]["comparisons"]["CoMC over, searched rates"]
    metrics["10_few_shot"] = {"skipped": "No image is labelled."}
    judgement = judge(CLAIM["above-tai-dpt"], metrics)
    assert judgement.verdict is Verdict.NOT_TESTABLE
    assert "labelled images" in judgement.reason


def committed_metrics(profile: str) -> dict[str, dict]:
    """Read the committed metrics, with the rivals in two as the notebooks are."""
    folder = Path(__file__).parents[1] / "results" / profile / "metrics"
    metrics = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    if rivals := metrics.pop("12_rivals", None):
        seen = "CoMC over methods trained on seen classes"
        parts: dict[str, dict] = {"11_rivals": {}, "12_seen_and_unseen": {}}
        for group, members in rivals.get("comparisons", {}).items():
            parts["12_seen_and_unseen" if group.startswith(seen) else "11_rivals"][group] = members
        skipped = {"skipped": rivals["skipped"]} if "skipped" in rivals else {}
        metrics |= {name: {"comparisons": part, **skipped} for name, part in parts.items()}
    return metrics


EVIDENCE = [(claim, rule.group) for claim in CLAIMS for rule in claim.rule.parts if hasattr(rule, "group")]


def test_every_claim_is_decided_on_the_committed_results():
    assert Verdict.NOT_TESTABLE not in verdicts(committed_metrics("miniworld")).values()


@pytest.mark.parametrize(("claim", "group"), EVIDENCE)
def test_no_group_can_be_renamed_unnoticed(claim, group):
    metrics = committed_metrics("miniworld")
    comparisons = metrics[claim.notebook]["comparisons"]
    comparisons[f"{group} in other words"] = comparisons.pop(group)
    with pytest.raises(CoMCError, match=f"{claim.identifier} .*{group} in other words"):
        judge(claim, metrics)


@pytest.mark.parametrize(
    "name", ["CoMC over in other words", "better backbones", "zero-shot over prompts, searched rates"]
)
def test_a_name_that_nobody_knows_is_noticed_where_all_else_is_missing(name):
    for claim in (
        claim for claim in CLAIMS if claim.identifier != "best-alpha-inside"
    ):  # asks for a number first
        metrics = {claim.notebook: {"comparisons": {name: {"CoMC": comparison(1.0)}}}}
        with pytest.raises(CoMCError, match=f"{claim.identifier} "):
            judge(claim, metrics)


def test_every_published_group_has_a_known_name():
    for profile in ("miniworld", "coco500"):
        for metrics in committed_metrics(profile).values():
            assert [group for group in metrics.get("comparisons", {}) if not is_known(group)] == []


def test_what_cannot_be_tested_without_towers_is_no_error():
    metrics = committed_metrics("coco500")
    # Rivals that need no tower are there.
    metrics["11_rivals"] = {"comparisons": {"CoMC over": {"Ridge regression": comparison(1.0)}}}
    lacking = ("needs local embeddings", "needs a text tower through which prompts are learned")
    for claim in CLAIMS:
        judgement = judge(claim, metrics)
        skipped = "skipped" in metrics[claim.notebook]
        without = skipped or any(words in judgement.reason for words in lacking)
        assert (judgement.verdict is Verdict.NOT_TESTABLE) == without
    assert judge(CLAIM["above-tai-dpt"], metrics).verdict is Verdict.NOT_TESTABLE


def test_a_rule_says_what_it_does_not_find():
    (rule,) = CLAIM["each-added-shot-helps"].rule.parts
    with pytest.raises(NoEvidenceError, match='no "more shots"; that needs labelled images'):
        rule.findings({})


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ([0.05, 0.95], Verdict.HOLDS),
        ([0.0, 0.4], Verdict.WITHIN_NOISE),
        ([0.8, 1.0], Verdict.WITHIN_NOISE),
        ([1.0, 1.0], Verdict.FAILS),
        ([0.0, 0.0], Verdict.FAILS),
    ],
)
def test_best_alpha_lies_strictly_inside(interval, verdict):
    metrics = metrics_in_which_all_hold()
    metrics["05_alpha_sweep"]["best_alpha_interval"] = interval
    assert judge(CLAIM["best-alpha-inside"], metrics).verdict is verdict
    assert set(changed(metrics)) <= {"best-alpha-inside"}


def test_without_its_interval_the_best_alpha_is_not_testable():
    metrics = metrics_in_which_all_hold()
    del metrics["05_alpha_sweep"]["best_alpha_interval"]
    judgement = judge(CLAIM["best-alpha-inside"], metrics)
    assert judgement.verdict is Verdict.NOT_TESTABLE
    assert "interval of the best alpha" in judgement.reason


@pytest.mark.parametrize(
    ("difference", "spread", "verdict"),
    [
        (0.0, 0.5, Verdict.HOLDS),  # no worse than by half a point
        (0.0, 1.5, Verdict.WITHIN_NOISE),  # it may be worse by more than a point
        (-0.5, 0.4, Verdict.FAILS),  # worse by less than the margin is worse
        (-0.5, 0.6, Verdict.WITHIN_NOISE),
    ],
)
def test_never_worse_allows_a_margin_for_what_is_not_known_only(difference, spread, verdict):
    metrics = metrics_in_which_all_hold()
    more_text = metrics["07_data_size"]["comparisons"]["more text"]
    more_text["50 % over 10 %"] = comparison(difference, spread=spread)
    assert judge(CLAIM["more-text-never-worse"], metrics).verdict is verdict


def test_half_of_the_text_is_enough_too_where_all_of_it_is_worse():
    metrics = metrics_in_which_all_hold()
    metrics["07_data_size"]["comparisons"]["all over half"]["100 % over 50 %"] = comparison(-3.0)
    assert judge(CLAIM["half-of-text-nearly-enough"], metrics).verdict is Verdict.HOLDS


def test_one_failure_weighs_more_than_noise_and_its_chance_is_told():
    metrics = metrics_in_which_all_hold()
    shots = metrics["10_few_shot"]["comparisons"]["more shots"]
    shots["2 over 1"] = comparison(0.1)
    shots["4 over 2"] = comparison(-2.0)
    judgement = judge(CLAIM["each-added-shot-helps"], metrics)
    assert judgement.verdict is Verdict.FAILS
    assert judgement.reason == "Of 5 numbers: 3 for it, 1 against it, 1 within noise."
    assert judgement.notes == ("With 5 numbers, up to 12.5 % of true claims would fail by chance.",)
    told = [(finding.name, finding.verdict) for finding in judgement.findings]
    assert told[:3] == [
        ("1 over 0", Verdict.HOLDS),
        ("2 over 1", Verdict.WITHIN_NOISE),
        ("4 over 2", Verdict.FAILS),
    ]


def test_evidence_tells_difference_interval_and_seeds():
    judgement = judge(CLAIM["above-zero-shot-clip"], metrics_in_which_all_hold())
    numbers = "CoMC over Zero-shot CLIP: +3.00 [+2.60, +3.40], 5 seeds +2.80 to +3.20."
    assert judgement.evidence == numbers
    assert judgement.reason == "The whole interval and every seed agree with it."


def test_other_images_are_told_and_decide_nothing():
    metrics = metrics_in_which_all_hold()
    comparisons = metrics["10_few_shot"]["comparisons"]
    comparisons["more shots, known drawings"] = {"1 over 0": comparison(-1.2)}
    judgement = judge(CLAIM["each-added-shot-helps"], metrics)
    (note,) = judgement.notes
    assert note.startswith("On known drawings: fails (1 over 0: -1.20 [")
    assert changed(metrics) == {}


def test_the_papers_preset_is_told_and_decides_nothing():
    metrics = metrics_in_which_all_hold()
    comparisons = metrics["04_ablations"]["comparisons"]
    comparisons["mapping adds, paper"] = {"without local": comparison(-1.2)}
    judgement = judge(CLAIM["mapping-helps-without-local"], metrics)
    assert judgement.verdict is Verdict.HOLDS
    (note,) = judgement.notes
    assert note.startswith("With the paper's preset: fails (mapping adds without local: -1.20 [")
    assert note in judgement.evidence
    assert changed(metrics) == {}


def test_both_rates_of_a_rival_decide_and_other_backbones_are_told():
    metrics = metrics_in_which_all_hold()
    comparisons = metrics["11_rivals"]["comparisons"]
    comparisons["CoMC over, searched rates"]["TaI-DPT"] = comparison(-1.2)
    judgement = judge(CLAIM["above-tai-dpt"], metrics)
    assert judgement.verdict is Verdict.FAILS
    assert [f.name for f in judgement.findings] == ["CoMC over TaI-DPT", "CoMC over TaI-DPT, searched rates"]
    for rate in ("", ", searched rates"):
        comparisons[f"CoMC over{rate}, miniworld-ViT"] = {"TaI-DPT": comparison(2.0)}
    (*_, note) = judge(CLAIM["above-tai-dpt"], metrics).notes
    assert note.startswith("On miniworld-ViT: holds (CoMC over TaI-DPT: +2.00 [")
    findings = judge(CLAIM["above-methods-trained-on-images"], metrics).findings
    assert [f.name for f in findings] == [
        "ConSE",
        "DualCoOp",
        "ConSE, searched rates",
        "DualCoOp, searched rates",
    ]


def test_nothing_is_decided_without_metrics():
    assert set(verdicts({}).values()) == {Verdict.NOT_TESTABLE}
    assert all(judge(claim, {}).reason for claim in CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.identifier)
def test_each_claim_is_a_sentence_with_a_place_in_the_paper_and_a_test(claim: Claim):
    assert claim.statement.endswith(".")
    assert re.match(r"4\.[2-5](\.[12])?, .*(Table [1-6]|Figure [2-4])", claim.place)
    assert re.fullmatch(r"\d\d_\w+", claim.notebook)
    assert str(claim.rule)


def test_identifiers_are_unique_and_none_is_forgotten():
    assert len(CLAIM) == len(CLAIMS)
    assert set(CLAIM) == set(RESTS_ON)


def test_claims_that_hold_only_as_the_paper_measures_them_are_told():
    metrics = metrics_in_which_all_hold()
    judged = {claim: judge(claim, metrics) for claim in CLAIMS}
    assert answers.only_as_measured(judged) == {} and "otherwise" not in answers.report(judged)
    comparisons = metrics["04_ablations"]["comparisons"]
    comparisons["mapping adds, paper"] = {"without local": comparison(-1.2)}
    comparisons["local adds, paper"] = {"with mapping": comparison(1.2)}
    judged = {claim: judge(claim, metrics) for claim in CLAIMS}
    claim = CLAIM["mapping-helps-without-local"]
    assert answers.only_as_measured(judged) == {claim: {"With the paper's preset": Verdict.FAILS}}
    assert "Of those that hold, 1 would not when measured otherwise: " in answers.report(judged)
    assert f"“{claim.statement.rstrip('.')}” (with the paper's preset: fails)." in answers.report(judged)
