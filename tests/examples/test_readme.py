"""The commands of examples/README.md, run as they stand."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "examples" / "README.md").read_text()
COMMANDS = re.findall(r"^    python (.*)$", TEXT, re.MULTILINE)
FILES = sorted(path.name for path in (REPOSITORY / "examples").glob("*.py"))


def test_every_example_is_named_and_has_its_command() -> None:
    assert re.findall(r"^\| \[(\w+\.py)\]\(\1\) \|", TEXT, re.MULTILINE) == [
        "embed_runtime.py", "camera_loop.py", "batch_from_python.py", "read_geopackage.py"
    ]  # fmt: skip
    assert sorted(re.findall(r"examples/(\w+\.py)", " ".join(COMMANDS))) == FILES


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_short_and_says_its_command(name: str) -> None:
    lines = (REPOSITORY / "examples" / name).read_text().splitlines()
    assert len(lines) <= 75
    said = shlex.split(re.sub(r"\\\n\s*", "", "\n".join(lines[2:5])).splitlines()[0])[1:]
    assert said in [shlex.split(command) for command in COMMANDS]


def test_the_commands_run(tmp_path: Path) -> None:
    """In order: the last reads what the one before wrote."""
    if not (REPOSITORY / "runtime" / "example" / "engine").is_dir():
        pytest.skip("there is no runtime/example in this tree")
    pytest.importorskip("rasterio")
    for command in COMMANDS:
        line = [part.replace("runs/", f"{tmp_path}/") for part in shlex.split(command)]
        result = subprocess.run(
            [sys.executable, *line], cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    assert '"damage": ' in result.stdout
