"""Compile the host driver with the system's C compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """`libcuda.so.1` in `folder`, which goes on LD_LIBRARY_PATH of a process of its own."""
    library = folder / "libcuda.so.1"
    command = [
        compiler(), "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
        "-fvisibility=hidden", "-Wl,-soname,libcuda.so.1", "-o", library,
        *sorted(SOURCES.glob("*.c")), "-ldl", "-lpthread",
    ]  # fmt: skip
    subprocess.run([str(each) for each in command], check=True)
    return library
