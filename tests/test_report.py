"""The report, opened in a real browser: made-up results always, the committed reports where they are."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from test_claims import comparison, metrics_in_which_all_hold
from test_notebooks import ABSOLUTE_PATH

from comc_utils.errors import CoMCError
from comc_utils.evaluation.claims import CLAIMS, Verdict, judge
from comc_utils.notebooks.figures import forest_plot
from comc_utils.notebooks.figures.palette import ACCENT
from comc_utils.notebooks.manifest import Entry, Manifest, read_manifest, write_manifest
from comc_utils.notebooks.outputs import Outputs
from comc_utils.notebooks.report import read_metrics, write_report
from comc_utils.profiles import PROFILES

matplotlib.use("agg")

RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = [name for name in PROFILES if (RESULTS / name / "report.html").exists()]
VERDICTS = {verdict.value for verdict in Verdict}
MAX_BYTES = 5_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(names)})")
    with sync_playwright() as playwright:
        # Chromium refuses to run as root, as in a container, with its sandbox.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def faults(browser: Browser, path: Path, width: int = 1200) -> list[str]:
    """Open a page and say what is wrong with it."""
    found: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda m: found.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("request", lambda r: None if _is_local(r.url) else found.append(f"asks for {r.url}"))
    page.goto(path.as_uri())
    images = "all => all.filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)"
    found += [f"image: {alt}" for alt in page.eval_on_selector_all("img", images)]
    found += ["image without words"] * page.locator("img:not([alt]), img[alt='']").count()
    rows = page.locator("table.claims tbody tr")
    cells = "all => all.map(r => [...r.querySelectorAll('.verdict')].map(v => v.innerText.trim()))"
    verdicts = rows.evaluate_all(cells)
    found += [f"row {i}: {v}" for i, v in enumerate(verdicts) if len(v) != 1 or v[0] not in VERDICTS]
    if len(verdicts) != len(CLAIMS):
        found.append(f"{len(verdicts)} rows for {len(CLAIMS)} claims")
    targets = "all => all.map(a => a.getAttribute('href')).filter(h => h.startsWith('#'))"
    for target in page.eval_on_selector_all("a", targets):
        if page.locator(f"[id='{target[1:]}']").count() != 1:
            found.append(f"link to nowhere: {target}")
    if page.evaluate("document.documentElement.scrollWidth") > width:
        found.append(f"wider than {width} pixels")
    page.close()
    return found


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make results up: metrics, figures, tables, one executed notebook, the times."""
    folder = tmp_path / "miniworld"
    for notebook, metrics in metrics_in_which_all_hold().items():
        Outputs(folder, notebook).metrics(metrics)
    write_manifest(folder, "03_inference", Manifest({"SEED": 4}))
    outputs = Outputs(folder, "03_inference")
    small, axis = plt.subplots(figsize=(3, 2))
    axis.plot([1, 2])
    outputs.figure(small, "alpha", pd.DataFrame({"mAP": [1, 2]}), "Which mixture is best")
    large, axis = plt.subplots(figsize=(6.4, 5))
    axis.imshow(np.random.default_rng(0).random((500, 640, 3)))
    dangerous = pd.DataFrame({"image": ["<script>alert(1)</script>"]})
    outputs.figure(large, "pictures", dangerous, "Twelve <i>pictures</i>")
    plt.close("all")
    table = pd.DataFrame({"method": ["Zero-shot CLIP", "CoMC"], "mAP": [50.14, 58.17]})
    outputs.table(table, "methods", "Zero-shot methods", paper_table=1)
    wide = pd.DataFrame({f"a long name, number {i}": [0.1234, np.nan] * 20 for i in range(12)})
    outputs.table(wide.assign(text="<b>&"), "per_class", "Each class")
    cells = [nbformat.v4.new_markdown_cell("# 03 · Inference\n\n**Question.** Does it\nsee?\n\nNo matter.")]
    (folder / "notebooks").mkdir()
    executed = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(executed, folder / "notebooks" / "03_inference.ipynb")
    run = {
        "seconds": {"03_inference": 83.7},
        "cores": 7,
        "machine": "x86_64",
        "python": "3.11.7",
        "packages": {"torch": "2.13.0"},
    }
    (folder / "times.json").write_text(json.dumps(run))
    return folder


@pytest.fixture
def write(folder: Path) -> Callable[..., str]:
    """Give a function that writes the made-up results' report and reads it."""
    return lambda **given: write_report(folder, "miniworld", **given).read_text(encoding="utf-8")


