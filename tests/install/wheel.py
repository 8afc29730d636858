"""The wheel, built of what git tracks: nothing that an earlier build left gets into it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("runtime", "train", "calibration", "export", "benchmarks")


def tracked(folder: Path = REPOSITORY) -> list[str]:
    line = ["git", "-C", str(folder), "ls-files", "-z"]
    found = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return [name for name in found.split("\0") if name and (folder / name).is_file()]


def package_files() -> set[str]:
    """Everything tracked in the packages, code and data."""
    return {name for name in tracked() if PurePosixPath(name).parts[0] in PACKAGES}


def build_wheel(out: Path) -> Path:
    """Into `out`, as `pip install .` builds it. Needs an index, or pip's cache, for setuptools."""
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "source"
        for name in tracked():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, target)
        line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        subprocess.run([*line, "--wheel-dir", str(out), str(source)], check=True)
    (wheel,) = out.glob("dual_hrnet_edge-*.whl")
    return wheel


def contents(wheel: Path) -> set[str]:
    """Names of the files in it, without its own metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}
