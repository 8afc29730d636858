"""Map a stream of frames with bounded latency: a frame that a newer one overtakes is dropped.

python examples/camera_loop.py runtime/example/engine examples/pairs.csv --frames 50

Pairs stand in for a camera; --video names what OpenCV opens: a camera (0), a file, an address.
"""

import argparse
import contextlib
import json
import queue
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from runtime import load_engine
from runtime.many.pairs import find_pairs
from runtime.source.picture import read_pair

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("engine", type=Path, help="engine folder")
parser.add_argument("pairs", type=Path, help="CSV with pre,post, or a folder as xBD's")
parser.add_argument("--video", metavar="SOURCE", help="what cv2.VideoCapture opens")
parser.add_argument("--frames", type=int, default=100, help="the most (default: 100)")
parser.add_argument("--period", type=float, default=0.04, help="seconds between frames")
args = parser.parse_args()
pairs = [read_pair(each.pre, each.post) for each in find_pairs(args.pairs)]
newest: queue.Queue = queue.Queue(maxsize=1)  # never more than one frame waits
seen, begun, latencies = [], [], []  # seconds on one clock


def frames():
    """Pre and post, uint8 [H, W, 3] RGB; a video's frames are after what the first pair shows."""
    if args.video is None:
        yield from pairs * args.frames  # as many as are asked for, or more
    camera = cv2.VideoCapture(int(args.video) if args.video.isdecimal() else args.video)
    while (read := camera.read())[0]:
        yield pairs[0][0], cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)


def camera():
    try:
        for _, pair in zip(range(args.frames), frames(), strict=False):
            seen.append(time.perf_counter())
            with contextlib.suppress(queue.Empty):
                newest.get_nowait()  # it waits still, and this frame is newer
            newest.put((seen[-1], pair))
            time.sleep(args.period)
    finally:
        newest.put(None)  # whatever ends the camera ends the loop


with load_engine(args.engine) as engine:

    def waiting():
        while (frame := newest.get()) is not None:
            begun.append(frame[0])
            yield tuple(image[: engine.height, : engine.width] for image in frame[1])

    threading.Thread(target=camera, daemon=True).start()
    for result in engine.predict_many(waiting()):
        latencies.append(1e3 * (time.perf_counter() - begun[len(latencies)]))
        destroyed = int((result.damage == 4).sum())
if not latencies:
    raise SystemExit("no frame came; expected pairs, or a --video that OpenCV can open")
counts = {"seen": len(seen), "mapped": len(latencies), "dropped": len(seen) - len(latencies)}
percentiles = {f"p{p}": np.percentile(latencies, p).round(2) for p in (50, 95, 99, 100)}
print(json.dumps({**counts, "latency_ms": percentiles, "destroyed_px_in_last": destroyed}))
