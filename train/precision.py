"""Which number format the forward pass runs in: the hardware's, unless one is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from runtime.errors import ConfigError
from train.distributed import World

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""For `torch.autocast`; None for none."""

_FASTER = ("amx_bf16", "avx512_bf16")
"""Instructions with which PyTorch trains faster in bf16: measured with the latter, on two cores
of Zen 4, `sample.yaml` 1.7 and `demo.yaml` 2.5 times. Without them it is 2 to 7 times slower."""

_INSTRUCTIONS = {
    "bf16": {*_FASTER, "bf16", "sve_bf16"},
    "fp16": {"amx_fp16", "avx512_fp16", "fp16_arith", "asimdhp"},
}
"""Of processors, by PyTorch's names and by Linux's."""

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Precision:
    name: str
    why: str
    """In one line."""

    @property
    def dtype(self) -> torch.dtype | None:
        return DTYPES[self.name]

    @property
    def record(self) -> str:
        """As a checkpoint keeps it."""
        return str(self.dtype)


RECORDS = {str(dtype): name for name, dtype in DTYPES.items()}


def choose_precision(
    asked: Literal["auto", "fp32", "bf16", "fp16"], world: World, began: str | None = None
) -> Precision:
    """The same on every rank.

    Args:
        asked: auto follows the hardware; where the ranks' differ, what all of them have.
        began: `Precision.record` of the run that goes on; auto keeps to it.
    Raises:
        ConfigError: bf16 on a GPU that does not compute in it.
    """
    if asked != "auto":
        return _given(asked, "asked for", world)
    if began is not None:
        return _given(RECORDS[began], "as the run began", world)
    wanted = world.gather(_of_hardware(world.device))
    names = {each.name for each in wanted}
    if len(names) == 1:
        return wanted[0]
    name = "fp32" if "fp32" in names else "fp16"
    return Precision(name, f"the hardware of the processes differs: {', '.join(sorted(names))}")


def processor_flags(cpuinfo: Path | None = None) -> frozenset[str]:
    """Instruction sets of this processor, as PyTorch says, or Linux where PyTorch is older."""
    said = getattr(torch.cpu, "get_capabilities", None)
    if said is not None and cpuinfo is None:
        return frozenset(name for name, value in said().items() if value is True)
    try:
        text = (cpuinfo or _CPUINFO).read_text()
    except OSError:
        return frozenset()
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(line[1].split()) if line else frozenset()


def _given(name: str, why: str, world: World) -> Precision:
    """`name`, with a remark where a rank computes in it slowly."""
    slow = [each for each in world.gather(_drawback(name, world.device)) if each]
    return Precision(name, f"{why}; {slow[0]}" if slow else why)


def _drawback(name: str, device: torch.device) -> str | None:
    if device.type == "cuda":
        if name == "bf16" and not _gpu_has_bf16():
            raise ConfigError(
                "optim.precision=bf16, or a run that began with it: this GPU has no bfloat16; use "
                "another GPU, or begin a run with fp16 or auto"
            )
        return None
    if name == "fp32" or processor_flags() & _INSTRUCTIONS[name]:
        return None
    return (
        f"this processor has no {name} instructions, which makes a step several times slower "
        "than in fp32"
    )


def _of_hardware(device: torch.device) -> Precision:
    if device.type == "cuda":
        if _gpu_has_bf16():
            return Precision("bf16", "this GPU computes in it")
        return Precision("fp16", "this GPU has no bfloat16; the loss is scaled")
    found = [each for each in _FASTER if each in processor_flags()]
    if found and torch.backends.mkldnn.is_available():
        return Precision("bf16", f"this processor has {found[0]}")
    return Precision("fp32", f"this processor has no {' or '.join(_FASTER)}")


def _gpu_has_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)
