"""The wheel on 64-bit ARM, emulated: ``python -m tests.install.aarch64 --out DIR``.

Debian's own Python of that processor is unpacked in DIR (debootstrap fetches it), the wheel and
the libraries are put there by this machine's pip, and qemu's user mode runs them in that folder.
Nothing is registered with the kernel or mounted; root is needed for the two programs
that need it, debootstrap and chroot:

    apt-get install debootstrap qemu-user-static

The same pair is mapped here and there, and the maps are compared. It takes minutes, and says
nothing about speed. What ONNX Runtime says of an unknown processor comes from the empty /sys.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError
from tests.install.environments import call
from tests.install.likeness import Likeness, compare
from tests.install.subject import Subject
from tests.install.wheel import build_wheel

GLIBC = {"bookworm": 36, "trixie": 41}
"""Debian's release, and its glibc's minor version: wheels of a later one do not load."""
PROCESSOR = "cortex-a72"
"""Without SVE, as in Jetson Orin: with qemu 7.2's widest vectors OpenVINO's map is wrong."""
EMULATOR = "qemu-aarch64-static"
NEEDED = ("debootstrap", EMULATOR, "chroot", "dpkg-deb")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m tests.install.aarch64", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    p.add_argument("--out", required=True, type=Path, metavar="DIR")
    p.add_argument("--suite", choices=GLIBC, default="bookworm", help="default: bookworm")
    p.add_argument("--engine", choices=("onnxruntime", "openvino"), nargs="+",
                   default=["onnxruntime", "openvino"], help="default: both")  # fmt: skip
    p.add_argument("--processor", default=PROCESSOR, help=f"as qemu names it ({PROCESSOR})")
    return p


def main(args: argparse.Namespace) -> int:
    missing = [each for each in NEEDED if shutil.which(each) is None]
    if missing or os.geteuid() != 0:
        raise ConfigError(
            f"missing: {', '.join(missing) or 'root'}; expected root with "
            "apt-get install debootstrap qemu-user-static"
        )
    out = args.out.absolute()
    subject = Subject(out / "subject")
    if not subject.map("onnxruntime", "tif").is_dir():
        shutil.rmtree(subject.folder, ignore_errors=True)
        subject.make()
    root = out / args.suite
    if not (root / "usr").is_dir():
        unpack(args.suite, root)
    (python,) = (each for each in (root / "usr/bin").glob("python3.*") if each.suffix[1:].isdigit())
    install(root, python.name.removeprefix("python"), GLIBC[args.suite])
    failed = False
    for target in args.engine:
        start = time.monotonic()
        likeness = _map(root, python.name, target, args.processor, subject)
        seconds = time.monotonic() - start
        print(f"{target}, {python.name}, {args.processor}: {likeness}; {seconds:.0f} s", flush=True)
        failed = failed or not likeness.holds
    return int(failed)


def unpack(suite: str, root: Path) -> None:
    """Debian's packages as files; no script of theirs runs, so none needs the emulator."""
    packages = root.with_name(f"{suite}-packages")
    line = ["debootstrap", "--arch=arm64", "--variant=minbase", "--download-only"]
    call([*line, "--include=python3", suite, packages], root.parent)
    half = root.with_name(f"{suite}-unfinished")
    shutil.rmtree(half, ignore_errors=True)
    for package in sorted(packages.glob("var/cache/apt/archives/*.deb")):
        call(["dpkg-deb", "-x", package, half], root.parent)
    shutil.copy(str(shutil.which(EMULATOR)), half / EMULATOR)
    half.rename(root)
    shutil.rmtree(packages)


def install(root: Path, python: str, glibc: int) -> None:
    """The wheel of the tree as it is, and what it needs, into /site of that folder."""
    shutil.rmtree(root / "site", ignore_errors=True)
    shutil.rmtree(root.parent / "wheel", ignore_errors=True)
    wheel = build_wheel(root.parent / "wheel")
    kinds = [f"manylinux_2_{minor}_aarch64" for minor in range(17, glibc + 1)]
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--target", root / "site"]
    line += [word for kind in (*kinds, "manylinux2014_aarch64") for word in ("--platform", kind)]
    line += ["--python-version", python, "--only-binary", ":all:"]
    call([*line, f"dual-hrnet-edge[onnxruntime,openvino] @ {wheel.as_uri()}"], root.parent)


def _map(root: Path, python: str, target: str, processor: str, subject: Subject) -> Likeness:
    """Of the pair, by the emulated installation, beside the one of this installation."""
    inside = Subject(root / "subject")
    shutil.rmtree(inside.folder, ignore_errors=True)
    inside.folder.mkdir()
    shutil.copytree(subject.engine(target), inside.engine(target))
    for ours, theirs in zip(subject.pair(), inside.pair(), strict=True):
        shutil.copyfile(ours, theirs)
    # ONNX Runtime does not start where it sees the /sys of another processor, and OpenVINO never
    # ends where it sees none: the folder is the root of the one, and comes first for the other.
    if target == "onnxruntime":
        seen, line = Path("/"), ["chroot", root, f"/{EMULATOR}", f"/usr/bin/{python}"]
    else:
        seen, line = root, [EMULATOR, "-L", root, root / "usr" / "bin" / python]
    environ = {"QEMU_CPU": processor, "PYTHONPATH": str(seen / "site"), "HOME": str(seen / "root")}
    environ |= {"XDG_CACHE_HOME": str(seen / "root" / "cache")}
    there = Subject(seen / "subject")
    out = there.map(target)
    call([*line, "-m", *there.prediction(target, "png", out)], root.parent, environ, 3600)
    return compare(subject.map(target), inside.map(target))


if __name__ == "__main__":
    cli.run(parser(), main)
