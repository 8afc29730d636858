import json

import pytest

from benchmarks.report.collect import collect
from benchmarks.report.scores import score_rows
from benchmarks.report.summary import signed, summarise
from benchmarks.report.verdict import KEPT, LOST, REFERENCE, TAKE, UNKNOWN, UNRUN, chosen, verdicts


@pytest.fixture
def timed(measured, tmp_path):
    """The latency file, the INT8 engine made `ratio` times as fast as the FP32 one."""

    def make(ratio: float):
        record = json.loads(measured["latency"].read_text())
        for each in record["benchmarks"]:
            fast = each["extra_info"]["engine"]["name"] == "cpu-int8"
            count = len(each["stats"]["data"])
            each["stats"]["data"] = [0.1 / ratio if fast else 0.1] * count
        path = tmp_path / "latency.json"
        path.write_text(json.dumps(record))
        return path

    return make


def _words(engines, files):
    return [each.word for each in verdicts(collect(engines, files).engines)]


def test_the_faster_engine_within_the_limits_is_taken(engines, measured, timed):
    found = verdicts(collect(engines, [*measured["accuracy"], timed(1.5)]).engines)
    assert [each.word for each in found] == [REFERENCE, TAKE, UNRUN]
    assert found[1].speedup == pytest.approx(1.5)
    assert chosen(found) is found[1]
    assert "1.50 times as fast" in found[1].reason


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.04])
def test_an_engine_that_is_not_notably_faster_is_no_gain(engines, measured, timed, ratio):
    found = verdicts(collect(engines, [*measured["accuracy"], timed(ratio)]).engines)
    assert [each.word for each in found] == [REFERENCE, KEPT, UNRUN]
    assert chosen(found).word == REFERENCE


@pytest.mark.parametrize(("loss", "word"), [(0.004, TAKE), (0.006, LOST)])
def test_the_score_may_lose_five_thousandths(engines, measured, changed, timed, loss, word):
    def lose(record):
        record["figures"]["score"] -= loss

    files = [measured["accuracy"][0], changed(lose), timed(2)]
    assert _words(engines, files)[1] == word


def test_one_class_that_is_lost_is_named(engines, measured, changed, timed):
    def lose(record):
        record["figures"]["class_f1"]["destroyed"] -= 0.011

    files = [measured["accuracy"][0], changed(lose), timed(2)]
    found = verdicts(collect(engines, files).engines)[1]
    assert found.word == LOST
    assert "F1 of destroyed loses 0.011 (limit 0.01)" in found.reason


def test_what_was_not_scored_has_no_verdict(engines, measured, timed):
    files = [measured["accuracy"][0], timed(2)]
    assert _words(engines, files) == [REFERENCE, UNKNOWN, UNRUN]
    assert _words(engines, []) == [UNKNOWN, UNKNOWN, UNRUN]


def test_another_network_does_not_compare(engines, make_engine, measured, tmp_path, changed, timed):
    import dataclasses

    from benchmarks.engines import identify
    from runtime.manifest import Manifest

    other = make_engine(tmp_path / "cpu-int8", precision="int8")
    manifest = Manifest.read(other)
    model = dataclasses.replace(manifest.model, checkpoint_sha256="ef" * 32)
    dataclasses.replace(manifest, model=model).write(other)
    identity = identify(other, Manifest.read(other))
    path = changed(lambda record: record["engine"].update(identity))
    found = verdicts(collect([engines[0], other], [measured["accuracy"][0], path]).engines)
    assert found[1].word == UNKNOWN
    assert "another network" in found[1].reason


def test_the_summary_has_three_sentences_and_nothing_unmeasured(engines, measured, timed):
    found = verdicts(collect(engines, [*measured["accuracy"], timed(1.5)]).engines)
    measured_text, choice, care = summarise(found)
    assert "2 were scored on 2 labelled tiles of tiny-xbd (test)" in measured_text
    assert choice.startswith("Take cpu-int8: score ")
    assert "1.50 times as fast as cpu-fp32 (±0.000 score)" in choice
    assert "rtx-fp16 was compiled and never run" in care
    measured_text, choice, _ = summarise(verdicts(collect(engines, []).engines))
    assert "none was scored" in measured_text
    assert "nothing to compare" in choice


def test_differences_are_coloured_beyond_a_hundredth(engines, measured, changed):
    def alter(record):
        record["figures"]["score"] -= 0.011
        record["figures"]["damage_f1"] += 0.011
        record["figures"]["localization_f1"] -= 0.009
        record["figures"]["confidence"]["ece"] += 0.02

    found = collect(engines, [measured["accuracy"][0], changed(alter)])
    reference, lower, unrun = score_rows(found.engines)
    assert [cell.tone for cell in lower.cells[:4]] == ["bad", "plain", "good", "plain"]
    assert lower.cells[0].difference == "−0.011"
    assert lower.cells[-1].tone == "bad"
    assert all(cell.difference == "" for cell in reference.cells)
    assert {cell.text for cell in unrun.cells} == {"not run"}


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "±0.000"), (0.01, "+0.010"), (-1, "−1.000")])
def test_differences_are_signed(value, text):
    assert signed(value) == text
