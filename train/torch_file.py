"""Files of tensors that others may have made: read without executing anything.

`torch.load` with `weights_only=True`, always, and nothing is added to what that allows: an
object of another kind is named, and how to save the tensors without it.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from runtime.errors import CheckpointError, reason

ALONE = (
    "save the tensors alone where the file was made: "
    "torch.save({'state_dict': network.state_dict()}, FILE)"
)
SAFETENSORS = ".safetensors"
_SHOWN = 4
_NAMED = re.compile(r"GLOBAL (\S+) (?:was not an allowed|whose module)")
_OBJECTS = 16 << 20
"""Bytes at a file's start. What is pickled lies before the numbers, and is far smaller."""


def read_torch_file(
    path: Path,
    absent: str = "no such checkpoint; expected a file written by `python -m train`",
    unreadable: str = "not a readable checkpoint",
    advice: str = "it is truncated or of another program",
) -> Any:
    """What `torch.save` wrote, its tensors on the CPU; failures as one line in the caller's words.

    Raises:
        CheckpointError: missing, damaged, or with an object in it that is no plain data.
    """
    if not path.is_file():
        what = "a folder; expected a file" if path.is_dir() else absent
        raise CheckpointError(f"{path}: {what}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what becomes of the file is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # the unpickler fails in whatever way the bytes suggest
        if foreign := _foreign_objects(path, error):
            names = ", ".join(foreign[:_SHOWN])
            more = len(foreign) - _SHOWN
            raise CheckpointError(
                f"{path}: {unreadable}: holds objects of {names}"
                f"{f' and {more} more' if more > 0 else ''}, and loading those could run code; "
                f"{ALONE}"
            ) from error
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path}: {unreadable}: a TorchScript program; {ALONE}"
            ) from error
        # PyTorch's message begins and ends with how to switch the protection off.
        why = reason(error).rpartition("WeightsUnpickler error: ")[2]
        why = why.partition(" Check the documentation")[0][:120]
        raise CheckpointError(f"{path}: {unreadable} ({why}); {advice}") from error


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file.

    Raises:
        CheckpointError: missing or damaged, or the package that reads them is missing.
    """
    try:
        import safetensors
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path}: reading it needs the package safetensors, which is not installed; "
            "pip install safetensors"
        ) from error
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected published weights ({SAFETENSORS})")
    try:
        return load_file(path)
    except OSError:
        raise
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: not readable as safetensors ({reason(error)[:120]}); it is damaged or of "
            "another format; fetch it again"
        ) from error


def _foreign_objects(path: Path, error: Exception) -> list[str]:
    """Classes and functions that the file wants and `weights_only` does not give, by name."""
    if not isinstance(error, pickle.UnpicklingError):
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # in files of PyTorch before 1.6, and in damaged ones
        return [name for name in _NAMED.findall(str(error)) if _is_whole(path, name)]


def _is_whole(path: Path, name: str) -> bool:
    """Whether the name stands in the file, or a file cut off inside of a longer one."""
    module, _, attribute = name.rpartition(".")
    with path.open("rb") as file:
        return f"{module}\n{attribute}\n".encode() in file.read(_OBJECTS)
