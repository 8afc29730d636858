"""What a finished map's corrections and estimate say, in lines for wherever it is summed up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime import records
from runtime.corrections.aside import NAMES, origin
from runtime.corrections.store import Corrections
from runtime.errors import ConfigError


def lines(folder: Path) -> list[str]:
    """None where nobody corrected, sampled or estimated anything."""
    if not any((folder / name).exists() for name in NAMES):
        return []
    try:
        corrections = Corrections(folder)
        number, mapped, corrected = corrections.count(), corrections.mapped(), corrections.totals()
    except ConfigError as error:
        return [f"corrections by hand are not counted: {error}"]
    found = []
    if number:
        names = [name for name in corrected if mapped.get(name, 0) or corrected[name]]
        raw = ", ".join(f"{mapped.get(name, 0)} {name}" for name in names)
        now = ", ".join(f"{corrected[name]} {name}" for name in names)
        found.append(f"{number} corrections by hand: mapped {raw}; corrected {now}")
    estimate = _estimate(folder, corrections.map.sha256)
    if estimate:
        level = f"{100 * estimate['level']:g} %"
        classes = ", ".join(
            f"{row['estimate']:.0f} {name} ({row['low']:.0f} to {row['high']:.0f})"
            for name, row in estimate["classes"].items()
        )
        found.append(f"estimate from {estimate['checked']} checked ones, {level}: {classes}")
        if estimate["corrections"] != number:
            found.append("corrections were made since that estimate; estimate again")
    return found


def _estimate(folder: Path, sha256: str) -> dict[str, Any] | None:
    path = folder / "estimate.json"
    if not path.exists() or origin(path) != sha256:
        return None
    try:
        content = records.load_json(path)
    except (OSError, records.RecordError):
        return None
    wanted = {"classes", "level", "checked", "corrections"}
    return content if isinstance(content, dict) and wanted <= content.keys() else None
