"""What a wheel of the tree holds, and that its commands need no checkout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.install.environments import Environment, installed_here
from tests.install.likeness import compare
from tests.install.wheel import PACKAGES, build_wheel, contents, package_files, tracked

COMMANDS = """
import importlib, pkgutil, sys
from pathlib import Path

for name in sys.argv[2:]:
    package = importlib.import_module(name)
    assert Path(package.__file__).is_relative_to(sys.argv[1]), package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        source = Path(module.module_finder.find_spec(module.name, None).origin).read_text()
        if "\\ndef parser() ->" in source:
            importlib.import_module(module.name).parser().format_help()
            print(module.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not tracked():
        pytest.skip("not a git checkout")
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return installed_here(wheel, tmp_path_factory.mktemp("installed"))


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    found = contents(wheel)
    assert found == package_files()
    assert {"runtime/py.typed", "train/configs/ablation/se.yaml"} <= found
    assert {"benchmarks/report/template/page.html", "runtime/example/engine/model.onnx"} <= found


def test_every_command_has_its_help_without_a_checkout(installed: Environment) -> None:
    site = installed.more["PYTHONPATH"]
    named = installed("-c", COMMANDS, site, *PACKAGES).split()
    assert {"runtime.predict", "train.__main__", "benchmarks.demo.__main__"} <= set(named)
    assert len(named) >= 30


def test_a_map_of_the_wheel_is_the_same(
    installed: Environment, command: Callable, tmp_path: Path
) -> None:
    """Of the example, by the engine that is in the wheel: no file of the checkout is read."""
    installed("-m", "runtime.example", "--out", tmp_path / "theirs")
    assert command("runtime.example", "--out", tmp_path / "ours").returncode == 0
    assert compare(tmp_path / "ours", tmp_path / "theirs").same_bytes


def test_a_shipped_configuration_is_found_in_any_folder(installed: Environment) -> None:
    code = (
        "from pathlib import Path\nfrom train.config_file import load_config\n"
        "from train.shipped import shipped\n"
        "print(len([load_config(Path(name)) for name in shipped()]))"
    )
    configs = [name for name in package_files() if name.endswith(".yaml")]
    assert int(installed("-c", code)) == len(configs) > 0


@pytest.mark.slow
def test_the_whole_job_goes_without_a_checkout(installed: Environment) -> None:
    """Its steps are the public commands: from data to the report."""
    installed("-m", "benchmarks.demo", "--quick", "--out", "demo")
    page = installed.work / "demo" / "report.html"
    assert "<html" in page.read_text()
    summary = json.loads((installed.work / "demo" / "summary.json").read_text())
    assert len(summary["steps"]) > 10
