"""What the paper asserts, and the test that decides each assertion on a profile's results.

The rule of every verdict stands here and nowhere else. A comparison is a difference (first minus second) with
its paired 95 % bootstrap interval over images and the same difference for each seed. Against a bound (0 unless
a rule says otherwise) a comparison

- holds when the whole interval and every seed's difference lie on the asserted side of the bound,
- fails when the whole interval and every seed's difference lie on the other side,
- is within noise otherwise.

A claim over several comparisons holds when all of them hold, fails when any of them fails, and is within noise
otherwise. No interval is widened for their number. To hold, all must pass, so a false "holds" does not become
likelier with more of them; a false "fails" does, and the evidence then says by how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from comc_utils.evaluation.comparison import Comparison

MARGIN = 1.0
"""Points of mAP below which a difference is called small."""

# A group measured otherwise has the plain group's name and an ending: with the preset that is not the
# profile's own, on other images, or with another backbone. It is told, and decides nothing, unless a rule
# names it, as those of rivals do with the learning rates that were searched for them here.
_PAPER_PRESET = ", paper"
_HOW = {_PAPER_PRESET: "With the paper's preset", ", equal steps": "With equal steps"}
_SEARCHED = ", searched rates"
# Chance, in percent, that a 95 % interval lies wholly on one given wrong side.
_ONE_SIDED = 2.5

Metrics = Mapping[str, Mapping[str, Any]]
"""What each notebook left, by its name (``04_ablations``)."""


class Verdict(str, Enum):
    """How a claim fares on a profile."""

    HOLDS = "holds"
    FAILS = "fails"
    WITHIN_NOISE = "within noise"
    NOT_TESTABLE = "not testable here"


@dataclass(frozen=True)
class Finding:
    """One number that a claim rests on, with what it says for itself."""

    name: str
    numbers: str
    verdict: Verdict
    comparison: Comparison | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.numbers}"


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    Attributes
    ----------
    verdict : Verdict
    findings : tuple of Finding
        Empty where the claim is not testable.
    reason : str
        Why the verdict is this one, in a sentence.
    notes : tuple of str
        What else is to be known: another preset, backbone or other images, how likely a failure is by chance.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def evidence(self) -> str:
        """The numbers and notes as one text."""
        return " ".join(
            [f"{_listed(self.findings)}.", *self.notes] if self.findings else self.notes
        )


class _NoEvidenceError(Exception):
    """A notebook's metrics do not hold what a rule needs; the message is a sentence."""


class Rule(Protocol):
    """The test of a claim: as text, in words."""

    def _findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        """Read a notebook's metrics, from groups whose names end in `suffix`; or `_NoEvidenceError`."""
        ...


@dataclass(frozen=True)
class Greater:
    """Every difference lies above a bound.

    Attributes
    ----------
    group : str
        Of comparisons, in the notebook's metrics.
    names : tuple of str
        The comparisons to take; every one of the group by default.
    by : float
        The bound, in the comparisons' unit.
    needs : str
        What a profile without these comparisons lacks, for the reader.
    """

    group: str
    names: tuple[str, ...] = ()
    by: float = 0.0
    needs: str = ""

    def __str__(self) -> str:
        return f"{self._which} > {self.by:g}"

    @property
    def _which(self) -> str:
        return f'"{self.group}" {" and ".join(self.names) or "each"}'

    def _decide(self, comparison: Comparison) -> Verdict:
        return _side(comparison, holds_above=self.by, fails_below=self.by)

    def _findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        comparisons = values.get("comparisons", {}).get(self.group + suffix, {})
        names = self.names or tuple(comparisons)
        missing = " and ".join(name for name in names if name not in comparisons)
        if missing or not names:
            where = f'no "{missing}" in "{self.group}"' if missing else f'no "{self.group}"'
            why = f"; that needs {self.needs}" if self.needs else ""
            raise _NoEvidenceError(f"The results of this profile have {where}{why}.")
        group, comma, ending = self.group.partition(", ")
        return tuple(
            Finding(
                (f"{group} {name}" if self.names else name) + comma + ending,
                _numbers(comparisons[name]),
                self._decide(comparisons[name]),
                comparisons[name],
            )
            for name in names
        )


@dataclass(frozen=True)
class NotWorse(Greater):
    """No difference is below 0.

    "Not below" cannot be shown, only "not below by more than a margin". So a comparison holds above minus
    `MARGIN`; and it fails, as everywhere, below 0, be it by less than the margin.
    """

    def __str__(self) -> str:
        return f"{self._which} > {-MARGIN:g}, none < 0"

    def _decide(self, comparison: Comparison) -> Verdict:
        return _side(comparison, holds_above=-MARGIN, fails_below=0.0)


