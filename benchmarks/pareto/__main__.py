"""Compare checkpoints, sizes and precisions: score, latency, memory.

Builds each engine by the public commands, scores it where there is labelled data and the
network was trained, times all by turns, and measures the peak memory of a process that loads one
and predicts once. What --out holds already is kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pareto.chart import check_plot, save_chart
from benchmarks.pareto.front import on_front, seconds_per_megapixel
from benchmarks.pareto.sweep import Cell, Layout, build, costs, divides, score
from runtime import cli
from runtime.errors import ConfigError, ToolkitError
from runtime.manifest import STRIDE, Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.xbd import Tile

UNTRAINED = "no trained weights"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.pareto", description=__doc__)
    p.add_argument(
        "--checkpoint",
        required=True,
        nargs="+",
        type=Path,
        metavar="CKPT",
        help="checkpoints to build engines of",
    )
    p.add_argument(
        "--size",
        nargs="+",
        type=int,
        default=[1024],
        metavar="S",
        help="sides of an image, pixels (default: 1024)",
    )
    p.add_argument(
        "--precision", nargs="+", choices=["fp32", "fp16", "int8"], default=["fp32", "int8"],
        help="precisions to build (default: fp32 int8)",
    )  # fmt: skip
    p.add_argument(
        "--target",
        default="openvino",
        metavar="NAME",
        help="openvino or onnxruntime (default: openvino)",
    )
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="labelled xBD data, for scores and for INT8's ranges",
    )
    p.add_argument(
        "--split", default="test", metavar="NAME", help="split to score on (default: test)"
    )
    p.add_argument(
        "--calibration-tiles",
        type=int,
        default=16,
        metavar="N",
        help="tiles to observe for INT8 (default: 16)",
    )
    p.add_argument(
        "--trained", action="store_true",
        help="also score weights whose checkpoint records no training, such as imported ones",
    )  # fmt: skip
    p.add_argument(
        "--rounds", type=int, default=10, metavar="N", help="turns of each engine (default: 10)"
    )
    p.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    p.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures (.svg or .png)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    p.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of engines and figures"
    )
    return p


def main(args: argparse.Namespace) -> None:
    _check(args)
    from benchmarks.machine import describe_machine
    from runtime import host
    from runtime.files import check_file, write_json
    from train.evaluate import labelled_tiles

    threads = args.threads or host.physical_cores()
    layout = Layout(args.out)
    for path in (layout.record, args.plot):
        if path is not None:
            check_file(path)
    tiles = labelled_tiles(args.data, args.split) if args.data is not None else []
    cells, failed = sweep(args), []
    machine = describe_machine()
    built = []
    for cell in cells:
        try:
            build(cell, layout, args.data, args.split, args.calibration_tiles)
            built.append(cell)
        except ToolkitError as error:
            failed.append({"name": cell.name, "reason": str(error)})
    scored = scores(built, layout, tiles, args)
    measured = costs(built, layout, args.rounds, threads, failed)
    points = [
        point(cell, Manifest.read(layout.engine(cell)), measured[cell.name], scored[cell.name])
        for cell in built
        if cell.name in measured
    ]
    for each, unbeaten in zip(points, on_front(points), strict=True):
        each["on_front"] = unbeaten
    record = {
        "kind": "pareto",
        "machine": machine,
        "threads": threads,
        "rounds": args.rounds,
        "points": points,
        "failed": failed,
    }
    write_json(layout.record, record)
    if args.plot is not None:
        save_chart(record, args.plot)
    print(json.dumps(record, indent=2) if args.json else table(record))


def sweep(args: argparse.Namespace) -> list[Cell]:
    """Every checkpoint at every size in every precision."""
    from runtime.files import sha256
    from train.checkpoint import load_checkpoint

    cells = []
    for path in args.checkpoint:
        checkpoint = load_checkpoint(path)
        model, trained = checkpoint.model, args.trained or checkpoint.step > 0
        who = path, sha256(path), model.architecture, model.width, trained
        cells += [
            Cell(*who, side, precision, args.target)
            for side, precision in itertools.product(args.size, args.precision)
        ]
    return cells


def scores(
    cells: Sequence[Cell], layout: Layout, tiles: Sequence[Tile], args: argparse.Namespace
) -> dict[str, dict[str, Any] | str]:
    """By name the accuracy record; or, in words, why there is none."""
    found: dict[str, dict[str, Any] | str] = dict.fromkeys((c.name for c in cells), "no --data")
    if args.data is None:
        return found
    from benchmarks.dataset import describe_data

    described = describe_data(args.data, args.split, tiles)
    for cell in cells:
        if not cell.trained:
            found[cell.name] = UNTRAINED
        elif not divides(cell.side, tiles):
            found[cell.name] = f"tiles cannot be cut into windows of {cell.side}x{cell.side}"
        else:
            found[cell.name] = score(cell, layout, args.data, args.split, described)
    return found


def point(
    cell: Cell, manifest: Manifest, cost: dict[str, Any], scored: dict[str, Any] | str
) -> dict[str, Any]:
    """One engine of the record, all but `on_front`. `score_unknown` says why there is none."""
    p50 = statistics.median(cost["samples_s"])
    known, why, on = None, None, None
    if isinstance(scored, str):
        why = scored
    else:
        known, data = scored["figures"]["score"], scored["data"]
        on = f"{data['tiles']} tiles of {data['name']}/{data['split']}"
    return {
        "name": cell.name,
        "width": cell.width,
        "architecture": cell.architecture,
        "precision": cell.precision,
        "backend": manifest.target.backend,
        "size": [cell.side, cell.side],
        "score": known,
        "score_on": on,
        "score_unknown": why,
        "p50_s": p50,
        "samples_s": cost["samples_s"],
        "pairs_per_s": 1 / p50,
        "megapixels_per_s": cell.side**2 / 1e6 / p50,
        "peak_bytes": cost["peak_bytes"],
        "size_bytes": manifest.payload_bytes,
    }


def table(record: dict[str, Any]) -> str:
    lines = [f"{'':<48}{'score':>8}{'p50 s':>9}{'s/Mpx':>8}{'peak MiB':>10}{'MB':>7}  not beaten"]
    for each in record["points"]:
        score = "-" if each["score"] is None else f"{each['score']:.4f}"
        lines.append(
            f"{each['name']:<48}{score:>8}{each['p50_s']:>9.3f}"
            f"{seconds_per_megapixel(each):>8.3f}{each['peak_bytes'] / 2**20:>10.0f}"
            f"{each['size_bytes'] / 1e6:>7.1f}  {'*' if each['on_front'] else ''}"
        )
    unknown = {each["score_unknown"] for each in record["points"]} - {None}
    lines += [f"score unknown: {why}" for why in sorted(unknown)]
    lines += [f"not measured: {each['name']}: {each['reason']}" for each in record["failed"]]
    return "\n".join(lines)


def _check(args: argparse.Namespace) -> None:
    for name in ("rounds", "threads", "calibration_tiles"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: expected at least 1")
    for side in args.size:
        if side < STRIDE or side % STRIDE:
            raise ConfigError(f"--size {side}: expected a positive multiple of {STRIDE}")
    if "int8" in args.precision and args.data is None:
        raise ConfigError("--precision int8: needs --data DIR, whose tiles give its ranges")
    if args.plot is not None:
        check_plot(args.plot)


if __name__ == "__main__":
    cli.run(parser(), main)
