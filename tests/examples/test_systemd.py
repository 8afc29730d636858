"""The units, as systemd would read them, and the commands that they start."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.console import load, parser_of

UNITS = sorted((Path(__file__).parents[2] / "examples" / "systemd").glob("*.service"))


def read(path):
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    unit.read_string(path.read_text().replace("\\\n", " "))
    return unit


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_command_with_options_that_it_has(path):
    service = read(path)["Service"]
    commands = [service[key].lstrip("-") for key in ("ExecStartPre", "ExecStart") if key in service]
    for line in commands:
        _, name, *options = shlex.split(line)
        parser_of(load(name), name).parse_args(options)
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 60
    assert service["Restart"] == "always"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_it(path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True
    )
    said = [line for line in result.stderr.splitlines() if path.name in line]
    assert all("is not executable" in line for line in said), said
