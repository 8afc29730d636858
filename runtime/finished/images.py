"""The images that a map was made of: are they here, as they were, and when were they taken?

A date is told by the image or by the person, and never guessed: when a file was written says
nothing about when a satellite passed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime import identity, records
from runtime.errors import ConfigError, ImageError
from runtime.finished.folder import FinishedMap
from runtime.source.pair import ScenePair, pair_of

GIVEN = "given by the user"
_ROLES = ("before", "after")
_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}
_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class Image:
    """role: "before" or "after". there: the file lies where it was, and was not changed since.

    taken: ISO 8601, of which `source` tells the origin; None where nothing says it.
    written: what the file says of when it was made, which may be when the image was taken.
    """

    role: str
    path: Path
    there: bool
    taken: str | None = None
    source: str | None = None
    written: str | None = None
    size: int | None = None
    """Bytes, when it was mapped."""


def images_of(
    map_: FinishedMap, taken: tuple[str | None, str | None] = (None, None)
) -> list[Image]:
    """Before, then after; of a fused map several after. taken: dates that a person gives, ISO 8601,
    the second for all images after; they go before others.

    Raises ConfigError for one that is none.
    """
    given = [checked_date(each) if each else None for each in taken]
    before, after = given
    if before and after and after[:10] < before[:10]:
        raise ConfigError(
            f"the image after was taken {after}, earlier than the one before ({before}); are they "
            "swapped?"
        )
    found = []
    labelled = _of_label(map_)
    for index, (path, stamp) in enumerate(_in_the_map(map_.summary)):
        role = _ROLES[min(index, 1)]
        there = path.is_file() and identity.stamp(path) == stamp
        told, written = _of_file(path) if there else (None, None)
        by_file = _as_date(told)
        if told_by := given[min(index, 1)]:
            when, source = told_by, GIVEN
        elif by_file:
            when, source = by_file, "acquisition date in the file"
        elif labelled.get(role):
            when, source = labelled[role], "capture date in the label"
        else:
            when, source = None, None
        size = stamp[1] if len(stamp) > 1 else None
        found.append(Image(role, path, there, when, source, written, size))
    return found


def _in_the_map(summary: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    """The images that a map is made of, and what they were then. Of several after the event those
    that could not be mapped are not in it."""
    stamps = [each[0] for each in summary["identity"]["images"]]
    several = summary.get("images_after")
    if not several:
        return list(zip((Path(summary["pre"]), Path(summary["post"])), stamps, strict=True))
    after = [(Path(each["image"]), each["error"]) for each in several]
    used = [
        (path, stamp)
        for (path, error), stamp in zip(after, stamps[1:], strict=True)
        if error is None
    ]
    return [(Path(summary["pre"]), stamps[0]), *used]


def taken_after(images: Sequence[Image]) -> str | None:
    """When the last of the images after was taken; None unless all of them tell."""
    found = [each.taken for each in images if each.role == _ROLES[1]]
    return max(map(str, found)) if all(found) else None


def names_of(images: Sequence[Image]) -> dict[str, str]:
    """The files by role, several in one text."""
    return {
        role: ", ".join(each.path.name for each in images if each.role == role) for role in _ROLES
    }


def checked_date(text: str) -> str:
    """A date, or a date and time, as ISO 8601 has it; times without a zone are UTC."""
    found = _as_date(text)
    if found is None:
        raise ConfigError(f"{text!r} is no date; expected one such as 2026-11-30T10:21:00Z")
    return found


@contextmanager
def opened(map_: FinishedMap) -> Iterator[ScenePair | None]:
    """The pair as it was mapped; None where the files are gone, or are other ones now."""
    images = images_of(map_)
    reading = identity.reading_of(map_.summary["identity"]["options"])
    label = reading.label
    if not all(each.there for each in images) or (label and not label.is_file()):
        yield None
        return
    try:
        opening = pair_of(images[0].path, images[1].path, reading)
        pair = opening.__enter__()
    except (ImageError, ConfigError, OSError):
        yield None
        return
    try:
        yield pair
    finally:
        opening.__exit__(None, None, None)


def _as_date(text: str | None) -> str | None:
    if not text:
        return None
    for each in _FORMATS:
        try:
            return datetime.datetime.strptime(text, each).strftime("%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            continue
    try:
        if len(text) == 10:
            return datetime.date.fromisoformat(text).isoformat()
        when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if when.tzinfo:
        when = when.astimezone(datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_file(path: Path) -> tuple[str | None, str | None]:
    """When the image was taken, and when the file was made, as it says itself."""
    driver = _DRIVERS.get(path.suffix.lower())
    if not driver or not find_spec("rasterio"):
        return None, None
    import rasterio

    from runtime.source.raster import gdal_settings

    try:
        with gdal_settings(), rasterio.open(path, driver=driver) as dataset:
            taken = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME")
            return taken, _as_date(dataset.tags().get("TIFFTAG_DATETIME"))
    except rasterio.errors.RasterioError:
        return None, None


def _of_label(map_: FinishedMap) -> dict[str, str]:
    """The capture date by role, of the xBD label that placed the map."""
    given = map_.summary["identity"]["options"].get("label")
    if not given:
        return {}
    path = Path(given[0])
    try:
        if identity.stamp(path) != given:
            return {}
        content: Any = records.load_json(path)
        metadata = content["metadata"]
        when = _as_date(str(metadata["capture_date"]).replace(".000Z", "Z"))
        name = str(metadata.get("img_name") or path.name)
    except (OSError, records.RecordError, LookupError, TypeError):
        return {}
    role = "before" if "_pre_" in name else "after" if "_post_" in name else None
    return {role: when} if role and when else {}
