"""Engine folders as a benchmark sees them: which one it is, and whether it runs here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import files
from runtime.errors import BackendError, TargetMismatchError
from runtime.manifest import FILE_NAME, RAN, Manifest

if TYPE_CHECKING:
    from runtime.engine import Engine

FLOORLESS = (
    *("--floor-pixels", 0, "--floor-agreement", 0),
    *("--floor-f1", 0, "--floor-probability", 1),
)
"""For `export.build_engine` and `export.to_onnx`, of weights that are random or have learned
nothing: they need not show every class, and their labels lie close to ties."""


def name_of(folder: Path) -> str:
    """The folder's own name, also of "." and "x/.."."""
    return folder.resolve().name


def identify(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Which engine a figure belongs to, JSON-ready.

    `manifest_sha256` tells two builds of one name apart: the manifest holds the
    payload's hashes and the time it was built.
    """
    target, size = manifest.target, manifest.input
    return {
        "name": name_of(folder),
        "backend": target.backend,
        "version": target.version,
        "precision": manifest.precision,
        "height": size.height,
        "width": size.width,
        "graph_sha256": manifest.graph.sha256,
        "checkpoint_sha256": manifest.model.checkpoint_sha256,
        "calibration": manifest.calibration,
        "manifest_sha256": files.sha256(folder / FILE_NAME),
    }


def open_or_reason(folder: Path, threads: int | None = None) -> Engine | str:
    """The loaded engine; or, of one that was never run, the reason why it cannot be here.

    Raises what `load_engine` raises for an engine that did run where it was built: that
    it fails here is a fault, not a property of it.
    """
    from runtime.engine import load_engine

    try:
        return load_engine(folder, threads)
    except (BackendError, TargetMismatchError) as error:
        if Manifest.read(folder).verification.get("status") == RAN:
            raise
        return str(error)
