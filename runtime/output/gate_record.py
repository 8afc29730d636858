"""What a gate left out of a map: for summary.json, and for the metadata of the confidence map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.manifest import WindowGate
from runtime.scene.unfinished import Skipped


def record_of(gate: WindowGate, skipped: Sequence[Skipped]) -> dict[str, Any]:
    """JSON values. `skipped` are row, column, height and width, pixels of the scene, and how many
    windows that are."""
    return {
        "checkpoint_sha256": gate.model.checkpoint_sha256,
        "threshold": gate.threshold,
        "misses": gate.misses,
        "windows_skipped": sum(each.windows for each in skipped),
        "skipped": [
            [each.row, each.column, each.height, each.width, each.windows] for each in skipped
        ],
    }


def skipped_of(record: Mapping[str, Any]) -> list[Skipped]:
    """Those of `record_of`."""
    return [Skipped(*each) for each in record["skipped"]]


def tags_of(record: Mapping[str, Any] | None) -> dict[str, str]:
    """Metadata of the confidence map: there the confidence is the gate's. Empty without a gate."""
    if record is None:
        return {}
    return {
        "GATE_CHECKPOINT_SHA256": record["checkpoint_sha256"],
        "GATE_THRESHOLD": str(record["threshold"]),
        "GATE_WINDOWS_SKIPPED": str(record["windows_skipped"]),
        "GATE_SKIPPED": json.dumps([each[:4] for each in record["skipped"]]),
    }
