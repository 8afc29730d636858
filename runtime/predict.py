"""Map the damage of one pair: ``python -m runtime.predict --engine DIR PRE POST --out DIR``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from runtime.buildings import Building
    from runtime.engine import Engine, Prediction


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.predict",
        description="Map building damage from one pair of images. Writes damage.png (class "
        "values), building.png and confidence.png (probability x 255), overlay.png, "
        "buildings.geojson and summary.json.",
    )
    parser.add_argument("pre", type=Path, metavar="PRE", help="image before the disaster")
    parser.add_argument("post", type=Path, metavar="POST", help="image after the disaster")
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--json", action="store_true", help="print summary.json, not a table")
    parser.add_argument(
        "--min-area",
        type=int,
        default=1,
        metavar="PX",
        help="leave smaller buildings out of the polygons and counts (default: keep all)",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    if args.min_area < 1:
        raise ConfigError(f"--min-area is {args.min_area}; expected 1 pixel or more")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out {args.out}: is a file; expected a folder, or a new name")
    # OpenCV prints its own account of a damaged TIFF before ours.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    from runtime.buildings import find_buildings
    from runtime.engine import load_engine
    from runtime.files import adding_to_folder, write_json
    from runtime.geojson import feature, write_geojson
    from runtime.images import read_pair, write_png
    from runtime.overlay import overlay, with_legend

    pre, post = read_pair(args.pre, args.post)
    with load_engine(args.engine, args.threads) as engine:
        _check_size(engine, pre.shape[0], pre.shape[1], args.pre)
        result = engine.predict(pre, post)
    buildings = find_buildings(result.damage, result.confidence, args.min_area)
    summary = _summary(engine, result, buildings, args)
    with adding_to_folder(args.out) as folder:
        write_png(folder / "damage.png", result.damage)
        write_png(folder / "building.png", result.building)
        write_png(folder / "confidence.png", result.confidence)
        picture = with_legend(overlay(post, result.damage), result.damage)
        write_png(folder / "overlay.png", picture)
        write_geojson(folder / "buildings.geojson", map(feature, buildings))
        write_json(folder / "summary.json", summary)
    print(json.dumps(summary, indent=2) if args.json else _table(summary, args.out))


def _check_size(engine: Engine, height: int, width: int, path: Path) -> None:
    if (height, width) != (engine.height, engine.width):
        raise ImageError(
            f"{path}: {height}x{width} (height x width), the engine takes "
            f"{engine.height}x{engine.width}; "
            f"{engine.manifest.size_advice(engine.folder, height, width)}"
        )


def _summary(
    engine: Engine, result: Prediction, buildings: list[Building], args: argparse.Namespace
) -> dict[str, Any]:
    """Pixels are those of damage.png; buildings are those of buildings.geojson."""
    from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES, NODATA

    manifest = engine.manifest
    return {
        "pre": str(args.pre),
        "post": str(args.post),
        "height": engine.height,
        "width": engine.width,
        "classes": {
            CLASS_NAMES[each]: {
                "buildings": sum(building.damage_class == each for building in buildings),
                "area_px": int((result.damage == each).sum()),
            }
            for each in DAMAGE_CLASSES
        },
        "buildings": len(buildings),
        "min_area_px": args.min_area,
        "nodata_px": int((result.damage == NODATA).sum()),
        "engine": {
            "folder": str(args.engine),
            "architecture": manifest.model.architecture,
            "model_width": manifest.model.width,
            "checkpoint_sha256": manifest.model.checkpoint_sha256,
            "graph_sha256": manifest.graph.sha256,
            "precision": manifest.precision,
            "threshold": manifest.input.threshold,
            "backend": manifest.target.backend,
            "built_with": manifest.target.version,
            "run_with": engine.backend_version,
            "created": manifest.created,
        },
    }


def _table(summary: dict[str, Any], out: Path) -> str:
    engine = summary["engine"]
    lines = [f"{'':<14}{'buildings':>10}{'area px':>12}"]
    lines += [
        f"{name:<14}{row['buildings']:>10}{row['area_px']:>12}"
        for name, row in summary["classes"].items()
    ]
    if summary["nodata_px"]:
        lines.append(f"{'not computed':<14}{'':>10}{summary['nodata_px']:>12}")
    lines.append(
        f"{engine['architecture']} w{engine['model_width']} {engine['precision']} "
        f"on {engine['backend']} {engine['run_with']}; results in {out}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
