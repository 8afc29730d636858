"""What it costs: processor seconds of measuring, and of reading through a field."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np


def cost(scratch: Path, size: int) -> dict[str, Any]:
    """Processor seconds of measuring, and of reading all windows of 1024 with and without."""
    from benchmarks.scene import make_pair
    from runtime.scene.windows import window_rows
    from runtime.source.field import Field
    from runtime.source.pair import cached, open_pair
    from runtime.source.registered import Registered
    from runtime.source.shift import measure, survey

    make_pair(scratch, size)
    paths = scratch / f"pre-{size}.tif", scratch / f"post-{size}.tif"
    windows = window_rows((size, size), (1024, 1024), 64)

    def read(through: Field | None) -> None:
        with open_pair(*paths) as pair, cached(pair, 1024):
            post = pair.post if through is None else Registered(pair.post, through)
            moved = replace(pair, post=post)
            for each in windows.windows(range(len(windows))):
                moved.read(each.row.start, each.column.start, 1024, 1024)

    def timed(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    found: dict[str, Any] = {"size": size, "windows": windows.count}
    with open_pair(*paths) as pair, cached(pair, 384):
        found["survey_s"] = timed(lambda: survey(pair.pre, pair.post))
    with open_pair(*paths) as pair, cached(pair, 640):
        start = time.process_time()
        field = measure(pair.pre, pair.post).field
        found["measure_s"] = time.process_time() - start
    assert field
    plain, through = [], []
    for _ in range(3):
        plain.append(timed(lambda: read(None)))
        through.append(timed(lambda: read(field)))
    found["read_s"], found["read_registered_s"] = float(np.median(plain)), float(np.median(through))
    return found
