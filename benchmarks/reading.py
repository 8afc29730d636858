"""Time reading the windows of wide scenes, by what is kept of what was decoded.

GDAL's block cache by the width of the scene, and as it is at least, take turns over the same rows
of windows of a pair, and each begins with nothing decoded. With --align the image after lies
between the pixels of the one before, and what is kept of resampled blocks takes turns too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

from runtime import cli
from runtime.errors import ConfigError

ROWS = 8
"""Of windows, which touch more rows of blocks than one."""
BLOCK = 512
TURNS = 3


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    p.add_argument(
        "--width", type=int, nargs="+", default=[8192, 24576, 49152], metavar="W",
        help="of the scenes, pixels (default: 8192 24576 49152)",
    )  # fmt: skip
    p.add_argument(
        "--window", type=int, default=256, metavar="S", help="side, pixels (default: 256)"
    )
    p.add_argument(
        "--compress",
        choices=("none", "deflate", "lzw", "zstd"),
        default="deflate",
        help="of the files (default: deflate)",
    )
    p.add_argument("--align", action="store_true", help="resample the image after, as it is read")
    p.add_argument("--scratch", type=Path, metavar="DIR", help="folder for the files")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    if args.window < 1:
        raise ConfigError(f"--window {args.window}: expected 1 pixel or more")
    if min(args.width) < args.window:
        raise ConfigError(f"--width {min(args.width)}: expected a window's {args.window} or more")
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        rows = [
            measure(Path(folder), each, args.window, args.compress, args.align)
            for each in args.width
        ]
    print(json.dumps(rows, indent=2) if args.json else table(rows))


def measure(
    folder: Path, width: int, window: int, compress: str, align: bool = False
) -> dict[str, Any]:
    """Milliseconds of processor time a window, with either cache."""
    from runtime.scene.windows import window_rows
    from runtime.source import aligned
    from runtime.source.pair import cached, open_pair
    from runtime.source.raster import gdal_settings

    step = window // 2
    size = (step * (ROWS - 1) + window, width)
    pre, post = make_pair(folder, size, compress, aside=0.4 if align else 0.0)
    least, _ = both = aligned.KEPT_BYTES
    windows = window_rows(size, (window, window), (window - step) // 2)
    seconds: dict[str, list[float]] = {"least": [], "by_width": []}
    for _ in range(TURNS):
        for name, times in seconds.items():
            aligned.KEPT_BYTES = (least, least) if name == "least" else both
            with open_pair(pre, post, align=align) as pair:
                cache: AbstractContextManager[Any] = (
                    gdal_settings() if name == "least" else cached(pair, window)
                )
                with cache:
                    start = time.process_time()
                    for each in windows.windows(range(len(windows))):
                        pair.read(each.row.start, each.column.start, window, window)
                    times.append(time.process_time() - start)
    aligned.KEPT_BYTES = both
    for each in (pre, post):
        each.unlink()
    of_window = {name: 1e3 * median(times) / windows.count for name, times in seconds.items()}
    return {
        "width": width,
        "windows": windows.count,
        **{f"{name}_ms": value for name, value in of_window.items()},
        "ratio": of_window["least"] / of_window["by_width"],
    }


def make_pair(
    folder: Path, size: tuple[int, int], compress: str, aside: float = 0.0
) -> tuple[Path, Path]:
    """Tiled by `BLOCK`; the same towns all over, for what is decoded does not matter.

    aside: pixels that the second lies to the east.
    """
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    from train.synthetic.scene import make_scene

    town = make_scene(0, 0, BLOCK)
    profile = {
        "driver": "GTiff", "height": size[0], "width": size[1], "count": 3, "dtype": "uint8",
        "crs": "EPSG:32614", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "photometric": "RGB", "interleave": "pixel", "compress": compress,
    }  # fmt: skip
    paths = folder / f"pre-{size[1]}.tif", folder / f"post-{size[1]}.tif"
    for path, image, east in zip(paths, (town.pre, town.post), (0, aside), strict=True):
        place = from_origin(500_000 + 0.5 * east, 3_300_000, 0.5, 0.5)
        with rasterio.open(path, "w", transform=place, **profile) as file:
            for top in range(0, size[0], BLOCK):
                for left in range(0, size[1], BLOCK):
                    height, width = min(BLOCK, size[0] - top), min(BLOCK, size[1] - left)
                    part = np.moveaxis(image[:height, :width], 2, 0)
                    file.write(part, window=Window(left, top, width, height))
    return paths


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'width':>7}{'windows':>9}{'64 MiB, ms':>12}{'by width, ms':>14}{'ratio':>7}"]
    lines += [
        f"{row['width']:>7}{row['windows']:>9}{row['least_ms']:>12.2f}{row['by_width_ms']:>14.2f}"
        f"{row['ratio']:>7.2f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
