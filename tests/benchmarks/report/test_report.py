import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from benchmarks.report.charts import latency_chart, nice_step
from benchmarks.report.figures import collect
from benchmarks.report.page import score_rows
from benchmarks.report.summary import signed, summarise
from runtime.errors import ConfigError

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

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f" {data.strip()}" if data.strip() else ""


@pytest.fixture(scope="module")
def report(python, engines, tiny_data, measured, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    result = python(
        *("-m", "benchmarks.report", "--engine", *engines, "--data", tiny_data),
        *("--accuracy", *measured["accuracy"], "--latency", measured["latency"]),
        *("--command", "python -m train <x> && y", "--out", out),
    )
    assert result.returncode == 0, result.stderr
    return out.read_text()


def test_the_page_refers_to_nothing_outside_itself(report):
    page = Page(report)
    assert page.references
    assert all(each.startswith("data:image/") for each in page.references)
    assert not re.search(r"https?://|file:|url\(|@import|<script|<link", report)


def test_pictures_decode(report):
    for uri in Page(report).references:
        content = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
        assert cv2.imdecode(content, cv2.IMREAD_COLOR).shape == (64, 64, 3)


def test_every_runnable_engine_has_its_figures_and_maps(report, measured, expected_score):
    text = Page(report).text
    assert f"{expected_score['score']:.3f}" in text
    for entry in json.loads(measured["latency"].read_text())["benchmarks"]:
        assert f"{entry['extra_info']['p90'] * 1e3:.1f}" in text
    # Two tiles: before, after, truth and two engines each.
    assert len(Page(report).references) == 2 * 5


def test_an_engine_that_was_not_run_is_labelled_and_has_no_figure(report):
    assert report.count("compiled, not run") >= 4
    rows = re.findall(r"<tr><th>rtx-fp16.*?</tr>", report, re.DOTALL)
    score, latency, parity, _ = rows
    assert score.count("not run</td>") == 7
    assert latency.count("not run</td>") == 4
    assert "98.765 %" in parity
    assert "compute capability 8.6 and not run" in Page(report).text


def test_commands_are_quoted(report):
    assert "python -m train &lt;x&gt; &amp;&amp; y" in report


def test_nothing_measured_is_not_run_everywhere(python, engines, tiny_data, tmp_path):
    out = tmp_path / "report.html"
    result = python(
        *("-m", "benchmarks.report", "--engine", engines[0], "--data", tiny_data, "--out", out),
        *("--pictures", "0"),
    )
    assert result.returncode == 0, result.stderr
    text = Page(out.read_text()).text
    assert text.count("not run") >= 7
    assert "Not run: no latency file was given" in text
    assert "nothing to compare" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--accuracy", "absent.json"], "absent.json"),
        (["--latency", "absent.json"], "absent.json"),
        (["--split", "hold"], "no such folder"),
        (["--accuracy", "pyproject.toml"], "not JSON"),
        (["--latency", "pyproject.toml"], "not a latency file"),
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


def test_figures_of_an_earlier_build_are_refused(make_engine, measured, tmp_path):
    rebuilt = make_engine(tmp_path / "cpu-fp32", created="2027")
    with pytest.raises(ConfigError, match=r"another build of cpu-fp32"):
        collect([rebuilt], measured["accuracy"][:1], None)


def test_figures_of_an_engine_that_is_not_asked_for_are_refused(engines, measured):
    with pytest.raises(ConfigError, match="cpu-int8, which --engine does not name"):
        collect(engines[:1], measured["accuracy"], None)


def test_figures_on_other_tiles_do_not_compare(engines, measured, tmp_path):
    record = json.loads(measured["accuracy"][1].read_text())
    record["data"]["fingerprint"] = "00"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="different tiles"):
        collect(engines, [measured["accuracy"][0], other], None)


def test_differences_are_coloured_beyond_a_hundredth(engines, measured, tmp_path):
    record = json.loads(measured["accuracy"][1].read_text())
    record["figures"]["score"] -= 0.011
    record["figures"]["damage_f1"] += 0.011
    record["figures"]["localization_f1"] -= 0.009
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(record))
    engines = collect(engines, [measured["accuracy"][0], changed], None)
    reference, lower, unrun = score_rows(engines)
    assert [cell.tone for cell in lower.cells[:4]] == ["bad", "plain", "good", "plain"]
    assert lower.cells[0].difference == "−0.011"
    assert all(cell.difference == "" for cell in reference.cells)
    assert {cell.text for cell in unrun.cells} == {"not run"}
    assert "cpu-int8 loses 0.011 of it" in " ".join(summarise(engines))


def test_bars_and_whiskers_stay_inside_the_chart(engines, measured):
    chart = latency_chart(collect(engines, [], measured["latency"]))
    assert [row.name for row in chart.rows] == ["cpu-fp32", "cpu-int8", "rtx-fp16"]
    assert chart.rows[2].bars == ()
    assert all(0 < bar.width + bar.whisker <= 100 for row in chart.rows for bar in row.bars)
    assert chart.ticks[0].at == 0
    assert chart.ticks[-1].at == pytest.approx(100)


@pytest.mark.parametrize(
    ("largest", "step"), [(58, 20), (0.37, 0.1), (4, 1), (1200, 500), (9, 2.5)]
)
def test_ticks_are_round(largest, step):
    assert nice_step(largest) == pytest.approx(step)


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "±0.000"), (0.01, "+0.010"), (-1, "−1.000")])
def test_differences_are_signed(value, text):
    assert signed(value) == text
