"""Check that an engine folder was signed by a trusted key and not changed since."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.verify",
        usage="%(prog)s ENGINE [--trust DIR]",
        description="Check that ENGINE was signed by a key that is trusted, and that every file in "
        "it is as it was signed. Nothing of the engine is loaded.",
        epilog="Keys that the device demands (/etc/dual-hrnet/trust, the variable "
        "DUAL_HRNET_TRUST) must have signed in any case.",
    )
    p.add_argument("engine", type=Path, metavar="ENGINE", help="engine folder")
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.trust import setting
    from runtime.trust.signed import signed

    if not (demanded := setting.folders()):
        raise ConfigError(
            "no key is trusted here; name a folder of public keys with --trust DIR, or in "
            f"{setting.VARIABLE}, or put them into {setting.DEVICE}"
        )
    if not args.engine.is_dir():
        raise ConfigError(f"{args.engine}: is no folder; expected an engine folder")
    found = signed(args.engine, demanded)
    found.check_files()
    for each in found.signers:
        print(f"{args.engine}: {len(found.digests)} files, as signed with {each}")


if __name__ == "__main__":
    cli.run(parser(), main)
