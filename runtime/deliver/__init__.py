"""In: a finished map. Out: the forms that other people and systems take, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORMS = ("stac", "ems", "fema", "unosat", "grid")


@dataclass(frozen=True)
class Cells:
    """How `grid` cuts the map: squares of `side` metres, H3 of a resolution, or a file's areas."""

    side: float = 500.0
    h3: int | None = None
    areas: Path | None = None


SQUARES = Cells()


def deliver(
    folder: Path,
    forms: Sequence[str],
    out: Path,
    when: str | None = None,
    taken: tuple[str | None, str | None] = (None, None),
    cells: Cells = SQUARES,
) -> list[Path]:
    """Write the forms of the finished map in `folder`, which is not changed, into `out`.

    Args:
        forms: of `FORMS`.
        when: what STAC calls datetime (ISO 8601); without it, when the image after was taken.
        taken: when the images before and after were taken, where they do not say it.
    Returns:
        The files, by name.
    Raises:
        ConfigError: no finished map, a picture without a place, a form or date that is none, a
            date that nobody tells; nothing is written then.
        BackendError: a library that is not installed.
        OSError: a file that cannot be written.
    """
    from runtime.deliver.delivery import write

    return write(Path(folder), forms, Path(out), when, taken, cells)
