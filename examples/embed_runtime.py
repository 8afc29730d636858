"""Map pairs of pictures inside a program: one engine, the same memory for every result.

python examples/embed_runtime.py runtime/example/engine runtime/example/pre.png \
    runtime/example/post.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from runtime import load_engine
from runtime.damage import CLASS_NAMES
from runtime.errors import ImageError, ToolkitError
from runtime.source.picture import read_pair


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engine", type=Path, help="engine folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="PRE POST")
    parser.add_argument("--threads", type=int, help="default: all physical cores")
    args = parser.parse_args()
    if len(args.images) % 2:
        parser.error("expected an image after the disaster for each before it")
    failed = 0
    try:
        with load_engine(args.engine, threads=args.threads) as engine:
            result = None
            for pre_path, post_path in zip(args.images[::2], args.images[1::2], strict=True):
                try:
                    pre, post = read_pair(pre_path, post_path)  # uint8 [H, W, 3] RGB
                    corner = np.s_[: engine.height, : engine.width]  # an engine has one size
                    result = engine.predict(pre[corner], post[corner], out=result)
                except ImageError as error:  # this pair's fault: go on with the next
                    print(f"{pre_path}: {error}", file=sys.stderr)
                    failed += 1
                    continue
                # The next predict overwrites `result`: take from it what is needed now.
                pixels = np.bincount(result.damage.ravel(), minlength=len(CLASS_NAMES))
                counts = dict(zip(CLASS_NAMES, pixels.tolist(), strict=True))
                print(json.dumps({"pre": str(pre_path), "pixels": counts}))
    except ToolkitError as error:  # the engine's or its library's: no pair can be mapped
        print(error, file=sys.stderr)
        return error.exit_code
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
