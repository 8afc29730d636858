"""The tensors of every engine, compared with what a library found in the payload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import BackendError, EngineError
from runtime.manifest import Input, Manifest

INPUTS = ("pre", "post")
OUTPUTS = ("damage", "building", "confidence")

Found = Mapping[str, tuple[str, tuple[int | None, ...]]]
"""dtype and shape by tensor name; None where a dimension is dynamic."""


def check_tensors(inputs: Found, outputs: Found, manifest: Manifest, path: Path) -> None:
    """BackendError at the first tensor that the caller could not use as the manifest says."""
    size = manifest.input
    for kind, names, found, channels in (
        ("input", INPUTS, inputs, (3,)),
        ("output", OUTPUTS, outputs, ()),
    ):
        again = f"rebuild with {manifest.rebuild_command(path.parent)}"
        if set(found) != set(names):
            raise BackendError(
                f"{path}: {kind}s are {', '.join(sorted(found))}; "
                f"expected {', '.join(names)}; {again}"
            )
        for name, (dtype, shape) in found.items():
            if dtype != "uint8" or not _fits(shape, size, channels):
                dims = ",".join("?" if dim is None else str(dim) for dim in shape)
                wanted = ",".join(str(dim) for dim in ("N", size.height, size.width, *channels))
                raise BackendError(
                    f"{path}: {kind} {name} is {dtype} [{dims}]; expected uint8 [{wanted}] "
                    f"with N from {size.batch.min} to {size.batch.max}; {again}"
                )


def check_finite(
    constants: Iterable[tuple[str, NDArray[Any]]], manifest: Manifest, path: Path
) -> None:
    """EngineError at the first of an engine's constants, by name, that holds NaN or infinity.

    Its maps would not be computed from the images, and nothing in them need show it: a NaN
    becomes 0, no building, or is taken for 0 by an activation.
    """
    for name, values in constants:
        # A sum is finite only where each term is, and is found in a fraction of the time.
        with np.errstate(all="ignore"):
            finite = np.isfinite(values.sum()) or np.isfinite(values).all()
        if not finite:
            raise EngineError(
                f"{path}: its weights {name!r} hold NaN or infinity; expected finite weights; "
                f"rebuild from a sound checkpoint with {manifest.rebuild_command(path.parent)}"
            )


def _fits(shape: tuple[int | None, ...], size: Input, channels: tuple[int, ...]) -> bool:
    """Output dimensions may be unknown before a run: shape inference is not complete."""
    if len(shape) != 3 + len(channels):
        return False
    batch, *rest = shape
    if batch is not None and (size.batch.min, size.batch.max) != (batch, batch):
        return False
    expected = (size.height, size.width, *channels)
    return all(dim in (None, want) for dim, want in zip(rest, expected, strict=True))
