"""Whether planted shifts are found, by `runtime` and by scikit-image."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.registration.pairs import (
    Both,
    destroyed,
    fields,
    landing,
    moved,
    on_top,
    picture,
)


def planted(pairs: dict[str, tuple[Any, Any]], lies: bool) -> list[dict[str, Any]]:
    """One row for each pair and field. lies: the images of a pair lie on each other."""
    from runtime.source.shift import measure

    names, rows = list(pairs), []
    for number, (name, (pre, post)) in enumerate(pairs.items()):
        other = pairs[names[(number + max(1, len(names) // 4)) % len(names)]][1]
        side = len(pre)
        own = measure(picture(pre), picture(post))
        if own.field is None:
            rows.append({"pair": name, "field": "own", "median_px": None, "matched": 0})
            continue
        lay = _dense(own.field)
        rows.append({
            "pair": name, "field": "own", "matched": len(own.points), "blocks": own.blocks,
            "median_px": float(np.median(own.lengths)), "largest_px": float(own.lengths.max()),
            "before": own.before, "after": own.after,
        })  # fmt: skip
        for field, moves in fields(side).items():
            after = destroyed(moved(post, moves), other)
            found = measure(picture(pre), picture(after))
            row = {"pair": name, "field": field, "matched": len(found.points)}
            if found.field is not None:
                truth = on_top(lay, moves)
                row |= _errors(found.field, truth, "error")
                if lies:
                    row |= _errors(found.field, landing(moves), "error_of_truth")
                row |= {"before": found.before, "after": found.after}
            rows.append(row)
    return rows


def peer(pairs: dict[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Blocks of 256 pixels, each by itself: how many answers are right to a pixel, with three
    tenths of the image destroyed; milliseconds of processor time a block."""
    rows, posts = [], [post for _, post in pairs.values()]
    for number, (name, (pre, post)) in enumerate(pairs.items()):
        for field, moves in fields(len(pre)).items():
            truth = landing(moves)
            both = _answers(pre, destroyed(moved(post, moves), posts[number - 1]))
            row: dict[str, Any] = {"pair": name, "field": field}
            for who, (points, shifts, ms) in both.items():
                y, x = points.astype(int).T
                right = np.hypot(truth[0][y, x] - shifts[:, 0], truth[1][y, x] - shifts[:, 1]) <= 1
                row |= {f"{who}_told": len(points), f"{who}_right": int(right.sum())}
                row[f"{who}_ms"] = ms
            rows.append(row)
    return rows


def peer_on_tiles(pairs: dict[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    """The same of real pairs as they are: how many blocks agree with their neighbours."""
    from runtime.source.field import agreeing

    rows = []
    for name, (pre, post) in pairs.items():
        row: dict[str, Any] = {"pair": name}
        for who, (points, shifts, _) in _answers(pre, post).items():
            row |= {f"{who}_told": len(points), f"{who}_agree": int(agreeing(points, shifts).sum())}
        rows.append(row)
    return rows


def _answers(pre: NDArray[np.uint8], post: NDArray[np.uint8]) -> dict[str, tuple[Any, Any, float]]:
    """By the search of `runtime` and by scikit-image: points, shifts [N,2], milliseconds a block.

    What `runtime` does not trust it does not tell; of the other's answers those within the same
    reach count.
    """
    import cv2
    from skimage.registration import phase_cross_correlation

    from runtime.source.field import Field
    from runtime.source.shift import REACH, SEARCH, _blocks, _matched

    start = time.process_time()
    matched, tried = _matched(picture(pre), picture(post), Field.zero(*pre.shape[:2]), SEARCH[-1])
    seconds = [time.process_time() - start]
    ours = [(block.centre, (match.down, match.across)) for block, match in matched]
    theirs = []
    start = time.process_time()
    first, second = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (pre, post))
    for block in _blocks(picture(pre), SEARCH[-1]):
        here = slice(block.top, block.top + block.side), slice(block.left, block.left + block.side)
        shift = phase_cross_correlation(second[here], first[here], upsample_factor=20)[0]
        if np.abs(shift).max() <= REACH:
            theirs.append((block.centre, (shift[0], shift[1])))
    seconds.append(time.process_time() - start)
    return {
        who: (
            np.array([point for point, _ in answers]).reshape(-1, 2),
            np.array([shift for _, shift in answers]).reshape(-1, 2),
            1e3 * each / tried,
        )
        for who, answers, each in zip(
            ("runtime", "scikit_image"), (ours, theirs), seconds, strict=True
        )
    }


def _dense(field: Any) -> Both:
    from runtime.source.field import STEPS

    down, across = field.window(0, 0, field.height, field.width)
    return (down / STEPS).astype(np.float32), (across / STEPS).astype(np.float32)


def _errors(field: Any, truth: Both, name: str) -> dict[str, float]:
    """Pixels, where the image after shows what the one before does."""
    side = field.height
    y, x = np.mgrid[:side, :side].astype(np.float32)
    there = [(each >= 0) & (each <= side - 1) for each in (y + truth[0], x + truth[1])]
    off = np.hypot(*(one - other for one, other in zip(_dense(field), truth, strict=True)))
    found = off[there[0] & there[1]]
    return {
        f"{name}_median": float(np.median(found)),
        f"{name}_p90": float(np.percentile(found, 90)),
    }
