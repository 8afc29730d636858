"""A pair of rasters of any size to maps that open in a GIS.

Data flows one way: windows are read, inferred, stored, and turned into buildings; each stage
works on the next while the one after it is busy. When all is stored, the maps are written.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

from runtime import cli, files, records, summary
from runtime.damage import NODATA
from runtime.errors import ConfigError
from runtime.options import SUMMARY, UNFINISHED, MapOptions
from runtime.raster.ahead import ahead
from runtime.raster.cog import write_confidence, write_damage
from runtime.raster.components import buildings
from runtime.raster.footprint_file import FootprintFile, open_footprints
from runtime.raster.footprints import grade
from runtime.raster.grid import ScenePair, open_pair
from runtime.raster.inference import infer_rows, read_tiles
from runtime.raster.strip import Strip
from runtime.raster.unfinished import Unfinished
from runtime.raster.vectors import BuildingTotals, write_buildings
from runtime.raster.windows import Window, window_rows
from runtime.raster.xbd_label import georeference_of

if TYPE_CHECKING:
    from runtime.engine import Engine

BLOCK_CACHE_BYTES = 64 << 20
"""GDAL's, of decoded blocks. Its default is a share of the machine's memory."""
REACH = 64
"""Pixels from a window's edge, whatever its size, within which labels differ from those of a
larger window. Without them less than 0.1 % of a map does (`benchmarks.seams`)."""
TILES_AHEAD = 4
STRIPS_AHEAD = 1


def map_scene(
    engine: Engine, pre: Path, post: Path, out: Path, options: MapOptions
) -> dict[str, Any]:
    """See `mapping.map_pair`; writes damage.tif, confidence.tif, buildings.gpkg and .geojson.

    While it is at work, and when it is ended before its time, what it has is in
    `out`/.unfinished.
    """
    identity = _identity(engine, pre, post, options)
    if options.resume and (done := _finished(out, identity)):
        return done
    place = georeference_of(options.label) if options.label else None
    with (
        rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE_BYTES),
        open_pair(pre, post, align=options.align, scale=options.scale, georeference=place) as pair,
    ):
        size = (pair.height, pair.width)
        footprints = None
        if options.footprints:  # before the work, not after it
            footprints = open_footprints(options.footprints, *size, pair.georeference)
        rows = window_rows(size, (engine.height, engine.width), halo_of(engine, options))
        work = Unfinished.open(out / UNFINISHED, size, identity, options.resume)
        if work.rows:
            cli.note(f"{work.rows} of {len(rows)} rows of windows are done, going on")
        shutil.rmtree(work.ready, ignore_errors=True)
        work.ready.mkdir()
        pixels: Counter[int] = Counter()
        with closing(_strips(engine, pair, rows, work)) as strips:
            counted = _counted(strips, pixels)
            totals = _write_vectors(counted, work, pair, footprints, options.min_area)
        _write_maps(work, pair)
    content = {
        "pre": str(pre),
        "post": str(post),
        "height": size[0],
        "width": size[1],
        "windows": sum(map(len, rows)),
        "failed_tiles": [asdict(each) for each in work.journal.failed],
        "classes": summary.by_class(totals.buildings, pixels, totals.area_m2),
        "buildings": sum(totals.buildings.values()),
        "not_graded": totals.buildings.get(NODATA, 0),
        "min_area_px": options.min_area,
        "footprints": str(options.footprints) if options.footprints else None,
        "nodata_px": pixels[NODATA],
        "identity": identity,
        "engine": summary.of_engine(engine),
    }
    _publish(work, out, content)
    return content


def _strips(
    engine: Engine, pair: ScenePair, rows: Sequence[Sequence[Window]], work: Unfinished
) -> Generator[Strip, None, None]:
    """The whole scene from the top: what an earlier run stored, then what this one does."""

    def infer(todo: Iterable[Sequence[Window]]) -> Iterator[Strip]:
        windows = [window for row in todo for window in row]
        # However this ends, no thread reads from the images when they are closed.
        with (
            closing(
                ahead(read_tiles(pair, windows, (engine.height, engine.width)), TILES_AHEAD)
            ) as tiles,
            closing(ahead(infer_rows(engine, tiles, pair.width), STRIPS_AHEAD)) as inferred,
        ):
            for strip, failed in inferred:
                work.add(strip, failed)
                yield strip

    for _ in infer([rows[row] for row in work.failed_rows()]):
        pass  # once more; read back below, where its place is
    done = work.rows
    yield from work.strips()
    yield from infer(rows[done:])


def _write_vectors(
    strips: Iterable[Strip],
    work: Unfinished,
    pair: ScenePair,
    footprints: FootprintFile | None,
    min_area: int,
) -> BuildingTotals:
    """Buildings as the strips come; known footprints once all have, for they come in any order."""
    if not footprints:
        return write_buildings(buildings(strips, min_area), work.ready, pair.georeference)
    for _ in strips:
        pass
    graded = grade(footprints, work.read, *work.size, pair.georeference)
    return write_buildings(graded, work.ready, pair.georeference)


def _write_maps(work: Unfinished, pair: ScenePair) -> None:
    """Both at once: a good part of either is one thread's work."""
    place = pair.georeference
    with ThreadPoolExecutor() as pool:
        written = [
            pool.submit(write, work.folder / name, work.ready / f"{name}.tif", work.size, place)
            for name, write in (("damage", write_damage), ("confidence", write_confidence))
        ]
        for each in written:
            each.result()


