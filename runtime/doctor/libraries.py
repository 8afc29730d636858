"""Libraries: there, in the range that the package names, and loadable."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata

from runtime import cli
from runtime.backends import onnxruntime_wheels
from runtime.doctor.asking import Answer, ask, is_there
from runtime.doctor.finding import Asked, Finding, Findings

CHECK = "libraries"


@dataclass(frozen=True)
class Library:
    """`module` of `distribution`; `load` is how the runtime imports it, without its telemetry."""

    module: str
    distribution: str
    extra: str | None
    load: str


def _plain(module: str, distribution: str, extra: str | None = None) -> Library:
    return Library(module, distribution, extra, f"import {module} as library")


_BACKENDS = "from runtime.backends.{0} import load_{0}; library = load_{0}()"

LIBRARIES = (
    _plain("numpy", "numpy"),
    _plain("cv2", "opencv-python-headless"),
    Library("onnxruntime", "onnxruntime", "onnxruntime", _BACKENDS.format("onnxruntime")),
    Library("openvino", "openvino", "openvino", _BACKENDS.format("openvino")),
    Library("rasterio", "rasterio", "raster", "import runtime.libraries, rasterio as library"),
    _plain("shapely", "shapely", "raster"),
    Library("pyogrio", "pyogrio", "raster", "import runtime.libraries, pyogrio as library"),
    _plain("tensorrt", "tensorrt", "tensorrt"),
    _plain("tensorrt_rtx", "tensorrt-rtx", "tensorrt-rtx"),
    _plain("cryptography", "cryptography", "trust"),
)

INFERENCE = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")

_REPORT = "; import json; print(json.dumps(str(getattr(library, '__version__', ''))))"


def check(asked: Asked) -> Findings:
    yield from _wheels()
    there = [each for each in LIBRARIES if is_there(each.module)]
    with ThreadPoolExecutor(2) as asking:
        answers = asking.map(lambda each: ask(each.load + _REPORT, seconds=asked.seconds), there)
        found = dict(zip(there, answers, strict=True))
    for each in LIBRARIES:
        answer = found.get(each)
        yield _told(each, answer) if answer else _missing(each)
    if not any(each.module in INFERENCE for each in there):
        yield Finding(
            CHECK, "problem", "no inference library is installed, so no engine can run",
            cli.install("onnxruntime"),
        )  # fmt: skip


def _wheels() -> Findings:
    both = onnxruntime_wheels.installed()
    if len(both) > 1:
        yield Finding(
            CHECK, "problem", f"{' and '.join(both)} are installed over each other: either may "
            "lack files of its own", onnxruntime_wheels.MEND_CPU,
        )  # fmt: skip


def _missing(library: Library) -> Finding:
    if library.extra is None:
        what = f"{library.module} is not installed, and every command needs it"
        return Finding(CHECK, "problem", what, cli.install(None))
    return Finding(
        CHECK, "note" if library.extra == "raster" else "not checked",
        f"{library.module} is not installed" + (
            ": maps will have no place on the ground" if library.extra == "raster" else ""
        ),
        cli.install(library.extra),
    )  # fmt: skip


def _told(library: Library, answer: Answer) -> Finding:
    installed = version_of(library.distribution)
    again = f"pip install --force-reinstall --no-deps {library.distribution}"
    if answer.trouble:
        name = f"{library.module} {installed or ''}".strip()
        return Finding(CHECK, "problem", f"{name} cannot be loaded: {answer.trouble}", again)
    version = installed or str(answer.value)
    name = f"{library.module} {version}"
    wanted = lower_bound(library.distribution, library.extra)
    if wanted and version and _numbers(version) < _numbers(wanted):
        return Finding(
            CHECK, "problem", f"{name}; expected {wanted} or newer",
            f'pip install "{library.distribution}>={wanted}"',
        )  # fmt: skip
    if installed and answer.value and not _same(installed, str(answer.value)):
        return Finding(
            CHECK, "problem", f"{name} is installed and {answer.value} is what is loaded: another "
            "copy is in its place", again,
        )  # fmt: skip
    return Finding(CHECK, "ok", f"{name} loads")


def version_of(distribution: str) -> str | None:
    """As installed; None where it is not, or only by another name."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def lower_bound(distribution: str, extra: str | None) -> str | None:
    """The least version that the package asks for here; None where it says none, or is a checkout
    that is not installed."""
    try:
        lines = metadata.requires(cli.PROJECT) or []
    except metadata.PackageNotFoundError:
        return None
    bounds = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        of_extra = re.search(r'extra == "([^"]+)"', marker.replace("'", '"'))
        named = re.split(r"[<>=!~\[( ]", requirement.strip())[0].lower()
        if named == distribution and (of_extra[1] if of_extra else None) == extra:
            bounds += re.findall(r"[>=]=\s*([0-9.]+)", requirement)
    return min(bounds, key=_numbers, default=None)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _same(installed: str, loaded: str) -> bool:
    """Of their first two numbers: wheels of OpenCV and OpenVINO count builds behind these."""
    return _numbers(installed)[:2] == _numbers(loaded)[:2]