def check_file(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES
    without_pictures = re.sub(r"base64,[\w+/=]+", "", path.read_text(encoding="utf-8"))
    assert not ABSOLUTE_PATH.search(without_pictures)
    assert "http" not in without_pictures


def test_forest_plot_shows_each_difference_under_its_claim():
    metrics = metrics_in_which_all_hold()
    metrics["03_inference"]["comparisons"]["CoMC over"]["CLIP-DPT"] = comparison(-3.0)
    del metrics["05_alpha_sweep"]
    judgements = {claim: judge(claim, metrics) for claim in CLAIMS}
    figure, data = forest_plot(judgements)
    (axis,) = figure.axes
    found = [f for j in judgements.values() for f in j.findings if f.comparison is not None]
    assert [label.get_text() for label in axis.get_yticklabels()] == [f.name for f in found]
    assert data["comparison"].tolist() == [f.name for f in found]
    statements = [text.get_text() for text in axis.texts]
    assert statements == [claim.statement for claim, j in judgements.items() if j.findings]
    against = data[data.verdict == "fails"]
    assert against[["claim", "difference"]].values.tolist() == [["above-clip-dpt", -3.0]]
    points = [line for line in axis.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == data["difference"].tolist()
    assert [line.get_color() == ACCENT for line in points] == (data.verdict == "fails").tolist()
    low, high = axis.get_xlim()
    assert low < data.low.min() < data.high.max() < high
    plt.close(figure)


def test_forest_plot_of_nothing_says_so():
    figure, data = forest_plot({claim: judge(claim, {}) for claim in CLAIMS})
    assert data.empty
    assert figure.axes[0].get_title() == "no difference to show"
    plt.close(figure)


@pytest.mark.parametrize("width", [1200, 400])
def test_made_up_report_in_a_browser(folder, browser, width):
    path = write_report(folder, "miniworld")
    assert path == folder / "report.html"
    assert faults(browser, path, width) == []
    check_file(path)


@pytest.mark.parametrize("width", [1200, 400])
def test_report_of_nothing_in_a_browser(tmp_path, browser, width):
    assert faults(browser, write_report(tmp_path, "coco500"), width) == []


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("profile", COMMITTED)
def test_committed_report_in_a_browser(profile, browser, width):
    path = RESULTS / profile / "report.html"
    assert faults(browser, path, width) == []
    check_file(path)


@pytest.mark.parametrize("profile", COMMITTED)
def test_committed_report_is_of_the_committed_metrics(profile, tmp_path):
    shutil.copytree(RESULTS / profile, tmp_path / profile)
    again = write_report(tmp_path / profile, profile).read_text(encoding="utf-8")
    claims = re.compile(r'<table class="claims">.*?</table>', re.DOTALL)
    committed = (RESULTS / profile / "report.html").read_text(encoding="utf-8")
    assert claims.findall(again) == claims.findall(committed)


@pytest.mark.parametrize(
    ("piece", "instead", "fault"),
    [
        ("</header>", '<img src="data:image/png;base64,AAAA" alt="broken"></header>', "image: broken"),
        ("</header>", "<script>console.error('ill')</script></header>", "console: ill"),
        ("</header>", "<script>throw Error('worse')</script></header>", "script: worse"),
        ("</header>", '<link rel="stylesheet" href="http://127.0.0.1:9/x"></header>', "asks for http"),
        ("</header>", '<div style="width: 3000px">.</div></header>', "wider than 1200"),
        ("</header>", '<a href="#mars">x</a></header>', "link to nowhere: #mars"),
        ('<span class="verdict holds">holds</span></td>', "</td>", "row 0: []"),
        ('holds">holds</span></td>', 'holds">perhaps</span></td>', "row 0: ['perhaps']"),
    ],
)  # fmt: skip
def test_the_browser_test_sees_faults(write, folder, browser, piece, instead, fault):
    page = write()
    assert piece in page
    path = folder / "ill.html"
    path.write_text(page.replace(piece, instead, 1), encoding="utf-8")
    assert any(found.startswith(fault) for found in faults(browser, path))


def test_large_pictures_are_re_encoded_and_small_ones_left(write, folder):
    kinds = re.findall(r'src="data:image/(\w+);base64,([\w+/=]+)', write())
    assert [kind for kind, _ in kinds] == ["png", "jpeg"]
    as_they_were = (folder / "figures" / "03_pictures.png").stat().st_size
    assert len(kinds[1][1]) < as_they_were


def test_the_benchmark_beside_the_results_is_shown(write, folder):
    assert "Speed" not in write()
    beside = folder.parent / "benchmarks"
    beside.mkdir()
    line = "what,against,ratio,target,met\nread a book,reading it twice,2.0,at least 2 x,yes\n"
    (beside / "benchmarks.csv").write_text(line)
    Image.new("RGB", (30, 20)).save(beside / "growth.png")
    page = write()
    assert "Speed" in page
    assert "<td>read a book</td>" in page
    assert 'href="../benchmarks/benchmarks.csv"' in page
    assert 'href="../benchmarks/growth.csv"' in page


def test_what_results_hold_is_shown_as_text(write):
    page = write()
    assert "<script" not in page
    assert "&lt;b&gt;&amp;" in page


def test_it_names_seeds_versions_hardware_and_run_times(write):
    page = write()
    row = '<tr><td>03_inference</td><td class="number">83.7</td><td>SEED = 4</td></tr>'
    assert row in page
    assert "7 cores (x86_64), Python 3.11.7" in page
    assert "<td>torch</td><td>2.13.0</td>" in page


def test_captions_and_order_are_those_of_the_manifest(write, folder):
    page = write()
    assert "<h3>03 Inference</h3>\n<p>Does it see?</p>" in page
    captions = re.findall(r"<figcaption>(.*?) \((?:values: )?<a href=\"\w+/03_", page)
    in_the_notebook = ["Which mixture is best", "Twelve &lt;i&gt;pictures&lt;/i&gt;", "Each class"]
    assert captions == ["Here: Zero-shot methods", *in_the_notebook]
    assert '<a href="notebooks/03_inference.ipynb">03_inference</a>' in page
    assert 'href="notebooks/04' not in page
    # What no manifest names is not shown.
    shutil.copy(folder / "figures" / "03_alpha.png", folder / "figures" / "03_old.png")
    assert write() == page
    manifest = read_manifest(folder, "03_inference")
    write_manifest(folder, "03_inference", Manifest(manifest.settings, manifest.left[::-1]))
    page = write()
    assert page.index("Twelve") < page.index("Which mixture")


def test_the_page_belongs_to_its_notebook(write, folder):
    write()
    assert read_manifest(folder, "15_report").left == [Entry("page", ["report.html"])]


def test_the_papers_tables_stand_beside_ours(write):
    page = write()
    tables = page[page.index('id="tables"') : page.index('id="notebooks"')]
    for number in range(1, 7):
        assert f"The paper&#39;s Table {number}, " in tables
    first = tables[: tables.index("Table 2:")]
    cell = 'CoMC</td><td class="number">'
    assert 0 < first.index(f"{cell}89.4<") < first.index(f"{cell}58.2<")
    assert "notebook 08_language_models has left no table of this number." in tables
    shots = ["0-shot", "1-shot", "2-shot", "4-shot", "8-shot", "16-shot"]
    third = tables[tables.index("Table 3:") : tables.index("Table 4:")]
    assert re.findall(r">(\d+-shot)<", third) == shots
    assert "15 more rows are in the file." in page
    assert page.count("tables/03_methods.csv</a>") == 1


def test_what_is_missing_is_said(write, folder):
    Outputs(folder, "09_backbones").metrics({"skipped": "There is one backbone."})
    (folder / "metrics" / "08_language_models.json").unlink()
    (folder / "times.json").unlink()
    page = write()
    assert page.count("It was skipped: There is one backbone.") == 2
    assert "Notebook 08_language_models has left no metrics here." in page
    assert "There is no executed notebook. It has left no figure and no table." in page
    assert "hardware, versions and run times are not known" in page
    assert "The figure of the differences is missing" in page
    Outputs(folder, "15_report").figure(plt.figure(), "forest", pd.DataFrame(), "Differences")
    plt.close("all")
    assert "The figure of the differences is missing" not in write()


def test_a_smoke_run_is_marked(write):
    assert "A smoke run." not in write()
    assert "A smoke run." in write(smoke=True)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("metrics/03_inference.json", "03_inference.json is not JSON"),
        ("figures/03_alpha.png", "03_alpha.png is not a readable picture"),
        ("tables/03_methods.csv", "03_methods.csv is not a readable table"),
        ("manifest/03_inference.json", "03_inference.json is not a manifest; run the notebook"),
        ("times.json", "times.json is not JSON"),
        ("notebooks/03_inference.ipynb", "03_inference.ipynb is not a readable notebook"),
    ],
)
def test_damaged_results_are_named_and_the_last_report_stays(write, folder, file, message):
    before = write()
    (folder / file).write_text("" if file.endswith(".csv") else "{")
    with pytest.raises(CoMCError, match=message):
        write()
    assert (folder / "report.html").read_text(encoding="utf-8") == before


def test_a_report_that_cannot_be_written_leaves_the_last_one(write, folder):
    before = write()
    half_a_character = '{"skipped": "\\ud800"}'  # JSON can hold it, a file in UTF-8 cannot
    (folder / "metrics" / "09_backbones.json").write_text(half_a_character)
    with pytest.raises(UnicodeEncodeError):
        write()
    assert (folder / "report.html").read_text(encoding="utf-8") == before
    assert not list(folder.glob("*.partial*")) + list(folder.glob(".*"))


def test_an_unknown_profile_is_refused(tmp_path):
    with pytest.raises(CoMCError, match="Unknown profile 'mars'"):
        write_report(tmp_path, "mars")


def test_metrics_are_read_by_notebook(folder: Path):
    read: dict[str, Any] = read_metrics(folder)
    assert read == metrics_in_which_all_hold()
    assert read_metrics(folder / "nowhere") == {}
