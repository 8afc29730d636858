"""Map many pairs of files from Python; a pair that cannot be mapped is recorded, not fatal.

python examples/batch_from_python.py runtime/example/engine examples/pairs.csv \
    --out runs/example-batch
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from runtime import load_engine
from runtime.errors import EngineError, ToolkitError
from runtime.files import replacing
from runtime.many.pairs import find_pairs
from runtime.mapping import map_pair
from runtime.options import MapOptions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engine", type=Path, help="engine folder")
    parser.add_argument("pairs", type=Path, help="CSV with pre,post[,name], or a folder as xBD's")
    parser.add_argument("--out", type=Path, required=True, help="a folder of maps for each pair")
    args = parser.parse_args()
    errors: list[tuple[str, str]] = []
    options = MapOptions(resume=True)  # what is finished is not mapped again
    with load_engine(args.engine) as engine:
        for pair in find_pairs(args.pairs):
            try:
                summary = map_pair(engine, pair.pre, pair.post, args.out / pair.name, options)
            except EngineError:
                raise  # no other pair would fare better
            except (ToolkitError, OSError) as error:
                errors.append((pair.name, str(error)))
                continue
            # A map with holes is a map: the parts that could not be computed are nodata in it.
            errors += [(pair.name, each["reason"]) for each in summary["failed_tiles"]]
            print(pair.name, summary["buildings"])
    args.out.mkdir(parents=True, exist_ok=True)
    with replacing(args.out / "errors.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "error"))
        writer.writerows(errors)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