@dataclass(frozen=True)
class SmallGain(Greater):
    """Every difference lies below `MARGIN`, be it below 0."""

    def __str__(self) -> str:
        return f"{self._which} < {MARGIN:g}"

    def _decide(self, comparison: Comparison) -> Verdict:
        large = _side(comparison, holds_above=MARGIN, fails_below=MARGIN)
        turned = {Verdict.HOLDS: Verdict.FAILS, Verdict.FAILS: Verdict.HOLDS}
        return turned.get(large, large)


@dataclass(frozen=True)
class BestAlphaInside:
    """The 95 % interval of the best alpha lies strictly inside (0, 1); it fails where it is one end."""

    def __str__(self) -> str:
        return "95 % interval of the best alpha inside (0, 1)"

    def _findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        if suffix or "best_alpha_interval" not in values:
            raise _NoEvidenceError(
                "The results of this profile have no interval of the best alpha."
            )
        low, high = values["best_alpha_interval"]
        verdict = Verdict.WITHIN_NOISE
        if low > 0 and high < 1:
            verdict = Verdict.HOLDS
        elif high <= 0 or low >= 1:
            verdict = Verdict.FAILS
        numbers = f"{values['best_alpha']:.2f} [{low:.2f}, {high:.2f}]"
        return (Finding("best alpha", numbers, verdict),)


@dataclass(frozen=True)
class AllOf:
    """Several tests, their findings taken as one group."""

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return "; ".join(str(rule) for rule in self.rules)

    def _findings(self, values: Mapping[str, Any], suffix: str = "") -> tuple[Finding, ...]:
        return tuple(f for rule in self.rules for f in rule._findings(values, suffix))


@dataclass(frozen=True)
class Claim:
    """An assertion of the paper.

    Attributes
    ----------
    identifier : str
        Stable, for metrics and links.
    statement : str
        In our words.
    place : str
        Section, paragraph, sentence, and the table or figure it rests on.
    notebook : str
        The one whose numbers decide.
    rule : Rule
    remark : str
        What the paper's own numbers say against it; '' for nothing.
    """

    identifier: str
    statement: str
    place: str
    notebook: str
    rule: Rule
    remark: str = ""


_REGIONS = "local embeddings"
_WITHOUT_IMAGES = "4.2.1, Methods without Image Training"
_FEW_SHOT = "4.2.2, Few-shot Methods"
_LOCAL = "4.3, Fine-grained Image Embeddings"
_MAPPING = "4.3, Cross-modal Mapping"
_TEXT = "4.4, Language Data Size"
_WRITERS = "4.4, Different LLMs"
_BACKBONES = "4.4, Visual Backbones"
_ALPHA = "4.4, Weighting Factor"


def _at_both_rates(group: str, names: tuple[str, ...] = (), *, needs: str = "") -> AllOf:
    """A rival may be at its best at its authors' learning rate or at a searched one: be above both."""
    return AllOf(tuple(Greater(group + rate, names, needs=needs) for rate in ("", _SEARCHED)))


