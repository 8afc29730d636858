"""What an engine answered when it was built, on a pair that every install has.

The pair is the example's, repeated to the engine's size. Of the damage map a grid of pixels is kept
in the manifest (`verification.known_answer`), so that a device can ask its engine again: other
processors round differently, so a few pixels at ties may differ, and no more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.damage import DAMAGE_CLASSES

KEY = "known_answer"
FLOOR = 0.97
"""Share of the grid's building pixels with the same label, below which it is another answer."""

_GRID = 64
_IMAGES = [Path(__file__).parent / "example" / f"{name}.png" for name in ("pre", "post")]

Maps = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


class UnknownAnswerError(ValueError):
    """There is no answer to compare with; the message says why."""


@dataclass(frozen=True)
class Compared:
    """An answer beside the recorded one."""

    agreement: float
    """Share of the grid's pixels that either calls a building; of all where neither has one."""
    buildings: int
    """Pixels of the grid that the recorded answer calls a building."""

    @property
    def same(self) -> bool:
        return self.agreement >= FLOOR


def known_pair(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Before and after, uint8 [height,width,3], the same on every machine."""
    from runtime.source.picture import read_pair

    pre, post = (_repeated(image, height, width) for image in read_pair(*_IMAGES))
    return pre, post


def recorded(run: Callable[..., Maps], height: int, width: int) -> dict[str, Any]:
    """JSON values: what `run` says of the pair."""
    pre, post = known_pair(height, width)
    damage = run(pre, post)[0]
    labels = zlib.compress(_grid(damage).tobytes(), 9)
    return {
        "pair": _name_of(pre, post),
        "damage": base64.b64encode(labels).decode(),
        "counts": np.bincount(damage.ravel(), minlength=DAMAGE_CLASSES[-1] + 1).tolist(),
    }


def compared(run: Callable[..., Maps], record: Any, height: int, width: int) -> Compared:
    """What `run` says now, beside the record.

    Raises:
        UnknownAnswerError: there is no record, or it is of another pair.
    """
    if not isinstance(record, Mapping):
        raise UnknownAnswerError("its manifest records no answer")
    pre, post = known_pair(height, width)
    if record.get("pair") != _name_of(pre, post):
        raise UnknownAnswerError("its answer was recorded on another pair than this release has")
    shape = _grid(np.empty((height, width), np.uint8)).shape
    try:
        labels = zlib.decompressobj().decompress(
            base64.b64decode(record["damage"], validate=True), _GRID * _GRID + 1
        )
        then = np.frombuffer(labels, np.uint8).reshape(shape)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise UnknownAnswerError("its recorded answer cannot be read") from error
    now = _grid(run(pre, post)[0])
    looked_at = (then > 0) | (now > 0)
    if not looked_at.any():
        looked_at[...] = True
    return Compared(float((then == now)[looked_at].mean()), int((then > 0).sum()))


def _grid(damage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = (
        np.linspace(0, side - 1, min(side, _GRID)).round().astype(int) for side in damage.shape
    )
    return np.ascontiguousarray(damage[np.ix_(rows, columns)])


def _repeated(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    times = (-(-height // image.shape[0]), -(-width // image.shape[1]), 1)
    return np.ascontiguousarray(np.tile(image, times)[:height, :width])


def _name_of(pre: NDArray[np.uint8], post: NDArray[np.uint8]) -> str:
    """sha256 of the pixels of both."""
    return hashlib.sha256(pre.tobytes() + post.tobytes()).hexdigest()
