"""Time from the command to the first optimiser step of training on many tiles.

A data set as large as xBD is made, of small pictures of which many are the same file, and training
is started on it twice: cold, when nothing of it was ever looked at, and warm, in another run that
shares the folder of masks. Each is stopped after its first step. With half as many tiles once more,
to see what a tile adds to the memory of a loader process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.child import last_line
from runtime import cli
from runtime.errors import ConfigError, ToolkitError

XBD_TILES = 9168
_DISTINCT = 200
"""Pictures that are drawn; the tiles are links to them."""
_VALIDATED = 8
_SETTLED_SECONDS = 2.5
"""What is younger is checked again at the next start, see train/checked.py."""
_PROC = Path("/proc")
_CONFIG = """
model: {width: 8, stem_width: 8, bottlenecks: 1, modules: [1, 1, 1], blocks: 1, projection: 16,
        head_widths: [16, 8]}
data: {crop: 64}
optim: {save_every: 1}
schedule: [{epochs: 1, rate: 0.001}]
"""


@dataclass(frozen=True)
class Start:
    """One start of training, up to the end of its first step."""

    name: str
    tiles: int
    seconds: float
    cpu_seconds: float
    """Of all its processes."""
    own_bytes: int
    """Largest memory of a loader process that no other process has, too."""
    resident_bytes: int
    """Largest resident set of a loader process."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.start_up", description=__doc__)
    add = p.add_argument
    add(
        "--tiles",
        type=int,
        default=XBD_TILES,
        metavar="N",
        help="tiles, as many as xBD has (default: 9168)",
    )
    add("--size", type=int, default=128, metavar="PX", help="side of an image (default: 128)")
    add("--workers", type=int, default=2, metavar="N", help="loader processes (default: 2)")
    add("--scratch", type=Path, metavar="DIR", help="folder to work in (default: a temporary one)")
    add("--json", action="store_true", help="print the figures as JSON")
    add("overrides", nargs="*", metavar="key=value", help="changes of the configuration")
    return p


def main(args: argparse.Namespace) -> None:
    from benchmarks.machine import describe_machine

    if not (_PROC / "self" / "smaps_rollup").exists():
        raise ConfigError(f"{_PROC}/PID/smaps_rollup: not there; memory is measured on Linux")
    if args.tiles < 2 * args.workers or args.workers < 1:
        raise ConfigError(
            f"--tiles {args.tiles} --workers {args.workers}: expected 1 worker or more, and two "
            "tiles for each"
        )
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        found = _starts(args, Path(name))
    record = {
        "kind": "start-up",
        "tiles": args.tiles,
        "size": args.size,
        "workers": args.workers,
        "overrides": args.overrides,
        "machine": describe_machine(),
        "starts": [asdict(each) for each in found],
        "own_bytes_per_tile": _slope(found),
    }
    print(json.dumps(record, indent=2) if args.json else _table(record, found))


def _starts(args: argparse.Namespace, folder: Path) -> list[Start]:
    make_set(folder / "data", args.tiles, args.size)
    make_set(folder / "half", args.tiles // 2, args.size)
    (folder / "config.yaml").write_text(_CONFIG)
    time.sleep(_SETTLED_SECONDS)
    plan = (("cold", "data", args.tiles), ("warm", "data", args.tiles))
    plan += (("half, cold", "half", args.tiles // 2), ("half, warm", "half", args.tiles // 2))
    found = []
    for index, (name, data, tiles) in enumerate(plan):
        cli.note(f"{name}: {tiles} tiles")
        line = ["--config", folder / "config.yaml", "--data", folder / data]
        line += ["--out", folder / f"run-{index}", f"data.masks={folder / data / 'masks'}"]
        line += [f"data.cache_folder={folder / data / 'windows'}", f"data.workers={args.workers}"]
        found.append(_start(name, tiles, [*map(str, line), *args.overrides], folder, index))
    return found


def make_set(folder: Path, tiles: int, size: int) -> None:
    """`tiles` to train on and a few to validate on, in xBD's format."""
    import cv2

    from train.synthetic.labels import label
    from train.synthetic.scene import make_scene

    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    labels: list[dict[str, dict[str, Any]]] = []
    for index in range(min(_DISTINCT, tiles)):
        scene = make_scene(0, index, size)
        for when, picture in (("pre", scene.pre), ("post", scene.post)):
            cv2.imwrite(str(pictures / f"{index}-{when}.png"), picture[..., ::-1])
        labels.append({when: label(scene, 0, index, when) for when in ("pre", "post")})
    for split, count in (("train", tiles), ("test", _VALIDATED)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for number in range(count):
            chosen = number % len(labels)
            for when in ("pre", "post"):
                stem = f"synthetic-set_{number:08d}_{when}_disaster"
                link = folder / split / "images" / f"{stem}.png"
                link.hardlink_to(pictures / f"{chosen}-{when}.png")
                content = labels[chosen][when]
                content["metadata"]["img_name"] = link.name
                (folder / split / "labels" / f"{stem}.json").write_text(json.dumps(content))


def _start(name: str, tiles: int, arguments: list[str], folder: Path, index: int) -> Start:
    """Train until the first step is saved, look at the processes, and stop."""
    saved, said = folder / f"run-{index}" / "last.pt", folder / f"said-{index}"
    began = time.perf_counter()
    with said.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "train", *arguments], stderr=errors, start_new_session=True
        )
    try:
        while not saved.exists():
            if process.poll() is not None:
                raise ToolkitError(f"{name}: {last_line(said.read_text(), process.returncode)}")
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        family = _family(process.pid)
        cpu = sum(map(_cpu_seconds, family))
        memory = [_memory(each) for each in family if _loads(each)]
        process.send_signal(signal.SIGTERM)
        process.wait()
    finally:
        process.kill()
        process.wait()
    own, resident = (max(column) for column in zip(*memory, strict=True))
    return Start(name, tiles, seconds, cpu, own, resident)


def _family(process: int) -> list[int]:
    """The process and those that it has started, and those that they have."""
    children = (_PROC / str(process) / "task" / str(process) / "children").read_text().split()
    return [process, *(each for child in children for each in _family(int(child)))]


def _loads(process: int) -> bool:
    return b"spawn_main" in (_PROC / str(process) / "cmdline").read_bytes()


def _cpu_seconds(process: int) -> float:
    """Of the process, and of its children that have ended."""
    fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int) -> tuple[int, int]:
    """Bytes that the process has alone, and of its resident set."""
    lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {key: int(value.split()[0]) for key, value in (line.split(":") for line in lines)}
    own = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return own * 1024, kilobytes["Rss"] * 1024


def _slope(found: list[Start]) -> float:
    """What a tile adds to a loader process, bytes."""
    whole, half = found[1], found[3]
    return (whole.own_bytes - half.own_bytes) / (whole.tiles - half.tiles)


def _table(record: dict[str, Any], found: list[Start]) -> str:
    lines = [
        f"{record['tiles']} tiles of {record['size']}x{record['size']}, {record['workers']} loader "
        "processes, to the end of the first step",
        f"{'start':<12}{'tiles':>7}{'seconds':>10}{'CPU s':>8}{'worker MB, own':>16}{'all':>10}",
    ]
    lines += [
        f"{each.name:<12}{each.tiles:>7}{each.seconds:>10.1f}{each.cpu_seconds:>8.1f}"
        f"{each.own_bytes / 1e6:>16.1f}{each.resident_bytes / 1e6:>10.1f}"
        for each in found
    ]
    lines.append(f"a tile adds {record['own_bytes_per_tile']:.0f} bytes to a loader process")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
