"""Which number format the forward pass runs in."""

from __future__ import annotations

from typing import Literal

import torch

from runtime.errors import ConfigError


def autocast_dtype(
    precision: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device
) -> torch.dtype | None:
    """The dtype for `torch.autocast`, or None for none.

    Raises:
        ConfigError: bf16 on a GPU that does not compute in it.
    """
    gpu = device.type == "cuda"
    has_bf16 = not gpu or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        if not gpu:
            return None
        return torch.bfloat16 if has_bf16 else torch.float16
    if precision == "bf16" and not has_bf16:
        raise ConfigError("optim.precision=bf16: this GPU has no bfloat16; use fp16 or auto")
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
