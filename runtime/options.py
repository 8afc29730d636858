"""How a pair is mapped, and the same on the command line of predict, batch and watch."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from runtime.cli import install
from runtime.errors import ConfigError
from runtime.host import check_threads

SUMMARY = "summary.json"
"""In a folder of maps. It is written last: where it is, the maps are complete."""

UNFINISHED = ".unfinished"
"""In a folder of maps: what there is of a large raster that was ended before its time."""

RASTER_EXTRA = install("raster")
RASTER_MODULES = ("rasterio", "shapely", "pyogrio")


def raster_installed() -> bool:
    """Is that extra here, so that a map can have a place on the ground?"""
    return all(map(find_spec, RASTER_MODULES))


@dataclass(frozen=True)
class MapOptions:
    """How a pair is mapped. A value that cannot be meant is a ConfigError.

    Attributes:
        min_area: pixels; smaller buildings are left out of the polygons and counts.
        align: warp the second image onto the grid of the first (rasters with a place).
        register: move the second image onto what the first shows, where it lies beside that.
        scale: of images that are not 8-bit, the values that become 0 and 255: two numbers for
            both images, or two for the first and two for the second.
        bands: those that are red, green and blue, counted from 1.
        nodata: pixels that have this value in all three bands are no data: one number for both
            images, or one for each, None for one without.
        halo: pixels along a window's inner edges that are not kept; None: 64, at least an eighth
            and at most a quarter of the engine's size.
        resume: go on with the unfinished map in the output folder.
        restart: throw it away.
        footprints: a vector file of buildings to grade, in place of those that are found. Only
            windows that they touch are computed.
        whole_scene: with `footprints`, compute all of the scene, or of the area of `aoi`.
        raw_outlines: buildings are 4-connected components, along the edges of their pixels; else
            those that touch are told apart, and have straight outlines.
        aoi: a vector file of polygons; the ground outside of them is not computed.
        label: an xBD label that says where both images lie.
        gate: leave windows out that the engine's gate finds no building in, if it has one.
        mask_quality: do not compute ground that cannot be judged, see `source.quality`.
    """

    min_area: int = 1
    raw_outlines: bool = False
    align: bool = False
    register: bool = False
    scale: tuple[float, ...] | None = None
    bands: tuple[int, int, int] | None = None
    nodata: tuple[float | None, ...] = ()
    halo: int | None = None
    resume: bool = False
    restart: bool = False
    footprints: Path | None = None
    whole_scene: bool = False
    aoi: Path | None = None
    label: Path | None = None
    gate: bool = True
    mask_quality: bool = False

    def __post_init__(self) -> None:
        if self.min_area < 1:
            raise ConfigError(f"--min-area is {self.min_area}; expected 1 pixel or more")
        if self.halo is not None and self.halo < 0:
            raise ConfigError(f"--halo is {self.halo}; expected 0 pixels or more")
        if self.scale and len(self.scale) not in (2, 4):
            raise ConfigError(
                f"--scale has {len(self.scale)} numbers; expected LO HI for both images, or "
                "twice, for the first and for the second"
            )
        if self.bands and (len(set(self.bands)) != 3 or min(self.bands) < 1):
            numbers = " ".join(map(str, self.bands))
            raise ConfigError(f"--bands {numbers}: expected three bands, counted from 1")
        if len(self.nodata) > 2:
            raise ConfigError("--nodata: expected one value for both images, or one for each")
        if self.whole_scene and not self.footprints:
            raise ConfigError(
                "--whole-scene: expected with --footprints, without which nothing is left out"
            )

    @property
    def need_raster(self) -> bool:
        """Is anything asked for that only a raster can have?"""
        return bool(self.align or self.footprints or self.aoi or self.label)

    @property
    def gated(self) -> bool:
        """May an engine's gate leave windows out? Not where footprints say what is a building."""
        return self.gate and not self.footprints


@dataclass(frozen=True)
class Groups:
    """Options of a command, by what a person wants; its help shows them in this order."""

    maps: argparse._ArgumentGroup
    rasters: argparse._ArgumentGroup
    quality: argparse._ArgumentGroup
    speed: argparse._ArgumentGroup
    going_on: argparse._ArgumentGroup


def groups_of(parser: argparse.ArgumentParser) -> Groups:
    return Groups(
        maps=parser.add_argument_group("maps (what is written)"),
        rasters=parser.add_argument_group("rasters (how images are read)"),
        quality=parser.add_argument_group("quality (what is known)"),
        speed=parser.add_argument_group("speed"),
        going_on=parser.add_argument_group("going on"),
    )


