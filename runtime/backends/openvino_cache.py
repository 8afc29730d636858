"""Compiled OpenVINO models kept on disk, for a faster next start.

OpenVINO compiles a graph for the processor each time it is loaded. What comes of it can be
exported, and imported in a quarter of the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import files, host
from runtime.manifest import Manifest

LARGEST = 64 << 20
"""Bytes of weights. Export and import hold a copy of them in memory: a large network's would
be what decides how much memory a device needs."""

_DIGEST = 32  # bytes of the sha256 ahead of the content


def compile_model(
    core: Any, manifest: Manifest, folder: Path, version: str, settings: Mapping[str, Any]
) -> Any:
    """The model for this processor, from the cache if it is there, and into it if it is not.

    The cache is an aid only: what is damaged, foreign or cannot be written is passed over.
    """
    model, weights = (manifest.payload_file(folder, name) for name in ("model.xml", "model.bin"))
    files_of_model = str(folder / model.name), str(folder / weights.name)
    if weights.size > LARGEST:
        return core.compile_model(core.read_model(*files_of_model), "CPU", settings)
    parts = [model.sha256, weights.sha256, version, host.processor(), settings]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    path = host.cache_folder() / "openvino" / f"{key}.bin"
    content = _read(path)
    if content is not None:
        with contextlib.suppress(RuntimeError):
            return core.import_model(content, "CPU", settings)
    compiled = core.compile_model(core.read_model(*files_of_model), "CPU", settings)
    with contextlib.suppress(OSError, RuntimeError):
        _write(path, compiled.export_model())
    return compiled


def _read(path: Path) -> bytes | None:
    """The content, where it is there and whole."""
    try:
        everything = path.read_bytes()
    except OSError:
        return None
    digest, content = everything[:_DIGEST], everything[_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(path: Path, exported: Any) -> None:
    content = exported.getvalue() if hasattr(exported, "getvalue") else bytes(exported)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_bytes(path, hashlib.sha256(content).digest() + content)
