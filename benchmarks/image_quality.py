"""Plant clouds, shadows and white in real pairs; see what the quality layer finds."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

PLANTED = (
    ("cloud", 0.4), ("cloud", 0.5), ("cloud", 0.7), ("cloud", 0.9),
    ("shadow", 0.3), ("shadow", 0.4), ("shadow", 0.5), ("shadow", 0.6),
    ("saturated", 1.0),
)  # fmt: skip
"""Kind and strength: the share of a cloud of grey 235, the light that a shadow leaves."""

SOFT = 0.1
"""More of it than this, and a pixel that is found is no false alarm. It counts as missed from half
of it on."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.image_quality", description=__doc__)
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder in xBD's layout")
    p.add_argument(
        "--leave-out", nargs="*", default=[], metavar="TILE",
        help="tiles that are clouded already: listed, nothing planted (default: none)",
    )  # fmt: skip
    p.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of what is planted (default: 1)"
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    import numpy as np

    from runtime.source.picture import read_image
    from runtime.source.quality import CLEAR, LAYER, judged

    posts = sorted(args.data.glob("*/images/*_post_disaster.png"))
    if not posts:
        raise ConfigError(f"{args.data}: no */images/*_post_disaster.png; expected xBD's layout")
    tiles: list[dict[str, Any]] = []
    pairs = []
    for path in posts:
        name = path.name.removesuffix("_post_disaster.png")
        pre, post = (read_image(path.with_name(f"{name}_{when}_disaster.png"))
                     for when in ("pre", "post"))  # fmt: skip
        begin = time.process_time()
        layer = judged(pre, post, None, 0, 0)
        seconds = time.process_time() - begin
        shares = {why: float((layer == n).mean()) for n, why in enumerate(LAYER) if n != CLEAR}
        tiles.append({"tile": name, "shares": shares, "seconds": seconds})
        if name not in args.leave_out:
            pairs.append((pre, post, layer != CLEAR))
    random = np.random.default_rng(args.seed)
    blobs = [blobs_of(post.shape[:2], random) for _, post, _ in pairs]
    rows = []
    for kind, strength in PLANTED:
        counts = np.zeros(4)
        for (pre, post, before), share in zip(pairs, blobs, strict=True):
            layer = judged(pre, plant(post, share, kind, strength), None, 0, 0)
            found, there = (layer != CLEAR) & ~before, (share > 0.5) & ~before
            counts += (
                (found & there).sum(),
                there.sum(),
                (found & (share > SOFT)).sum(),
                found.sum(),
            )
        rows.append({
            "kind": kind, "strength": strength, "recall": counts[0] / counts[1],
            "precision": counts[2] / max(1.0, counts[3]),
        })  # fmt: skip
    result = {"tiles": tiles, "planted": rows}
    print(json.dumps(result) if args.json else _table(result))


def blobs_of(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """float32 [H,W], 0 to 1: patches of 100 to 200 pixels that end softly."""
    import cv2
    import numpy as np

    noise = cv2.GaussianBlur(random.standard_normal(shape).astype(np.float32), (0, 0), 60)
    return ((noise / noise.std() - 0.6) / 0.1 + 0.5).clip(0, 1)


def plant(post: np.ndarray, share: np.ndarray, kind: str, strength: float) -> np.ndarray:
    import numpy as np

    share = share[..., np.newaxis]
    changed = {
        "cloud": post + strength * share * (235.0 - post),
        "shadow": post * (1 - share * (1 - strength)),
        "saturated": post + share * (255.0 - post),
    }[kind]
    return changed.round().astype(np.uint8)


def _table(result: dict[str, Any]) -> str:
    lines = ["| tile | cannot be judged | ms |", "|---|---|---|"]
    for tile in result["tiles"]:
        found = [f"{why} {share:.1%}" for why, share in tile["shares"].items() if share]
        lines.append(
            f"| {tile['tile']} | {', '.join(found) or 'nothing'} | {tile['seconds'] * 1e3:.0f} |"
        )
    lines += ["", "| planted | strength | recall | precision |", "|---|---|---|---|"]
    lines += [
        f"| {row['kind']} | {row['strength']:g} | {row['recall']:.3f} | {row['precision']:.3f} |"
        for row in result["planted"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
