"""The pages that are written from the code say what the code says."""

import json
from pathlib import Path

import jsonschema
import pytest

from docs.generate import PAGES, REFERENCE
from docs.generate.commands import parser_of
from docs.generate.errors import tree
from docs.generate.manifest import VERIFICATION, schema_text
from runtime import errors
from runtime.console import COMMANDS
from runtime.errors import ManifestError
from runtime.manifest import Manifest

SCHEMA = json.loads(schema_text())


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name):
    assert (REFERENCE / name).read_text() == PAGES[name](), "run: python -m docs.generate"


def test_every_command_has_its_section():
    page = (REFERENCE / "commands.md").read_text()
    for name, module in COMMANDS.items():
        assert f"\n### dual-hrnet {name}\n" in page
        assert f"The same: `python -m {module.removesuffix('.__main__')}`" in page


def test_every_option_of_a_command_is_on_the_page():
    page = (REFERENCE / "commands.md").read_text()
    start = page.index("### dual-hrnet predict\n")
    section = page[start : page.index("\n### ", start)]
    for option in parser_of("runtime.predict")._option_string_actions:
        assert option in ("-h", "--help", "--debug") or f"`{option}" in section


def test_every_error_is_in_the_tree():
    every = {each for each in vars(errors).values() if isinstance(each, type)}
    assert {each for each, _ in tree()} == every
    assert all(len((each.__doc__ or "").strip().split("\n\n")) == 2 for each in every)


@pytest.fixture
def content(built_engine) -> dict:
    return json.loads((built_engine / "manifest.json").read_text())


def test_a_real_manifest_fits_the_schema(content):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(content, SCHEMA)


def test_the_page_explains_what_a_real_verification_holds(content):
    for key, value in content["verification"].items():
        assert f"| `{key}` |" in VERIFICATION
        for inner in value if key in ("parity", "precision") else ():
            assert f"`{inner}`" in VERIFICATION


CHANGES = [
    ("format", 2), ("format", "1"), ("model", None), ("model.width", 8.5), ("model.gsd_m", [0.3]),
    ("model.gsd_m", None), ("model.more", 1), ("graph.opset", True), ("input.height", 0),
    ("input.batch.min", 0), ("input.colour_order", "BGR"), ("input.threshold", 1),
    ("class_names", ["a"]), ("precision", "int4"), ("target.backend", "cpu"),
    ("target.compute_capability", "8.6"), ("target.compute_capability", "sm86"),
    ("calibration", None), ("calibration", 1), ("verification", []), ("verification", {}),
    ("payload", []), ("payload.0.size", -1), ("payload.0.sha256", "AB" * 32), ("created", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_the_schema_and_the_runtime_agree(content, tmp_path: Path, key, value):
    *path, last = (int(part) if part.isdigit() else part for part in key.split("."))
    place = content
    for part in path:
        place = place[part]
    place[last] = value
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    try:
        Manifest.read(tmp_path)
        taken = True
    except ManifestError:
        taken = False
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(content) == taken
