"""Faults that are planted, one at a time: each is found, named, and told with what mends it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import quota
from runtime.doctor import (
    asking,
    clock,
    engine,
    folders,
    geodata,
    gpu,
    libraries,
    machine,
    self_test,
    telemetry,
)
from runtime.doctor.checks import CHECKS, findings
from runtime.doctor.finding import Asked, Finding
from runtime.trust import setting

REPOSITORY = Path(__file__).parents[3]
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def problems(check, **asked) -> list[Finding]:
    found = [each for each in check(Asked(**asked)) if each.state == "problem"]
    assert all(each.mend for each in found)
    return found


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that puts a module before all others."""

    def write(name: str, code: str) -> None:
        (tmp_path / "planted").mkdir(exist_ok=True)
        (tmp_path / "planted" / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path / "planted"))

    return write


@pytest.fixture
def cv2_alone(monkeypatch):
    chosen = [each for each in libraries.LIBRARIES if each.module == "cv2"]
    monkeypatch.setattr(libraries, "LIBRARIES", chosen)
    monkeypatch.setattr(libraries, "INFERENCE", ("cv2",))
    monkeypatch.setattr(libraries, "_wheels", lambda: iter(()))  # it reads every distribution


def test_an_altered_payload(make_engine, tmp_path):
    folder = make_engine(tmp_path / "engine")
    assert not problems(engine.check, engine=folder)
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    found = only(problems(engine.check, engine=folder))
    assert "sha256" in found.what
    assert "copy the folder again or rebuild with python -m export.build_engine" in found.mend


def test_an_engine_of_another_device(make_engine, edit_manifest, tmp_path):
    folder = make_engine(tmp_path / "engine")

    def for_a_gpu(content):
        content["target"] |= {
            "backend": "tensorrt-rtx", "version": "0.9.0", "compute_capability": "8.6",
            "platform": "linux-aarch64",
        }  # fmt: skip

    edit_manifest(folder, for_a_gpu)
    found = only(problems(gpu.check, engine=folder))
    assert "built for linux-aarch64" in found.what or "NVIDIA" in found.what
    assert "build" in found.mend
    found = only(problems(engine.check, engine=folder))
    assert "0.9" in found.what or "is not installed" in found.what
    assert found.mend.startswith("pip install")


def test_an_engine_that_is_not_signed_where_that_is_demanded(
    make_engine, tmp_path, monkeypatch, strangers_keys
):
    folder = make_engine(tmp_path / "engine")
    monkeypatch.setenv(setting.VARIABLE, str(strangers_keys))
    assert not problems(engine.check_trust, engine=folder)
    found = only(problems(engine.check, engine=folder))
    assert "not signed" in found.what
    assert "dual-hrnet sign" in found.mend
    (told,) = self_test.check(Asked())  # the example is not signed, which is no fault of the box
    assert told.state == "not checked"
    (strangers_keys / "key.pub").unlink()
    assert "no public key" in only(problems(engine.check_trust, engine=folder)).what


