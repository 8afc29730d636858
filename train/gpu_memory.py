"""What a GPU's memory does not hold, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from runtime.errors import ToolkitError


@contextlib.contextmanager
def room_for(what: str, advice: str) -> Iterator[None]:
    """Raises: ToolkitError, where the block asks a GPU for more memory than it has."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ToolkitError(f"the GPU's memory does not hold {what}; {advice}") from error
