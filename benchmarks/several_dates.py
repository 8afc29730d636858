"""Two clouded images after the event: scores of each alone, and of both together."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from runtime import cli

SIDE = 512


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.several_dates", description=__doc__)
    p.add_argument("--engine", required=True, type=Path, metavar="DIR", help="engine folder")
    p.add_argument(
        "--scenes", type=int, default=16, metavar="N", help="synthetic scenes (default: 16)"
    )
    p.add_argument(
        "--strength", type=float, default=0.9, metavar="SHARE",
        help="of a cloud of grey 235, which covers about a third (default: 0.9)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        result = scores(args.engine, Path(scratch), args.scenes, args.strength)
    print(json.dumps(result) if args.json else _table(result))


def scores(engine_folder: Path, scratch: Path, scenes: int, strength: float) -> dict[str, Any]:
    """The official score by what is mapped, and seconds of a map of one and of two images."""
    import cv2
    import numpy as np

    from benchmarks.image_quality import blobs_of, plant
    from runtime.engine import load_engine
    from runtime.fusing import map_dates
    from runtime.mapping import map_pair
    from runtime.options import MapOptions
    from runtime.output.png import write_png
    from runtime.score import Counts
    from train.synthetic.scene import make_scene

    found = {name: Counts() for name in ("no clouds", "first", "second", "both")}
    seconds = dict.fromkeys(found, 0.0)
    covered = []
    random = np.random.default_rng(5)
    with load_engine(engine_folder) as engine:
        for index in range(scenes):
            scene = make_scene(23, index, SIDE)
            blobs = [blobs_of(scene.post.shape[:2], random) for _ in range(2)]
            covered += [float((each > 0.5).mean()) for each in blobs]
            images = {
                "pre": scene.pre, "no clouds": scene.post,
                "first": plant(scene.post, blobs[0], "cloud", strength),
                "second": plant(scene.post, blobs[1], "cloud", strength),
            }  # fmt: skip
            paths = {name: scratch / f"{index}-{name}.png" for name in images}
            for name, image in images.items():
                write_png(paths[name], image)
            truth = np.zeros((SIDE, SIDE), np.uint8)
            for each in scene.buildings:
                cv2.fillPoly(truth, [np.rint(each.polygon).astype(np.int32)], each.damage)
            for name, counts in found.items():
                out = scratch / f"map-{index}-{name}"
                begin = time.perf_counter()
                if name == "both":
                    posts = [paths["first"], paths["second"]]
                    map_dates(engine, paths["pre"], posts, out, MapOptions())
                else:
                    map_pair(engine, paths["pre"], paths[name], out, MapOptions())
                seconds[name] += time.perf_counter() - begin
                damage = cv2.imread(str(out / "damage.png"), cv2.IMREAD_UNCHANGED)
                counts.add(damage, damage, truth, truth)
    return {
        "scenes": scenes,
        "clouded": float(np.mean(covered)),
        "scores": {
            name: {
                "score": counts.score, "localization_f1": counts.localization_f1,
                "damage_f1": counts.damage_f1, "seconds": seconds[name] / scenes,
            }
            for name, counts in found.items()
        },
    }  # fmt: skip


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['scenes']} scenes, {result['clouded']:.0%} of each image under cloud",
        "",
        "| mapped | score | localization F1 | damage F1 | s a scene |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['score']:.3f} | {row['localization_f1']:.3f} | {row['damage_f1']:.3f} "
        f"| {row['seconds']:.2f} |"
        for name, row in result["scores"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
