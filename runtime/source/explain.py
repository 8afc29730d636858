"""Why a scene has not one known pixel: which image, and which of its masks."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.errors import ImageError
from runtime.source.contract import Source
from runtime.source.pair import ScenePair

_STEP = 1024
"""Pixels a side of what is looked at, at a time."""


def why_unknown(pair: ScenePair) -> str:
    """The scene is read once more for it, as often as there is nothing else to do with it."""
    causes = [cause for source in (pair.pre, pair.post) if (cause := _cause(source))]
    if causes:
        return "; ".join(causes)
    return (
        f"{pair.post.path} and {pair.pre.path} have no pixel that is known in both: what one shows "
        "is no data in the other; expected images of one place"
    )


def _cause(source: Source) -> str | None:
    """What leaves nothing of an image; None: something is left."""
    leaves: dict[str, bool] = {}
    alone: dict[str, str] = {}
    for window in _windows(source):
        try:
            masks = list(source.masks(*window))
        except ImageError:
            continue
        left = None
        for mask in masks:
            left = mask.known if left is None else left & mask.known
            leaves[mask.name] = leaves.get(mask.name, False) or bool(mask.known.any())
            alone[mask.name] = mask.alone
        if left is None or left.any():
            return None
    # A mask that a window lacks has nothing against it, but none was without all.
    guilty = [alone[name] for name, some in leaves.items() if not some]
    why = ", ".join(guilty) or f"its masks ({', '.join(leaves)}) leave nothing together"
    return f"{source.path}: not one pixel is known: {why}; expected an image that shows the ground"


def _windows(source: Source) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, source.height, _STEP):
        for left in range(0, source.width, _STEP):
            yield top, left, min(_STEP, source.height - top), min(_STEP, source.width - left)
