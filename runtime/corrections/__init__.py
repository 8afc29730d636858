"""What people correct in a finished map: kept beside it, and counted with it."""

from __future__ import annotations

from runtime.corrections.finished_map import Building
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
