"""The sweep: who is beaten, what is kept, what is never made up, and the chart."""

from __future__ import annotations

import argparse
import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pareto.__main__ import UNTRAINED, scores, table
from benchmarks.pareto.chart import chart_svg, save_chart
from benchmarks.pareto.front import on_front
from benchmarks.pareto.sweep import Cell, Layout, costs, turns
from runtime.manifest import FILE_NAME
from train.checkpoint import load_checkpoint, save_checkpoint
from train.evaluate import labelled_tiles

SVG = "{http://www.w3.org/2000/svg}"


def _point(score: float | None, seconds: float, peak: int, **others: Any) -> dict[str, Any]:
    return {
        "name": "a",
        "width": 18,
        "precision": "fp32",
        "size": [512, 512],
        "score": score,
        "score_on": None if score is None else "data",
        "score_unknown": UNTRAINED if score is None else None,
        "p50_s": seconds,
        "megapixels_per_s": 1 / seconds,
        "peak_bytes": peak,
        "size_bytes": 1,
        "on_front": True,
        **others,
    }


_few = st.integers(1, 4)
"""Few values, so that equal ones occur. Powers of two: their inverses are exact."""


@given(st.lists(st.tuples(st.none() | _few, _few, _few), max_size=12))
def test_the_front_is_what_no_point_beats(triples: list[tuple]) -> None:
    points = [_point(score and score / 4, 2.0**s, peak) for score, s, peak in triples]

    def beaten(mine: tuple) -> bool:
        for theirs in triples:
            if (theirs[0] is None) != (mine[0] is None):
                continue
            known = mine[0] is not None
            better = [theirs[1] < mine[1], theirs[2] < mine[2]]
            worse = [theirs[1] > mine[1], theirs[2] > mine[2]]
            if known:
                better.append(theirs[0] > mine[0])
                worse.append(theirs[0] < mine[0])
            if any(better) and not any(worse):
                return True
        return False

    assert on_front(points) == [not beaten(triple) for triple in triples]


def test_scores_on_other_data_do_not_compare() -> None:
    points = [_point(0.9, 1.0, 1), _point(0.1, 2.0, 2, score_on="other data")]
    assert on_front(points) == [True, True]
    assert on_front([points[0], {**points[1], "score_on": "data"}]) == [True, False]


RECORD = {
    "points": [
        _point(0.8, 1.0, 2**30),
        _point(0.7, 0.5, 2**29, precision="int8", width=32),
        _point(None, 4.0, 2**31, width=48, size=[1024, 1024], on_front=False),
    ]
}


