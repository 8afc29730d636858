"""Map a pair of GeoTIFFs with a plain tiling loop, as many are written.

A grid of chips over the raster as torchgeo's GridGeoSampler lays it, windowed reads by rasterio,
ONNX Runtime with one chip at a time, and the labels of each chip written where it lies. The graph
is an engine's own (uint8 images in, labels out), or a plain export (normalised images in, logits
out) with NumPy before and after. There is no halo, no mask, no building, and nothing to go on with.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime import cli

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as the toolkit's networks take them."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.plain_loop", description=__doc__)
    p.add_argument("model", type=Path, metavar="ONNX", help="an engine's graph, or a plain export")
    p.add_argument("pre", type=Path, metavar="PRE", help="image before, GeoTIFF")
    p.add_argument("post", type=Path, metavar="POST", help="image after, GeoTIFF")
    p.add_argument("out", type=Path, metavar="TIF", help="labels, GeoTIFF")
    p.add_argument("--overlap", type=int, default=32, metavar="N", help="pixels (default: 32)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="(default: 1)")
    return p


def main(args: argparse.Namespace) -> None:
    import rasterio
    from rasterio.windows import Window

    from runtime.backends.onnxruntime import load_onnxruntime

    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    labels = labels_by_graph if session.get_inputs()[0].type == "tensor(uint8)" else labels_by_numpy
    chip = shape[1] if labels is labels_by_graph else shape[2]
    with rasterio.open(args.pre) as pre, rasterio.open(args.post) as post:
        profile = {**pre.profile, "count": 1, "photometric": "MINISBLACK"}
        with rasterio.open(args.out, "w", **profile) as out:
            for top, left in grid(pre.height, pre.width, chip, chip - args.overlap):
                window = Window(left, top, chip, chip)
                inside = window.intersection(Window(0, 0, pre.width, pre.height))
                beyond = inside != window
                images = (each.read(window=window, boundless=beyond) for each in (pre, post))
                found = labels(session, *images)
                y, x = int(inside.row_off) - top, int(inside.col_off) - left
                part = found[y : y + int(inside.height), x : x + int(inside.width)]
                out.write(part, 1, window=inside)


def grid(height: int, width: int, size: int, stride: int) -> Iterator[tuple[int, int]]:
    """Top and left of chips, from the bottom up and left to right, as torchgeo 0.8 has them.

    ceil((side - size) / stride) + 1 a dimension; the last of each lie beyond the raster. None where
    it is smaller than a chip.
    """
    if min(height, width) < size:
        return
    rows, columns = (-(-(side - size) // stride) + 1 for side in (height, width))
    for row in range(rows):
        for column in range(columns):
            yield height - size - row * stride, column * stride


def labels_by_graph(session: Any, pre: Any, post: Any) -> Any:
    """uint8 [3,h,w] each -> uint8 [h,w]; all else is in the graph."""
    images = {
        name: image.transpose(1, 2, 0)[None]
        for name, image in zip(("pre", "post"), (pre, post), strict=True)
    }
    return session.run(["damage"], images)[0][0]


def labels_by_numpy(session: Any, pre: Any, post: Any) -> Any:
    """The same with a graph of the network alone: normalised, and the most likely class."""
    import numpy as np

    mean, std = (np.array(each, np.float32)[:, None, None] for each in (MEAN, STD))
    images = {
        name: ((image.astype(np.float32) / 255 - mean) / std)[None]
        for name, image in zip(("pre", "post"), (pre, post), strict=True)
    }
    building, damage = session.run(["building", "damage"], images)
    there = building[0, 0] if building.shape[1] == 1 else building[0, 1] - building[0, 0]
    return np.where(there >= 0, damage[0, -4:].argmax(0) + 1, 0).astype(np.uint8)


if __name__ == "__main__":
    cli.run(parser(), main)