def add_options(groups: Groups, threads: str = "physical cores") -> None:
    """Those that predict, batch and watch share.

    threads: what the processor threads are by default.
    """
    groups.maps.add_argument(
        "--min-area", type=int, default=1, metavar="PX",
        help="leave buildings below PX pixels out of polygons and counts (default: 1)",
    )  # fmt: skip
    groups.maps.add_argument(
        "--raw-outlines", action="store_true",
        help="buildings as their pixels hang together, along the edges of these; without it, those "
        "that touch are told apart and outlines are straight",
    )  # fmt: skip
    groups.maps.add_argument(
        "--footprints", type=Path, metavar="FILE",
        help="grade these buildings (GeoPackage, GeoJSON, Shapefile), do not look for others, nor "
        "where there are none",
    )  # fmt: skip
    groups.maps.add_argument(
        "--whole-scene", action="store_true",
        help="with --footprints: map the ground where there are none, too",
    )  # fmt: skip
    groups.maps.add_argument(
        "--aoi", type=Path, metavar="FILE",
        help="map the ground within these polygons alone (files as for --footprints)",
    )  # fmt: skip
    add_reading(groups.rasters, groups.quality)
    groups.rasters.add_argument(
        "--register", action="store_true",
        help="move the second image onto the first by what they show: where coordinates are off, "
        "or terrain leans; up to 64 pixels in each direction",
    )  # fmt: skip
    groups.quality.add_argument(
        "--halo", type=int, metavar="PX",
        help="edge of a window that is not kept (default: 64, or by the engine's size)",
    )  # fmt: skip
    groups.quality.add_argument(
        "--mask-quality", action="store_true",
        help="do not compute ground under cloud, in deep shadow, saturated or without texture; it "
        "is marked in quality.tif anyway",
    )  # fmt: skip
    groups.speed.add_argument(
        "--threads", type=int, metavar="N", help=f"processor threads (default: {threads})"
    )
    groups.speed.add_argument(
        "--device", type=int, metavar="N",
        help="GPU of a TensorRT engine (default: the first it was built for)",
    )  # fmt: skip
    groups.speed.add_argument(
        "--no-gate", dest="gate", action="store_false",
        help="compute every window, also those that the engine's gate finds no building in",
    )  # fmt: skip
    groups.speed.add_argument(
        "--mode", choices=("auto", "latency", "throughput"), default="auto",
        help="windows with OpenVINO: one after the other, or several at once (default: auto, what "
        "is faster here, which is measured once)",
    )  # fmt: skip


def add_reading(
    rasters: argparse._ArgumentGroup, quality: argparse._ArgumentGroup | None = None
) -> None:
    """How two files become a pair: see `source.pair.open_pair`."""
    rasters.add_argument(
        "--align", action="store_true", help="warp the second image onto the grid of the first"
    )
    rasters.add_argument(
        "--bands", type=int, nargs=3, metavar=("R", "G", "B"),
        help="bands that are red, green and blue, counted from 1",
    )  # fmt: skip
    rasters.add_argument(
        "--scale", type=_number, nargs=2, action="append", metavar=("LO", "HI"),
        help="not 8-bit: values that become 0 and 255; twice: one pair for each image",
    )  # fmt: skip
    (quality or rasters).add_argument(
        "--nodata", type=_number_or_none, action="append", metavar="V",
        help="V in all three bands is no data; twice: one for each image, or none",
    )  # fmt: skip


def map_options(args: argparse.Namespace) -> MapOptions:
    """Paths are absolute: other processes have other working folders."""
    if args.threads is not None:
        check_threads(args.threads)
    options = replace(
        reading_options(args),
        register=args.register,
        min_area=args.min_area,
        raw_outlines=args.raw_outlines,
        halo=args.halo,
        footprints=args.footprints.absolute() if args.footprints else None,
        whole_scene=args.whole_scene,
        aoi=args.aoi.absolute() if args.aoi else None,
        gate=args.gate,
        mask_quality=args.mask_quality,
    )
    # What no pair could be mapped with is no pair's fault.
    for name, path in (("footprints", options.footprints), ("aoi", options.aoi)):
        if path and not path.exists():
            given = getattr(args, name)
            raise ConfigError(f"--{name} {given}: does not exist; expected a vector file")
    if options.need_raster and not find_spec("rasterio"):
        raise ConfigError(f"--align, --footprints and --aoi need rasterio; {RASTER_EXTRA}")
    return options


def reading_options(args: argparse.Namespace) -> MapOptions:
    """Those of `add_reading`."""
    return MapOptions(
        align=args.align,
        scale=tuple(value for pair in args.scale for value in pair) if args.scale else None,
        bands=tuple(args.bands) if args.bands else None,
        nodata=tuple(args.nodata or ()),
    )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text} is no value of a pixel")
    return number


def _number_or_none(text: str) -> float | None:
    return None if text == "none" else _number(text)
