"""CITATION.cff: what its format requires, and the version that is released."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_it_has_what_the_format_requires() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    for entry in (CITATION, *CITATION["references"]):
        assert entry["title"]
        assert entry["type"]
        for author in entry["authors"]:
            assert "name" in author or author.keys() >= {"family-names", "given-names"}
    assert CITATION["message"]


def test_it_names_the_version_and_the_licence_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    assert CITATION["version"] == version
    assert CITATION["license"] == "MIT"
    assert '"MIT"' in re.search(r"^license = .*$", project, re.MULTILINE)[0]


def test_its_author_is_that_of_the_licence() -> None:
    (author,) = CITATION["authors"]
    holder = re.search(r"Copyright \(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())[1]
    assert author == {"name": holder}
