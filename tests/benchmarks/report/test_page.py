import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from benchmarks.latency.figures import COLD, RASTER, SINGLE_STREAM

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags must nest; references and text are kept."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open, self.references, self.text = [], [], ""
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_startendtag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f" {data.strip()}" if data.strip() else ""


@pytest.fixture(scope="module")
def html(report):
    return report.read_text()


def test_the_page_refers_to_nothing_outside_itself(html):
    page = Page(html)
    assert page.references
    assert all(each.startswith("data:image/") for each in page.references)
    content = re.sub(r'xmlns(:xlink)?="[^"]*"', "", html)  # names, nothing is fetched
    assert not re.search(r"https?://|file:|@import|<script src|<link", content)
    assert all(each.startswith("#") for each in re.findall(r"url\(([^)]*)\)", html))


def test_pictures_decode(html):
    for uri in Page(html).references:
        content = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
        assert cv2.imdecode(content, cv2.IMREAD_COLOR).shape == (64, 64, 3)


def test_every_runnable_engine_has_its_figures_and_maps(html, measured, expected_score):
    text = Page(html).text
    assert f"{expected_score['score']:.3f}" in text
    for entry in json.loads(measured["latency"].read_text())["benchmarks"]:
        info = entry["extra_info"]
        if info["scenario"] == SINGLE_STREAM:
            assert f"{info['p90'] * 1e3:.1f}" in text
        elif info["scope"] == RASTER:
            assert f"{info['km2_per_minute']:.2f}" in text
        elif info["scope"] == COLD:
            assert f"{info['p50']:.2f}" in text
    # Of two tiles: before, after, truth and two engines each.
    assert html.count('<figure class="map"') == 2 * 3
    # The worst tiles of one engine; the two engines agree on every pixel.
    assert "The worst tiles" in text
    assert "largest disagreements" not in text


def test_an_engine_that_was_not_run_is_labelled_and_has_no_figure(html):
    assert html.count("compiled, not run") >= 4
    rows = re.findall(r"<tr><th>rtx-fp16.*?</tr>", html, re.DOTALL)
    score, latency, beyond, parity, _ = rows
    assert score.count("not run</td>") == 9
    assert "not run</td>" in latency
    assert beyond.count("not run</td>") == 4
    assert "98.765 %" in parity
    assert "left in floating point: pre.stem</small><small>pre.layer1</small>" in parity
    assert "compute capability 8.6 and not run" in Page(html).text


def test_what_the_compilers_made_is_shown_or_the_reason(html):
    plans = html[html.index('id="plans"') : html.index('id="provenance"')]
    assert "onnxruntime" in plans
    assert "has no plan.json" in plans  # the plan in the test's folder is no plan


def test_commands_are_quoted(html):
    assert "python -m train &lt;x&gt; &amp;&amp; y" in html


def test_markdown_has_the_verdicts_and_scores(report, expected_score):
    text = report.with_suffix(".md").read_text()
    assert "| `cpu-fp32` | **reference** |" in text
    assert f"{expected_score['score']:.3f}" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    assert "compiled, not run" in text


def test_nothing_measured_is_not_run_everywhere(python, engines, tiny_data, tmp_path):
    out = tmp_path / "report.html"
    result = python(
        *("-m", "benchmarks.report", "--engine", engines[0], "--data", tiny_data, "--out", out),
        *("--pictures", "0", "--no-plans"),
    )
    assert result.returncode == 0, result.stderr
    text = Page(out.read_text()).text
    assert text.count("not run") >= 7
    assert "Not run: no latency file was given" in text
    assert "nothing to compare" in text
    absent = text[text.index("Not measured") :]
    for command in ("robustness", "peers", "pareto"):
        assert f"python -m benchmarks.{command}" in absent


def test_only_what_was_not_measured_is_listed_as_such(html, report):
    absent = html[html.index('id="not-measured"') : html.index('id="provenance"')]
    assert "benchmarks.robustness" not in absent  # it was given
    assert "benchmarks.peers" in absent
    line = report.with_suffix(".md").read_text().splitlines()[-1]
    assert line.startswith("Not measured: latency beside other libraries'; ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figures", "absent.json"], "absent.json"),
        (["--split", "hold"], "no such folder"),
        (["--figures", "pyproject.toml"], "not JSON"),
        (["--pictures", "-1"], "expected 0 or more"),
    ],
)
def test_a_missing_input_is_one_line(python, engines, tiny_data, tmp_path, arguments, said):
    out = tmp_path / "report.html"
    result = python(
        *("-m", "benchmarks.report", "--engine", engines[0], "--data", tiny_data),
        *("--out", out, *arguments),
    )
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert not out.exists()
