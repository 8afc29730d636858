"""Tiles to look at: what the engines make of the richest, and where they are most wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.windows import predict_tile
from benchmarks.dataset import richest
from benchmarks.engines import open_or_reason
from benchmarks.report import pictures
from benchmarks.report.figures import EngineFigures, Findings
from benchmarks.report.verdict import Verdict, chosen
from runtime.damage import IGNORE
from train.xbd import Tile

FAULTS = 3
"""Tiles of each kind in the error gallery."""

Maps = dict[str, dict[str, np.ndarray]]
"""Damage maps uint8 [H,W], by engine name and tile name."""


@dataclass(frozen=True)
class Layer:
    """A picture with its name; `is_map` says that its pixels are classes."""

    title: str
    uri: str
    is_map: bool = True


@dataclass(frozen=True)
class Scene:
    """A tile: before, after, and as layers the truth and the map of each engine that ran."""

    tile: str
    before: Layer
    after: Layer
    maps: tuple[Layer, ...]
    has_unclassified: bool
    first: str
    """The layer to show first."""


@dataclass(frozen=True)
class Fault:
    """A tile where something is wrong, and what, in words."""

    tile: str
    said: str
    panels: tuple[Layer, ...]


@dataclass(frozen=True)
class Gallery:
    scenes: tuple[Scene, ...]
    worst: tuple[Fault, ...]
    """Tiles with most wrong pixels, of the engine to take."""
    disagreements: tuple[Fault, ...]
    """Tiles on which an engine differs most from the reference of the agreement."""


def gather(
    findings: Findings, found: Sequence[Verdict], tiles: Sequence[Tile], count: int
) -> Gallery:
    """`count` scenes, and the error gallery as far as figures of single tiles were given.

    Engines that cannot run here have no maps; one is loaded at a time.
    """
    by_name = {tile.name: tile for tile in tiles}
    best = chosen(found)
    wrong = _worst(best.engine if best else None)
    differing = _differing(findings)
    shown = richest(tiles, count)
    needed = {t.name for t in shown} | {n for n, _ in wrong} | {t for _, _, t, _ in differing}
    maps = _run(findings.engines, [by_name[name] for name in sorted(needed & set(by_name))])
    first = best.engine.name if best else ""
    return Gallery(
        tuple(_scene(tile, maps, first) for tile in shown),
        tuple(_wrong(by_name[n], first, share, maps) for n, share in wrong if n in by_name),
        tuple(
            _difference(by_name[tile], (one, other), share, maps)
            for one, other, tile, share in differing
            if tile in by_name and one in maps and other in maps
        ),
    )


def _worst(engine: EngineFigures | None) -> list[tuple[str, float]]:
    """Names of tiles and the share of their pixels that is wrong."""
    rows = engine.accuracy.details["tiles"] if engine and engine.accuracy else []
    rows = sorted(rows, key=lambda row: row["wrong"] / max(row["pixels"], 1), reverse=True)
    return [(r["name"], r["wrong"] / max(r["pixels"], 1)) for r in rows[:FAULTS] if r["wrong"]]


def _differing(findings: Findings) -> list[tuple[str, str, str, float]]:
    """Reference, engine, tile and share of pixels that differ; every tile once."""
    if findings.agreement is None:
        return []
    reference = findings.agreement["reference"]["name"]
    rows = [
        (reference, each["engine"]["name"], t["name"], t["differing"] / max(t["pixels"], 1))
        for each in findings.agreement["engines"]
        for t in each["tiles"]
        if t["differing"]
    ]
    largest: dict[str, tuple[str, str, str, float]] = {}
    for row in sorted(rows, key=lambda row: row[3], reverse=True):
        largest.setdefault(row[2], row)
    return list(largest.values())[:FAULTS]


def _run(engines: Iterable[EngineFigures], tiles: Sequence[Tile]) -> Maps:
    found: Maps = {}
    for engine in engines:
        opened = open_or_reason(engine.folder)
        if isinstance(opened, str):
            continue
        with opened:
            found[engine.name] = {
                tile.name: predict_tile(opened, tile.name, *tile.images()).damage for tile in tiles
            }
    return found


def _scene(tile: Tile, maps: Maps, first: str) -> Scene:
    pre, post = tile.images()
    _, truth = tile.targets(*pre.shape[:2])
    layers = [Layer("truth", pictures.truth_map(truth))]
    layers += [Layer(name, pictures.damage_map(of[tile.name])) for name, of in maps.items()]
    return Scene(
        tile.name,
        Layer("before", pictures.photo(pre), False),
        Layer("after", pictures.photo(post), False),
        tuple(layers),
        bool((truth == IGNORE).any()),
        first if first in maps else "truth",
    )


def _wrong(tile: Tile, engine: str, share: float, maps: Maps) -> Fault:
    pre, post = tile.images()
    _, truth = tile.targets(*pre.shape[:2])
    damage = maps[engine][tile.name]
    wrong = pictures.errors(damage, truth)
    counts = ", ".join(f"{np.count_nonzero(where):,} {name}" for name, where in wrong.items())
    return Fault(
        tile.name,
        f"{share:.2%} of the pixels are wrong ({counts})",
        (
            Layer("after", pictures.photo(post), False),
            Layer("truth", pictures.truth_map(truth)),
            Layer(engine, pictures.damage_map(damage)),
            Layer("what is wrong", pictures.error_map(post, wrong)),
        ),
    )


def _difference(tile: Tile, names: tuple[str, str], share: float, maps: Maps) -> Fault:
    _, post = tile.images()
    one, other = (maps[name][tile.name] for name in names)
    return Fault(
        tile.name,
        f"{names[1]} and {names[0]} differ in {share:.2%} of the pixels",
        (
            Layer("after", pictures.photo(post), False),
            *(Layer(name, pictures.damage_map(maps[name][tile.name])) for name in names),
            Layer("where they differ", pictures.difference_map(post, one, other)),
        ),
    )
