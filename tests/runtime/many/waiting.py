"""For a watch in another process."""

import json
import time
from pathlib import Path


def wait_for(condition, timeout=60):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def health(outbox: Path) -> dict:
    path = outbox / "health.json"
    return json.loads(path.read_text()) if path.exists() else {}