def test_an_engine_that_answers_otherwise(tmp_path):
    folder = shutil.copytree(self_test.EXAMPLE, tmp_path / "engine")
    content = json.loads((folder / "manifest.json").read_text())
    (told,) = self_test.check(Asked(engine=folder))
    assert told.state == "ok"
    assert "100.00 %" in told.what
    import base64
    import zlib

    other = bytes(64 * 64 // 2) + bytes([4]) * (64 * 64 // 2)
    record = content["verification"]["known_answer"]
    record["damage"] = base64.b64encode(zlib.compress(other)).decode()
    (folder / "manifest.json").write_text(json.dumps(content))
    found = only(problems(self_test.check, engine=folder))
    assert "otherwise" in found.what
    assert "export.build_engine" in found.mend
    del content["verification"]["known_answer"]
    (folder / "manifest.json").write_text(json.dumps(content))
    (told,) = self_test.check(Asked(engine=folder))
    assert (told.state, "records no answer" in told.what) == ("not checked", True)


def in_a_namespace(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """With mounts of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting needs root")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


DOCTOR = f"{sys.executable} -m runtime.doctor --json --only folders"


def told(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    content = json.loads(done.stdout)
    assert content["ready"] == (done.returncode == 0)
    return [each for each in content["findings"] if each["state"] == "problem"]


def test_a_full_disk(tmp_path):
    script = (
        f'mount -t tmpfs -o size=64k x "$1"; head -c 1M /dev/zero > "$1/full"; {DOCTOR} --out "$1"'
    )
    (found,) = told(in_a_namespace(script, tmp_path))
    assert "No space left on device" in found["what"]
    assert "df -h" in found["mend"]


def test_a_disk_with_little_room(tmp_path):
    script = f'mount -t tmpfs -o size=8m x "$1"; {DOCTOR} --out "$1"'
    (found,) = told(in_a_namespace(script, tmp_path))
    assert "0.01 GiB free" in found["what"]


def test_a_cache_that_is_read_only(tmp_path):
    script = f'mount -t tmpfs x "$1"; mount -o remount,ro "$1"; XDG_CACHE_HOME="$1" {DOCTOR}'
    (found,) = told(in_a_namespace(script, tmp_path))
    assert "Read-only file system" in found["what"]
    assert "XDG_CACHE_HOME" in found["mend"]


def test_a_cache_that_others_may_write(tmp_path, monkeypatch):
    (tmp_path / "dual-hrnet").mkdir()
    (tmp_path / "dual-hrnet").chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = only(problems(folders.check))
    assert "can be written by others" in found.what
    assert "chmod go-w" in found.mend


def test_a_database_of_another_proj(tmp_path, monkeypatch):
    pytest.importorskip("rasterio")
    import sqlite3

    with sqlite3.connect(tmp_path / "proj.db") as connection:
        connection.execute("create table metadata (key text, value text)")
        connection.executemany(
            "insert into metadata values (?, ?)",
            [("DATABASE.LAYOUT.VERSION.MAJOR", "1"), ("DATABASE.LAYOUT.VERSION.MINOR", "0")],
        )
    connection.close()
    monkeypatch.setenv("PROJ_LIB", str(tmp_path))
    placed, other = geodata.check(Asked())
    assert placed.state == "ok"  # rasterio's wheel has its own, and is kept to it
    assert other.state == "note"
    assert "proj.db of layout 1.0, rasterio's is 1." in other.what
    assert other.mend == "unset PROJ_LIB"
    # A rasterio of the system has none of its own, and takes this one.
    monkeypatch.setattr(geodata, "_own_data", lambda: tmp_path / "none")
    monkeypatch.setattr(geodata, "_POINT", geodata._POINT.replace("runtime.libraries", "json"))
    found = problems(geodata.check)
    assert "PROJ cannot place a point" in found[0].what
    assert found[0].mend == "unset PROJ_LIB"


def test_a_clock_that_is_back(tmp_path):
    if not FAKETIME.is_file():
        pytest.skip("libfaketime is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "runtime.doctor", "--json", "--only", "clock", "--out", tmp_path],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
        env={**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": "@2020-01-01 00:00:00",
             "NO_FAKE_STAT": "1"},
    )  # fmt: skip
    back, apart = told(done)
    assert "the clock says 2020-01-01" in back["what"]
    assert "away from the clock" in apart["what"]
    assert "timedatectl" in back["mend"]


def test_a_clock_before_the_engine_was_built(make_engine, tmp_path):
    ahead = make_engine(tmp_path / "engine", created="2199-01-01T00:00:00+00:00")
    assert "2199-01-01" in only(problems(clock.check, engine=ahead)).what


def test_two_wheels_of_onnxruntime(tmp_path, monkeypatch):
    for name in ("onnxruntime", "onnxruntime-gpu"):
        folder = tmp_path / f"{name.replace('-', '_')}-1.20.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.20.0\n")
        (folder / "top_level.txt").write_text("onnxruntime\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = only([each for each in libraries._wheels() if each.state == "problem"])
    assert "onnxruntime and onnxruntime-gpu are installed over each other" in found.what
    assert found.mend == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime"


def test_half_a_processor(monkeypatch, tmp_path):
    (tmp_path / "cgroup").write_text("0::/box\n")
    group = tmp_path / "mount" / "box"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "mountinfo").write_text(
        f"30 22 0:26 / {tmp_path / 'mount'} rw shared:9 - cgroup2 x rw\n"
    )
    monkeypatch.setattr(quota, "_PROCESS", tmp_path)
    found = only(problems(machine.check))
    assert "granted 0.5 of a processor" in found.what
    assert "docker update --cpus 1" in found.mend


def test_half_a_processor_of_a_real_group():
    group = Path("/sys/fs/cgroup/cpu") / f"doctor-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("50000")
    except OSError:
        pytest.skip("no group of version 1 can be made here")
    script = f'echo $$ > "$1/cgroup.procs"; exec {sys.executable} -m runtime.doctor --only machine'
    try:
        done = subprocess.run(
            ["sh", "-c", script, "sh", group], capture_output=True, text=True, cwd=REPOSITORY,
            check=False,
        )  # fmt: skip
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()
    assert done.returncode == 1
    assert "granted 0.5 of a processor" in done.stdout


def test_few_open_files():
    done = subprocess.run(
        [sys.executable, "-m", "runtime.doctor", "--only", "machine"],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "may open 64 files" in done.stdout
    assert "> ulimit -n 1024" in done.stdout


def test_a_missing_library(monkeypatch):
    monkeypatch.setattr(libraries, "is_there", lambda module: module in ("numpy", "cv2"))
    monkeypatch.setattr(libraries, "ask", lambda code, seconds: asking.Answer(""))
    found = list(libraries.check(Asked()))
    (raster,) = [each for each in found if each.what.startswith("rasterio")]
    assert raster.state == "note"
    assert "no place on the ground" in raster.what
    assert raster.mend == 'pip install "dual-hrnet-edge[raster]"'
    (none,) = [each for each in found if each.state == "problem"]
    assert "no inference library" in none.what


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("raise ImportError('libGL.so.1: cannot open shared object file')", "libGL.so.1"),
        ("import os; os.abort()", "crashed (SIGABRT)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("import time; time.sleep(60)", "gave no answer in 2 s"),
        ("raise SystemError('x')", "SystemError"),
        ("import sys; sys.exit(0)", "ended without an answer"),
        ("__version__ = '1.0'", "another copy is in its place"),
    ],
)
def test_a_library_that_breaks_when_it_is_loaded(module, cv2_alone, code, what):
    module("cv2", code)
    start = time.monotonic()
    found = only(problems(libraries.check, seconds=2))
    assert what in found.what
    assert "pip install --force-reinstall" in found.mend
    assert time.monotonic() - start < 20


def test_a_version_that_is_too_old(monkeypatch, cv2_alone):
    monkeypatch.setattr(libraries, "lower_bound", lambda *given: "99.0")
    found = only(problems(libraries.check))
    assert found.what.endswith("expected 99.0 or newer")
    assert found.mend == 'pip install "opencv-python-headless>=99.0"'


def test_the_bounds_are_those_of_the_package():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f"numpy>={libraries.lower_bound('numpy', None)}" in project["dependencies"]
    extra = project["optional-dependencies"]["onnxruntime"]
    assert extra == [f"onnxruntime>={libraries.lower_bound('onnxruntime', 'onnxruntime')}"]


def test_a_lock_that_another_process_holds(tmp_path):
    assert not problems(folders.check, out=tmp_path)
    code = (
        "import fcntl, sys, time\n"
        f"lock = open({str(tmp_path / '.lock')!r}, 'a')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        found = only(problems(folders.check, out=tmp_path))
        holder.kill()
    assert f"(process {holder.pid})" in found.what
    assert found.mend.startswith(f"kill {holder.pid}")
    # What a killed process leaves is no lock any more.
    assert (tmp_path / ".lock").exists()
    assert not problems(folders.check, out=tmp_path)


def test_the_look_at_a_lock_takes_none(tmp_path):
    (tmp_path / ".lock").touch()
    list(folders.check(Asked(out=tmp_path)))
    with (tmp_path / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_statistics_that_are_asked_for(monkeypatch):
    monkeypatch.setattr(telemetry, "is_there", lambda module: module == "ray")
    assert not problems(telemetry.check)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    assert only(problems(telemetry.check)).mend == "unset RAY_USAGE_STATS_ENABLED"


def test_little_memory(monkeypatch, make_engine, tmp_path):
    monkeypatch.setattr(machine.host, "available_memory", lambda: 100 << 20)
    assert "100 MiB of memory are free" in only(problems(machine.check)).what
    found = only(problems(engine.check, engine=make_engine(tmp_path / "engine")))
    assert "--size 16 24" in found.mend


def test_a_check_that_fails_itself_is_told_and_ends_no_other(monkeypatch):
    monkeypatch.setattr(machine.host, "physical_cores", lambda: 1 / 0)
    found = list(findings(Asked(), ["machine", "clock"]))
    (broken,) = [each for each in found if each.state == "problem"]
    assert "the check itself failed (ZeroDivisionError" in broken.what
    assert found[-1].check == "clock"


def test_a_problem_needs_a_remedy():
    with pytest.raises(ValueError, match="without a remedy"):
        Finding("x", "problem", "y")


def test_no_check_is_named_twice():
    assert len({name for name, _ in CHECKS}) == len(CHECKS)
