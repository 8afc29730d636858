"""Time a scene beside a plain tiling loop, each the whole command, by turns.

Both compute with ONNX Runtime and the same FP32 graph. The loop (`benchmarks.plain_loop`) writes
labels; runtime.predict also takes a halo, masks, traces buildings, writes probabilities, overviews
and a picture, and can go on after a kill. Ratios are medians over the turns: above 1 the loop takes
longer.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from runtime import cli
from runtime.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.tiling_loop", description=__doc__)
    p.add_argument(
        "--engine", required=True, type=Path, metavar="DIR",
        help="FP32 engine folder for ONNX Runtime, of batch 1",
    )  # fmt: skip
    p.add_argument(
        "--checkpoint", type=Path, metavar="CKPT",
        help="a network whose plain export takes turns too; for its time, it need not be trained",
    )  # fmt: skip
    p.add_argument(
        "--size", type=int, default=4096, metavar="S", help="side, pixels (default: 4096)"
    )
    p.add_argument(
        "--overlap", type=int, nargs="+", default=[32], metavar="N",
        help="of the loop's chips, pixels (default: 32)",
    )  # fmt: skip
    p.add_argument("--turns", type=int, default=3, metavar="N", help="of each (default: 3)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="of each (default: 1)")
    p.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for the rasters and maps (default: a temporary one)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.manifest import Manifest

    manifest = Manifest.read(args.engine)
    sides = manifest.input.height, manifest.input.width
    if (manifest.target.backend, manifest.precision, manifest.input.batch.max) != (
        "onnxruntime", "fp32", 1,
    ) or sides[0] != sides[1]:  # fmt: skip
        raise ConfigError(
            f"{args.engine}: expected an FP32 engine for ONNX Runtime, square and of batch 1"
        )
    for name, least in (("size", sides[0]), ("turns", 1), ("threads", 1)):
        if getattr(args, name) < least:
            raise ConfigError(f"--{name} {getattr(args, name)}: expected {least} or more")
    for each in args.overlap:
        if not 0 <= each < sides[0]:
            raise ConfigError(f"--overlap {each}: expected 0 to {sides[0] - 1}")
    from benchmarks.machine import describe_machine
    from benchmarks.scene import make_pair

    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch)
        make_pair(folder, args.size)
        graphs = {"engine's graph": args.engine / "model.onnx"}
        if args.checkpoint:
            from benchmarks.peers.plain import export_plain
            from train.checkpoint import load_checkpoint

            graphs["plain export"] = folder / "plain.onnx"
            network = load_checkpoint(args.checkpoint).network().eval()
            export_plain(network, sides, graphs["plain export"])
        rows = measure(args, folder, graphs)
    record = {"engine": str(args.engine), "machine": describe_machine(), "ways": rows}
    print(json.dumps(record, indent=2) if args.json else table(rows))


def measure(
    args: argparse.Namespace, folder: Path, graphs: dict[str, Path]
) -> list[dict[str, Any]]:
    """A row for the runtime and each loop; the latter's ratios are to the runtime's turn."""
    from benchmarks.plain_loop import grid
    from runtime.manifest import Manifest

    images = [str(folder / f"{name}-{args.size}.tif") for name in ("pre", "post")]
    threads = ["--threads", str(args.threads)]
    out, side = folder / "map", Manifest.read(args.engine).input.height
    ours = ["runtime.predict", "--engine", str(args.engine), *images, "--out", str(out), *threads]
    lines = {("runtime.predict", None): ours}
    for name, graph in graphs.items():
        for overlap in args.overlap:
            file = str(folder / "labels.tif")
            more = ["--overlap", str(overlap), *threads]
            line = ["benchmarks.plain_loop", str(graph), *images, file, *more]
            lines[f"loop, {name}", overlap] = line
    taken: dict[Any, list[tuple[float, float]]] = {way: [] for way in lines}
    for _ in range(args.turns):
        for way, line in lines.items():
            taken[way].append(_timed(line))
    first, *_ = taken.values()
    summary = json.loads((out / "summary.json").read_text())
    return [
        {
            "way": name,
            "overlap": overlap,
            "windows": summary["windows"]
            if overlap is None
            else len(list(grid(args.size, args.size, side, side - overlap))),
            **{
                f"{kind}_seconds": median(each[i] for each in times)
                for i, kind in enumerate(("wall", "processor"))
            },
            **{
                f"{kind}_ratio": median(b[i] / a[i] for a, b in zip(first, times, strict=True))
                for i, kind in enumerate(("wall", "processor"))
            },
        }
        for (name, overlap), times in taken.items()
    ]


def _timed(line: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor, from the command's start to its end."""
    from benchmarks.child import timed_module

    seconds, usage = timed_module(line[0], line[0], line[1:])
    return seconds, usage.ru_utime + usage.ru_stime


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'way':<24}{'overlap':>8}{'windows':>9}{'wall, s':>9}{'ratio':>7}{'processor, s':>14}"
        f"{'ratio':>7}"
    ]
    lines += [
        f"{row['way']:<24}{'-' if row['overlap'] is None else row['overlap']:>8}{row['windows']:>9}"
        f"{row['wall_seconds']:>9.1f}{row['wall_ratio']:>7.2f}{row['processor_seconds']:>14.1f}"
        f"{row['processor_ratio']:>7.2f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
