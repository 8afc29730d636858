"""What checking an engine's signature costs, beside hashing its files alone.

The folder holds random bytes of an engine's size and is signed with a new key. In turns: its files
are hashed with sha256 in blocks of 1 MiB; its signature is checked and its files compared, as by
`dual-hrnet verify`; the same by the library that defines the format.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runtime import cli, files
from runtime.errors import ConfigError


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.signature", description=__doc__)
    p.add_argument(
        "--megabytes", type=int, default=270, metavar="N", help="of the payload (default: 270)"
    )
    p.add_argument("--rounds", type=int, default=15, metavar="N", help="turns (default: 15)")
    p.add_argument("--out", type=Path, metavar="JSON", help="write the figures here, too")
    return p


def main(args: argparse.Namespace) -> None:
    if args.megabytes < 1 or args.rounds < 1:
        raise ConfigError("--megabytes and --rounds: expected 1 or more")
    with tempfile.TemporaryDirectory() as scratch:
        folder, trust = _signed_folder(Path(scratch), args.megabytes * 1_000_000)
        ways = _ways(folder, trust)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(args.rounds + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                if turn:  # the first brings files and libraries into memory
                    seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    hashing = seconds["hash"]
    ratios = {
        name: statistics.median(a / b for a, b in zip(each, hashing, strict=True))
        for name, each in seconds.items()
    }
    for name in ways:
        print(f"{name:8} {medians[name]:8.4f} s  {ratios[name]:6.3f} of hashing")
    if args.out:
        record = {"megabytes": args.megabytes, "seconds": seconds, "ratios": ratios}
        files.write_json(args.out, record)


def _signed_folder(scratch: Path, size: int) -> tuple[Path, Path]:
    import numpy as np
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing import hashing, signing

    from runtime.trust import SIGNATURE

    folder, trust = scratch / "engine", scratch / "trust"
    folder.mkdir()
    trust.mkdir(mode=0o700)
    rng = np.random.default_rng(0)
    (folder / "model.bin").write_bytes(rng.bytes(size))
    (folder / "model.xml").write_bytes(rng.bytes(2_000_000))
    (folder / "manifest.json").write_bytes(rng.bytes(4000))
    key = ec.generate_private_key(ec.SECP256R1())
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (scratch / "key.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (trust / "key.pub").write_bytes(key.public_key().public_bytes(pem, public))
    (trust / "key.pub").chmod(0o600)
    config = signing.Config().use_elliptic_key_signer(private_key=scratch / "key.pem")
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE]))
    config.sign(folder, folder / SIGNATURE)
    return folder, trust


def _ways(folder: Path, trust: Path) -> dict[str, Callable[[], object]]:
    from model_signing import hashing, verifying

    from runtime.trust import SIGNATURE
    from runtime.trust.signed import signed

    def library() -> None:
        config = verifying.Config().use_elliptic_key_verifier(public_key=trust / "key.pub")
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE]))
        config.verify(folder, folder / SIGNATURE)

    names = [path for path in sorted(folder.iterdir()) if path.name != SIGNATURE]
    return {
        "hash": lambda: [files.sha256(path) for path in names],
        "verify": lambda: signed(folder, [trust]).check_files(),
        "library": library,
    }


if __name__ == "__main__":
    cli.run(parser(), main)
