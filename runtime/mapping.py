"""One pair of files to a folder of maps: what predict, batch and watch all do.

Data flows one way: windows are read, inferred, stored, and turned into buildings; when all is
stored, the maps are written.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime import cli, files, identity, resolution
from runtime.buildings.finding import Maps, buildings
from runtime.buildings.wanted import Wanted, wanted_of
from runtime.buildings.witnesses import Witnesses
from runtime.corrections.aside import make_room
from runtime.damage import NODATA
from runtime.errors import ConfigError, ImageError
from runtime.going_on import begun, finished, is_of, working
from runtime.options import RASTER_EXTRA, SUMMARY, UNFINISHED, MapOptions
from runtime.output import geojson, quality_record, summary
from runtime.output.gate_record import record_of, tags_of
from runtime.output.maps import OUTPUTS, maps_of, write_maps
from runtime.output.quicklook import write_overlay
from runtime.output.style import Look
from runtime.output.totals import BuildingTotals
from runtime.output.vectors import GEOJSON, GEOPACKAGE
from runtime.registering import registered
from runtime.scene import space, unfinished
from runtime.scene.gate import gate_of
from runtime.scene.strip import Strip
from runtime.scene.unfinished import Unfinished
from runtime.scene.windows import window_rows
from runtime.scene.work import Told, halo_of, strips
from runtime.source import levels
from runtime.source.explain import why_unknown
from runtime.source.georeference import Georeference
from runtime.source.pair import ScenePair, cached, pair_of

_OF_READING = ("levels", "clipped", "notes")
"""Of a summary: what reading the images told. Maps that are taken over keep theirs."""

if TYPE_CHECKING:
    from runtime.engine import Engine


def map_pair(
    engine: Engine,
    pre: Path,
    post: Path,
    out: Path,
    options: MapOptions,
    told: Told | None = None,
) -> dict[str, Any]:
    """Map one pair of files into a folder; what `python -m runtime.predict` does.

    While it is at work, and when it is ended before its time, what it has is in
    `out`/.unfinished. No map is in `out` then that was not there before.

    Args:
        engine: from `load_engine`; it may map many pairs.
        pre: image before: PNG, JPEG, TIFF, or another raster.
        post: image after, of the same size and grid.
        out: folder of the maps, made if it is not there.
        options: how; `MapOptions()` for pictures and RGB rasters on one grid.
        told: is told how far it is, window by window, and may end it; see `runtime.scene.work`.

    Returns:
        The content of summary.json. Its `failed_tiles` lists the windows that could not be
            computed and are nodata (255) in the maps: nothing is raised for those.

    Raises:
        ImageError: an image that cannot be read or mapped, or a map without one known pixel.
        ConfigError: options, or an output folder, that cannot be used with this pair.
        OSError: an output that cannot be written.
    """
    if options.need_raster and not find_spec("rasterio"):
        raise ConfigError(f"{pre}: mapping a raster needs rasterio; {RASTER_EXTRA}")
    check_out(out, [pre, post, options.label, options.footprints, options.aoi])
    halo = halo_of(engine, options.halo)
    pixels = identity.of_pixels(engine, pre, post, options, halo)
    if options.resume:
        whole = replace(options, whole_scene=bool(options.footprints))
        pixels_of_whole = identity.of_pixels(engine, pre, post, whole, halo)
        # A whole map has every pixel that is asked for; but work on fewer goes on.
        if identity.finished(out, pixels_of_whole) and not is_of(out / UNFINISHED, pixels):
            options, pixels = whole, pixels_of_whole
        if done := finished(out, pixels, options):
            return done
    with (
        pair_of(pre, post, options) as pair,
        working(out) as folder,
    ):
        # What would end in nothing does so before the work, not after it.
        size = resolution.pixel_m(pair)
        notes = [*_same(pre, post), *pair.notes, *resolution.note(size, engine.manifest)]
        notes += space.checked(folder, (pair.height, pair.width), maps_of(pair.georeference))
        all_rows = window_rows((pair.height, pair.width), (engine.height, engine.width), halo)
        wanted = wanted_of(pair, options, all_rows)
        notes = _told([*notes, *wanted.notes(options)])
        rows = wanted.rows
        if wanted.area:
            pair = replace(pair, within=wanted.area.mask)
        work, before = begun(folder, out, pair, rows, pixels, options)
        lying = registered(pair, options.register, size, folder, before)
        light = before.get("levels") or levels.of_pair(pair)
        notes += _told([*lying.notes, *levels.notes(pair, light)])
        pair = lying.pair
        shutil.rmtree(work.ready, ignore_errors=True)
        work.ready.mkdir()
        counts, quality = Counter[int](), Counter[int]()
        gate = gate_of(engine) if options.gated else None
        with (
            cached(pair, engine.height),
            closing(strips(engine, pair, rows, work, gate, options.mask_quality, told)) as made,
        ):
            of_layers = {"damage": counts, "quality": quality}
            place = pair.georeference
            totals = write_buildings(counted(made, of_layers), work, place, wanted, options)
        _check_known(work, counts, quality, pair, wanted)
        _check_unchanged(pixels, identity.of_pixels(engine, pre, post, options, halo), work)
        gated = record_of(gate.record, work.journal.skipped) if gate else None
        notes += _told([*wanted.count_gated(gated), *(gate.notes() if gate else ())])
        notes += _told(quality_record.notes(quality, options.mask_quality))
        # Not while the maps are compressed: either takes 200 MiB.
        write_overlay(pair.post, work, work.ready / "overlay.png")
        write_maps(work, pair.georeference, tags_of(gated))
        content = {
            "pre": str(pre),
            "post": str(post),
            "height": pair.height,
            "width": pair.width,
            "windows": rows.count,
            **wanted.counts,
            "gate": gated,
            "failed_tiles": [asdict(each) for each in work.journal.failed],
            **results(totals, counts, quality, options),
            "levels": light,
            "clipped": [each.seen.clipped(each.scale) for each in (pair.pre, pair.post)],
            "pixel_m": list(size) if size else None,
            "registration": lying.record,
            "notes": [*notes, *_told(_seen(pair))],
            **{key: before[key] for key in _OF_READING if key in before},
            "identity": pixels,
            "made_with": identity.of_buildings(options),
            "engine": summary.of_engine(engine),
        }
        return publish(work, out, content)


def results(
    totals: BuildingTotals,
    damage: Mapping[int, int],
    quality: Mapping[int, int],
    options: MapOptions,
) -> dict[str, Any]:
    """Of a summary: what was found, and what of the options says which. Pixels by the values of
    both layers."""
    return {
        **summary.by_class(totals),
        "pixels": summary.by_value(damage),
        "min_area_px": options.min_area,
        "outlines": identity.of_buildings(options)["outlines"],
        "footprints": str(options.footprints) if options.footprints else None,
        "aoi": str(options.aoi) if options.aoi else None,
        "nodata_px": damage.get(NODATA, 0),
        "quality": quality_record.record_of(quality, options.mask_quality),
    }  # fmt: skip


def check_out(out: Path, inputs: Iterable[Path | None]) -> None:
    """Raises ConfigError for a folder that libraries cannot name, or where inputs would be lost."""
    if not str(out).isprintable():
        raise ConfigError(f"--out {str(out)!r}: expected a name of printable characters in UTF-8")
    folder = os.path.realpath(out)
    for path in inputs:
        if path and path.name in OUTPUTS and os.path.realpath(path.parent) == folder:
            raise ConfigError(
                f"--out {out}: a map written there would replace {path.name}, which is given; "
                "choose another folder"
            )


def _same(pre: Path, post: Path) -> list[str]:
    if not pre.samefile(post):
        return []
    return [f"{pre} and {post} are one file, in which nothing can have changed"]


def counted(made: Iterable[Strip], layers: Mapping[str, Counter[int]]) -> Iterator[Strip]:
    """Pixels by their values in these layers, added as the strips pass."""
    for strip in made:
        for part in strip.parts():
            for name, counts in layers.items():
                add_values(counts, getattr(part, name))
        yield strip


def add_values(counts: Counter[int], layer: NDArray[np.uint8]) -> None:
    """How many pixels of a layer have each value."""
    found = np.bincount(layer.ravel(), minlength=NODATA + 1)
    counts.update({int(value): int(found[value]) for value in found.nonzero()[0]})


def _check_unchanged(before: Mapping[str, Any], after: Mapping[str, Any], work: Unfinished) -> None:
    """Raises ImageError where a file that pixels depend on is another one than at the beginning."""
    for was, now in zip(*map(identity.files_in, (before, after)), strict=True):
        if was != now:
            unfinished.discard(work.folder)
            raise ImageError(
                f"{now[0][0]}: changed while it was mapped, that map was thrown away; expected a "
                "file that is complete"
            )


def _check_known(
    work: Unfinished,
    counts: Counter[int],
    quality: Counter[int],
    pair: ScenePair,
    wanted: Wanted,
) -> None:
    """Raises ImageError for a map without one pixel: it would say nothing, and look like a map."""
    if counts.keys() - {NODATA}:
        return
    failed = work.journal.failed
    unfinished.discard(work.folder)
    if failed:
        raise ImageError(f"no window could be mapped; the first: {failed[0].reason}")
    if quality.keys() - {NODATA}:
        raise ImageError(
            f"{pair.post.path} and {pair.pre.path}: no ground that can be judged: "
            f"{quality_record.listed(quality)}; without --mask-quality it is mapped all the same"
        )
    if wanted.rows.wanted is not None:
        raise ImageError(
            f"{pair.post.path} and {pair.pre.path}: where --footprints or --aoi ask for a map no "
            "pixel is known in both; expected images of this ground"
        )
    raise ImageError(why_unknown(pair))


def _told(notes: list[str]) -> list[str]:
    """What a person should know, who may not read a summary."""
    for note in notes:
        cli.note(note)
    return notes


def _seen(pair: ScenePair) -> list[str]:
    """Notes that come of what was read."""
    both = (pair.pre, pair.post)
    return [note for each in both for note in each.seen.notes(each.path, each.scale)]


def write_buildings(
    made: Iterable[Strip],
    work: Unfinished,
    place: Georeference | None,
    wanted: Wanted,
    options: MapOptions,
    witnesses: Witnesses | None = None,
    name: str = "buildings",
    look: Look | None = None,
) -> BuildingTotals:
    """Buildings as the strips come; known footprints once all have, for they come in any order.

    name, look: of the layer, see `vectors.write_buildings`.
    """
    maps = None if options.raw_outlines else Maps(*work.size, work.read)
    found = buildings(made, options.min_area, maps)
    if witnesses:
        found = witnesses.of(found, work.size)
    if place is None:
        return geojson.write_in_pixels(found, work.ready / f"{name}.geojson")
    from runtime.output import vectors

    footprints = wanted.footprints
    if not footprints:
        return vectors.write_buildings(found, work.ready, place, name=name, look=look)
    from runtime.buildings.footprints import grade

    for _ in made:
        pass
    graded = grade(footprints, work.damage_and_confidence, place, wanted.area, witnesses)
    return vectors.write_buildings(graded, work.ready, place, footprints.attributes, name, look)


def publish(work: Unfinished, out: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Into `out`, the summary last: while it is missing the maps are not complete."""
    ready = sorted(work.ready.iterdir())
    content = {**content, "files": identity.of_files(ready)}
    identity.forget(out, [path.name for path in ready])
    buildings = next(path for path in ready if path.name in (GEOPACKAGE, GEOJSON))
    content["notes"] += _told(make_room(out, content["files"][buildings.name]["sha256"]))
    put_in_place(ready, out)
    files.write_json(out / SUMMARY, content)
    if not content["failed_tiles"]:  # or it stays for --resume to try them again
        shutil.rmtree(work.folder)
    return content


def put_in_place(ready: Iterable[Path], out: Path) -> None:
    """Files that are complete, into `out`."""
    for path in ready:
        files.sync(path)
        path.replace(out / path.name)