CLAIMS = (
    Claim(
        "above-zero-shot-clip",
        "CoMC recognises images better than zero-shot CLIP on every data set.",
        f"{_WITHOUT_IMAGES}, sentence 6; Table 1",
        "03_inference",
        Greater("CoMC over", ("Zero-shot CLIP",)),
    ),
    Claim(
        "above-clip-dpt",
        "CoMC recognises images better than CLIP-DPT on every data set.",
        f"{_WITHOUT_IMAGES}, sentence 3; Table 1",
        "03_inference",
        Greater("CoMC over", ("CLIP-DPT",), needs=_REGIONS),
    ),
    Claim(
        "local-helps-without-mapping",
        "Local embeddings help where there is no mapping.",
        "4.3, Table 4, third row against first",
        "04_ablations",
        Greater("local adds", ("without mapping",), needs=_REGIONS),
    ),
    Claim(
        "local-helps-with-mapping",
        "Local embeddings help on top of the mapping.",
        f"{_LOCAL}, sentence 4; Table 4",
        "04_ablations",
        Greater("local adds", ("with mapping",), needs=_REGIONS),
    ),
    Claim(
        "mapping-helps-without-local",
        "The mapping helps where there are no local embeddings.",
        "4.3, Table 4, second row against first",
        "04_ablations",
        Greater("mapping adds", ("without local",)),
    ),
    Claim(
        "mapping-helps-with-local",
        "The mapping helps on top of local embeddings.",
        f"{_MAPPING}, sentence 3; Table 4",
        "04_ablations",
        Greater("mapping adds", ("with local",), needs=_REGIONS),
    ),
    Claim(
        "both-together-best",
        "Local embeddings and mapping together are better than either alone.",
        "4.3, Table 4, fourth row",
        "04_ablations",
        AllOf(
            (
                Greater("local adds", ("with mapping",), needs=_REGIONS),
                Greater("mapping adds", ("with local",), needs=_REGIONS),
            )
        ),
    ),
    Claim(
        "best-alpha-inside",
        "The best alpha lies strictly between 0 and 1: original and mapped embeddings are both needed.",
        f"{_ALPHA}, sentence 7; Figure 3",
        "05_alpha_sweep",
        AllOf(
            (
                BestAlphaInside(),
                Greater("optimum over", ("alpha 0", "alpha 1")),
            )
        ),
    ),
    Claim(
        "small-alpha-loses",
        f"Below alpha = 0.4 the loss is marked (more than {MARGIN:g} point).",
        f"{_ALPHA}, sentence 10; Figure 3",
        "05_alpha_sweep",
        Greater("optimum over", ("alpha 0", "alpha 0.2", "alpha 0.3"), by=MARGIN),
    ),
    Claim(
        "alpha-one-below-best",
        "The original embedding alone (alpha = 1) is below the best mixture.",
        f"{_ALPHA}, sentence 8; Figure 3",
        "05_alpha_sweep",
        Greater("optimum over", ("alpha 1",)),
    ),
    Claim(
        "images-and-texts-apart",
        "Images and texts lie in separate parts of the embedding space.",
        "4.5, sentence 2; Figure 4(a)",
        "06_modality_gap",
        Greater("before over chance"),
    ),
    Claim(
        "mapping-closes-gap",
        "The mapping brings images and texts together.",
        "4.5, sentence 4; Figure 4(b)",
        "06_modality_gap",
        Greater("before over after"),
    ),
    Claim(
        "more-text-never-worse",
        "More training text never makes the classifier worse.",
        f"{_TEXT}, sentence 3; Figure 2",
        "07_data_size",
        NotWorse("more text"),
    ),
    Claim(
        "half-of-text-nearly-enough",
        f"Half of the text is nearly enough: the other half adds less than {MARGIN:g} point.",
        f"{_TEXT}, sentence 4; Figure 2",
        "07_data_size",
        SmallGain("all over half"),
    ),
    Claim(
        "better-writer-better-classifier",
        "A better writer of sentences gives a better classifier.",
        f"{_WRITERS}, sentences 2 and 3; Table 5",
        "08_language_models",
        Greater("better writer"),
        "In Table 5 itself, Llama-2-7b is 0.1 below the smaller ChatGLM-6b on MS-COCO.",
    ),
    Claim(
        "every-writer-above-zero-shot-clip",
        "With every writer's sentences, CoMC is above zero-shot CLIP.",
        f"{_WRITERS}, sentence 4; Table 5",
        "08_language_models",
        Greater("over zero-shot CLIP"),
    ),
    Claim(
        "better-backbone-better-comc",
        "The better the visual backbone, the better CoMC.",
        f"{_BACKBONES}, sentence 3; Table 6",
        "09_backbones",
        Greater("better backbone"),
        "In Table 6 itself, ViT-B/32 is below RN101, by 0.1 on VOC2007 and by 0.2 on NUS-WIDE.",
    ),
    Claim(
        "backbones-above-zero-shot-clip",
        "CoMC is above zero-shot CLIP with every backbone.",
        f"{_BACKBONES}, Table 6",
        "09_backbones",
        Greater("CoMC over Zero-shot CLIP"),
    ),
    Claim(
        "backbones-above-clip-dpt",
        "CoMC is above CLIP-DPT with every backbone.",
        f"{_BACKBONES}, sentence 4; Table 6",
        "09_backbones",
        Greater("CoMC over CLIP-DPT", needs=_REGIONS),
    ),
    Claim(
        "each-added-shot-helps",
        "Each step to more labelled images helps.",
        f"{_FEW_SHOT}, sentence 5; Table 3",
        "10_few_shot",
        Greater("more shots"),
    ),
    Claim(
        "zero-shot-above-few-shot-prompts",
        "Without an image, CoMC is above prompts learned from 4 (VOC2007) or 8 (MS-COCO) images a class.",
        f"{_FEW_SHOT}, sentence 4; Table 3",
        "10_few_shot",
        _at_both_rates("zero-shot over learned prompts", needs="a data set of the paper's Table 3"),
    ),
    Claim(
        "above-tai-dpt",
        "CoMC recognises images better than TaI-DPT on every data set.",
        f"{_WITHOUT_IMAGES}, sentence 3; Table 1",
        "12_rivals",
        _at_both_rates("CoMC over", ("TaI-DPT",)),
    ),
    Claim(
        "above-methods-trained-on-images",
        "CoMC's mAP is above that of methods trained on images of other classes.",
        "4.2.1, Methods with Image Training, sentence 4; Table 2",
        "12_rivals",
        _at_both_rates(
            "CoMC over methods trained on seen classes", needs="images with labels of other classes"
        ),
        "The paper compares on NUS-WIDE alone, with nine methods, four of which are here.",
    ),
)
"""The paper's claims, in the order of the notebooks that test them."""


