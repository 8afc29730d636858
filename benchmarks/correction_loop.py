"""Map an unseen event, correct buildings by the API, adapt, build, and map again."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ToolkitError

if TYPE_CHECKING:
    from benchmarks.serve_process import ServerProcess
    from train.xbd import Footprint, Tile

SIDE = 1024
"""Of the scene, pixels."""

SCENES = {"fire": 32, "colours": 10}
"""Numbers of scenes: one after a fire; one after a quake, in another sensor's colours."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.correction_loop", description=__doc__)
    p.add_argument(
        "--checkpoint", required=True, type=Path, metavar="CKPT",
        help="network that has not seen the event",
    )  # fmt: skip
    p.add_argument(
        "--event", choices=list(SCENES), default="colours", metavar="NAME",
        help="fire, or colours: another sensor's (default: colours)",
    )  # fmt: skip
    p.add_argument("--corrected", type=int, default=50, metavar="N", help="buildings (default: 50)")
    p.add_argument(
        "--size", type=int, default=256, metavar="PX", help="of the engine (default: 256)"
    )
    p.add_argument(
        "--target", default="onnxruntime", metavar="NAME",
        help="of the engine (default: onnxruntime)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        result = loop(args, Path(scratch))
    print(json.dumps(result) if args.json else _table(result))


def loop(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Figures by building, before and after, on the buildings that nobody corrected."""
    from benchmarks.adaptation.domains import as_it_is, other_colours, write_scenes
    from benchmarks.serve_process import serving
    from train.xbd import find_tiles

    colours = other_colours if args.event == "colours" else as_it_is
    write_scenes((SCENES[args.event],), SIDE, colours, scratch / "event")
    (tile,) = find_tiles(scratch / "event", "test")
    seconds: dict[str, float] = {}
    engine = scratch / "engine"
    _timed(seconds, "build", _build, args, args.checkpoint, engine)
    with serving(engine, scratch / "data") as server:
        job = _timed(seconds, "map", _mapped, server, tile)
        said, corrected = _timed(seconds, "correct", _correct, server, job, tile, args.corrected)
    folder = scratch / "data" / "maps" / job
    adapted = scratch / "adapted.pt"
    _timed(
        seconds, "adapt", _run, "train.adapt", *tile_images(tile), "--checkpoint", args.checkpoint,
        "--corrections", folder, "--window", 128, "--out", adapted,
    )  # fmt: skip
    again = scratch / "engine-adapted"
    _timed(seconds, "build again", _build, args, adapted, again)
    with serving(again, scratch / "data") as server:
        second = _timed(seconds, "map again", _mapped, server, tile)
    others = [each for index, each in enumerate(tile.buildings[1]) if index not in corrected]
    return {
        "event": args.event,
        "corrections": said,
        "before": _scores(folder, others),
        "after": _scores(scratch / "data" / "maps" / second, others),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def _timed(seconds: dict[str, float], name: str, work: Any, *arguments: Any) -> Any:
    begin = time.perf_counter()
    result = work(*arguments)
    seconds[name] = time.perf_counter() - begin
    return result


def _run(module: str, *arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode:
        raise ToolkitError(f"{module} ended with {done.returncode}: {done.stderr.strip()}")


def _build(args: argparse.Namespace, checkpoint: Path, out: Path) -> None:
    _run(
        "export.build_engine", "--fp32", "--target", args.target, "--size", args.size, args.size,
        "--checkpoint", checkpoint, "--out", out,
    )  # fmt: skip


def tile_images(tile: Tile) -> tuple[Path, Path]:
    return tile.pre, tile.post


def _mapped(server: ServerProcess, tile: Tile) -> str:
    job = server.begin(*tile_images(tile))
    ended = server.wait(job)
    if ended["state"] != "done":
        raise ToolkitError(f"the map was not made: {ended['error']}")
    return job


def _correct(
    server: ServerProcess, job: str, tile: Tile, count: int
) -> tuple[dict[str, int], set[int]]:
    """The least confident buildings of the map, by the true labels: how many were said to be what,
    and the numbers of the footprints that were told."""
    import shapely

    from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES

    truth = tile.buildings[1]
    tree = shapely.STRtree([each.polygon for each in truth])
    path = f"/api/jobs/{job}/buildings"
    listed = server.json("GET", f"{path}?sort=confidence&limit={count}")["buildings"]
    said: dict[str, int] = {}
    told: set[int] = set()
    for each in listed:
        outline = shapely.make_valid(shapely.Polygon(each["ring"]))
        near = tree.query(outline, predicate="intersects").tolist()
        name = "not-a-building"
        if near:
            best = max(near, key=lambda n: outline.intersection(truth[n].polygon).area)
            if truth[best].damage not in DAMAGE_CLASSES:
                continue
            name = CLASS_NAMES[truth[best].damage]
            told.add(best)
        server.json("PUT", f"{path}/{each['id']}/correction", {"class": name, "who": "benchmark"})
        said[name] = said.get(name, 0) + 1
    return said, told


def _scores(folder: Path, footprints: Sequence[Footprint]) -> dict[str, Any]:
    import cv2
    import numpy as np

    from runtime.damage import DAMAGE_CLASSES
    from train.footprint_score import FootprintCounts

    damage = cv2.imread(str(folder / "damage.png"), cv2.IMREAD_UNCHANGED)
    counts = FootprintCounts()
    counts.add(damage, footprints)
    confusion = counts.confusion[1:]
    tallies = zip(DAMAGE_CLASSES, counts.class_tallies, strict=True)
    return {
        "buildings": int(confusion.sum()),
        "accuracy": float(np.trace(confusion[:, 1:]) / confusion.sum()),
        "f1": float(np.mean([tally.f1 for _, tally in tallies if tally.actual])),
        "recall": counts.detection_tally.recall,
    }


def _table(result: dict[str, Any]) -> str:
    said = ", ".join(f"{name} {count}" for name, count in sorted(result["corrections"].items()))
    lines = [f"event: {result['event']}; corrected: {said}", ""]
    lines += ["| map | buildings | accuracy | mean F1 | recall |", "|---|---|---|---|---|"]
    for name in ("before", "after"):
        row = result[name]
        lines.append(
            f"| {name} | {row['buildings']} | {row['accuracy']:.3f} | {row['f1']:.3f} | "
            f"{row['recall']:.3f} |"
        )
    seconds = ", ".join(f"{name} {value:g}" for name, value in result["seconds"].items())
    return "\n".join([*lines, "", f"seconds: {seconds}"])


if __name__ == "__main__":
    cli.run(parser(), main)
