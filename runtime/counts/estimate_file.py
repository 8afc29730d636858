"""What was estimated of a map, as `counts estimate` wrote it: the one reader of estimate.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import records
from runtime.corrections.finished_map import sha256_of
from runtime.errors import ConfigError

ESTIMATE = "estimate.json"

ORIGIN = "map_sha256"
"""Key of the digest of the buildings file that it was made for."""

_MOST_BYTES = 1 << 26
_KEYS = {"classes", "level", "method", "checked", "date", "corrections"}


def read(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The totals with intervals beside the map of this summary, as it is now.

    None where there are none, or those of a map that was there before.
    Raises ConfigError for a file that the command did not write so.
    """
    path = folder / ESTIMATE
    expected = f"make it again with dual-hrnet counts estimate {folder}, or remove it"
    try:
        content = records.load_json(path, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, records.RecordError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); {expected}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no estimate; {expected}")
    if content.get(ORIGIN) != sha256_of(summary):
        return None
    if missing := sorted(_KEYS - content.keys()):
        raise ConfigError(f"{path}: {missing[0]} is missing; {expected}")
    return content
