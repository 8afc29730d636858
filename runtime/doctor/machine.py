"""Processor, granted time, memory, and open files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from runtime import host, quota
from runtime.doctor.finding import Asked, Finding, Findings

CHECK = "machine"
KNOWN = ("x86_64", "amd64", "aarch64", "arm64")
FEWEST_FILES = 256
"""A large scene with its maps, and a Ray worker, open some two hundred."""
LEAST_MEMORY = 300 << 20
"""Bytes; the smallest engine takes 134 MiB, and 170 MiB more for a scene."""


def check(asked: Asked) -> Findings:
    yield from _processor()
    yield from _time()
    yield from _memory()
    yield from _files()


def _processor() -> Findings:
    kind = host.platform_name().partition("-")[2]
    flags = set(host.processor().replace(":", " ").split())
    if kind not in KNOWN or sys.maxsize < 1 << 32:
        yield Finding(
            CHECK, "problem", f"processor is {kind}; the inference libraries are for 64-bit x86 "
            "and ARM", "use another computer; uname -m shows what this one is",
        )  # fmt: skip
    elif kind in ("aarch64", "arm64"):
        for_int8 = [name for name in ("asimddp", "i8mm", "bf16") if name in flags]
        yield Finding(CHECK, "ok", f"64-bit ARM, {_named(for_int8)}")
    elif not flags:
        yield Finding(CHECK, "not checked", "this system does not say what its processor can do")
    elif "avx2" not in flags:
        yield Finding(
            CHECK, "note", "processor without AVX2: engines run several times slower than measured",
            "where it is a virtual machine, give it the host's processor (such as qemu -cpu host)",
        )  # fmt: skip
    else:
        vnni = {"avx512_vnni", "avx_vnni"} & flags
        found = ["AVX2", *(["VNNI"] if vnni else []), *(["bf16"] if "avx512_bf16" in flags else [])]
        speed = "INT8 about three times as fast as FP32" if vnni else "INT8 about twice FP32"
        yield Finding(CHECK, "ok", f"{' '.join(found)}: {speed}")


def _named(found: Sequence[str]) -> str:
    return f"with {', '.join(found)}" if found else "without instructions for INT8 products"


def _time() -> Findings:
    granted, cores = quota.processors(), host.physical_cores()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if granted is not None and granted < 1:
        yield Finding(
            CHECK, "problem", f"the container is granted {granted:g} of a processor: every pair "
            f"takes {1 / granted:.1f} times as long, in bursts",
            "docker update --cpus 1 CONTAINER (or CPUQuota=100% in the systemd unit)",
        )  # fmt: skip
    elif granted is not None:
        yield Finding(CHECK, "ok", f"{cores} threads, of a quota of {granted:g} processors")
    else:
        yield Finding(CHECK, "ok", f"{cores} threads, of {allowed} processors, without a quota")


def _memory() -> Findings:
    free = host.available_memory()
    if free is None:
        yield Finding(CHECK, "not checked", "this system does not say how much memory is free")
    elif free < LEAST_MEMORY:
        yield Finding(
            CHECK, "problem", f"{free >> 20} MiB of memory are free; the smallest engine and a "
            f"scene take {LEAST_MEMORY >> 20} MiB",
            "end other programs (ps aux --sort=-rss | head), or raise the container's limit "
            "(docker update --memory 2g CONTAINER)",
        )  # fmt: skip
    else:
        yield Finding(CHECK, "ok", f"{free / (1 << 30):.1f} GiB of memory are free")


def _files() -> Findings:
    try:
        import resource
    except ImportError:
        yield Finding(CHECK, "not checked", "this system has no limit on open files to ask for")
        return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FEWEST_FILES:
        yield Finding(
            CHECK, "problem", f"a process may open {most} files; expected {FEWEST_FILES} or more",
            "ulimit -n 1024 (or LimitNOFILE=1024 in the systemd unit)",
        )  # fmt: skip
    else:
        shown = "any number of" if most == resource.RLIM_INFINITY else most
        yield Finding(CHECK, "ok", f"a process may open {shown} files")
