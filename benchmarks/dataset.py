"""The labelled split that figures are taken on: its description, and its richest tiles."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import files
from runtime.damage import DAMAGE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.xbd import Tile

_VISIBLE = 16
"""Pixels from which a class counts as present in a tile."""


def describe_data(root: Path, split: str, tiles: Sequence[Tile]) -> dict[str, Any]:
    """JSON-ready. Two figures compare only where `fingerprint` is the same."""
    return {
        "name": root.resolve().name,
        "split": split,
        "tiles": len(tiles),
        "disasters": dict(sorted(Counter(tile.disaster for tile in tiles).items())),
        "fingerprint": fingerprint(tiles),
    }


def fingerprint(tiles: Sequence[Tile]) -> str:
    """sha256 over the names and contents of every image and label, in order of name."""
    digest = hashlib.sha256()
    for tile in sorted(tiles, key=lambda each: each.name):
        for path in (tile.pre, tile.post, tile.pre_label, tile.post_label):
            if path is not None:
                digest.update(f"{path.name} {files.sha256(path)}\n".encode())
    return digest.hexdigest()


def richest(tiles: Sequence[Tile], count: int) -> list[Tile]:
    """The tiles with most damage classes; among equals, those whose rarest class is largest."""
    return sorted(tiles, key=_richness, reverse=True)[:count]


def _richness(tile: Tile) -> tuple[int, int, str]:
    import numpy as np

    pre, _ = tile.images()
    _, damage = tile.targets(*pre.shape[:2])
    areas = np.bincount(damage.ravel(), minlength=256)[list(DAMAGE_CLASSES)]
    present = areas[areas >= _VISIBLE]
    return len(present), int(present.min(initial=damage.size)), tile.name
