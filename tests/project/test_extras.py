"""The extras of pyproject.toml: what may be installed together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

WHEELS = {"onnxruntime", "onnxruntime-gpu"}
"""They put the same files into the same folder."""

FOR_A_GPU = set(EXTRAS) - {"onnxruntime", "all"}
"""All but those that are for processors: as many as a machine with a GPU may ask for."""


def named(extras: set[str]) -> set[str]:
    """Distributions that an install with these extras names, by extras of this project, too."""
    given = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    found = {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in given} - {PROJECT["name"]}
    own = [re.match(rf"{PROJECT['name']}\[(.+?)\]", line) for line in given]
    inner = {each for match in own if match for each in match[1].split(",")} - extras
    return found | named(extras | inner) if inner else found


def test_no_union_of_a_gpu_machines_extras_has_both_wheels_of_onnxruntime() -> None:
    assert named(FOR_A_GPU) & WHEELS == {"onnxruntime-gpu"}


def test_nor_has_any_of_a_processors() -> None:
    assert named(set(EXTRAS) - {"onnxruntime-cuda", "gpu"}) & WHEELS == {"onnxruntime"}


def test_one_extra_each_names_a_wheel_and_the_base_install_none() -> None:
    assert not named(set()) & WHEELS
    direct = {
        extra: named({extra}) & WHEELS
        for extra, lines in EXTRAS.items()
        if any(re.match(r"onnxruntime\b", line) for line in lines)
    }
    assert direct == {"onnxruntime": {"onnxruntime"}, "onnxruntime-cuda": {"onnxruntime-gpu"}}


@pytest.mark.parametrize(("extra", "wheel"), [("all", "onnxruntime"), ("gpu", "onnxruntime-gpu")])
def test_what_develops_and_tests_brings_one(extra: str, wheel: str) -> None:
    assert named({extra}) & WHEELS == {wheel}


def test_what_the_runtime_tells_to_install_is_what_the_extra_names() -> None:
    from runtime.backends.onnxruntime_wheels import GPU

    (line,) = EXTRAS["onnxruntime-cuda"]
    assert line.partition(";")[0] == GPU


def test_every_target_has_an_extra_of_its_name() -> None:
    from typing import get_args

    from runtime.manifest_fields import BackendName

    assert set(get_args(BackendName)) <= set(EXTRAS)
