import os
import re

import pytest

from runtime import host
from runtime.cuda import driver


def test_the_platform_names_system_and_processor():
    assert re.fullmatch(r"[a-z0-9]+-[a-z0-9_]+", host.platform_name())


def test_physical_cores_are_at_most_the_processors_that_may_be_used():
    assert 1 <= host.physical_cores() <= len(os.sched_getaffinity(0))


def test_hardware_threads_of_one_core_count_once(monkeypatch, tmp_path):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(host, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert host.physical_cores() == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    assert host.physical_cores() == 1


def test_without_topology_every_processor_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6})
    assert host.physical_cores() == 3


def test_without_a_driver_there_is_no_compute_capability(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(driver.ctypes, "CDLL", missing)
    assert host.compute_capability() is None
    assert driver.absence() == "there is no NVIDIA driver (libcuda.so.1 cannot be loaded)"


@pytest.mark.gpu
def test_the_driver_tells_the_compute_capability():
    assert re.fullmatch(r"\d+\.\d+", host.compute_capability())