def judge(claim: Claim, metrics: Metrics) -> Judgement:
    """Decide a claim on a profile's results.

    Parameters
    ----------
    claim : Claim
    metrics : mapping of str to mapping
        What each notebook left, by its name. A notebook that is missing, or that left
        ``{"skipped": reason}``, decides nothing.

    Returns
    -------
    Judgement
    """
    rule, values = claim.rule, metrics.get(claim.notebook, {})
    try:
        if claim.notebook not in metrics:
            raise _NoEvidenceError(f"Notebook {claim.notebook} has left no metrics here.")
        if "skipped" in values:
            raise _NoEvidenceError(f"Notebook {claim.notebook} was skipped: {values['skipped']}")
        findings = rule._findings(values)
    except _NoEvidenceError as missing:
        return Judgement(Verdict.NOT_TESTABLE, (), str(missing))
    verdict = _together(findings)
    notes = (*_chance_of_false_alarm(verdict, findings), *_measured_otherwise(rule, values))
    return Judgement(verdict, findings, _reason(findings), notes)


def _side(comparison: Comparison, *, holds_above: float, fails_below: float) -> Verdict:
    """Judge one comparison; where both bounds are met, it fails."""
    if comparison["high"] < fails_below and all(d < fails_below for d in comparison["over_seeds"]):
        return Verdict.FAILS
    if comparison["low"] > holds_above and all(d > holds_above for d in comparison["over_seeds"]):
        return Verdict.HOLDS
    return Verdict.WITHIN_NOISE


def _together(findings: Sequence[Finding]) -> Verdict:
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILS in verdicts:
        return Verdict.FAILS
    return Verdict.HOLDS if verdicts == {Verdict.HOLDS} else Verdict.WITHIN_NOISE


def _numbers(comparison: Comparison) -> str:
    text = f"{comparison['difference']:+.2f} [{comparison['low']:+.2f}, {comparison['high']:+.2f}]"
    seeds = comparison["over_seeds"]
    if seeds:
        text += f", {len(seeds)} seeds {min(seeds):+.2f} to {max(seeds):+.2f}"
    return text


def _reason(findings: Sequence[Finding]) -> str:
    if len(findings) == 1:
        return {
            Verdict.HOLDS: "The whole interval and every seed agree with it.",
            Verdict.FAILS: "The whole interval and every seed speak against it.",
            Verdict.WITHIN_NOISE: "The interval or the seeds lie on both sides.",
        }[findings[0].verdict]
    if {finding.verdict for finding in findings} == {Verdict.HOLDS}:
        return f"All {len(findings)} numbers are for it."
    counts = Counter(finding.verdict for finding in findings)
    parts = [f"{counts[v]} {w}" for v, w in _COUNTED.items() if counts[v]]
    return f"Of {len(findings)} numbers: {', '.join(parts)}."


_COUNTED = {
    Verdict.HOLDS: "for it",
    Verdict.FAILS: "against it",
    Verdict.WITHIN_NOISE: "within noise",
}


def _chance_of_false_alarm(verdict: Verdict, findings: Sequence[Finding]) -> tuple[str, ...]:
    if verdict is not Verdict.FAILS or len(findings) == 1:
        return ()
    chance = min(100.0, _ONE_SIDED * len(findings))
    return (
        f"With {len(findings)} numbers, up to {chance:g} % of true claims would fail by chance.",
    )


def _measured_otherwise(rule: Rule, values: Mapping[str, Any]) -> tuple[str, ...]:
    groups = values.get("comparisons", {})
    endings = dict.fromkeys(group[group.index(", ") :] for group in groups if ", " in group)
    notes = []
    for ending in endings:
        with suppress(_NoEvidenceError):
            findings = rule._findings(values, ending)
            how = _HOW.get(ending, f"On {ending[2:]}")
            notes.append(f"{how}: {_together(findings).value} ({_listed(findings)}).")
    return tuple(notes)


def _listed(findings: Sequence[Finding]) -> str:
    return "; ".join(str(finding) for finding in findings)
