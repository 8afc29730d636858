"""TensorRT engines: refused for the right reason.

An engine is compiled for one platform and one compute capability; it is compared
with this machine first, since no version of the runtime can help with those.
"""

from __future__ import annotations

from pathlib import Path

from runtime import host
from runtime.backends import Backend
from runtime.errors import BackendError, TargetMismatchError
from runtime.manifest import Manifest


def open_tensorrt(manifest: Manifest, folder: Path) -> Backend:
    """Raises TargetMismatchError for another device, BackendError otherwise."""
    target = manifest.target
    manifest.payload_path(folder, "engine.plan")
    rebuild = f"rebuild on this machine with {manifest.rebuild_command(folder)}"
    here = host.platform_name()
    if target.platform != here:
        raise TargetMismatchError(
            f"{folder}: a {target.backend} engine built for {target.platform}, "
            f"this machine is {here}; {rebuild}"
        )
    gpu = host.compute_capability()
    if None not in (gpu, target.compute_capability) and gpu != target.compute_capability:
        raise TargetMismatchError(
            f"{folder}: a {target.backend} engine built for compute capability "
            f"{target.compute_capability}, this GPU has {gpu}; {rebuild}"
        )
    raise BackendError(
        f"{folder}: a {target.backend} {target.version} {manifest.precision} engine for compute "
        f"capability {target.compute_capability or 'unknown'}, which this version of the runtime "
        "cannot execute; engines built with --target onnxruntime or --target openvino run"
    )
