"""Counts that can be defended: a sample of a map to check, and totals with intervals from it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.counts.drawing import draw
    from runtime.counts.estimate_file import ESTIMATE
    from runtime.counts.sample import Sample
    from runtime.counts.sample_file import SAMPLE
    from runtime.counts.totals import estimate

_WHERE = {
    "ESTIMATE": "estimate_file",
    "SAMPLE": "sample_file",
    "Sample": "sample",
    "draw": "drawing",
    "estimate": "totals",
}

__all__ = ["ESTIMATE", "SAMPLE", "Sample", "draw", "estimate"]


def __getattr__(name: str) -> Any:
    """When it is asked for: the command's help needs none of the libraries."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
