"""The CPU quota of made cgroup trees, as container engines and systemd make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import host, load_engine, quota


class Tree:
    """/proc/self and the cgroup file systems of a process."""

    def __init__(self, root: Path) -> None:
        self.process = root / "proc"
        self.process.mkdir()
        self.mounts = root / "sys fs"
        self.groups: list[str] = []
        self.infos = ["22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw"]

    def mount(self, name: str, kind: str, options: str = "rw", root: str = "/") -> Path:
        point = self.mounts / name
        point.mkdir(parents=True)
        where = str(point).replace(" ", "\\040")
        self.infos.append(f"30 22 0:26 {root} {where} rw,nosuid shared:9 - {kind} x {options}")
        return point

    def read(self) -> float | None:
        (self.process / "cgroup").write_text("".join(f"{line}\n" for line in self.groups))
        (self.process / "mountinfo").write_text("".join(f"{line}\n" for line in self.infos))
        return quota.processors(self.process)


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


def limit(folder: Path, quota: str, period: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{quota} {period}\n")


def limit_v1(folder: Path, quota: int, period: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


def test_version_2_takes_the_tightest_limit_above_the_group(tree):
    point = tree.mount("cgroup", "cgroup2")
    tree.groups = ["0::/machine.slice/box.scope/inner"]
    limit(point / "machine.slice/box.scope/inner", "max")
    limit(point / "machine.slice/box.scope", "250000")
    limit(point / "machine.slice", "800000")
    limit(point / "machine.slice/other.scope", "1000")
    assert tree.read() == 2.5


def test_version_2_in_a_container_has_the_limit_at_its_mount_point(tree):
    limit(tree.mount("cgroup", "cgroup2"), "150000", 50_000)
    tree.groups = ["0::/"]
    assert tree.read() == 3


@pytest.mark.parametrize("path", ["/docker/abc", "/../abc", "/docker/abc/def"])
def test_a_path_of_the_host_is_followed_as_far_as_it_is_mounted(tree, path):
    point = tree.mount("cgroup", "cgroup2", root="/docker/abc")
    limit(point, "200000")
    tree.groups = [f"0::{path}"]
    assert tree.read() == 2


def test_version_1_has_its_quota_with_the_cpu_controller(tree):
    point = tree.mount("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
    sets = tree.mount("cpuset", "cgroup", "rw,cpuset")
    tree.groups = ["5:cpuset:/box", "4:cpu,cpuacct:/kubepods/pod:1/box", "1:name=systemd:/x"]
    limit_v1(point / "kubepods/pod:1/box", 400_000)
    limit_v1(point / "kubepods/pod:1", 300_000)
    limit_v1(point / "kubepods", -1)
    limit_v1(sets / "box", 1_000)
    assert tree.read() == 3


def test_version_1_beside_version_2(tree):
    """systemd's hybrid: version 2 is there, and limits nothing."""
    point = tree.mount("cpu", "cgroup", "rw,cpu")
    tree.mount("unified", "cgroup2")
    tree.groups = ["1:cpu:/box", "0::/init.scope"]
    limit_v1(point / "box", 50_000)
    assert tree.read() == 0.5


def test_without_a_limit_there_is_none(tree, tmp_path):
    assert quota.processors(tmp_path / "nothing") is None
    assert tree.read() is None
    point = tree.mount("cgroup", "cgroup2")
    tree.groups = ["0::/box"]
    assert tree.read() is None
    limit(point / "box", "max")
    assert tree.read() is None
    for text in ("", "x y", "1", "100000 0"):
        (point / "box" / "cpu.max").write_text(text)
        assert tree.read() is None


def memory_limit(folder: Path, limit: object, used: int, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text("anon 700\ninactive_file 200\nactive_file 100\n")


def test_memory_is_what_the_tightest_limit_leaves_without_files(tree):
    point = tree.mount("cgroup", "cgroup2")
    tree.groups = ["0::/machine/box"]
    memory_limit(point / "machine/box", "max", 1000)
    tree.read()
    assert quota.memory(tree.process) is None
    memory_limit(point / "machine", 5000, 1000)
    assert quota.memory(tree.process) == 4300
    memory_limit(point / "machine/box", 3000, 1000)
    assert quota.memory(tree.process) == 2300
    memory_limit(point / "machine/box", 500, 1000)
    assert quota.memory(tree.process) == 0


def test_memory_of_version_1(tree):
    point = tree.mount("memory", "cgroup", "rw,memory")
    other = tree.mount("cpu", "cgroup", "rw,cpu")
    tree.groups = ["4:memory:/box", "3:cpu:/box"]
    memory_limit(point / "box", 3000, 1000, version=1)
    memory_limit(other / "box", 300, 100, version=1)
    tree.read()
    assert quota.memory(tree.process) == 2300


def test_available_memory_is_the_machines_within_the_limit(tree, monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 90 kB\nMemAvailable:   80 kB\n")
    monkeypatch.setattr(host, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(host.quota, "_PROCESS", tree.process)
    tree.read()
    assert host.available_memory() == 80 * 1024
    point = tree.mount("cgroup", "cgroup2")
    tree.groups = ["0::/box"]
    memory_limit(point / "box", 3000, 1000)
    tree.read()
    assert host.available_memory() == 2300
    monkeypatch.setattr(host, "_MEMORY", tmp_path / "none")
    assert host.available_memory() == 2300


@pytest.fixture
def cores(tree, monkeypatch):
    """A machine of eight cores, and a function that gives its container a quota."""
    monkeypatch.setattr(host, "_cores", lambda: 8)
    point = tree.mount("cgroup", "cgroup2")
    tree.groups = ["0::/box"]

    def set_quota(text: str) -> None:
        limit(point / "box", text)
        tree.read()
        monkeypatch.setattr(host.quota, "_PROCESS", tree.process)

    return set_quota


@pytest.mark.parametrize(
    ("text", "threads"),
    [("max", 8), ("1600000", 8), ("399999", 3), ("100000", 1), ("1000", 1)],
)
def test_threads_keep_within_the_quota(cores, text, threads):
    cores(text)
    assert host.physical_cores() == threads


def test_onnxruntime_gets_as_many_threads_as_the_quota_allows(cores, engine_folder):
    def running() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    cores("300000")
    with load_engine(engine_folder, threads=1):  # the first also starts threads that stay
        before = running()
        with load_engine(engine_folder):
            assert running() == before + 2  # and the caller's


def test_opencv_gets_as_many_threads_as_the_quota_allows(cores, tree, python):
    cores("100000")
    code = """
import os
import sys
from pathlib import Path
from runtime import cli, quota
os.environ.pop("OPENCV_FOR_THREADS_NUM", None)  # of a command that ran in the tests' process
quota._PROCESS = Path(sys.argv[1])
cli.prepare_opencv()
import cv2
print(cv2.getNumThreads())
"""
    assert python("-c", code, tree.process).stdout.strip() == "1"


def test_openvino_gets_as_many_threads_as_the_quota_allows(cores, make_engine, tmp_path):
    cores("150000")
    folder = make_engine(tmp_path / "e", "openvino")
    with load_engine(folder) as engine:
        compiled = engine._backend._request.get_compiled_model()
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
