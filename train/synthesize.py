"""Write a synthetic data set in xBD's format.

Every tile depends on (seed, its number, size) alone: the first tiles of a
larger set are those of a smaller one, whatever wrote them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError, ToolkitError
from runtime.files import replacing_folder

WORKERS = 2


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m train.synthesize", description=__doc__)
    add = result.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to create; must not exist, or be empty",
    )
    add("--tiles", type=int, required=True, metavar="N", help="number of pre/post pairs")
    add(
        "--size",
        type=int,
        default=512,
        metavar="PX",
        help="side of an image, a multiple of 32, at least 64 (default: 512)",
    )
    add("--seed", type=int, default=0, metavar="K", help="another seed, another world (default: 0)")
    add(
        "--test-share",
        type=float,
        default=0.2,
        metavar="P",
        help="share of the tiles that goes to test (default: 0.2)",
    )
    add(
        "--hold-share",
        type=float,
        default=0.0,
        metavar="P",
        help="share that goes to hold, to choose on what test is to report (default: 0)",
    )
    add(
        "--empty-share",
        type=float,
        default=0.0,
        metavar="P",
        help="share of the tiles that are made without a building, beside those that happen to "
        "have none; of xBD's tiles two in five do (default: 0)",
    )
    add(
        "--hamlet-share",
        type=float,
        default=0.0,
        metavar="P",
        help="share of the tiles with a few buildings that stand alone: 1 to 8 on each 512x512 "
        "pixels (default: 0)",
    )
    add("--workers", type=int, default=WORKERS, metavar="N", help=f"processes (default: {WORKERS})")
    return result


def main(args: argparse.Namespace) -> None:
    _check(args)
    tested, held = (round(args.tiles * share) for share in (args.test_share, args.hold_share))
    learnt = args.tiles - tested - held
    # The pictures of a world do not depend on its split, and its last tiles are not learnt from.
    splits = ["train"] * learnt + ["test"] * tested + ["hold"] * held
    synthesize(
        args.out, splits, args.size, args.seed, args.workers, args.empty_share, args.hamlet_share
    )
    more = f", {held} in hold" if held else ""
    cli.note(f"{args.out}: {learnt} tiles in train, {tested} in test{more}")


def synthesize(
    out: Path,
    splits: list[str],
    size: int,
    seed: int,
    workers: int,
    empty_share: float = 0.0,
    hamlet_share: float = 0.0,
) -> None:
    """Write `out` whole or not at all.

    Args:
        splits: of each tile: train, test or hold.
        size: side of an image, pixels.
        empty_share: of the tiles, spread evenly, that are made without a building.
        hamlet_share: of the tiles, spread evenly, that are made with a few buildings.
    Raises:
        ToolkitError: a process that draws was killed.
    """
    with replacing_folder(out) as folder:
        for split in ("train", "test", *["hold"] * ("hold" in splits)):
            for kind in ("images", "labels"):
                (folder / split / kind).mkdir(parents=True)
        asked = partial(settlement_of, empty_share, hamlet_share)
        _run(partial(_write_tile, folder, seed, size, asked), splits, workers)


def settlement_of(empty_share: float, hamlet_share: float, index: int) -> str | None:
    """What tile `index` is made as; None where it is drawn.

    Args:
        empty_share, hamlet_share: of the tiles, at most 1 together.
    """
    from train.synthetic.plan import HAMLET

    if _is_due(index, empty_share):
        return "empty"
    others = index - int(index * empty_share)
    return HAMLET if hamlet_share and _is_due(others, hamlet_share / (1 - empty_share)) else None


def _is_due(index: int, share: float) -> bool:
    """For one in every 1/share, evenly."""
    return int((index + 1) * share) > int(index * share)


def _check(args: argparse.Namespace) -> None:
    if args.tiles < 1:
        raise ConfigError(f"--tiles {args.tiles}: expected at least 1")
    if args.size < 64 or args.size % 32:
        raise ConfigError(f"--size {args.size}: expected a multiple of 32, at least 64")
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed}: expected 0 or more")
    for name in ("test_share", "hold_share", "empty_share", "hamlet_share"):
        share = getattr(args, name)
        if not 0 <= share <= 1:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} {share}: expected a share between 0 and 1")
    if round(args.tiles * args.test_share) + round(args.tiles * args.hold_share) > args.tiles:
        raise ConfigError(
            f"--test-share {args.test_share} and --hold-share {args.hold_share}: expected 1 "
            "together at most"
        )
    if args.empty_share + args.hamlet_share > 1:
        raise ConfigError(
            f"--empty-share {args.empty_share} and --hamlet-share {args.hamlet_share}: expected 1 "
            "together at most"
        )
    if args.workers < 1:
        raise ConfigError(f"--workers {args.workers}: expected at least 1")
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ConfigError(
            f"--out {args.out}: expected a new or empty folder; remove it or choose another"
        )


def _run(write: partial[None], splits: list[str], workers: int) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from tqdm import tqdm

    from train.shared_memory import require_shared_memory

    require_shared_memory(f"--workers {workers}", 0, "free some")
    # Not fork: a caller that has used OpenCV's threads would leave a child their locks.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(splits)), fresh, _one_thread) as pool:
        written = pool.map(write, range(len(splits)), splits, chunksize=4)
        try:
            with tqdm(written, total=len(splits), unit="tile", disable=None) as bar:
                for _ in bar:
                    pass
        except BrokenProcessPool as error:
            raise ToolkitError(
                "a process that draws tiles was killed, for memory as a rule; nothing was written, "
                "lower --workers or --size"
            ) from error


def _one_thread() -> None:
    """OpenCV's own threads would only compete with the other processes."""
    import cv2

    cv2.setNumThreads(1)


def _write_tile(
    folder: Path,
    seed: int,
    size: int,
    asked: Callable[[int], str | None],
    index: int,
    split: str,
) -> None:
    import cv2

    from train.synthetic.labels import label, stem
    from train.synthetic.scene import make_scene

    tile = make_scene(seed, index, size, asked(index))
    for when, picture in (("pre", tile.pre), ("post", tile.post)):
        name = stem(tile, index, when)
        _, packed = cv2.imencode(".png", picture[..., ::-1])
        (folder / split / "images" / f"{name}.png").write_bytes(packed.tobytes())
        content = json.dumps(label(tile, seed, index, when))
        (folder / split / "labels" / f"{name}.json").write_text(content)


if __name__ == "__main__":
    cli.run(parser(), main)
