"""What --register finds of planted shifts, is worth to an engine, and costs.

The image after is moved by a known field and three tenths of its blocks are replaced by another
image's; what is measured is compared with the field at every pixel that both images show. Synthetic
pairs are taken with the same content under another sun; on real tiles (--tiles), which lie beside
each other anyway, the truth is the planted field on top of what the pair itself measures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from runtime import cli
from runtime.errors import ConfigError


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
    from benchmarks.machine import describe_machine
    from benchmarks.registration.cost import cost
    from benchmarks.registration.finding import peer, peer_on_tiles, planted
    from benchmarks.registration.pairs import synthetic, tiles
    from benchmarks.registration.worth import scores

    if args.pairs == 1:
        raise ConfigError("--pairs 1: expected 2 or more, for one is destroyed by another; or 0")
    found: dict[str, Any] = {"machine": describe_machine()}
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        if args.pairs:
            found["synthetic"] = planted(synthetic(args.pairs), lies=True)
        if args.peer:
            found["peer"] = peer(synthetic(max(2, args.pairs)))
            if args.tiles:
                found["peer_on_tiles"] = peer_on_tiles(tiles(args.tiles))
        if args.tiles:
            found["tiles"] = planted(tiles(args.tiles), lies=False)
        if args.engine and args.scored:
            found["scores"] = scores(args.engine, Path(scratch), args.scored)
        if args.size:
            found["cost"] = cost(Path(scratch), args.size)
    print(json.dumps(found, indent=2) if args.json else _shown(found))


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
