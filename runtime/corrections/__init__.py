"""What people correct in a finished map: kept beside it, and counted with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.corrections.building import Building
    from runtime.corrections.store import (
        CORRECTIONS,
        DAMAGE_NAMES,
        NEW_CLASSES,
        NOT_A_BUILDING,
        Correction,
        Corrections,
    )

__all__ = [
    "CORRECTIONS",
    "DAMAGE_NAMES",
    "NEW_CLASSES",
    "NOT_A_BUILDING",
    "Building",
    "Correction",
    "Corrections",
]


def __getattr__(name: str) -> Any:
    """When it is asked for: the command's help needs none of the libraries."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    where = "building" if name == "Building" else "store"
    return getattr(import_module(f"{__name__}.{where}"), name)
