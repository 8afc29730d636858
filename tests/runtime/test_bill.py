"""Bills of materials: valid by the library of the format, complete, and the same each time."""

from __future__ import annotations

import json
import re
from importlib import metadata

import pytest

from runtime import bill

schema = pytest.importorskip("cyclonedx.schema")
validation = pytest.importorskip("cyclonedx.validation.json")


SUBJECT = {"type": "application", "bom-ref": "x", "name": "x"}


def faults(content) -> object:
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    return validator.validate_str(json.dumps(content))


def by_name(content):
    return {bill.normalised(each["name"]): each for each in content["components"]}


@pytest.fixture(scope="module")
def here():
    return bill.of_install()


def test_the_bill_of_this_install_is_valid_and_complete(here):
    assert faults(here) is None
    listed = by_name(here)
    for each in metadata.distributions():
        name = bill.normalised(each.metadata["Name"])
        if name != "dual-hrnet-edge":
            assert listed[name]["version"] == metadata.version(name)
            assert listed[name]["purl"] == f"pkg:pypi/{name}@{metadata.version(name)}".replace(
                "+", "%2B"
            )
    assert here["metadata"]["component"]["name"] == "dual-hrnet-edge"
    assert len(here["components"]) == len(listed)


def test_the_library_reads_it(here):
    from cyclonedx.model.bom import Bom

    read = Bom.from_json(here)
    assert len(read.components) == len(here["components"])
    assert read.serial_number.urn == here["serialNumber"]


def test_it_is_the_same_each_time_and_names_no_machine(here, tmp_path):
    assert bill.of_install() == here
    text = json.dumps(here)
    assert not re.search(r"/(home|root|tmp|usr)/", text)
    assert "timestamp" not in here["metadata"]


def test_every_dependency_is_a_component(here):
    refs = {each["bom-ref"] for each in here["components"]}
    refs.add(here["metadata"]["component"]["bom-ref"])
    for each in here["dependencies"]:
        assert {each["ref"], *each.get("dependsOn", ())} <= refs
    (own,) = [each for each in here["dependencies"] if "dual-hrnet-edge" in each["ref"]]
    assert any("pkg:pypi/numpy@" in each for each in own["dependsOn"])


def distribution(tmp_path, headers: str, **files: str):
    folder = tmp_path / "planted_one-2.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\n{headers}\n")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return next(iter(metadata.distributions(path=[str(tmp_path)])))


@pytest.mark.parametrize(
    ("headers", "licences"),
    [
        ("License-Expression: MIT OR Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("License: BSD\n  and its whole text", [{"license": {"name": "BSD"}}]),
        ("License: UNKNOWN", None),
        (
            "Classifier: License :: OSI Approved\n"
            "Classifier: License :: OSI Approved :: MIT License",
            [{"license": {"name": "MIT License"}}],
        ),
        ("", None),
    ],
)
def test_licences_are_those_of_the_metadata(tmp_path, headers, licences):
    found = distribution(tmp_path, f"Name: Planted.One\nVersion: 2.0\n{headers}".rstrip())
    part = bill._part("planted-one", found)
    assert part.component.get("licenses") == licences
    assert faults(bill._bill(SUBJECT, [part], [])) is None


def test_hashes_are_those_that_pip_wrote_down(tmp_path):
    digest = "ab" * 32
    found = distribution(
        tmp_path, "Name: planted-one\nVersion: 2.0+cpu\nRequires-Dist: NumPy>=2\n"
        'Requires-Dist: other[x]>=1; extra == "more"',
        direct_url__json=json.dumps(
            {"url": "file:///x", "archive_info": {"hashes": {"sha256": digest, "odd": "1"}}}
        ),
    )  # fmt: skip
    part = bill._part("planted-one", found)
    assert part.component["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert part.component["purl"] == "pkg:pypi/planted-one@2.0%2Bcpu"
    assert part.requires == {"numpy"}
    assert faults(bill._bill(SUBJECT, [part], [])) is None


def test_the_bill_of_an_engine_names_what_took_part(tmp_path):
    content = bill.of_engine("an-engine", [("model.onnx", "cd" * 32)], ["numpy", "rasterio"])
    assert faults(content) is None
    listed = by_name(content)
    assert {"dual-hrnet-edge", "numpy", "rasterio", "affine", "cpython"} <= set(listed)
    assert "torch" not in listed
    assert "ray" not in listed
    (file,) = content["metadata"]["component"]["components"]
    assert file["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert all("properties" not in each for each in content["components"])


def test_the_command_writes_what_it_prints(python, tmp_path):
    printed = python("-m", "runtime.sbom")
    done = python("-m", "runtime.sbom", "--out", tmp_path / "bom.json")
    assert (printed.returncode, done.returncode) == (0, 0)
    assert (tmp_path / "bom.json").read_text() == printed.stdout
    assert json.loads(printed.stdout)["specVersion"] == "1.6"
