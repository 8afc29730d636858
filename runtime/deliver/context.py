"""What all forms of a hand-over say of a map: its images, dates, engine and corrections."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.finished.buildings import Corrected, corrections_of
from runtime.finished.folder import FinishedMap
from runtime.finished.images import Image, checked_date, images_of, names_of, taken_after

SOFTWARE = "dual-hrnet-edge"


@dataclass(frozen=True, eq=False)
class Context:
    """when: of what the map shows, ISO 8601, a date or a time in UTC; None where nobody says it.

    images: before, then after, see `images_of`. made: now.
    """

    map: FinishedMap
    images: Sequence[Image]
    when: str | None
    corrected: Corrected
    made: datetime.datetime

    @property
    def taken(self) -> str | None:
        """When the last image after was taken."""
        return taken_after(self.images)

    @property
    def provenance(self) -> dict[str, str]:
        """For the metadata of a file; all text is printable."""
        engine = self.map.summary["engine"]
        found = {
            "SOFTWARE": f"{SOFTWARE} {version()}",
            "ENGINE": f"{engine['architecture']} w{engine['model_width']} {engine['precision']} on "
            f"{engine['backend']} {engine['run_with']}",
            "ENGINE_CHECKPOINT_SHA256": engine["checkpoint_sha256"],
            "ENGINE_GRAPH_SHA256": engine["graph_sha256"],
            "ENGINE_THRESHOLD": f"{engine['threshold']:g}",
            "MAP": self.map.name,
            "MAP_DAMAGE_SHA256": self.map.summary["files"]["damage.tif"]["sha256"],
            "CORRECTIONS": str(self.corrected.count),
            "DELIVERED": f"{self.made:%Y-%m-%dT%H:%M:%SZ}",
        }
        for role, names in names_of(self.images).items():
            found[f"IMAGE_{role.upper()}"] = names
        for role, taken in (("BEFORE", self.images[0].taken), ("AFTER", self.taken)):
            if taken:
                found[f"IMAGE_{role}_TAKEN"] = taken
        return {key: _printable(value) for key, value in found.items()}


def context_of(
    map_: FinishedMap,
    when: str | None = None,
    taken: tuple[str | None, str | None] = (None, None),
) -> Context:
    """Raises ConfigError for a date that is none."""
    images = images_of(map_, taken)
    now = datetime.datetime.now(datetime.timezone.utc)
    shown = checked_date(when) if when else taken_after(images)
    return Context(map_, images, shown, corrections_of(map_), now)


def version() -> str:
    from importlib import metadata

    try:
        return metadata.version(SOFTWARE)
    except metadata.PackageNotFoundError:
        return "unknown"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
