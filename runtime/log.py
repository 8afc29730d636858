"""What commands say on stderr, as JSON lines where programs read it: DUAL_HRNET_LOG=json.

One object a line: `time` (ISO 8601, UTC), `level` (note, failed or error), `process` and `message`.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone

VARIABLE = "DUAL_HRNET_LOG"
JSON = "json"

_LEVELS = ("error", "failed")
"""Words with a colon that some messages begin with: they are the level, and leave the message."""


def in_json() -> bool:
    """Any other value of the variable is for people, as none is."""
    return os.environ.get(VARIABLE, "").strip().lower() == JSON


def write(message: str) -> None:
    level, text = "note", message
    for each in _LEVELS:
        if message.startswith(f"{each}: "):
            level, text = each, message.removeprefix(f"{each}: ")
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "level": level,
        "process": os.getpid(),
        "message": text,
    }
    print(json.dumps(line), file=sys.stderr, flush=True)
