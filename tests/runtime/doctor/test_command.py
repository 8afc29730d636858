"""`dual-hrnet doctor` on this box, as it is."""

from __future__ import annotations

import json
import os

import pytest

from runtime.doctor.checks import CHECKS


@pytest.fixture
def doctor(python, tmp_path):
    def run(*arguments):
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return python("-m", "runtime.doctor", *arguments, env=environment)

    return run


def test_a_healthy_box_is_ready_and_left_as_it_was(doctor, make_engine, tmp_path):
    engine = make_engine(tmp_path / "engine")
    out, inbox = tmp_path / "out", tmp_path / "inbox"
    out.mkdir()
    inbox.mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = doctor("--engine", engine, "--out", out, "--inbox", inbox, "--json")
    content = json.loads(done.stdout)
    bad = [each for each in content["findings"] if each["state"] == "problem"]
    assert (done.returncode, bad, content["ready"], done.stderr) == (0, [], True, "")
    assert {each["check"] for each in content["findings"]} == {name for name, _ in CHECKS}
    assert {each["state"] for each in content["findings"]} >= {"ok", "not checked"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_table_for_people(doctor):
    done = doctor("--only", "self-test", "folders")
    assert done.returncode == 0
    assert "the example engine answers as it was built" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1].startswith("no problem found")


def test_a_check_that_there_is_none_of(doctor):
    done = doctor("--only", "luck")
    assert done.returncode == 2
    assert "expected machine, clock" in done.stderr


def test_nothing_heavy_is_loaded_by_the_doctor_itself(python):
    code = """
import sys
from runtime.doctor import checks
from runtime.doctor.finding import Asked
found = list(checks.findings(Asked(), ["machine", "clock", "folders", "trust", "engine"]))
heavy = {"numpy", "cv2", "onnxruntime", "openvino", "rasterio", "cryptography"}
print(sorted(heavy & set(sys.modules)))
"""
    assert python("-c", code).stdout == "[]\n"
