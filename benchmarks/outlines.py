"""Compare buildings told apart and straightened with components as they are.

Rows of houses are made, softened and cut at a half as a network would; of --data, labelled tiles
are drawn as they are, with narrow gaps closed, and as an --engine sees them. A building is found
where a polygon and a labelled one have more than half of what they cover in common. With --count,
what both ways cost for so many buildings is measured instead, in a process each; no network runs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from runtime.scene.strip import Strip

WAYS = ("raw", "straight")
GAPS = (0, 1, 2)
"""Pixels between two houses of a row."""

SIDE, ROWS = 1000, 40
"""Pixels of a made tile; rows of houses that are tried on it."""

CELL = 24
"""Pixels a side around each building of --count."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.outlines", description=__doc__)
    p.add_argument("--data", type=Path, metavar="DIR", help="labelled xBD tiles, too")
    p.add_argument(
        "--split", nargs="+", default=["train", "tier3"], metavar="NAME",
        help="of --data (default: train tier3)",
    )  # fmt: skip
    p.add_argument(
        "--engine", type=Path, metavar="DIR", help="with --data: what this engine sees there, too"
    )
    p.add_argument(
        "--tiles", type=int, default=4, metavar="N", help="of rows of each gap (default: 4)"
    )
    p.add_argument("--count", type=int, metavar="N", help="measure the cost of N buildings instead")
    p.add_argument("--way", choices=WAYS, help="with --count: this one, in this process")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.tiles < 1 or (args.count is not None and args.count < 1):
        raise ConfigError("--tiles and --count: expected 1 or more")
    if args.way and args.count is None:
        raise ConfigError("--way: expected with --count")
    if args.engine and args.data is None:
        raise ConfigError("--engine: expected with --data, on which it is run")
    cli.prepare_opencv()
    from benchmarks.machine import describe_machine

    if args.way:
        print(json.dumps(cost(args.count, args.way)))
        return
    if args.count is not None:
        from benchmarks.child import run_module

        module = "benchmarks.outlines"
        rows = [
            json.loads(run_module(way, module, ["--count", args.count, "--way", way]))
            for way in WAYS
        ]
        record = {"machine": describe_machine(), "cost": rows}
        print(json.dumps(record, indent=2) if args.json else table_of_cost(rows))
        return
    rows = [compare(name, tiles) for name, tiles in materials(args)]
    record = {"machine": describe_machine(), "rows": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


def materials(args: argparse.Namespace) -> Iterator[tuple[str, list[tuple[Any, Any]]]]:
    """Names, and tiles: shapely polygons object [N], and the mask that shows them, uint8 [H,W]."""
    import cv2
    import numpy as np

    for gap in GAPS:
        yield f"rows, gap {gap} px", [houses(seed, gap) for seed in range(args.tiles)]
    if args.data is None:
        return
    from train.xbd import find_tiles, rasterise

    for split in args.split:
        drawn = []
        for tile in find_tiles(args.data, split):
            labelled = tile.buildings[0]
            shape = tile.images()[0].shape
            mask = rasterise(labelled, shape[0], shape[1], lambda _: 1)
            drawn.append((np.array([each.polygon for each in labelled], object), mask))
        yield f"{split}, as labelled", drawn
        for size in (3, 5):
            square = np.ones((size, size), np.uint8)
            closed = [(true, cv2.morphologyEx(m, cv2.MORPH_CLOSE, square)) for true, m in drawn]
            yield f"{split}, gaps below {size} px closed", closed
        if args.engine:
            masks = zip(drawn, seen_by(args.engine, args.data, split), strict=True)
            yield f"{split}, as the engine sees it", [(true, mask) for (true, _), mask in masks]


def seen_by(folder: Path, data: Path, split: str) -> Iterator[np.ndarray]:
    """Building pixels of the labelled tiles, uint8 [H,W]."""
    import cv2

    from runtime.buildings.votes import building_pixels
    from runtime.engine import load_engine
    from runtime.mapping import map_pair
    from runtime.options import MapOptions
    from train.xbd import find_tiles

    with load_engine(folder) as engine, tempfile.TemporaryDirectory() as scratch:
        for tile in find_tiles(data, split):
            out = Path(scratch) / tile.name
            map_pair(engine, tile.pre, tile.post, out, MapOptions(raw_outlines=True))
            yield building_pixels(cv2.imread(str(out / "damage.png"), cv2.IMREAD_UNCHANGED))


def houses(seed: int, gap: float) -> tuple[Any, np.ndarray]:
    """Turned rows of 3 to 8 houses, 10 to 20 px wide and deep, that stand up to 4 px before or
    behind each other."""
    import cv2
    import numpy as np
    import shapely
    import shapely.affinity

    rng = np.random.default_rng(seed)
    taken = np.zeros((SIDE, SIDE), bool)
    truth: list[Any] = []
    for _ in range(ROWS):
        width, depth, shift = rng.uniform((10, 10, -4), (20, 20, 4), (rng.integers(3, 9), 3)).T
        left = np.cumsum(width + gap) - width - gap
        boxes = shapely.box(left, shift - depth / 2, left + width, shift + depth / 2)
        turned = shapely.affinity.rotate(shapely.MultiPolygon(boxes.tolist()), rng.uniform(0, 180))
        moved = shapely.affinity.translate(turned, *rng.uniform(150, SIDE - 150, 2))
        x, y, right, bottom = np.round(moved.bounds).astype(int).tolist()
        around = taken[y - 8 : bottom + 8, x - 8 : right + 8]
        if not around.any():
            around[:] = True
            truth += moved.geoms
    fine = 4
    mask = np.zeros((SIDE * fine, SIDE * fine), np.uint8)
    for each in truth:
        points = shapely.get_coordinates(each) * fine - 0.5
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
    share = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    soft = cv2.GaussianBlur(share, (0, 0), 1.2)
    noise = cv2.GaussianBlur(rng.normal(size=soft.shape).astype(np.float32), (0, 0), 1.5)
    soft += 0.12 * noise / noise.std()
    return np.array(truth, object), (soft > 0.5).astype(np.uint8)


def compare(name: str, tiles: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Both ways on the same masks; JSON-ready."""
    import numpy as np
    import shapely

    from runtime.buildings import find_buildings

    row: dict[str, Any] = {"name": name, "labelled": sum(len(true) for true, _ in tiles)}
    for way in WAYS:
        found = matched = corners = overlaps = invalid = 0
        area = pixels = 0.0
        for true, mask in tiles:
            buildings = find_buildings(mask, np.full_like(mask, 200), raw_outlines=way == "raw")
            shapes = np.array(
                [shapely.Polygon(each.rings[0], each.rings[1:]) for each in buildings], object
            )
            matched += matches(shapes, true)
            found += len(shapes)
            corners += sum(len(ring) for each in buildings for ring in each.rings)
            invalid += int((~shapely.is_valid(shapes)).sum())
            overlaps += overlapping(shapes)
            area += float(shapely.area(shapes).sum())
            pixels += sum(each.area_px for each in buildings)
        row[way] = {
            "found": found,
            "matched": matched,
            "f1": 2 * matched / max(found + row["labelled"], 1),
            "corners": corners / max(found, 1),
            "invalid": invalid,
            "overlapping": overlaps,
            "area": area / max(pixels, 1.0),
        }
    return row


def matches(found: Any, true: Any) -> int:
    """Pairs whose intersection is more than half of their union; each is in one pair at most."""
    import numpy as np
    import shapely

    one, other = shapely.STRtree(true).query(found, predicate="intersects")
    both = shapely.area(shapely.intersection(found[one], true[other]))
    either = shapely.area(found[one]) + shapely.area(true[other]) - both
    hit = both > 0.5 * either
    return min(len(np.unique(one[hit])), len(np.unique(other[hit])))


def overlapping(shapes: Any) -> int:
    """Pairs that cover the same ground."""
    import shapely

    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, other = one[one < other], other[one < other]
    return int((shapely.area(shapely.intersection(shapes[one], shapes[other])) > 1e-9).sum())


def cost(count: int, way: str) -> dict[str, Any]:
    """Of about `count` buildings, turned and ragged; JSON-ready."""
    import numpy as np

    from benchmarks.child import own_peak
    from runtime.buildings.finding import Maps, buildings

    rng = np.random.default_rng(0)
    columns = 100
    kinds = [cells(rng) for _ in range(40)]
    band = np.hstack([kinds[each] for each in rng.integers(len(kinds), size=columns)])
    confidence = np.full_like(band, 200)
    rows = -(-count // columns)

    def strips() -> Iterator[Strip]:
        from runtime.scene.strip import Strip

        for row in range(rows):
            yield Strip(row * CELL, band, confidence)

    def read(name: str, top: int, left: int, height: int, width: int) -> Any:
        whole = band if name == "damage" else confidence
        which = np.arange(top, top + height) % CELL
        return whole[which, left : left + width]

    maps = None if way == "raw" else Maps(rows * CELL, band.shape[1], read)
    begin = time.process_time()
    corners = found = 0
    for each in buildings(strips(), maps=maps):
        found += 1
        corners += sum(map(len, each.rings))
    seconds = time.process_time() - begin
    return {
        "way": way,
        "buildings": found,
        "seconds_per_100000": seconds / found * 100_000,
        "corners": corners / found,
        "peak_mib": own_peak() / 2**20,
    }


def cells(rng: np.random.Generator) -> np.ndarray:
    """A turned, ragged house, uint8 [CELL,CELL]; beside some, a shed."""
    import cv2
    import numpy as np

    soft = np.zeros((CELL, CELL), np.float32)
    box = ((CELL / 2, CELL / 2), rng.uniform(9, 15, 2).tolist(), rng.uniform(0, 90))
    cv2.fillPoly(soft, [np.round(cv2.boxPoints(box)).astype(np.int32)], 1.0)
    if rng.random() < 1 / 3:
        soft[2:8, 2:8] = 1
        soft[7:10, 5:9] = 1
    noise = cv2.GaussianBlur(rng.normal(size=soft.shape).astype(np.float32), (0, 0), 1.0)
    soft = cv2.GaussianBlur(soft, (0, 0), 0.8) + 0.3 * noise
    soft[[0, -1]] = 0
    soft[:, [0, -1]] = 0
    return (soft > 0.5).astype(np.uint8) * np.uint8(rng.integers(1, 5))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'':<30}{'labelled':>9}{'F1 raw':>9}{'F1':>7}{'found':>7}{'matched':>9}"
        f"{'corners raw':>13}{'corners':>9}{'area':>9}{'invalid':>9}{'overlaps':>9}"
    ]
    for row in rows:
        raw, new = row["raw"], row["straight"]
        lines.append(
            f"{row['name']:<30}{row['labelled']:>9}{raw['f1']:>9.3f}{new['f1']:>7.3f}"
            f"{new['found']:>7}{new['matched']:>9}{raw['corners']:>13.1f}{new['corners']:>9.1f}"
            f"{new['area']:>9.4f}{new['invalid']:>9}{new['overlapping']:>9}"
        )
    return "\n".join(lines)


def table_of_cost(rows: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{row['way']:<10}{row['buildings']:>9} buildings{row['seconds_per_100000']:>8.1f} s of a "
        f"processor a 100,000{row['corners']:>7.1f} corners{row['peak_mib']:>7.0f} MiB"
        for row in rows
    )


if __name__ == "__main__":
    cli.run(parser(), main)
