"""Whether --register finds shifts that were planted, what it is worth to an engine, and its cost.

The image after is moved by a known field and three tenths of its blocks are replaced by another
image's; what is measured is compared with the field at every pixel that both images show. Synthetic
pairs are taken with the same content under another sun; on real tiles (--tiles), which lie beside
each other anyway, the truth is the planted field on top of what the pair itself measures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from runtime import cli

Both = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Down and across, pixels, [S,S] each."""

DESTROYED = 0.3
BLOCK = 128
SHIFTS = (8, 16)
EDGE = 24
"""Pixels of a tile's border that are not scored: a moved image shows nothing there."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.registration", description=__doc__)
    p.add_argument("--engine", type=Path, metavar="DIR", help="engine folder, to be scored")
    p.add_argument(
        "--tiles", type=Path, metavar="DIR", help="folder with */images/*_pre_disaster.png"
    )
    p.add_argument(
        "--pairs", type=int, default=4, metavar="N", help="synthetic pairs of 1024 (default: 4)"
    )
    p.add_argument(
        "--scored", type=int, default=12, metavar="N",
        help="synthetic tiles of 512 that are scored (default: 12)",
    )  # fmt: skip
    p.add_argument(
        "--size", type=int, default=8192, metavar="S",
        help="side of the scene whose cost is measured, pixels; 0: none (default: 8192)",
    )  # fmt: skip
    p.add_argument(
        "--peer", action="store_true",
        help="blocks of synthetic pairs beside scikit-image, which has to be installed",
    )  # fmt: skip
    p.add_argument("--scratch", type=Path, metavar="DIR", help="folder for the files")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    found: dict[str, Any] = {"machine": describe_machine()}
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        if args.pairs:
            found["synthetic"] = planted(_synthetic(args.pairs), lies=True)
        if args.peer:
            found["peer"] = peer(_synthetic(max(2, args.pairs)))
            if args.tiles:
                found["peer_on_tiles"] = peer_on_tiles(_tiles(args.tiles))
        if args.tiles:
            found["tiles"] = planted(_tiles(args.tiles), lies=False)
        if args.engine and args.scored:
            found["scores"] = scores(args.engine, Path(scratch), args.scored)
        if args.size:
            found["cost"] = cost(Path(scratch), args.size)
    print(json.dumps(found, indent=2) if args.json else _shown(found))


def fields(side: int) -> dict[str, Both]:
    """What is planted."""
    return {
        "shift of 3.3, -2.7": _even(side, 3.3, -2.7),
        "shift of 8, 8": _even(side, 8, 8),
        "shift of 16, -16": _even(side, 16, -16),
        "rotation of 1 degree": _turned(side, 1.0),
        "terrain, up to 20": _hills(side, 20.0),
    }


def planted(pairs: dict[str, tuple[Any, Any]], lies: bool) -> list[dict[str, Any]]:
    """One row for each pair and field. lies: the images of a pair lie on each other."""
    from runtime.source.shift import measure

    names, rows = list(pairs), []
    for number, (name, (pre, post)) in enumerate(pairs.items()):
        other = pairs[names[(number + max(1, len(names) // 4)) % len(names)]][1]
        side = len(pre)
        own = measure(_picture(pre), _picture(post))
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
            after = _destroyed(_moved(post, moves), other)
            found = measure(_picture(pre), _picture(after))
            row = {"pair": name, "field": field, "matched": len(found.points)}
            if found.field is not None:
                truth = _on_top(lay, moves)
                row |= _errors(found.field, truth, "error")
                if lies:
                    row |= _errors(found.field, _landing(moves), "error_of_truth")
                row |= {"before": found.before, "after": found.after}
            rows.append(row)
    return rows


def peer(pairs: dict[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Blocks of 256 pixels, each by itself: how many answers are right to a pixel, with three
    tenths of the image destroyed; milliseconds of processor time a block."""
    rows, posts = [], [post for _, post in pairs.values()]
    for number, (name, (pre, post)) in enumerate(pairs.items()):
        for field, moves in fields(len(pre)).items():
            truth = _landing(moves)
            both = _answers(pre, _destroyed(_moved(post, moves), posts[number - 1]))
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
    matched, tried = _matched(_picture(pre), _picture(post), Field.zero(*pre.shape[:2]), SEARCH[-1])
    seconds = [time.process_time() - start]
    ours = [(block.centre, (match.down, match.across)) for block, match in matched]
    theirs = []
    start = time.process_time()
    first, second = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (pre, post))
    for block in _blocks(_picture(pre), SEARCH[-1]):
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


