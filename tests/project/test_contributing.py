"""CONTRIBUTING.md speaks of what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_its_markers_and_fuzz_targets_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    markers = re.findall(r'^    "(\w+): .*run with -m \1",$', project, re.MULTILINE)
    assert re.findall(r"^\| `(\w+)` \|.*`pytest -m \1` \|$", TEXT, re.MULTILINE) == markers
    names = re.search(r"^NAMES = (.+)$", (ROOT / "tests/fuzz/run.py").read_text(), re.MULTILINE)[1]
    said = re.search(r"has a fuzz target: (.*?)\.", TEXT, re.DOTALL)[1]
    assert re.findall(r"`(\w+)`", said) == re.findall(r'"(\w+)"', names)


def test_its_layers_are_those_that_are_checked() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (line,) = re.findall(r"^    (runtime <- .+)$", TEXT, re.MULTILINE)
    assert f'name = "data flows one way: {line}"' in project
    inner = re.search(r"imports go down it, too: (.*?)\.", TEXT, re.DOTALL)[1]
    wanted = re.findall(r'^    "runtime\.(\w+)",$', project, re.MULTILINE)
    assert re.findall(r"`(\w+)`", inner) == wanted
    forbidden = re.search(r"^forbidden_modules = \[(.+)\]$", project, re.MULTILINE)[1]
    named = re.search(r"imports none of (.*?):", TEXT, re.DOTALL)[1]
    assert set(re.findall(r"\w+", named)) - {"and"} <= set(re.findall(r'"(\w+)"', forbidden))


def test_its_commands_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    said = set(re.findall(r"make (\w+)", TEXT))
    assert said == {"install", "check", "test", "docs"}
    for name in said:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE)
