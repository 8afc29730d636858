"""A record of the tiles that were checked, so that a start checks those alone that are new.

A tile is taken as checked while its four files are, by size and by the times of their last
change, those that were checked. The second of these times is the system's own: also a file that
is put in place with its old date, or with the same length, is checked again.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime import files
from train import masks
from train.xbd import Tile

FORMAT = f"checked/1 {masks.FORMAT}"
"""To be raised when what is checked, or what is kept of it, changes: old records do not count."""

_SETTLED_SECONDS = 2.0
"""Two changes within the resolution of a file's times (2 s on FAT) are one to who looks later, so
what is younger is not recorded."""


@dataclass(frozen=True, eq=False)  # an array in it has no single truth value
class TileFacts:
    """What was found of a tile that can be used."""

    tile: Tile
    height: int
    width: int
    pixels: np.ndarray
    """Pixels per damage class, int64 [5]; un-classified ones are not counted."""
    buildings: int
    """Pixels of the building target."""
    content: str
    """Fingerprint of both images' pixels, whatever the files are named or how they are stored."""
    targets: str
    """Fingerprint of both targets' pixels."""
    alike: bool
    """Whether the image after is the one before."""
    outside: Path | None = None
    """A label of footprints that all lie outside of the tile."""
    pixel_m: float | None = None
    """See `train.ground`."""


class CheckRecord:
    """Files of lines, one a tile, in a folder that processes, runs and data sets may share.

    A file is written once and never changed, so several may write at a time; a line that is
    damaged does not count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read(self) -> dict[str, str]:
        """Line by key."""
        found: dict[str, str] = {}
        for path in sorted(self.folder.glob("*.checked")):
            try:
                lines = path.read_text(errors="replace").splitlines()
            except OSError:  # as if it were not there: the tiles are checked
                continue
            for line in lines:
                checksum, _, text = line.partition(" ")
                if checksum == _checksum(text):
                    found[text[: text.find(" ")]] = text
        return found

    def add(self, checked: Sequence[tuple[str, TileFacts]]) -> None:
        """Keep what was found, by key."""
        lines = [_line(key, facts) for key, facts in checked]
        content = "".join(f"{_checksum(line)} {line}\n" for line in lines).encode()
        if content:
            name = hashlib.sha256(content).hexdigest()[:32]
            files.write_bytes(self.folder / f"{name}.checked", content)


def key_of(tile: Tile) -> str:
    """Of the tile's files as they are now.

    Raises:
        OSError: one is not there.
    """
    return _state(tile)[0]


def settled_key_of(tile: Tile) -> str | None:
    """`key_of`, where a later change of the files would have another; None where it may not."""
    try:
        key, changed = _state(tile)
    except OSError:
        return None
    return key if time.time() - changed > _SETTLED_SECONDS else None


def facts_of(tile: Tile, line: str) -> TileFacts:
    """What was found of the tile; `line` is that of its key."""
    height, width, pixels, buildings, content, targets, alike, outside, pixel_m = json.loads(
        line[line.find(" ") :]
    )
    return TileFacts(
        tile,
        height,
        width,
        np.array(pixels, np.int64),
        buildings,
        content,
        targets,
        alike,
        None if outside is None else tile.labels[outside],
        pixel_m,
    )


def _line(key: str, facts: TileFacts) -> str:
    outside = None if facts.outside is None else facts.tile.labels.index(facts.outside)
    found = [
        *(facts.height, facts.width, facts.pixels.tolist(), facts.buildings),
        *(facts.content, facts.targets, facts.alike, outside, facts.pixel_m),
    ]
    return f"{key} {json.dumps(found)}"


def _state(tile: Tile) -> tuple[str, float]:
    """The key, and when one of the files last changed, seconds."""
    parts, changed = [FORMAT, tile.name], 0
    for path in (tile.pre, tile.post, *tile.labels):
        status = path.stat()
        parts += [path.name, f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"]
        changed = max(changed, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.sha256(
        "\0".join(parts).encode(errors="surrogateescape")
    ).hexdigest(), changed / 1e9


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode(errors='replace')):08x}"