def scores(engine_folder: Path, scratch: Path, tiles: int) -> list[dict[str, Any]]:
    """The official score, by shift and with or without --register, of the same pixels."""
    import cv2

    from runtime.engine import load_engine
    from runtime.mapping import map_pair
    from runtime.options import MapOptions
    from runtime.output.png import write_png
    from runtime.score import Counts
    from train.synthetic.scene import make_scene

    rows, reach, side = [], max(SHIFTS), 512
    lying: dict[str, list[NDArray[np.uint8]]] = {}
    with (
        load_engine(engine_folder) as engine,
        mock.patch("train.synthetic.photo.misregister", _still),
    ):
        scenes = [make_scene(11, index, side + 2 * reach) for index in range(tiles)]
        for shift in (0, *SHIFTS):
            for register in (False, True):
                counts, moved = Counts(), 0
                for number, scene in enumerate(scenes):
                    pre, post = scratch / "pre.png", scratch / "post.png"
                    inner, away = (
                        slice(reach, reach + side),
                        slice(reach - shift, reach - shift + side),
                    )
                    write_png(pre, scene.pre[inner, inner])
                    write_png(post, scene.post[away, inner])
                    out = scratch / f"map-{shift}-{register}-{number}"
                    summary = map_pair(engine, pre, post, out, MapOptions(register=register))
                    moved += summary["registration"]["applied"]
                    damage = cv2.imread(str(out / "damage.png"), cv2.IMREAD_UNCHANGED)
                    truth = np.zeros((side + 2 * reach,) * 2, np.uint8)
                    for each in scene.buildings:
                        cv2.fillPoly(truth, [np.rint(each.polygon).astype(np.int32)], each.damage)
                    kept = (slice(EDGE, side - EDGE),) * 2
                    target, damage = truth[inner, inner][kept], damage[kept]
                    counts.add(damage, damage, target, target)
                    lying.setdefault(f"{shift} {register}", []).append(damage)
                alike = [
                    float((one == other).mean())
                    for one, other in zip(
                        lying[f"{shift} {register}"], lying["0 False"], strict=True
                    )
                ]
                rows.append({
                    "shift": shift, "register": register, "score": counts.score,
                    "localization_f1": counts.localization_f1, "moved": moved,
                    "labels_as_unshifted": float(np.mean(alike)),
                })  # fmt: skip
    return rows


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


def _synthetic(count: int) -> dict[str, tuple[Any, Any]]:
    from train.synthetic.scene import make_scene

    with mock.patch("train.synthetic.photo.misregister", _still):
        scenes = [make_scene(7, index, 1024) for index in range(count)]
    return {f"synthetic {index}": (each.pre, each.post) for index, each in enumerate(scenes)}


def _still(rng: Any, size: int, margin: int) -> tuple[Any, Any, float]:
    """In place of `train.synthetic.photo.misregister`: the images lie on each other."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x + margin, y + margin, 0.0


def _tiles(folder: Path) -> dict[str, tuple[Any, Any]]:
    from runtime.source.picture import read_image

    return {
        path.name.removesuffix("_pre_disaster.png"): (
            read_image(path), read_image(path.with_name(path.name.replace("_pre_", "_post_"))),
        )
        for path in sorted(folder.glob("*/images/*_pre_disaster.png"))
    }  # fmt: skip


def _picture(pixels: NDArray[np.uint8]) -> Any:
    from runtime.source.picture import Picture
    from runtime.source.seen import Seen

    return Picture(Path("planted.png"), pixels, (), None, None, Seen(*pixels.shape[:2]))


def _even(side: int, down: float, across: float) -> Both:
    return np.full((side, side), down, np.float32), np.full((side, side), across, np.float32)


def _turned(side: int, degrees: float) -> Both:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.deg2rad(degrees)
    down = (np.cos(angle) - 1) * y + np.sin(angle) * x
    across = -np.sin(angle) * y + (np.cos(angle) - 1) * x
    return down.astype(np.float32), across.astype(np.float32)


def _hills(side: int, most: float) -> Both:
    """Noise of a width of an eighth of the tile."""
    import cv2

    rng = np.random.default_rng(5)
    both = [
        cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), side / 8)
        for _ in "yx"
    ]
    scale = most / float(np.hypot(*both).max())
    return both[0] * scale, both[1] * scale  # type: ignore[return-value]


def _moved(image: NDArray[np.uint8], moves: Both) -> NDArray[np.uint8]:
    """The pixel at y was at y - moves(y)."""
    import cv2

    y, x = np.mgrid[: len(image), : len(image)].astype(np.float32)
    at = x - moves[1], y - moves[0]
    return np.asarray(
        cv2.remap(image, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _at(values: Both, y: Any, x: Any) -> Both:
    import cv2

    down, across = (
        cv2.remap(each, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for each in values
    )
    return np.asarray(down, np.float32), np.asarray(across, np.float32)


def _landing(moves: Both) -> Both:
    """How far the pixel that was at x has moved: u(x) = moves(x + u(x))."""
    y, x = np.mgrid[: len(moves[0]), : len(moves[0])].astype(np.float32)
    found = moves
    for _ in range(60):
        found = _at(moves, y + found[0], x + found[1])
    return found


def _on_top(lay: Both, moves: Both) -> Both:
    """Where the image lay first, and then was moved."""
    y, x = np.mgrid[: len(lay[0]), : len(lay[0])].astype(np.float32)
    more = _at(_landing(moves), y + lay[0], x + lay[1])
    return lay[0] + more[0], lay[1] + more[1]


def _destroyed(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    found, side = image.copy(), len(image)
    cells = [(y, x) for y in range(-40, side, BLOCK) for x in range(-72, side, BLOCK)]
    order = np.random.default_rng(3).permutation(len(cells))[: round(DESTROYED * len(cells))]
    for y, x in (cells[i] for i in order):
        there = slice(max(0, y), y + BLOCK), slice(max(0, x), x + BLOCK)
        found[there] = other[there]
    return found


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


def _shown(found: dict[str, Any]) -> str:
    lines = []
    for name in ("synthetic", "peer", "peer_on_tiles", "tiles", "scores"):
        for row in found.get(name, ()):
            values = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values())
            lines.append("  ".join(values))
    lines += [f"{key}: {value}" for key, value in found.get("cost", {}).items()]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
