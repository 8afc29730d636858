"""The history: whole lines, once each, also where processes are killed or run together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.track import __main__ as track
from benchmarks.track.history import append, read_history
from benchmarks.track.runs import read_run
from benchmarks.track.trend import series_of
from runtime.errors import ConfigError

REPOSITORY = Path(__file__).parents[3]


def line(number: int, machine="here", p50=0.01) -> dict:
    return {
        "run": f"{number:064x}",
        "kind": "latency",
        "commit": None,
        "time": f"2026-01-01T00:{number:02d}:00+00:00",
        "machine": {"cpu": machine, "cores": 2},
        "figures": [{"name": "engine", "unit": "s", "p50": p50, "p90": 1.2 * p50, "n": 9}],
    }


def test_a_latency_run_keeps_its_figures(measured):
    run = read_run(measured["latency"])
    record = json.loads(measured["latency"].read_text())
    assert run["kind"] == "latency"
    assert run["commit"] == (record["commit_info"].get("id") or None)
    assert run["time"][:19] == record["datetime"][:19]
    assert len(run["figures"]) == 4
    for figure, entry in zip(run["figures"], record["benchmarks"], strict=True):
        data = entry["stats"]["data"]
        assert figure["p50"] == pytest.approx(np.median(data))
        assert figure["p90"] == pytest.approx(np.quantile(data, 0.9))
        assert (figure["n"], figure["unit"]) == (len(data), "s")
    assert run["machine"]["cpu"] == record["benchmarks"][0]["extra_info"]["machine"]["cpu"]


def test_an_accuracy_run_keeps_its_score(measured, expected_score):
    run = read_run(measured["accuracy"][0])
    (figure,) = run["figures"]
    assert figure["p50"] == pytest.approx(expected_score["score"])
    assert figure["name"] == "cpu-fp32, score on tiny-xbd/test"
    assert (figure["n"], figure["p90"]) == (2, None)


def test_a_run_of_peers_keeps_medians(tmp_path):
    samples = [0.3, 0.1, 0.2]
    path = tmp_path / "peers.json"
    figures = [{"name": "PyTorch", "scope": "end to end", "samples_s": samples}]
    machine = {"cpu": "x", "cores": 2, "platform": "y", "gpu_compute_capability": None}
    path.write_text(json.dumps({"kind": "peers", "machine": machine, "figures": figures}))
    (figure,) = read_run(path)["figures"]
    assert figure["name"] == "PyTorch, end to end"
    assert (figure["p50"], figure["n"]) == (0.2, 3)


def test_the_same_run_is_added_once(measured, tmp_path, capsys):
    history = tmp_path / "deep" / "history.jsonl"
    copy = tmp_path / "copy.json"
    copy.write_bytes(measured["latency"].read_bytes())
    for run in (measured["latency"], measured["latency"], copy, measured["accuracy"][0]):
        track.main(track.parser().parse_args([str(run), "--history", str(history)]))
    assert [each["kind"] for each in read_history(history)] == ["latency", "accuracy"]
    assert capsys.readouterr().err.count("is already in") == 2


def test_processes_together_lose_no_line(tmp_path):
    history = tmp_path / "history.jsonl"
    code = (
        "import sys, json; from benchmarks.track.history import append\n"
        "from pathlib import Path\n"
        "for each in json.loads(sys.argv[2]): append(Path(sys.argv[1]), each)"
    )
    lines = [[line(10 * k + i) for i in range(8)] for k in range(3)]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, history, json.dumps(each)], cwd=REPOSITORY)
        for each in lines
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    found = read_history(history)
    assert sorted(each["run"] for each in found) == sorted(x["run"] for y in lines for x in y)


@pytest.mark.parametrize("call", ["write_bytes", "chmod", "replace"])
def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path, call):
    history = tmp_path / "history.jsonl"
    append(history, line(1))
    before = history.read_bytes()
    code = (
        "import os, sys, json, signal; from pathlib import Path\n"
        "from benchmarks.track.history import append\n"
        f"real = Path.{call}\n"
        "def killed(self, *rest, **more):\n"
        "    if '.partial' in self.name:\n"
        "        if rest and isinstance(rest[0], bytes): real(self, rest[0][:-9])\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, *rest, **more)\n"
        f"Path.{call} = killed\n"
        "append(Path(sys.argv[1]), json.loads(sys.argv[2]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, history, json.dumps(line(2))], cwd=REPOSITORY
    )
    assert result.returncode == -9
    assert history.read_bytes() == before
    assert append(history, line(2))
    assert [each["run"] for each in read_history(history)] == [line(1)["run"], line(2)["run"]]


def test_a_trend_goes_by_time_and_not_across_machines():
    history = [line(3, p50=0.3), line(1, p50=0.1), line(2, "there", p50=0.2)]
    here, there = series_of(history)["engine"]
    assert (here.p50, there.p50) == ([0.1, 0.3], [0.2])
    assert here.p90 == pytest.approx([0.12, 0.36])


def test_plots_are_what_their_names_say(measured, tmp_path):
    history = tmp_path / "history.jsonl"
    for number in range(4):
        append(history, line(number, machine=f"machine {number % 2}", p50=0.01 + number / 1000))
    for suffix in (".png", ".svg"):
        path = tmp_path / f"trend{suffix}"
        run = [str(measured["accuracy"][0])] if suffix == ".png" else []
        track.main(
            track.parser().parse_args([*run, "--history", str(history), "--plot", str(path)])
        )
    picture = cv2.imread(str(tmp_path / "trend.png"))
    assert picture.shape[1] > 600
    assert picture.std() > 10
    assert (tmp_path / "trend.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pyproject.toml"], "not JSON"),
        (["absent.json"], "absent.json"),
        ([], "nothing to do"),
        (["--plot", "trend.gif"], "expected a file name with .png"),
        (["--plot", "trend.png"], "history.jsonl"),
    ],
)
def test_what_cannot_be_done_is_one_line(python, tmp_path, arguments, said):
    history = tmp_path / "history.jsonl"
    result = python("-m", "benchmarks.track", *arguments, "--history", history)
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert not history.exists()


def test_a_line_that_is_no_run_is_named(tmp_path):
    history = tmp_path / "history.jsonl"
    history.write_text(json.dumps(line(1)) + '\n{"run": 1\n')
    with pytest.raises(ConfigError, match="line 2: not a run"):
        read_history(history)


def test_help_needs_no_heavy_import(python):
    code = (
        "import sys, benchmarks.track.__main__ as t; t.parser().format_help();"
        "assert not {'cv2', 'numpy', 'torch', 'matplotlib'} & set(sys.modules)"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
