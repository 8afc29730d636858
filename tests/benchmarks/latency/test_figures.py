import json

import numpy as np
import pytest

from benchmarks.latency import figures as latency
from runtime.errors import ConfigError


def test_percentiles_are_numpys_on_the_raw_samples(measured):
    entries = json.loads(measured["latency"].read_text())["benchmarks"]
    assert len(entries) == 4
    for entry in entries:
        samples = entry["stats"]["data"]
        assert len(samples) == 12
        p50, p90, p99 = np.percentile(samples, [50, 90, 99])
        assert entry["extra_info"]["p50"] == pytest.approx(p50, rel=1e-12)
        assert entry["extra_info"]["p90"] == pytest.approx(p90, rel=1e-12)
        assert entry["extra_info"]["p99"] == pytest.approx(p99, rel=1e-12)


def test_every_engine_has_both_scopes_and_says_what_it_is(measured):
    found = latency.read_figures(measured["latency"])
    assert {(each.engine["name"], each.scope) for each in found} == {
        (name, scope)
        for name in ("cpu-fp32", "cpu-int8")
        for scope in (latency.ENGINE, latency.END_TO_END)
    }
    for each in found:
        assert each.engine["graph_sha256"] == "cd" * 32
        assert each.threads >= 1
        assert each.machine["cpu"]
        assert 0 < each.p50 <= each.p90


def test_an_engine_that_was_not_run_is_skipped_with_the_reason(measured):
    assert "4 passed, 2 skipped" in measured["pytest"]
    assert "compiled, not run" in measured["pytest"]
    assert "runs on an NVIDIA GPU" in measured["pytest"]


def test_without_an_engine_the_usage_is_said(python):
    result = python("-m", "pytest", "benchmarks", "-p", "no:cacheprovider")
    assert "6 skipped" in result.stdout
    assert "usage: pytest benchmarks --engine DIR" in result.stdout


def test_an_engine_that_must_run_and_does_not_fails(python, tmp_path):
    result = python(
        "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "--engine", tmp_path / "none"
    )
    assert result.returncode == 1
    assert "does not exist" in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize("content", ["", "{}", '{"benchmarks": [{"stats": {}}]}', "[]"])
def test_another_file_is_no_latency_file(tmp_path, content):
    path = tmp_path / "latency.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="not a latency file"):
        latency.read_figures(path)
