"""What every weight must be, wherever weights enter or are written: a dense tensor of finite
numbers, and a variance that is none below 0.

A network with a NaN in it never fails: its logits compare as false everywhere, and a town is
mapped without a building.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from runtime.errors import CheckpointError

VARIANCE = ("running_var", "exp_avg_sq")
"""Ends of the names of what a root is drawn of: batch norm's, and the optimiser's."""


def check_weights(where: object, weights: Mapping[str, Any], advice: str) -> None:
    """Every entry of `weights` is sound.

    Args:
        where: what begins the message: a file.
        advice: what to do, the message's end.
    Raises:
        CheckpointError: names the first entry that is not, what it is, and how many are.
    """
    faults = {name: fault for name, each in weights.items() if (fault := fault_of(name, each))}
    if faults:
        name, fault = next(iter(faults.items()))
        count = f", {len(faults)} of {len(weights)} tensors in all" if len(faults) > 1 else ""
        raise CheckpointError(f"{where}: {name} {fault}{count}; {advice}")


def fault_of(name: object, value: Any) -> str | None:
    """Why this is no weight, to follow its name; None if it is one."""
    if not isinstance(name, str):
        return f"is a key of type {type(name).__name__}, expected a name"
    return storage_fault(value) or _value_fault(name, value)


def storage_fault(value: Any) -> str | None:
    """What keeps it from being read as plain numbers."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, expected a tensor"
    if value.is_meta:
        return "has no values (it is on device meta)"
    if value.is_quantized:
        return f"is quantised ({_dtype(value)}), expected floating point"
    if value.layout is not torch.strided:
        return f"is stored as {str(value.layout).removeprefix('torch.')}, expected a dense tensor"
    return None


def _value_fault(name: str, tensor: Tensor) -> str | None:
    if not tensor.is_floating_point() and not tensor.is_complex():
        return None
    finite = tensor.detach().isfinite()
    if not finite.all():
        bad = int((~finite).sum())
        return f"has {bad} of {tensor.numel()} values that are NaN or infinite"
    if name.endswith(VARIANCE) and (tensor < 0).any():
        return f"is a variance below 0 ({tensor.min().item():g})"
    return None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def tensors_in(content: Any, name: str = "") -> dict[str, Tensor]:
    """Every tensor inside nested dicts, lists and tuples, by its place: `state.0.exp_avg`.

    A container that is there twice, or within itself, is looked into once.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting = [(name, content)]  # no recursion: a file may nest deeper than Python follows
    while waiting:
        place, each = waiting.pop()
        if isinstance(each, Tensor):
            found[place] = each
            continue
        if not isinstance(each, Mapping | list | tuple) or id(each) in seen:
            continue
        seen.add(id(each))
        items = list(each.items() if isinstance(each, Mapping) else enumerate(each))
        waiting += [(f"{place}.{key}" if place else str(key), item) for key, item in items[::-1]]
    return found
