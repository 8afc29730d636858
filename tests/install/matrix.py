"""Bare installations of the wheel, each doing what it is for: ``python -m tests.install.matrix``.

    python -m tests.install.matrix --out DIR [--only raster] [--python 3.10=/usr/bin/python3.10]

builds the wheel, makes an environment for each case with the newest and with the lowest releases
that pyproject.toml allows, and writes DIR/installs.json and DIR/installs.md as it goes. Maps are
compared with those of the installation that runs this. Needs the network, or caches of it, uv for
the lowest releases, and about 1 GB a case that trains. PyTorch is always the release that
tests/install/environments.py names, and only for the Python that runs this.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime import cli, host
from tests.install import uses
from tests.install.environments import FailedError, make
from tests.install.subject import Subject
from tests.install.wheel import build_wheel

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Case:
    """An extra (or more), what is done with it, and whether that needs PyTorch."""

    extras: str
    uses: tuple[uses.Use, ...]
    torch: bool = False
    named: tuple[str, ...] = ()
    """Distributions whose versions the table shows."""
    bounds: tuple[str, ...] = ()
    """Of libraries that only the extras together need newer."""


CASES = {
    "onnxruntime": Case(
        "onnxruntime", (uses.maps_a_pair,),
        named=("numpy", "opencv-python-headless", "onnxruntime"),
    ),
    "onnxruntime-cuda": Case(  # on the processor, which that wheel has, too
        "onnxruntime-cuda", (uses.maps_a_pair,), named=("numpy", "onnxruntime-gpu")
    ),
    "openvino": Case("openvino", (uses.maps_by_openvino,), named=("openvino", "numpy")),
    "raster": Case(
        "raster,onnxruntime", (uses.maps_a_raster,),
        named=("rasterio", "shapely", "pyogrio", "numpy"),
    ),
    "ray": Case(
        "ray,onnxruntime", (uses.runs_a_batch,), named=("ray", "pyarrow", "numpy"),
        bounds=("onnxruntime>=1.19",),
    ),
    "cuda": Case("cuda", (uses.finds_no_gpu,), named=("cuda-python", "numpy")),
    "train": Case(
        "train", (uses.trains,), True,
        ("torch", "pydantic", "shapely", "albumentations", "tensorboard", "safetensors", "numpy"),
    ),
    "export": Case(
        "export,onnxruntime,openvino", (uses.builds("onnxruntime", "openvino"),), True,
        ("torch", "onnx", "onnxscript", "onnxsim", "openvino", "numpy"), ("onnxruntime>=1.21",),
    ),
    "bench": Case(
        "bench,onnxruntime", (uses.times_and_reports,), True,
        ("pytest", "pytest-benchmark", "jinja2", "matplotlib", "numpy"), ("onnxruntime>=1.21",),
    ),
    "dev": Case(
        "dev,raster,onnxruntime,openvino", (uses.checks_the_code,), True,
        ("pytest", "pytest-xdist", "hypothesis", "scipy", "ruff", "import-linter", "pillow"),
        ("onnxruntime>=1.21",),
    ),
    "tensorrt-rtx": Case(
        "export,onnxruntime,tensorrt-rtx", (uses.compiles_for_a_gpu,), True,
        ("tensorrt_rtx", "tensorrt-rtx", "onnx", "torch"), ("onnxruntime>=1.21",),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table. `ok` is None where it was not tried."""

    extra: str
    python: str
    platform: str
    releases: str
    ok: bool | None
    result: str
    versions: dict[str, str]
    seconds: float


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.install.matrix", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the table")
    p.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="EXTRA")
    p.add_argument(
        "--python", nargs="+", default=list(PYTHONS), metavar="VERSION[=PATH]",
        help="interpreters; pythonVERSION on the path without PATH (default: 3.10 to 3.13)",
    )  # fmt: skip
    p.add_argument("--releases", nargs="+", choices=("newest", "lowest"), metavar="WHICH",
                   default=["newest", "lowest"], help="newest, lowest (default: both)")  # fmt: skip
    p.add_argument("--keep", action="store_true", help="keep the environments, in DIR")
    return p


def main(args: argparse.Namespace) -> int:
    out = args.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    wheel, subject = _prepare(out)
    table = Table(out)
    for name in args.only:
        for given in args.python:
            version, _, path = given.partition("=")
            interpreter = path or shutil.which(f"python{version}") or ""
            if CASES[name].torch and version != OWN:
                continue
            for releases in args.releases:
                row = _try(name, version, interpreter, releases, wheel, subject, args.keep)
                cli.note(f"{name} {version} {releases}: {row.result}")
                table.add(row)
    return int(any(row.ok is False for row in table.rows))


def _prepare(out: Path) -> tuple[Path, Subject]:
    """The wheel, always of the tree as it is; the subject once."""
    shutil.rmtree(out / "wheel", ignore_errors=True)
    wheel = build_wheel(out / "wheel")
    subject = Subject(out / "subject")
    if not subject.map("onnxruntime", "tif").is_dir():
        shutil.rmtree(subject.folder, ignore_errors=True)
        subject.make()
    return wheel, subject


def _try(
    name: str, version: str, interpreter: str, releases: str, wheel: Path, subject: Subject,
    keep: bool,
) -> Row:  # fmt: skip
    case, start = CASES[name], time.monotonic()

    def row(ok: bool | None, result: str, versions: dict[str, str]) -> Row:
        shown = {each: versions[each] for each in case.named if each in versions}
        seconds = round(time.monotonic() - start, 1)
        where = host.platform_name()
        return Row(name, version, where, releases, ok, result, shown, seconds)

    if not interpreter:
        return row(None, f"not tried: no python{version} here", {})
    place = Path(
        tempfile.mkdtemp(prefix=f"{name}-{version}-{releases}-", dir=subject.folder.parent)
    )
    versions: dict[str, str] = {}
    try:
        lowest = releases == "lowest"
        env = make(wheel, place, Path(interpreter), case.extras, lowest, case.torch, case.bounds)
        versions = env.versions()
        return row(True, "; ".join(use(env, subject) for use in case.uses), versions)
    except (FailedError, AssertionError) as error:
        return row(False, f"failed: {error}", versions)
    finally:
        if not keep:
            shutil.rmtree(place)


class Table:
    """installs.json and installs.md: rows of other runs stay until they are tried again."""

    def __init__(self, out: Path) -> None:
        self.json, self.markdown = out / "installs.json", out / "installs.md"
        self.rows: list[Row] = []
        self.kept: dict[tuple[str, ...], Row] = {}
        if self.json.is_file():
            for each in json.loads(self.json.read_text())["rows"]:
                self._keep(Row(**each))

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self._keep(row)
        rows = list(self.kept.values())
        about = {"machine": host.processor(), "system": platform.platform()}
        self.json.write_text(
            json.dumps({**about, "rows": [asdict(each) for each in rows]}, indent=1)
        )
        self.markdown.write_text(markdown(rows))

    def _keep(self, row: Row) -> None:
        self.kept[row.extra, row.platform, row.python, row.releases] = row


def markdown(rows: list[Row]) -> str:
    lines = ["| extra | Python | platform | releases | versions | what was run |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in rows:
        versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
        result = row.result.replace("|", "/")
        cells = (row.extra, row.python, row.platform, row.releases, versions, result)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    cli.run(parser(), main)
