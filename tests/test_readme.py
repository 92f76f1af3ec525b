"""The README and docs/ say what the results hold, and their links lead somewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from comc_utils import PAPER, SWITCHES
from comc_utils.evaluation.rules import Verdict, side
from comc_utils.method.presets import RELEASED
from comc_utils.sentences.common import common_things
from comc_utils.tagging.learning import SENTENCES_A_LABEL
from comc_utils.tagging.thresholds import WORDS_A_PHOTO

ROOT = Path(__file__).parents[1]
README, SCIENCE, SPEED, PHOTOS = "README.md", "docs/science.md", "docs/speed.md", "docs/own_photos.md"
PAGES = (README, "CHANGELOG.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))))
LISTS = ("CHANGELOG.md", "docs/sentences.md", "docs/backbones.md", "docs/messages.md")
"""Pages that lead nowhere."""
MOST_LINES, MOST_ROWS = 120, 10
BACKBONE = "miniworld-RN-small"
COLUMNS = {
    README: ("method", "default", "coco500", "VOC2007", "MS-COCO"),
    SCIENCE: ("method", "default", "searched", "coco500", "VOC2007", "MS-COCO"),
}
"""Of the main tables, without what a method learns from."""
PARTS = {
    "CoMC without mapping": "local, no mapping",
    "CoMC without regions": "global only, mapping",
    "CoMC": "local, mapping",
}
"""Row: its name in notebook 04 and in Table 4."""
ON_PHOTOS = {
    "CoMC without mapping": "global only, no mapping",
    "CoMC without regions": "global only, mapping",
    "CoMC": "global only, mapping",
}
"""The same on coco500, which has no regions."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def table(page: str, heading: str) -> list[list[str]]:
    """Read the cells of the table whose first line begins so."""
    lines = re.search(rf"{re.escape(heading)}.*\n\|[-:| ]+\n((?:\|.*\n)+)", text_of(page))[1]
    return [[cell.replace("*", "").strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines()]


def main_table(page: str) -> list[dict[str, str]]:
    rows = table(page, "| method | learns from |")
    return [dict(zip(COLUMNS[page], (row[0], *row[2:]), strict=True)) for row in rows]


@cache
def metrics(profile: str, notebook: str) -> dict:
    (path,) = (ROOT / "results" / profile / "metrics").glob(f"{notebook}_*.json")
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def reported(number: int) -> pd.Series:
    read = pd.read_csv(ROOT / "results" / "reported" / f"table{number}.csv")
    return read.set_index(["method", "dataset", "setting"]).value


def shown(value: float | None) -> str:
    """Write a number as the pages do; one that rounds to zero keeps its sign."""
    return "" if value is None else f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def on_miniworld() -> dict[str, float]:
    return metrics("miniworld", "12")["map of unseen classes"] | metrics("miniworld", "11")["map"]


def expected(row: str) -> dict[str, str]:
    """Give what the results hold of a row of a main table."""
    method, _, preset = row.partition(", ")
    if not preset.endswith("preset"):
        method, preset = row, ""
    if method not in PARTS or row == "CoMC":
        scores = on_miniworld()
        found = {rate: scores.get(f"{BACKBONE}, {method}, {rate}") for rate in ("default", "searched")}
        if found["default"] is None:
            found["default"] = comparable("miniworld", method)
    else:
        parts = metrics("miniworld", "04")["parts"]["paper" if preset == "paper's preset" else "released"]
        found = {"default": parts[PARTS[method]], "searched": None}
    cells = {name: shown(value) for name, value in found.items()}
    cells["coco500"] = _on_photos(method, preset)
    shots = metrics("miniworld", "11")["shots"]
    for data_set in ("VOC2007", "MS-COCO"):
        if method in PARTS:
            value = reported(4)["CoMC", data_set, PARTS[method]]
        elif method.startswith("CoOp"):
            value = reported(3)[method, data_set, f"{shots}-shot"]
        else:
            value = reported(1).get((method, data_set, "zero-shot"))
        cells[data_set] = shown(value)
    return cells


def _on_photos(method: str, preset: str) -> str:
    if method.startswith("CLIP-DPT"):
        return "no regions"
    if method in PARTS:
        (of_preset,) = metrics("coco500", "04")["parts"].values()
        return "" if preset == "paper's preset" else shown(of_preset[ON_PHOTOS[method]])
    by_method = {name.split(", ", 1)[1]: of for name, of in metrics("coco500", "11")["map"].items()}
    return shown(by_method.get(f"{method}, default", comparable("coco500", method)))


def comparable(profile: str, row: str) -> float | None:
    """Read from notebook 13 a row like "Zero-shot CLIP, softmax", or one of a method that is there alone."""
    found = metrics(profile, "13")["map"]
    return found.get(row, found.get(f"{row}, as it is"))


def statements() -> Iterator[tuple[str, str]]:
    """Give what pages say in words, with the numbers of the results."""
    yield from _of_parts()
    yield from _of_the_world()
    yield from _of_findings()
    yield from _of_comparable()
    yield from _of_other_classes()
    yield from _of_claims()
    yield from _of_speed()
    yield from _of_tags()
    yield from _of_presets()


def _of_parts() -> Iterator[tuple[str, str]]:
    parts = metrics("miniworld", "04")["parts"]
    released, paper = parts["released"], parts["paper"]
    zero_shot = shown(on_miniworld()[f"{BACKBONE}, Zero-shot CLIP, default"])
    above = shown(paper["local, mapping"] - released["local, mapping"])
    regions, of_paper = (shown(of["local, mapping"] - of["global only, mapping"]) for of in (released, paper))
    on, off = position_costs = [shown(-worth_of("no positional embedding", how)) for how in ("on", "off")]
    whole = shown(released["global only, mapping"])
    yield README, f"The paper's preset is {above} above the released one"
    yield README, f'"no positional embedding" alone costs {" to ".join(position_costs)}.'
    yield README, f"add {regions} with the released preset but {of_paper} with the paper's."
    yield README, f"the released one, at {whole}, is below zero-shot CLIP, at {zero_shot}:"
    yield SCIENCE, f"The paper's preset is {above} above the released one."
    yield SCIENCE, f"costs {on} in the paper's preset and {off} in the released one."
    yield SCIENCE, f"They add {regions} with the released preset, but {of_paper} with the paper's."
    yield SCIENCE, f"Without them the released CoMC, at {whole}, is even below zero-shot CLIP, at {zero_shot}:"
    yield SCIENCE, f"is at {shown(paper['global only, mapping'])} without regions."
    mapping, *other = {shown(of["local, mapping"] - of["local, no mapping"]) for of in (released, paper)}
    assert not other
    (photos,) = metrics("coco500", "04")["parts"].values()
    on_photos = shown(photos["global only, mapping"] - photos["global only, no mapping"])
    yield (
        SCIENCE,
        f"it adds {mapping} with either preset, within noise; "
        f"on `coco500`, without regions, it adds {on_photos}.",
    )


def _of_the_world() -> Iterator[tuple[str, str]]:
    world, inference = metrics("miniworld", "00"), metrics("miniworld", "03")
    known, unseen = (shown(world["zero_shot_map"][f"{BACKBONE}, {of} drawings"]) for of in ("training", "test"))
    by_size = world["zero_shot_map_by_size"][f"{BACKBONE}, test drawings"]
    f1 = {name: shown(value) for name, value in inference["top_k_f1"].items()}
    top = (
        f"At top 3, F1 of CLIP-DPT is {f1['CLIP-DPT, 3']}, of zero-shot CLIP {f1['Zero-shot CLIP, 3']}, "
        f"of CoMC {f1['CoMC, 3']}"
    )
    photos_f1 = {name: shown(value) for name, value in metrics("coco500", "03")["top_k_f1"].items()}
    of_photos = f"on `coco500` it is, {photos_f1['CoMC, 3']} against {photos_f1['Zero-shot CLIP, 3']}."
    yield README, f"{top}: on `miniworld` better mAP is not better top-K; {of_photos}"
    photos, coco = (shown(reported(1)["TaI-DPT", of, "zero-shot"]) for of in ("VOC2007", "MS-COCO"))
    yield README, f"**TaI-DPT's** {photos} and {coco} in the paper come from captions"
    yield SCIENCE, f"Its {coco} and {photos} in the paper come of learning from captions"
    yield README, f"{inference['images']:,} drawn scenes"
    yield SCIENCE, f"{top}, of TaI-DPT {f1['TaI-DPT, 3']}."
    yield SCIENCE, f"on training drawings zero-shot CLIP has an mAP of {known}, on these {unseen}."
    yield SCIENCE, f"zero-shot CLIP reaches {by_size['dominant']:.0f}, for the others {by_size['others']:.0f}."
    yield SCIENCE, f"`coco500` has {metrics('coco500', '03')['images']} labelled photos"


def _of_findings() -> Iterator[tuple[str, str]]:
    rivals = {name.split(", ", 1)[1]: value for name, value in metrics("miniworld", "11")["map"].items()}
    comc, dpt, tai = (rivals[f"{name}, default"] for name in ("CoMC", "CLIP-DPT", "TaI-DPT"))
    above = shown(comc - rivals["Zero-shot CLIP, default"])
    yield SCIENCE, f"is {above} above zero-shot CLIP and {shown(comc - dpt)} above CLIP-DPT."
    yield SCIENCE, f"here**, {shown(dpt)} against {shown(tai)}, the reverse"
    asymmetric, entropy, ranking, ridge = (
        shown(rivals[f"{name}, searched"])
        for name in ("CoMC by asymmetric loss", "CoMC by cross-entropy", "CoMC", "Ridge regression")
    )
    yield (
        SCIENCE,
        f"cross-entropy reaches {entropy}, asymmetric loss {asymmetric} and the ranking loss {ranking}:",
    )
    yield SCIENCE, f"which has a closed form, comes to {ridge}."
    sweep = metrics("miniworld", "05")
    low, high = sweep["best_alpha_interval"]
    gain = sweep["comparisons"]["optimum over"]["alpha 1"]["difference"]
    yield SCIENCE, f"best alpha is {sweep['best_alpha']}, in an interval of {low:.2f} to {high:.2f};"
    yield SCIENCE, f"the score is {shown(gain)} above that without mapping."
    gap = metrics("miniworld", "06")["gap"]["centroid distance"]
    yield SCIENCE, f"from {gap['before']:.2f} to {gap['mapped alone']:.2f} where it stands alone;"
    yield SCIENCE, f"mixed with the original embedding it leaves {gap['after']:.2f}"
    epochs, steps = (metrics("miniworld", "07")["map"][f"equal {of}"] for of in ("epochs", "steps"))
    yield SCIENCE, f"Half of the sentences give {shown(epochs['50 %'])}, all of them {shown(epochs['100 %'])}."
    yield (
        SCIENCE,
        f"equal epochs 2 % give {shown(epochs['2 %'])}; with equal steps 1 % give {shown(steps['1 %'])}.",
    )
    writers = {name: shown(value) for name, value in metrics("miniworld", "08")["map"].items()}
    yield (
        SCIENCE,
        (
            f"from {writers['class templates']} for class templates to {writers['grammar, full']} for the full "
            f"grammar at 1,200 sentences, {writers['large language model']} for a language model's."
        ),
    )
    few = metrics("miniworld", "10")
    unseen, known = few["map"]["CoMC"], few["map, known drawings"]["CoMC"]
    yield SCIENCE, f"16 images a class take CoMC from {shown(unseen['0'])} to {shown(unseen['16'])}."
    yield SCIENCE, f"even there: from {shown(known['0'])} to {shown(known['16'])}."
    vit, small, large = (of for of in metrics("miniworld", "09")["map"].values())
    yield SCIENCE, f"The larger ResNet is {shown(large['CoMC'] - small['CoMC'])} better."
    yield SCIENCE, f"CoMC is {shown(vit['Zero-shot CLIP'] - vit['CoMC'])} below zero-shot CLIP."


def _of_comparable() -> Iterator[tuple[str, str]]:
    drawn, photos = (metrics(of, "13") for of in ("miniworld", "coco500"))
    for page, of, world in ((SCIENCE, drawn, "`miniworld`"), (SCIENCE, photos, "`coco500`")):
        chosen, over = of["chosen"], of["comparisons"]["others over CoMC"]["Prototypes, settings chosen"]
        interval = f"[{over['low']:.1f}, {over['high']:.1f}]".replace("-", "\N{MINUS SIGN}")
        below = shown(chosen["best by labels"] - chosen["map"])
        yield (
            page,
            f"on {world} the chosen one has {shown(chosen['map'])}, {below} below the best by the labels",
        )
        yield page, f"and {shown(over['difference'])} {interval} above CoMC"
    first, second, *_ = sorted(drawn["criteria"].values(), reverse=True)
    assert drawn["criteria"]["specific agreement of halves"] == first
    table = pd.read_csv(ROOT / "results" / "miniworld" / "tables" / "13_criteria.csv", index_col=0)
    ordered = table.sort_values("rank correlation with mAP", ascending=False)["below the best"]
    yield (
        SCIENCE,
        f"rank correlation {first:.2f} with the mAP of 160 settings, the next {second:.2f}; "
        f"what it would choose there is {ordered.iloc[0]:.1f} below the best, "
        f"what the next would, {ordered.iloc[1]:.1f}.",
    )
    large = metrics("miniworld-all", "13")
    over = large["comparisons"]["others over CoMC"]["Prototypes, settings chosen"]["difference"]
    below = shown(large["chosen"]["best by labels"] - large["chosen"]["map"])
    yield (
        SCIENCE,
        f"ResNet it is {shown(large['chosen']['map'])}, {below} below the best and {shown(over)} above CoMC",
    )
    alpha = {name: shown(value) for name, value in photos["inference"].items()}
    yield SCIENCE, f"gives CoMC {alpha['alpha without a label']} on `coco500`, where the profile's alpha gives "
    piaa = [shown(comparable("miniworld", f"PIAA{of}")) for of in ("", ", MS-COCO's temperatures")]
    yield SCIENCE, f"with VOC's temperatures it has {piaa[0]}, with MS-COCO's {piaa[1]}"
    concepts = [shown(comparable("miniworld", f"Class concepts, {how}")) for how in ("as it is", "centred")]
    yield SCIENCE, f"have {concepts[0]} as they are and {concepts[1]} centred"
    kind = drawn["comparisons"]["CoMC over in kind"]["CLIP-DPT, softmax"]
    yield SCIENCE, f"With a softmax on both sides CoMC's lead over CLIP-DPT is {kind['difference']:.1f}"


def _of_other_classes() -> Iterator[tuple[str, str]]:
    found = metrics("miniworld", "12")
    over = found["comparisons"]["CoMC over methods trained on seen classes"]
    nearest = min(over, key=lambda name: over[name]["difference"])
    low, high = (f"{over[nearest][end]:.1f}" for end in ("low", "high"))
    yield SCIENCE, f"the nearest, {nearest}, is {over[nearest]['difference']:.1f} [{low}, {high}] below it."
    yield SCIENCE, f"the best has {max(found['from random starts'].values()):.1f}."
    seen, unseen = (
        found["comparisons"][f"learned over start on {which} classes"] for which in ("seen", "unseen")
    )
    better = [sum(side(c) is Verdict.HOLDS for c in of.values()) for of in (seen, unseen)]
    worse = sum(side(c) is Verdict.FAILS for c in unseen.values())
    assert (*better, len(seen), worse) == (7, 1, 8, 3)
    yield SCIENCE, "seven of the eight that learn by steps are better on seen classes"
    yield SCIENCE, "three are worse on unseen ones, and DualCoOp alone"
    more = {name: c["difference"] for name, c in found["comparisons"]["more seen classes"].items()}
    yield SCIENCE, f"BiAM gains {more['BiAM']:.1f} on unseen ones and LESA loses {-more['LESA']:.1f}."


def _of_claims() -> Iterator[tuple[str, str]]:
    drawn, photos = (Counter(metrics(of, "15")["claims"].values()) for of in ("miniworld", "coco500"))
    yield (
        README,
        (
            f"Of {drawn.total()} on `miniworld`, {drawn['holds']} hold, "
            f"{drawn['within noise']} are within noise, {drawn['fails']} fail:"
        ),
    )
    only = len(metrics("miniworld", "15")["hold only as measured"])
    yield (
        README,
        f"{only} of the {drawn['holds']} would not hold when measured otherwise, which the report names.",
    )
    assert not drawn["not testable here"] and not photos["fails"]
    yield (
        README,
        (
            f"On `coco500`, {photos['holds']} hold, {photos['within noise']} are within noise, "
            f"{photos['not testable here']} cannot be tested there:"
        ),
    )


def _of_speed() -> Iterator[tuple[str, str]]:
    lines = pd.read_csv(ROOT / "results" / "benchmarks" / "benchmarks.csv")

    def ratio(what: str, against: str = "") -> float:
        (found,) = lines.ratio[lines.what.str.startswith(what) & lines.against.str.startswith(against)]
        return found

    photos = "Embed 276 photos from files, global and local, RN50"
    whole, openvino = lines.set_index("what").ratio[[photos, f"{photos}, OpenVINO"]]
    loop = "a plain loop: Pillow"
    tags = {
        tower: ratio(f"Tag 276 photos from files, 20 labels, {tower}", loop) for tower in ("RN50", "ViT-B/32")
    }
    yield SPEED, f"with open_clip | {tags['RN50']:.1f}; {tags['ViT-B/32']:.1f} times |"
    yield SPEED, f"zero-shot pipeline | {ratio('Tag 276', 'transformers'):.1f} times |"
    yield SPEED, f"embedding and tagging them | {ratio('Tag 2,000'):.0f} times |"
    yield SPEED, f"times 20 | {ratio('Tag 20,000'):.1f} times its time |"
    yield SPEED, f"full context | {ratio('Embed 2,000'):.1f} times as fast |"
    yield SPEED, f"whole alone | {whole:.1f} times; with OpenVINO {openvino:.1f} |"
    yield SPEED, f"in each epoch | {ratio('train on 40,000'):.0f} times |"
    loss = "ranking loss, forward and backward, 256 rows of 1,000 labels"
    yield SPEED, f"all pairs at once | {ratio(loss):.0f} times,"
    yield SPEED, f"101 evaluations | {ratio('the same at 101 alphas', '101 separate'):.0f} times |"
    disk = lines[lines.what.str.startswith("scoring 40,504")].iloc[0]
    yield SPEED, f"from the disk | {disk.ratio:.1f} times its time, {disk['peak memory (GB)']} GB of memory |"
    yield SPEED, f"class by class | {ratio('mAP of 107,859'):.1f}; {ratio('top-3 precision'):.1f} times |"


def _of_tags() -> Iterator[tuple[str, str]]:
    folder = ROOT / "results" / "tagging"
    rules = pd.read_csv(folder / "thresholds.csv").set_index(["world", "rule"])
    drawn, photos = "miniworld, RN-small, zero-shot", "coco500, ViT-B/16, zero-shot"

    def f1(world: str, rule: str) -> str:
        found = rules.loc[(world, rule)]
        return f"{found['micro F1']:.1f}, {found['macro F1']:.1f}"

    for rule, name in {
        "auto, before any photo": "**auto, before any photo**",
        "auto, on these photos": "**auto, on these photos**",
        "0.5": "0.5",
        "top 3": "top 3",
        "best single value": "best single value, chosen with labels",
        "best value of each label": "best value of each label, chosen with labels",
    }.items():
        yield PHOTOS, f"| {name} | {f1(drawn, rule)} | {f1(photos, rule)} |"
    known = pd.read_csv(folder / "calibration.csv").set_index("world")
    fell = [f"{known['ECE of scores'][w]:.1f} to {known['ECE calibrated'][w]:.1f}" for w in (drawn, photos)]
    yield PHOTOS, f"fell from {fell[0]} percent on miniworld, from {fell[1]} on coco500"
    f1s = known[["micro F1 before", "micro F1 calibrated"]]
    moved = [f"{f1s.loc[w].iloc[0]:.1f} to {f1s.loc[w].iloc[1]:.1f}" for w in (drawn, photos)]
    yield PHOTOS, f"F1 there went from {moved[0]} and from {moved[1]}."
    calibrated = [f"{known['micro F1 from 0.5, calibrated'][world]:.1f}" for world in (drawn, photos)]
    yield PHOTOS, f"F1 is {' and '.join(calibrated)}: surer tags, and fewer."
    by_number = pd.read_csv(folder / "sentences.csv").set_index("sentences a label").mAP
    micro = [
        rules.loc[(f"miniworld, RN-small, {method}", "auto, before any photo")]["micro F1"]
        for method in ("zero-shot", "comc")
    ]
    yield (
        PHOTOS,
        f"mAP {by_number[0]:.1f} against {by_number[SENTENCES_A_LABEL]:.1f} on miniworld, micro F1 "
        f"{micro[0]:.1f} against {micro[1]:.1f}.",
    )
    shown = ", ".join(f"{by_number[n]:.1f} with {n:,}" for n in by_number.index[1:])
    yield PHOTOS, f"mAP by their number is {shown} ("
    yield PHOTOS, f"and {len(common_things())} common things"
    yield PHOTOS, f"the value that {WORDS_A_PHOTO} of the {len(common_things())} common things reach"


def _of_presets() -> Iterator[tuple[str, str]]:
    def short(rate: float) -> str:
        return f"{rate:.0e}".replace("e-0", "e-")

    cells = [
        f"Adam {short(preset.learning_rate)}, cosine by {preset.schedule}, batches of {preset.batch_size}, "
        f"{preset.epochs} epochs"
        for preset in (PAPER, RELEASED)
    ]
    warmup, decay = short(RELEASED.warmup_lr), short(RELEASED.weight_decay)
    yield SCIENCE, f"| {' | '.join(cells)}, the first at {warmup}; weight decay {decay} |"
    yield SCIENCE, f"| none | Gaussian, {RELEASED.noise_std} a coordinate |"
    yield SCIENCE, f": 1 to {PAPER.max_labels} labels, sums over"


def worth_of(switch: str, how: str) -> float:
    """Give a choice of the released code's worth, switched on in the paper's preset or off in its own."""
    preset = {"on": "the paper's", "off": "the released"}[how]
    return metrics("miniworld", "04")["switches"][f"{switch}, switched {how} in {preset} preset"][0]


@pytest.mark.parametrize(
    ("page", "row"),
    [pytest.param(page, row, id=f"{page}-{row['method']}") for page in COLUMNS for row in main_table(page)],
)
def test_numbers_of_the_main_tables_are_those_of_the_results(page, row):
    right = expected(row["method"])
    assert {name: cell for name, cell in row.items() if name != "method"} == {
        name: right[name] for name in COLUMNS[page][1:]
    }


def test_every_method_is_in_the_full_table():
    methods = {name.split(", ", 1)[1].rsplit(", ", 1)[0] for name in on_miniworld()}
    assert methods <= {row["method"] for row in main_table(SCIENCE)}


@pytest.mark.parametrize(("page", "statement"), [*statements()])
def test_numbers_in_words_are_those_of_the_results(page, statement):
    assert statement in " ".join(text_of(page).split()), f"{page} does not say: {statement}"


def test_differences_of_paper_and_code_are_worth_what_the_results_hold():
    rows = table(SCIENCE, "| choice | paper |")
    assert [row[0] for row in rows] == [*SWITCHES]
    for choice, _, _, *worth in rows:
        assert worth == [shown(worth_of(choice, how)) for how in ("on", "off")], choice


def test_readme_is_short():
    assert len(text_of(README).splitlines()) <= MOST_LINES
    assert len(main_table(README)) <= MOST_ROWS


def slug(heading: str) -> str:
    """Name a heading as GitHub links to it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", text_of(page))
    assert links or page in LISTS
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in map(slug, headings), link
