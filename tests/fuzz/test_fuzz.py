"""A few seconds of each target, so that all of them stay usable; `run.py` takes as long as asked.

The first inputs are whole files: a target that refuses those tests nothing.
"""

import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.run import NAMES

REPOSITORY = Path(__file__).parents[2]
HAS_WHEELS = (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and (3, 11) <= sys.version_info[:2] < (3, 14)
)
"""Where atheris installs without a compiler of its own kind."""

OTHER, MEMORY = 77, 71
"""libFuzzer's exit codes."""

pytestmark = pytest.mark.skipif(
    not HAS_WHEELS and not find_spec("atheris"), reason="atheris has no wheel for this Python"
)


def run(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess:
    module = ["-c", code] if code else ["-m", "tests.fuzz.run"]
    return subprocess.run(
        # A process is told the peak memory of the one that started it, so the tests' does not.
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, *module, *map(str, arguments)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
    )  # fmt: skip


@pytest.mark.parametrize("target", NAMES)
def test_no_input_is_found_in_a_few_seconds(target, tmp_path):
    done = run(target, "--seconds", 4, "--corpus", tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    executed = next(line for line in done.stderr.splitlines() if "number_of_executed_units" in line)
    assert int(executed.split()[-1]) > 20


@pytest.mark.parametrize("target", NAMES)
def test_the_first_input_is_a_whole_file(target, tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.fuzz.targets import TARGETS\n"
        "target, folder = TARGETS[sys.argv[1]], Path(sys.argv[2])\n"
        "seed = next(target.seeds(folder)); target.use(seed, folder)"
    )
    done = run(target, tmp_path, code=code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("raise KeyError('a')", OTHER),
        ("print('a word')", OTHER),
        ("import os; os.write(2, b'a word')", OTHER),
        ("keep = bytearray(2 << 30); keep[::4096] = b'a' * (1 << 19); time.sleep(3)", MEMORY),
    ],
)
def test_what_it_is_to_find_is_found(fault, code):
    source = (
        "import sys, time; from tests.fuzz import run, targets\n"
        f"def use(content, folder):\n    {fault}\n"
        "targets.TARGETS['pairs'] = targets.Fuzzed(use, targets.lists)\n"
        "run.main(run.parser().parse_args(['pairs', '--seconds', '9']))"
    )
    assert run(code=source).returncode == code
