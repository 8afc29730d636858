"""What built an engine, beside it: `build.cdx.json`, a CycloneDX bill of materials."""

from __future__ import annotations

from pathlib import Path

from export.card import name_of
from runtime import bill, files
from runtime.manifest import BackendName, Manifest

_ALWAYS = ("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "numpy", "scipy")
"""They export, simplify and execute the graph, whatever the target."""

_COMPILERS: dict[BackendName, tuple[str, ...]] = {
    "onnxruntime": (),
    "onnxruntime-cuda": ("onnxruntime-gpu",),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": ("tensorrt-rtx",),
}


def write_bill(folder: Path, manifest: Manifest) -> None:
    """Into the engine folder; no part of the payload."""
    payload = [
        (f"{where}/{each.name}".lstrip("/"), each.sha256) for where, each in manifest.files()
    ]
    roots = (*_ALWAYS, *_COMPILERS[manifest.target.backend])
    files.write_json(folder / bill.ENGINE_BILL, bill.of_engine(name_of(manifest), payload, roots))
