"""Run a building damage engine: no PyTorch, no ONNX, one inference library.

    from runtime import load_engine
    with load_engine("artifacts/w48-int8") as engine:
        result = engine.predict(pre, post)      # uint8 HxWx3 each
        result.damage, result.building, result.confidence

Importing this package loads nothing heavy: NumPy arrives with the first name
taken from it, and an inference library with the first engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.engine import Engine, Prediction, load_engine

__all__ = ["Engine", "Prediction", "load_engine"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("runtime.engine"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
