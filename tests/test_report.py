"""The report, opened in a real browser: made-up results always, the committed reports where they are."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser
from test_claims import comparison, metrics_in_which_all_hold
from test_notebooks import ABSOLUTE_PATH

from comc_utils.errors import CoMCError
from comc_utils.evaluation.claims import CLAIMS, Verdict, judge
from comc_utils.evaluation.rules import POINTS
from comc_utils.notebooks import answers
from comc_utils.notebooks.figures import forest_plot
from comc_utils.notebooks.figures.palette import ACCENT
from comc_utils.notebooks.manifest import Entry, Manifest, note, read_manifest, write_manifest
from comc_utils.notebooks.outputs import Outputs
from comc_utils.notebooks.report import read_metrics, write_report
from comc_utils.profiles import PROFILES

matplotlib.use("agg")

RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = [name for name in PROFILES if (RESULTS / name / "report.html").exists()]
VERDICTS = {verdict.value for verdict in Verdict}
MAX_BYTES = 5_000_000
each_look = pytest.mark.parametrize(
    ("width", "scheme"), [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
)


def faults(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> list[str]:
    """Open a page and say what is wrong with it, as it lies there and with all of it unfolded."""
    found: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda m: found.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("request", lambda r: None if _is_local(r.url) else found.append(f"asks for {r.url}"))
    page.goto(path.as_uri())
    images = "all => all.filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)"
    found += [f"image: {alt}" for alt in page.eval_on_selector_all("img", images)]
    found += ["image without words"] * page.locator("img:not([alt]), img[alt='']").count()
    captions = (
        "all => all.map(i => i.closest('figure')?.querySelector('figcaption')?.firstChild?.textContent ?? '')"
    )
    of_images = page.eval_on_selector_all("img", captions)
    found += [f"figure without caption: {words}" for words in of_images if len(words.split()) < 2]
    claims = page.locator("ul.claims > li")
    badges = "all => all.map(r => [...r.querySelectorAll('.verdict')].map(v => v.innerText.trim()))"
    verdicts = claims.evaluate_all(badges)
    found += [f"claim {i}: {v}" for i, v in enumerate(verdicts) if len(v) != 1 or v[0] not in VERDICTS]
    if len(verdicts) != len(CLAIMS):
        found.append(f"{len(verdicts)} rows for {len(CLAIMS)} claims")
    ground, ink = (
        page.evaluate(f"getComputedStyle(document.body).{of}") for of in ("backgroundColor", "color")
    )
    if (_lightness(ground) < _lightness(ink)) != (scheme == "dark"):
        found.append(f"not {scheme}: {ink} on {ground}")
    plates = page.eval_on_selector_all(".plate", "all => all.map(p => getComputedStyle(p).backgroundColor)")
    found += [f"figure on {colour}" for colour in plates if _lightness(colour) < 255]
    contents = page.locator("nav a[href='#claims']:visible").count()
    folded = page.locator("nav.bar summary:visible").count()
    page.mouse.wheel(0, 100_000)
    # The wheel does not wait for the page to move.
    page.wait_for_function("scrollY > 0 || document.documentElement.scrollHeight <= innerHeight")
    if contents + folded != 1 or not page.locator("nav a[href='#top']:visible").first.is_visible():
        found.append("no contents")
    top = page.locator("nav a[href='#top']:visible").bounding_box() or {"y": -1}
    if not 0 <= top["y"] < 900:
        found.append("no way back up in view")
    targets = "all => all.map(a => a.getAttribute('href')).filter(h => h.startsWith('#'))"
    for target in page.eval_on_selector_all("a", targets):
        if page.locator(f"[id='{target[1:]}']").count() != 1:
            found.append(f"link to nowhere: {target}")
    for unfolded in ("", ", unfolded"):
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"wider than {width} pixels{unfolded}")
        page.eval_on_selector_all("main details", "all => all.forEach(d => { d.open = true; })")
    page.close()
    return found


def _lightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


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


def test_forest_plot_has_a_row_for_each_claim_that_rests_on_points():
    metrics = metrics_in_which_all_hold()
    metrics["04_ablations"]["comparisons"]["mapping adds"]["with local"] = comparison(-3.0)
    del metrics["05_alpha_sweep"]
    judgements = {claim: judge(claim, metrics) for claim in CLAIMS}
    figure, data = forest_plot(judgements)
    axis, beside = figure.axes[0], figure.axes[0].child_axes[0]
    found = {c: [f for f in j.findings if f.comparison and f.unit == POINTS] for c, j in judgements.items()}
    rows = [claim for claim, findings in found.items() if findings]
    assert "images-and-texts-apart" not in {claim.identifier for claim in rows}
    assert [label.get_text().replace("\n", " ") for label in axis.get_yticklabels()] == [
        c.statement for c in rows
    ]
    assert sorted(data["comparison"]) == sorted(f.name for findings in found.values() for f in findings)
    against = data[data.verdict == "fails"]
    assert against[["claim", "difference"]].values.tolist() == [
        ["mapping-helps-with-local", -3.0],
        ["both-together-best", -3.0],
    ]
    weakest = beside.get_yticklabels()[[claim.identifier for claim in rows].index("both-together-best")]
    assert weakest.get_text().replace("\n", " ") == "weakest of 2: mapping adds with local"
    points = [line for line in axis.lines if line.get_marker() in ("o", "s")]
    assert [line.get_xdata()[0] for line in points] == data["difference"].tolist()
    assert [line.get_color() == ACCENT for line in points] == (data.verdict == "fails").tolist()
    assert "other units: probe accuracy, centroid distance" in axis.get_xlabel()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["for the claim", "within noise", "against the claim"]
    low, high = axis.get_xlim()
    assert low < data.low.min() < data.high.max() < high
    assert figure.get_size_inches()[1] <= 9
    plt.close(figure)


def test_forest_plot_of_nothing_says_so():
    figure, data = forest_plot({claim: judge(claim, {}) for claim in CLAIMS})
    assert data.empty
    assert figure.axes[0].get_title() == "no difference to show"
    plt.close(figure)


@each_look
def test_made_up_report_in_a_browser(folder, browser, width, scheme):
    path = write_report(folder, "miniworld")
    assert path == folder / "report.html"
    assert faults(browser, path, width, scheme) == []
    check_file(path)


@each_look
def test_report_of_nothing_in_a_browser(tmp_path, browser, width, scheme):
    assert faults(browser, write_report(tmp_path, "coco500"), width, scheme) == []


@each_look
@pytest.mark.parametrize("profile", COMMITTED)
def test_committed_report_in_a_browser(profile, browser, width, scheme):
    path = RESULTS / profile / "report.html"
    assert faults(browser, path, width, scheme) == []
    check_file(path)


@pytest.mark.parametrize("profile", COMMITTED)
def test_committed_report_is_of_the_committed_metrics(profile, tmp_path):
    shutil.copytree(RESULTS / profile, tmp_path / profile)
    again = write_report(tmp_path / profile, profile).read_text(encoding="utf-8")
    claims = re.compile(r'<ul class="claims">.*?</ul>', re.DOTALL)
    committed = (RESULTS / profile / "report.html").read_text(encoding="utf-8")
    assert len(claims.findall(again)) == 1
    assert claims.findall(again) == claims.findall(committed)


@pytest.mark.parametrize(
    ("piece", "instead", "fault"),
    [
        ("</header>", '<img src="data:image/png;base64,AAAA" alt="broken"></header>', "image: broken"),
        ("</header>", "<script>console.error('ill')</script></header>", "console: ill"),
        ("</header>", "<script>throw Error('worse')</script></header>", "script: worse"),
        ("</header>", '<link rel="stylesheet" href="http://127.0.0.1:9/x"></header>', "asks for http"),
        ("</header>", '<div style="width: 3000px">.</div></header>', "wider than 1280 pixels"),
        ("</header>", '<a href="#mars">x</a></header>', "link to nowhere: #mars"),
        ("Which mixture is best <a", "x <a", "figure without caption: x"),
        ('<span class="verdict holds">holds</span> <span>', "<span>", "claim 0: []"),
        ('holds">holds</span> <span>', 'holds">perhaps</span> <span>', "claim 0: ['perhaps']"),
        ('id="rule">', 'id="rule"><div style="width: 3000px">.</div>', "wider than 1280 pixels, unfolded"),
        ("nav.side { position: sticky;", "nav.side {", "no way back up in view"),
        ("--page: #fff;", "--page: #000;", "not light: "),
        (".plate { background: #fff;", ".plate { background: #111;", "figure on rgb(17, 17, 17)"),
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


def test_an_answer_is_rendered_and_its_html_stays_text(write, folder):
    note(folder, "03_inference", Entry("answer", [], "It **sees** `x`.\n\n<script>alert(1)</script> <b>&"))
    page = write()
    answer = page[page.index('<div class="answer">') : page.index("Which mixture")]
    assert "<p>It <strong>sees</strong> <code>x</code>.</p>" in answer
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &lt;b&gt;&amp;" in answer
    assert page.count('<div class="answer">') == 1


def test_sections_stand_in_order_and_begin_with_question_and_answer(write, folder):
    note(folder, "03_inference", Entry("answer", [], "It does."))
    page = write()
    sections = re.findall(r'<section id="([^"]+)"', page)
    notebooks = [name for name in sections if name.startswith("nb-")]
    assert sections == ["claims", *sorted(notebooks), "tables", "run"]
    assert len(notebooks) == len({claim.notebook for claim in CLAIMS})
    assert page.index('class="first"') < page.index('<section id="claims"')
    inference = page[page.index('<section id="nb-03_inference"') : page.index('<section id="nb-04_ablations"')]
    places = [
        inference.index(words) for words in ("<h2>03 Inference", "Does it see?", "It does.", "Which mixture")
    ]
    assert places == sorted(places)


def test_claims_unfold_to_their_numbers(write):
    page = write()
    claims = page[page.index('<ul class="claims">') : page.index('<details id="rule">')]
    items = claims.split("<li id=")[1:]
    assert len(items) == len(CLAIMS)
    for item, claim in zip(items, CLAIMS, strict=True):
        summary, unfolded = item.split("</summary>")
        assert f"<span>{html.escape(claim.statement).replace('&#x27;', '&#39;')}</span>" in summary
        assert '<span class="verdict holds">' in summary and "<details>" in summary
        for finding in judge(claim, metrics_in_which_all_hold()).findings:
            assert (
                f"<td>{finding.name}</td>" in unfolded and f"<td>{finding.unit}</td><td>holds</td>" in unfolded
            )
            if c := finding.comparison:
                assert f"{c['difference']:+.2f}</td><td>[{c['low']:+.2f}, {c['high']:+.2f}]</td>" in unfolded
                assert f"{min(c['over_seeds']):+.2f} to {max(c['over_seeds']):+.2f} (5)" in unfolded
    assert "<td>distance</td><td>holds</td>" in items[11]
    assert "4.2.1, Table 1</span></summary>" in items[0]


def test_the_first_words_are_this_runs_numbers(write, folder):
    assert "mAP here is" not in write()
    metrics = metrics_in_which_all_hold()["04_ablations"] | {
        "preset": "released",
        "seeds": 3,
        "parts": {"released": {"local, mapping": 70.26}, "paper": {"local, mapping": 72.56}},
        "switches": {"no positional embedding, switched off in the released preset": [-2.3, -2.4, -2.2]},
    }
    Outputs(folder, "04_ablations").metrics(metrics)
    first = " ".join(re.sub(r"<[^>]+>", "", write().split('class="first">')[1].split("</header>")[0]).split())
    assert "70.3&nbsp;% with the released code&rsquo;s settings and 72.6&nbsp;% with the paper" in first
    assert "(mean over 3 seeds). Leaving out the positional embedding" in first
    assert "alone costs 2.3 points." in first
    assert first.endswith(f"Of the paper's {len(CLAIMS)} claims, {len(CLAIMS)} hold here. None fails.")


def test_the_answer_counts_verdicts_and_names_what_fails():
    metrics = metrics_in_which_all_hold()
    metrics["03_inference"]["comparisons"]["CoMC over"]["CLIP-DPT"] = comparison(-3.0)
    metrics["05_alpha_sweep"] = {"skipped": "No time."}
    answer = answers.report({claim: judge(claim, metrics) for claim in CLAIMS})
    assert "**19 hold**, **1 fails** and **3 are not testable** here." in answer
    assert answer.endswith("What fails: “CoMC recognises images better than CLIP-DPT on every data set”.")
    over = {"Zero-shot CLIP, softmax": comparison(-2.0)}
    metrics["13_comparable_scores"] = {"comparisons": {"CoMC over comparable": over}}
    answer = answers.report({claim: judge(claim, metrics) for claim in CLAIMS})
    assert answer.endswith(
        "(notebook 13), “CoMC recognises images better than zero-shot CLIP on every data set” fails."
    )


def test_numbers_are_as_precise_as_their_noise(write, folder):
    frame = pd.DataFrame(
        {"what": ["a", "b"], "worth": [-2.304, 0.017], "low": [-2.32, 0.01], "high": [-2.28, 0.03]}
    )
    Outputs(folder, "04_ablations").table(frame, "fine", "Narrow")
    Outputs(folder, "04_ablations").table(frame.assign(high=[2.0, 3.0]), "coarse", "Wide apart")
    page = write()
    narrow, coarse = page.split("Narrow <a")[1].split("Wide apart <a")
    assert '<td class="number">-2.30</td>' in narrow and '<td class="number">0.02</td>' in narrow
    assert '<td class="number">-2.3</td>' in coarse and '<td class="number">0.0</td>' in coarse


def test_it_names_seeds_versions_hardware_and_run_times(write):
    page = write()
    row = '<tr><td>03_inference</td><td class="number">83.7</td><td>SEED = 4</td></tr>'
    assert row in page
    assert "7 cores (x86_64), Python 3.11.7" in page
    assert "<td>torch</td><td>2.13.0</td>" in page


def test_captions_and_order_are_those_of_the_manifest(write, folder):
    page = write()
    captions = re.findall(r"<figcaption>(.*?) <a class=\"file\" href=\"\w+/03_", page)
    in_the_notebook = ["Which mixture is best", "Twelve &lt;i&gt;pictures&lt;/i&gt;", "Each class"]
    assert captions == [*in_the_notebook, "Here: Zero-shot methods"]
    assert page.index("Each class <a") > page.index('Zero-shot methods: <a href="#table-1">')
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
    tables = page[page.index('<section id="tables"') : page.index('<section id="run"')]
    for number in range(1, 7):
        assert f"The paper&#39;s Table {number}, " in tables
        assert tables.count(f'id="table-{number}"') == 1
    first = tables[: tables.index("Table 2,")]
    cell = 'CoMC</td><td class="number">'
    assert 0 < first.index(f"{cell}89.4<") < first.index(f"{cell}58.2<")
    assert "Notebook 08_language_models has left no such table." in tables
    shots = ["0-shot", "1-shot", "2-shot", "4-shot", "8-shot", "16-shot"]
    third = tables[tables.index("Table 3,") : tables.index("Table 4,")]
    assert re.findall(r">(\d+-shot)<", third) == shots
    assert "<summary>40 rows</summary>" in page
    assert page.count('href="tables/03_methods.csv"') == 1


def test_what_is_missing_is_said(write, folder):
    Outputs(folder, "09_backbones").metrics({"skipped": "There is one backbone."})
    (folder / "metrics" / "08_language_models.json").unlink()
    (folder / "times.json").unlink()
    (folder / "manifest" / "08_language_models.json").unlink()
    page = write()
    skipped, after = (
        page.split('<section id="nb-09_backbones">')[1].split("</section>")[0],
        page.split('id="tables"')[1],
    )
    assert (
        " ".join(skipped.split())
        == '<h2>09 Backbones</h2> <p class="none">Not asked here: There is one backbone.</p>'
    )
    assert "Table 6, visual backbones: nothing beside it. Not asked here: There is one backbone." in after
    assert '<p class="none">It has not run here.</p>' in page
    assert "Notebook 08_language_models has left no metrics here." in page
    assert "hardware, versions and run times are not known" in page
    assert not re.search(r"<(h\d|p|div class=\"(shown|answer)\")>\s*</", page)
    assert "All differences behind the claims" not in page
    Outputs(folder, "15_report").figure(plt.figure(), "forest", pd.DataFrame(), "Differences")
    plt.close("all")
    assert "All differences behind the claims" in write()


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
