"""What a folder of maps was made from, and whether it is still all there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import files, records
from runtime.options import SUMMARY, MapOptions
from runtime.source.sidecars import beside

if TYPE_CHECKING:
    from runtime.engine import Engine


def of_pixels(
    engine: Engine, pre: Path, post: Path, options: MapOptions, halo: int
) -> dict[str, Any]:
    """What every pixel of the maps depends on."""
    return {
        "engine": [entry.sha256 for entry in engine.manifest.payload] + _of_gate(engine),
        "images": of_images(pre, post),
        "options": {
            "align": options.align,
            "scale": list(options.scale) if options.scale else None,
            "bands": list(options.bands) if options.bands else None,
            "nodata": list(options.nodata),
            "halo": halo,
            "label": stamp(options.label) if options.label else None,
            **_only(options),
            **({"mask_quality": True} if options.mask_quality else {}),
            **({"register": True} if options.register else {}),
            **({"no_gate": True} if engine.manifest.gate and not options.gated else {}),
        },
    }


def reading_of(options: Mapping[str, Any]) -> MapOptions:
    """How the images were read, of the `options` of an identity."""
    bands, label = options.get("bands"), options.get("label")
    return MapOptions(
        align=bool(options.get("align")),
        scale=tuple(options["scale"]) if options.get("scale") else None,
        bands=tuple(bands) if bands else None,
        nodata=tuple(options.get("nodata") or ()),
        label=Path(label[0]) if label else None,
    )


def _of_gate(engine: Engine) -> list[Any]:
    gate = engine.manifest.gate
    if gate is None:
        return []
    return [*(entry.sha256 for entry in gate.payload), gate.threshold, gate.margin_px]


def _only(options: MapOptions) -> dict[str, Any]:
    """The files that say which pixels are computed; none where all are."""
    of_footprints = options.footprints and not options.whole_scene
    given = {"footprints": options.footprints if of_footprints else None, "aoi": options.aoi}
    return {name: _with_parts(path) for name, path in given.items() if path}


def files_in(pixels: Mapping[str, Any]) -> list[list[list[Any]]]:
    """The files in what `of_pixels` gave, each with its parts."""
    options = pixels["options"]
    return [
        *pixels["images"],
        *(options[name] for name in ("footprints", "aoi") if name in options),
    ]


def of_images(*paths: Path) -> list[list[list[Any]]]:
    """The files of a pair as they are now: another one under the same name is another pair."""
    return [_with_parts(path) for path in paths]


def of_buildings(options: MapOptions) -> dict[str, Any]:
    """What the buildings depend on besides the maps."""
    return {
        "min_area": options.min_area,
        "outlines": None if options.footprints else "raw" if options.raw_outlines else "straight",
        "footprints": _with_parts(options.footprints) if options.footprints else None,
    }


def _with_parts(path: Path) -> list[list[Any]]:
    """A file and those beside it that say something of it: a world file, a mask, a .dbf."""
    return [stamp(path), *map(stamp, beside(path))]


def stamp(path: Path) -> list[Any]:
    """A file as it is now; a scene is too large to hash."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return [str(path)]  # the reader has a message for it
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def finished(out: Path, pixels: Mapping[str, Any]) -> dict[str, Any] | None:
    """The summary of the folder, if its maps are complete and of this identity."""
    if not (out / SUMMARY).exists():
        return None
    try:
        content = records.load_json(out / SUMMARY)
    except records.RecordError:
        return None
    return content if isinstance(content, dict) and content.get("identity") == pixels else None


def of_files(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and sha256 by name."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": files.sha256(path)} for path in paths
    }


def intact(out: Path, summary: Mapping[str, Any], names: Iterable[str] | None = None) -> bool:
    """Are the files that the summary lists, or those of these names, as they were written?"""
    listed = summary.get("files")
    if not isinstance(listed, dict):
        return False
    wanted = list(listed if names is None else names)
    try:
        return all(of_files([out / name])[name] == listed[name] for name in wanted)
    except (OSError, KeyError):
        return False


_LEFT_BESIDE = (".aux.xml", ".ovr", "-wal", "-shm", "-journal")
"""What a GIS adds to a layer: statistics, overviews, a GeoPackage's changes. They are of that
layer alone: beside another of its name they would change what is seen of it."""


def forget(out: Path, new: Iterable[str]) -> None:
    """Remove the summary of an earlier map, the files that it lists, and what a GIS left beside.

    new: names of the files that are to take their place.
    """
    path = out / SUMMARY
    try:
        content = records.load_json(path)
    except (OSError, records.RecordError):
        content = None
    path.unlink(missing_ok=True)
    found = content.get("files") if isinstance(content, dict) else None
    listed = found if isinstance(found, dict) else {}
    ours = [name for name in listed if Path(name).name == name]
    for name in (*ours, *new):
        for ending in _LEFT_BESIDE:
            (out / f"{name}{ending}").unlink(missing_ok=True)
    for name in ours:
        (out / name).unlink(missing_ok=True)
