"""The manifest of the engine that made a map, where its folder is still here."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import ManifestError
from runtime.finished.folder import FinishedMap
from runtime.manifest import Manifest


def manifest_of(map_: FinishedMap) -> Manifest | None:
    """None where the folder is gone, or holds another engine by now."""
    engine = map_.summary["engine"]
    try:
        found = Manifest.read(Path(engine["folder"]))
    except (ManifestError, OSError):
        return None
    same = (
        found.graph.sha256 == engine["graph_sha256"]
        and found.model.checkpoint_sha256 == engine["checkpoint_sha256"]
        and found.created == engine["created"]
    )
    return found if same else None
