"""What a finished map's corrections and estimate say, in lines for wherever it is summed up."""

from __future__ import annotations

from pathlib import Path

from runtime.corrections.aside import NAMES
from runtime.corrections.store import Corrections
from runtime.counts import estimate_file
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
    try:
        estimate = estimate_file.read(folder, corrections.map.summary)
    except ConfigError as error:
        return [*found, f"the estimate is not told: {error}"]
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
