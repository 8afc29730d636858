"""Loader processes: too little shared memory and a killed one end a run, with one line each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import host
from runtime.errors import ConfigError
from train.config_file import load_config
from train.loader import check_loader, require_memory
from train.shared_memory import require_shared_memory

REPOSITORY = Path(__file__).parents[2]
CONFIG = """
model: {width: 8, stem_width: 8, bottlenecks: 1, modules: [1, 1, 1], blocks: 1, projection: 16,
        head_widths: [16, 8]}
data: {crop: 64, workers: 1}
schedule: [{epochs: 1, rate: 0.001}]
"""
SMALL_SHM = 'mount -t tmpfs -o size="$1" tmpfs /dev/shm && shift && exec "$@"'
UNCHECKED = """
import runpy, sys
import train.loop
if __name__ == "__main__":
    train.loop.check_loader = lambda config: None
    sys.argv = ["train", *sys.argv[1:]]
    runpy.run_module("train", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


def _in_container(size: str, *command: object) -> subprocess.CompletedProcess[str]:
    """With a /dev/shm of `size` of its own."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no private mount namespace here")
    line = ["unshare", "-m", "bash", "-c", SMALL_SHM, "bash", size, sys.executable, *command]
    return subprocess.run(
        list(map(str, line)), cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )


def _only_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode > 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def test_64_kib_of_shared_memory_end_the_run_before_it_starts(
    config: Path, synthetic: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = _in_container(
        "64k", "-m", "train", "--config", config, "--data", synthetic, "--out", out
    )
    line = _only_line(result)
    assert "data.workers=1: needs 0.8 MB of shared memory and /dev/shm has 66 kB free" in line
    assert "--shm-size=1g" in line
    assert "data.workers=0" in line
    assert not out.exists()


def test_without_loader_processes_64_kib_are_enough(
    config: Path, synthetic: Path, tmp_path: Path
) -> None:
    result = _in_container(
        "64k", "-m", "train", "--config", config, "--data", synthetic, "--out", tmp_path / "run",
        "data.workers=0",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_shared_memory_that_fills_later_ends_the_run_too(
    options: list[str], config: Path, synthetic: Path, tmp_path: Path
) -> None:
    script = tmp_path / "unchecked.py"
    script.write_text(UNCHECKED)
    result = _in_container(
        "128k", script, *options, "--config", config, "--data", synthetic,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.returncode == 1
    assert "a batch cannot be passed on" in result.stderr.splitlines()[-1]


def test_synthesis_without_shared_memory_names_it(tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = _in_container("8k", "-m", "train.synthesize", "--out", out, "--tiles", 2, "--size", 64)
    assert "--workers 2: needs 0.3 MB of shared memory and /dev/shm has 8 kB" in _only_line(result)
    assert not out.exists()


def test_what_is_needed_grows_with_what_is_under_way(config: Path, monkeypatch: object) -> None:
    one = load_config(config, ["data.workers=1"])
    check_loader(one)
    huge = load_config(config, ["data.workers=16", "data.crop=16384", "optim.batch_size=512"])
    with pytest.raises(ConfigError, match=r"data.workers=16: needs \d+.* MB .* free; give"):
        check_loader(huge)
    check_loader(load_config(config, ["data.workers=0", "data.crop=4096"]))


def test_a_need_beyond_what_is_free_is_refused() -> None:
    require_shared_memory("this", 0, "that")
    with pytest.raises(ConfigError, match=r"^this: needs 9000000000000.3 MB .*, or that$"):
        require_shared_memory("this", 9 * 10**18, "that")


def _children(process: int) -> list[int]:
    listing = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in listing.read_text().split()]


def _is_loader(process: int) -> bool:
    """Not the process that counts the others' semaphores."""
    return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_killed_loader_process_ends_the_run(
    config: Path, synthetic: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "train", "--config", config, "--data", synthetic,
        "--out", tmp_path / "run", "schedule.0.epochs=10000",
    ]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 100
        while not (tmp_path / "run/last.pt").exists():  # it loads and trains
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        (loader,) = filter(_is_loader, _children(process.pid))
        os.kill(loader, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "Traceback" not in errors
    line = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(line) == 1
    assert "a loader process is gone" in line[0]
    assert "--resume" in line[0]


def test_more_loader_processes_than_do_any_good_are_refused(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.workers=100000: .* expected at most \d+ a rank"):
        check_loader(load_config(config, ["data.workers=100000"]))


def test_decoded_tiles_that_do_not_fit_into_memory_are_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory", lambda: 100_000_000)
    sizes = [(1024, 1024)] * 6
    for more in (["data.workers=0"], ["data.workers=1"], ["data.workers=2", "data.cache=disk"]):
        require_memory(load_config(config, ["data.cache=memory", *more]).data, sizes)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    data = load_config(config, ["data.cache=true", "data.workers=1"]).data
    wanted = r"data.cache=memory: 6 decoded tiles in each of 2 processes .* 0.1 GB, and 0.1 GB"
    with pytest.raises(ConfigError, match=wanted):
        require_memory(data, sizes)
    monkeypatch.setattr(host, "available_memory", lambda: None)
    require_memory(data, sizes)
