"""The clock: certificates, the order of maps and health.json depend on it."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from runtime.doctor.finding import Asked, Finding, Findings
from runtime.records import RecordError, load_json

CHECK = "clock"
APART = 60.0
"""Seconds between the clock and that of a file system from which on it is told."""
DAY = 86_400.0
EARLIEST = datetime(2026, 11, 1, tzinfo=timezone.utc).timestamp()
"""No release is older."""
MEND = "sudo timedatectl set-ntp true (or sudo date --set 'YYYY-MM-DD hh:mm')"


def check(asked: Asked) -> Findings:
    now = time.time()
    made = max(EARLIEST, _installed(), _built(asked.engine))
    if now < made - DAY:
        yield Finding(
            CHECK, "problem", f"the clock says {_day(now)}, and what is installed here was made on "
            f"{_day(made)}", MEND,
        )  # fmt: skip
    else:
        yield Finding(CHECK, "ok", f"{_day(now)}, after all that is installed")
    for place in dict.fromkeys(each for each in (asked.out, asked.inbox) if each):
        yield from _beside_files(place)


def _installed() -> float:
    """When the package's newest file was written."""
    return max(path.stat().st_mtime for path in Path(__file__).parents[1].glob("*.py"))


def _built(engine: Path | None) -> float:
    try:
        created = load_json(engine / "manifest.json")["created"] if engine else None
        return datetime.fromisoformat(created).timestamp() if created else 0.0
    except (OSError, RecordError, LookupError, TypeError, ValueError):
        return 0.0


def _beside_files(place: Path) -> Findings:
    """What a file that is written now is dated: a network disk has a clock of its own."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".", suffix=".partial", dir=place) as file:
            file.write(b"x")
            file.flush()
            apart = abs(os.fstat(file.fileno()).st_mtime - time.time())
    except OSError:
        yield Finding(CHECK, "not checked", f"{place}: nothing can be written there to look at")
        return
    if apart > APART:
        yield Finding(
            CHECK, "problem", f"{place}: files written now are dated {apart:.0f} s away from the "
            "clock, so that watch cannot tell old ones from new", MEND,
        )  # fmt: skip
    else:
        yield Finding(CHECK, "ok", f"{place}: files are dated as the clock is")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