def _counted(strips: Iterator[Strip], pixels: Counter[int]) -> Iterator[Strip]:
    """Pixels by the value of damage, added as the strips pass."""
    for strip in strips:
        for part in strip.parts():
            found = np.bincount(part.damage.ravel(), minlength=NODATA + 1)
            pixels.update({int(value): int(found[value]) for value in found.nonzero()[0]})
        yield strip


def halo_of(engine: Engine, options: MapOptions) -> int:
    """Pixels; raises ConfigError where nothing would be kept."""
    least = min(engine.height, engine.width)
    halo = default_halo(least) if options.halo is None else options.halo
    if 2 * halo >= least:
        raise ConfigError(
            f"--halo is {halo}; the engine's windows are {engine.height}x{engine.width} pixels, "
            f"expected at most {(least - 1) // 2}"
        )
    return halo


def default_halo(side: int) -> int:
    """Of windows with sides of at least `side` pixels: `REACH`, an eighth to a quarter of it."""
    return min(max(REACH, side // 8), side // 4)


def _identity(engine: Engine, pre: Path, post: Path, options: MapOptions) -> dict[str, Any]:
    """What every pixel of the maps depends on."""
    return {
        "engine": [entry.sha256 for entry in engine.manifest.payload],
        "images": [_stamp(path) for path in (pre, post)],
        "options": {
            "align": options.align,
            "scale": list(options.scale) if options.scale else None,
            "halo": halo_of(engine, options),
            "label": _stamp(options.label) if options.label else None,
        },
    }


def _stamp(path: Path) -> list[Any]:
    """A file as it is now; a scene is too large to hash."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return [str(path)]  # the reader has a message for it
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _finished(out: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of this very map, if it is complete."""
    if (out / UNFINISHED).exists() or not (out / SUMMARY).exists():
        return None
    try:
        content = records.load_json(out / SUMMARY)
    except records.RecordError:
        return None
    return content if isinstance(content, dict) and content.get("identity") == identity else None


def _publish(work: Unfinished, out: Path, content: dict[str, Any]) -> None:
    """Into `out`, the summary last: while it is missing the maps are not complete."""
    (out / SUMMARY).unlink(missing_ok=True)
    for path in sorted(work.ready.iterdir()):
        files.sync(path)
        path.replace(out / path.name)
    files.write_json(out / SUMMARY, content)
    if not content["failed_tiles"]:  # or it stays for --resume to try them again
        shutil.rmtree(work.folder)
