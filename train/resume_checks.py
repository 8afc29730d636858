"""Is what a run goes on from what the run wrote? An altered place or rate would go on unseen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from train.precision import RECORDS

_TYPES: dict[str, type | tuple[type, ...]] = {
    **{
        "batches": int,
        "best_score": (float, int),
        "world_size": int,
        "tiles": str,
        "precision": str,
    },
    **{"random_states": list, "learner": dict},
}
_CHOSEN = ("lr", "betas", "eps", "weight_decay", "momentum")
"""Of an optimiser's settings, those that every version of PyTorch keeps."""
MEANS = ("foreach", "fused")
"""How an optimiser computes: the affair of whoever goes on, not the checkpoint's."""
_STATES = ({"step", "exp_avg", "exp_avg_sq"}, {"momentum_buffer"}, set())
"""What Adam, SGD and SGD without momentum hold of a parameter."""


def fault_of_types(saved: Mapping[str, Any]) -> str | None:
    """What is wrong with the types of `Checkpoint.resume`, and with its number format, in words;
    None if nothing is."""
    for key, kind in _TYPES.items():
        if not isinstance(saved[key], kind) or isinstance(saved[key], bool):
            return f"its {key} is a {type(saved[key]).__name__}"
    if saved["precision"] not in RECORDS:
        return f"its precision is {saved['precision'][:80]}, expected {', '.join(RECORDS)}"
    return None


def fault_of_place(
    epoch: int, batches: int, step: int, best_score: float, *, epochs: int, steps: int, window: int
) -> str | None:
    """Why no run of this configuration can have come there; None if it can.

    Args:
        epochs: of the whole run.
        steps: batches an epoch.
        window: batches to an optimiser step.
    """
    if not 0 <= epoch <= epochs:
        return f"its epoch is {epoch}, expected 0 to {epochs}"
    if not 0 <= batches <= steps or batches % window:
        return f"its batches are {batches}, expected 0 to {steps}, a multiple of {window}"
    if step != (done := (epoch * steps + batches) // window):
        return f"its step is {step}, expected {done} after {epoch} epochs and {batches} batches"
    if not (best_score == -1 or 0 <= best_score <= 1):  # NaN is neither
        return f"its best_score is {best_score}, expected 0 to 1, or -1 before the first score"
    return None


def fault_of_optimizer(saved: Mapping[str, Any], fresh: torch.optim.Optimizer) -> str | None:
    """What in an optimiser's state dict is not that of `fresh` after some steps.

    The state's tensors are compared with the parameters in `fault_of_moments`, once loaded.
    """
    groups, wanted = saved["param_groups"], fresh.state_dict()["param_groups"]
    if len(groups) != len(wanted):
        return f"its optimiser has {len(groups)} groups, expected {len(wanted)}"
    for found, group in zip(groups, wanted, strict=True):
        if missing := [key for key in _CHOSEN if key in group and key not in found]:
            return f"its optimiser has no {', '.join(missing)}"
        for key in sorted(group.keys() & found.keys() - {"lr", *MEANS}):  # lr is set by each step
            if _plain(found[key]) != _plain(group[key]):
                return f"its optimiser's {key} is {str(found[key])[:80]}, expected {group[key]}"
        rate = found["lr"]
        if not isinstance(rate, int | float) or not 0 < rate < math.inf:
            return f"its optimiser's lr is {str(rate)[:80]}, expected a number above 0"
    return None


def fault_of_moments(optimizer: torch.optim.Optimizer) -> str | None:
    """What of its state would not fit the parameters at the next step."""
    for parameter, state in optimizer.state.items():
        if set(state) not in _STATES:
            return f"its optimiser holds {', '.join(map(str, state)) or 'nothing'} of a parameter"
        for name, each in state.items():
            if each is None and name == "momentum_buffer":
                continue
            if not isinstance(each, Tensor):
                return f"its optimiser's {name} is a {type(each).__name__}, expected a tensor"
            wanted = torch.Size([]) if name == "step" else parameter.shape
            if each.shape != wanted:
                return f"its optimiser's {name} is {tuple(each.shape)}, expected {tuple(wanted)}"
            # 0 where loss scaling has left out every step so far.
            if name == "step" and not each.item() >= 0:
                return f"its optimiser's step is {each.item():g}, expected 0 or more"
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