def test_the_chart_is_one_svg_element_with_text_in_the_pages_colour() -> None:
    svg = chart_svg(RECORD)
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert "width" not in root.attrib
    words = {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
    assert {"W18", "W32", "W48", "512", "1024", "xView2 score", "FP32", "INT8"} <= words
    assert {"score", "unknown"} <= words | {w for each in words for w in each.split()}
    assert "FP16" not in words
    assert "currentColor" in svg
    assert svg == chart_svg(RECORD)


def _circles(svg: str, colour: str) -> list[tuple[float, float]]:
    """Where markers of a colour stand, x and y in the image; the legend's are left out."""
    root = ElementTree.fromstring(svg)
    groups = [g for g in root.iter(f"{SVG}g") if g.get("id", "").startswith("PathCollection")]
    uses = [use for group in groups for use in group.iter(f"{SVG}use")]
    found = [use for use in uses if colour in use.get("style", "")]
    return [(float(use.get("x")), float(use.get("y"))) for use in found]


def test_markers_stand_where_latency_and_score_say() -> None:
    # Of points that are beaten Matplotlib writes the outline alone, without a place.
    svg = chart_svg({"points": [{**point, "on_front": True} for point in RECORD["points"]]})
    (int8,) = _circles(svg, "#d55e00")
    scored, unknown = sorted(_circles(svg, "#0072b2"), key=lambda at: at[1])
    assert int8[0] < scored[0] < unknown[0]
    assert scored[1] < int8[1] < unknown[1]  # y grows downwards
    # A log scale: from 0.5 to 1 s is half as far as from 1 to 4 s.
    assert (unknown[0] - scored[0]) / (scored[0] - int8[0]) == pytest.approx(2, rel=1e-3)


def test_a_network_at_several_sizes_is_one_series_with_one_label() -> None:
    sizes = [
        _point(0.8, 0.3 * side, side, name=f"net-{side}x{side}-fp32", size=[side, side])
        for side in (64, 96, 128)
    ]
    words = [
        "".join(text.itertext())
        for text in ElementTree.fromstring(chart_svg({"points": sizes})).iter(f"{SVG}text")
    ]
    assert words.count("W18") == 1
    assert {"64", "96", "128"} <= set(words)  # the legend tells the shapes


def test_a_png_is_an_image(tmp_path: Path) -> None:
    save_chart(RECORD, tmp_path / "chart.png")
    image = cv2.imread(str(tmp_path / "chart.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape[1] >= 1000
    assert image[0, 0].tolist() == [255, 255, 255, 255]  # its text is black: not see-through


def test_an_unknown_score_is_a_dash_with_its_reason() -> None:
    lines = table({**RECORD, "failed": [{"name": "b", "reason": "why"}]}).splitlines()
    assert lines[3].split()[1] == "-"
    assert lines[4:] == [f"score unknown: {UNTRAINED}", "not measured: b: why"]


def test_an_engine_that_cannot_run_here_is_listed(engines: list[Path]) -> None:
    failed: list[dict[str, str]] = []
    seconds = turns({each.name: each for each in engines}, 2, 1, failed)
    assert {name: len(times) for name, times in seconds.items()} == {"cpu-fp32": 2, "cpu-int8": 2}
    assert [each["name"] for each in failed] == ["rtx-fp16"]


def _cell(trained: bool, side: int, precision: str = "fp32") -> Cell:
    return Cell(Path("none.pt"), "ab" * 32, "si", 8, trained, side, precision, "onnxruntime")


def test_a_score_is_the_accuracy_commands_or_unknown(
    make_engine: Callable, tiny_data: Path, expected_score: dict[str, float], tmp_path: Path
) -> None:
    layout = Layout(tmp_path)
    random, trained, odd = _cell(False, 64), _cell(True, 64, "int8"), _cell(True, 96)
    make_engine(layout.engine(trained))  # the others have none: asked for it, they would fail
    args = argparse.Namespace(data=tiny_data, split="test")
    tiles = labelled_tiles(tiny_data, "test")
    found = scores([random, trained, odd], layout, tiles, args)
    assert found[random.name] == UNTRAINED
    assert found[trained.name]["figures"]["score"] == pytest.approx(expected_score["score"])
    assert found[odd.name] == "tiles cannot be cut into windows of 96x96"
    written = layout.accuracy(trained).stat().st_mtime_ns
    assert scores([trained], layout, tiles, args)[trained.name] == found[trained.name]
    assert layout.accuracy(trained).stat().st_mtime_ns == written
    args.data = None
    assert scores([trained], layout, tiles, args) == {trained.name: "no --data"}


def test_what_was_measured_is_kept_while_engine_and_conditions_are_the_same(
    make_engine: Callable, tmp_path: Path
) -> None:
    layout, cell = Layout(tmp_path), _cell(True, 64)
    make_engine(layout.engine(cell))
    first = costs([cell], layout, 2, 1, [])[cell.name]
    assert len(first["samples_s"]) == 2
    assert first["peak_bytes"] > 2**24
    assert costs([cell], layout, 2, 1, [])[cell.name] == first
    assert len(costs([cell], layout, 3, 1, [])[cell.name]["samples_s"]) == 3
    shutil.rmtree(layout.engine(cell))
    make_engine(layout.engine(cell), created="2027")
    again = costs([cell], layout, 3, 1, [])[cell.name]
    assert again["manifest_sha256"] != first["manifest_sha256"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, small_checkpoint: Path) -> list[Path]:
    """The small network as it is, and as one that training has left."""
    trained = load_checkpoint(small_checkpoint)
    trained.step, trained.epoch = 7, 1
    path = tmp_path_factory.mktemp("trained") / "trained.pt"
    save_checkpoint(path, trained)
    return [small_checkpoint, path]


@pytest.mark.slow
def test_the_sweep_scores_what_was_trained_and_goes_on_where_it_stopped(
    checkpoints: list[Path], synthetic: Path, python: Callable, tmp_path: Path
) -> None:
    def run(*more: object) -> dict[str, Any]:
        result = python(
            *("-m", "benchmarks.pareto", "--checkpoint", *checkpoints, "--size", 96),
            *("--precision", "fp32", "--target", "onnxruntime", "--data", synthetic),
            *("--rounds", 2, "--out", tmp_path / "sweep", "--json", *more),
            timeout=600,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    record = run("--plot", tmp_path / "chart.svg")
    assert (record["kind"], record["failed"]) == ("pareto", [])
    random, trained = record["points"]
    assert (random["score"], random["score_unknown"]) == (None, UNTRAINED)
    assert random["score_on"] is None
    (accuracy,) = (tmp_path / "sweep" / "accuracy").iterdir()
    assert trained["score"] == json.loads(accuracy.read_text())["figures"]["score"]
    assert trained["score_on"] == "2 tiles of synthetic/test"
    for each in record["points"]:
        assert each["size"] == [96, 96]
        assert each["pairs_per_s"] * each["p50_s"] == pytest.approx(1)
        assert each["megapixels_per_s"] == pytest.approx(96 * 96 / 1e6 / each["p50_s"])
        assert each["peak_bytes"] > 2**24
        assert each["on_front"]  # one with, one without a score: neither beats the other
    assert "score" in (tmp_path / "chart.svg").read_text()

    manifests = sorted((tmp_path / "sweep" / "engines").glob(f"*/{FILE_NAME}"))
    written = [path.stat().st_mtime_ns for path in manifests]
    assert run()["points"] == record["points"]  # the samples, too: nothing was timed again
    assert [path.stat().st_mtime_ns for path in manifests] == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", 100), "--size 100: expected a positive multiple of 32"),
        (("--precision", "int8"), "--precision int8: needs --data"),
        (("--precision", "fp32", "--plot", "a.pdf"), "--plot a.pdf: expected a name that ends"),
        (("--rounds", 0), "--rounds 0: expected at least 1"),
    ],
)
def test_wrong_arguments_are_one_line(
    error_line: Callable, tmp_path: Path, arguments: tuple, message: str
) -> None:
    line = ("benchmarks.pareto", "--checkpoint", "none.pt", "--out", tmp_path)
    assert message in error_line(*line, *arguments)
