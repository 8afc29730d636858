"""List what is installed here, as a bill of materials (CycloneDX)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from runtime import cli


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.sbom",
        description="List every distribution of this Python environment as a CycloneDX 1.6 bill of "
        "materials (JSON): name, version, licence, what it requires, and hashes where they are "
        "known. The same install gives the same bytes. What an engine was built with is in its "
        "folder, build.cdx.json.",
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="write it here (default: print it)")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime import files
    from runtime.bill import of_install

    text = json.dumps(of_install(), indent=2, ensure_ascii=False) + "\n"
    if args.out is None:
        print(text, end="")
    else:
        files.write_bytes(args.out, text.encode())
        print(args.out)


if __name__ == "__main__":
    cli.run(parser(), main)
