"""The engine folder: whole, signed where that is demanded, for this machine, with memory for it."""

from __future__ import annotations

from pathlib import Path

from runtime import cli, host
from runtime.doctor import libraries
from runtime.doctor.finding import Asked, Finding, Findings, split
from runtime.errors import ToolkitError
from runtime.manifest import Manifest
from runtime.trust import SIGNATURE, setting

CHECK = "engine"
TRUST = "trust"

_BASE = 100 << 20
"""Bytes of a process beside its engine."""
_TIMES = 3
"""Of the payload's bytes, in memory: of W48 in FP32 at 1024x1024, 1.8 GiB were measured."""

_DISTRIBUTIONS = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-cuda": "onnxruntime-gpu",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt-rtx",
}


def check(asked: Asked) -> Findings:
    if asked.engine is None:
        yield Finding(CHECK, "not checked", "no engine was named; --engine DIR looks at one")
        return
    try:
        manifest = Manifest.read(asked.engine)
        manifest.check_payload(asked.engine)
    except (ToolkitError, OSError) as error:
        yield Finding(CHECK, "problem", *_told(error, asked.engine))
        return
    target = manifest.target
    yield Finding(
        CHECK, "ok",
        f"{asked.engine}: whole, {manifest.precision} {manifest.input.height}x"
        f"{manifest.input.width} for {target.backend}, {manifest.payload_bytes / 1e6:.1f} MB",
    )  # fmt: skip
    yield from _library(manifest, asked.engine)
    yield from _room(manifest, asked.engine)


def _library(manifest: Manifest, folder: Path) -> Findings:
    target = manifest.target
    name = _DISTRIBUTIONS[target.backend]
    here = libraries.version_of(name)
    if here is None:
        yield Finding(
            CHECK, "problem", f"the engine is for {target.backend}, and {name} is not installed",
            cli.install(target.backend),
        )  # fmt: skip
    elif target.backend.startswith("tensorrt") and _release(here) != _release(target.version):
        yield Finding(
            CHECK, "problem", f"the plan is of {name} {target.version}, and {here} is installed: "
            "plans run on the release that built them",
            f'pip install "{name}=={_release(target.version)}.*"',
        )  # fmt: skip
    elif _release(here) != _release(target.version):
        yield Finding(
            CHECK, "note", f"built and compared with {name} {target.version}, runs with {here}"
        )
    if target.platform != host.platform_name() and not target.on_gpu:
        yield Finding(
            CHECK, "note", f"built on {target.platform}, this is {host.platform_name()}: its "
            "labels were compared there"
        )  # fmt: skip


def _release(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _room(manifest: Manifest, folder: Path) -> Findings:
    free, needed = host.available_memory(), _BASE + _TIMES * manifest.payload_bytes
    if free is not None and free < needed:
        size = manifest.input
        yield Finding(
            CHECK, "problem", f"{free >> 20} MiB of memory are free, and the engine takes about "
            f"{needed >> 20} MiB",
            manifest.rebuild_command(f"{folder}-small", size.height // 2, size.width // 2),
        )  # fmt: skip


def check_trust(asked: Asked) -> Findings:
    """Which keys are demanded here, and whether the engine has their signature."""
    try:
        places = setting.folders()
    except ToolkitError as error:
        yield Finding(TRUST, "problem", *split(str(error)))
        return
    if not places:
        signed = asked.engine is not None and (asked.engine / SIGNATURE).exists()
        which = "signed, and nobody asks by whom" if signed else "unsigned ones, too"
        yield Finding(
            TRUST, "note", f"no key is trusted here, so every engine is taken: {which}",
            f"sudo install -D -m 644 release.pub {setting.DEVICE}/release.pub",
        )  # fmt: skip
        return
    from runtime.trust.keys import fingerprint, read_keys

    for place in places:
        try:
            keys = read_keys(place)
        except ToolkitError as error:
            yield Finding(TRUST, "problem", *split(str(error)))
        else:
            shown = ", ".join(f"{each.path.name} ({fingerprint(each.key)})" for each in keys)
            yield Finding(TRUST, "ok", f"{place}: {shown}")


def _told(error: ToolkitError | OSError, folder: Path) -> tuple[str, str]:
    if isinstance(error, ToolkitError):
        return split(str(error))
    return f"{folder}: cannot be read ({error.strerror})", f"chmod -R a+rX {folder}"
