"""Compiled OpenVINO models kept on disk, for a faster next start, and how they are faster.

OpenVINO compiles a graph for the processor each time it is loaded. What comes of it can be
exported, and imported in a quarter of the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from runtime import cache, host
from runtime.backends import LOADED
from runtime.backends.contract import check_finite
from runtime.backends.openvino_core import core_of
from runtime.manifest import Manifest

KIND: Final = "openvino"

LARGEST = 64 << 20
"""Bytes of weights. Export and import hold a copy of them in memory: a large network's would
be what decides how much memory a device needs."""

_FLOATS = ("f16", "f32", "f64")

_CHECKED = "constants are finite"
"""Of a kept model. Part of its name, so that none is taken of which that was not known."""

_CHOICE = "streams are faster"

_DIGEST = 32  # bytes of the sha256 ahead of the content


def compile_model(
    openvino: Any, manifest: Manifest, folder: Path, version: str, settings: Mapping[str, Any]
) -> tuple[Any, bool]:
    """The model for this processor, and whether it came from the cache.

    It goes into the cache where it is not there. The cache is an aid only: what is damaged,
    foreign or cannot be written is passed over.
    """
    core = core_of(openvino)
    parts = [manifest.payload_file(folder, name) for name in LOADED[KIND]]
    if parts[1].size > LARGEST:
        return core.compile_model(_model(openvino, core, manifest, folder), "CPU", settings), False
    name = f"{_identity(_CHECKED, manifest, folder, version, settings)}.bin"
    content = _read(name)
    if content is not None:
        manifest.check_payload(folder)  # what was compiled is what the folder still holds
        with contextlib.suppress(RuntimeError):
            return core.import_model(content, "CPU", settings), True
    compiled = core.compile_model(_model(openvino, core, manifest, folder), "CPU", settings)
    with contextlib.suppress(RuntimeError):
        exported = compiled.export_model()
        _write(name, exported.getvalue() if hasattr(exported, "getvalue") else bytes(exported))
    return compiled, False


def kept_choice(
    manifest: Manifest, folder: Path, version: str, settings: Mapping[str, Any]
) -> bool | None:
    """Is a model with these settings faster than without? None where it was not measured here."""
    content = _read(f"{_identity(_CHOICE, manifest, folder, version, settings)}.json")
    return {b"true": True, b"false": False}.get(content or b"")


def keep_choice(
    faster: bool, manifest: Manifest, folder: Path, version: str, settings: Mapping[str, Any]
) -> None:
    """For `kept_choice`, where files can be kept."""
    name = f"{_identity(_CHOICE, manifest, folder, version, settings)}.json"
    _write(name, json.dumps(faster).encode())


def _identity(
    what: str, manifest: Manifest, folder: Path, version: str, settings: Mapping[str, Any]
) -> str:
    digests = [manifest.payload_file(folder, name).sha256 for name in LOADED[KIND]]
    identity = json.dumps([what, *digests, version, host.processor(), settings])
    return hashlib.sha256(identity.encode()).hexdigest()


def _model(openvino: Any, core: Any, manifest: Manifest, folder: Path) -> Any:
    """From the bytes that the manifest vouches for; the weights are read into OpenVINO's memory.

    Raises RuntimeError, as OpenVINO does, for what is no model of its own format: others, which
    it would recognise, may refer to further files.
    """
    graph, weights = LOADED[KIND]
    text = manifest.read_payload(folder, graph)
    if not text.startswith(b"<"):
        raise RuntimeError("it is no XML")
    size = manifest.payload_file(folder, weights).size
    tensor = openvino.Tensor(openvino.Type.u8, openvino.Shape([size]))
    if size:
        manifest.read_payload_into(tensor.data, folder, weights)
    try:
        model = core.read_model(text.decode(), tensor)
    except UnicodeDecodeError as error:
        raise RuntimeError("its XML is not UTF-8") from error
    constants = (op for op in model.get_ops() if op.get_type_name() == "Constant")
    floats = (op for op in constants if op.get_element_type().get_type_name() in _FLOATS)
    check_finite(((op.get_friendly_name(), op.data) for op in floats), manifest, folder / graph)
    return model


def _read(name: str) -> bytes | None:
    """The content, where it is there and whole."""
    everything = cache.read(KIND, name)
    if everything is None:
        return None
    digest, content = everything[:_DIGEST], everything[_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(name: str, content: bytes) -> None:
    cache.write(KIND, name, hashlib.sha256(content).digest() + content)
