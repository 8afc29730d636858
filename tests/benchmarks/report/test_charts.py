import re
from xml.etree import ElementTree

import pytest

from benchmarks.report import plots
from benchmarks.report.charts import latency_chart, nice_step, peers_chart
from benchmarks.report.collect import collect
from benchmarks.svg import INK

PEERS = {
    "figures": [
        {"name": "eager", "group": "PyTorch", "scope": "end to end", "median_s": 2.0,
         "faster": 1.0, "label_agreement": 1.0},
        {"name": "int8", "group": "engine", "scope": "end to end", "median_s": 0.5,
         "faster": 4.0, "label_agreement": 0.99},
        {"name": "eager", "group": "PyTorch", "scope": "network alone", "median_s": 1.0,
         "faster": 1.0, "label_agreement": None},
    ]
}  # fmt: skip


def test_bars_and_whiskers_stay_inside_the_chart(engines, measured):
    chart = latency_chart(collect(engines, [measured["latency"]]).engines)
    assert [row.name for row in chart.rows] == ["cpu-fp32", "cpu-int8", "rtx-fp16"]
    assert chart.rows[2].bars == ()
    assert all(0 < bar.width + bar.whisker <= 100 for row in chart.rows for bar in row.bars)
    assert chart.ticks[0].at == 0
    assert chart.ticks[-1].at == pytest.approx(100)


def test_nothing_timed_is_no_chart(engines):
    assert latency_chart(collect(engines).engines) is None
    assert peers_chart(PEERS, "another scope") is None


def test_peers_have_a_bar_as_long_as_their_median():
    chart = peers_chart(PEERS, "end to end")
    eager, int8 = (row.bars[0] for row in chart.rows)
    assert eager.width == pytest.approx(4 * int8.width)
    assert "4.00×" in int8.text
    assert [row.tone for row in chart.rows] == ["peer", ""]
    assert "99.00% same label" in chart.rows[1].note


@pytest.mark.parametrize(
    ("largest", "step"), [(58, 20), (0.37, 0.1), (4, 1), (1200, 500), (9, 2.5)]
)
def test_ticks_are_round(largest, step):
    assert nice_step(largest) == pytest.approx(step)


def test_curves_are_self_contained_svg_in_the_pages_own_ink(engines, figures):
    found = collect(engines, figures).engines
    charts = [plots.reliability(found), *plots.robustness(found)]
    assert len(charts) == 1 + len(found[0].robustness["curves"])
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert root.get("viewBox")
        assert root.get("aria-label")
        assert root.get("width") is None
        assert "currentColor" in chart
        assert INK not in chart
        assert "cpu-int8" in chart  # text stays text
    ids = [set(re.findall(r' id="(\w+)"', chart)) for chart in charts]
    clips = [{each for each in found if len(each) > 9} for found in ids]
    assert sum(map(len, clips)) == len(set().union(*clips))


def test_without_figures_there_are_no_curves(engines):
    found = collect(engines).engines
    assert plots.reliability(found) is None
    assert plots.robustness(found) == []
