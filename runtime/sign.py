"""Sign an engine folder with a private key, as OpenSSF Model Signing does."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from runtime import cli
from runtime.errors import BackendError, ConfigError, reason

PASSPHRASE = "DUAL_HRNET_PASSPHRASE"
TOKEN = "pkcs11:"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.sign",
        usage="%(prog)s ENGINE --key PEM [option ...]",
        description="Sign every file of ENGINE: the signature is ENGINE/model.sig, which replaces "
        "an earlier one. The engine is checked first. `model_signing verify` reads it, too.",
        epilog=f"The passphrase of a key is asked for, or taken from the variable {PASSPHRASE}. A "
        "new key: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; its public part, "
        "for devices: openssl ec -in key.pem -pubout -out key.pub",
    )
    p.add_argument("folder", type=Path, metavar="ENGINE", help="engine folder")
    p.add_argument(
        "--key", required=True, metavar="PEM",
        help="private key (P-256, P-384, P-521), or the pkcs11: URI of one in a token",
    )  # fmt: skip
    p.add_argument(
        "--certificate", type=Path, metavar="PEM",
        help="of that key: devices then trust who issued it, until it expires",
    )  # fmt: skip
    p.add_argument(
        "--chain", type=Path, nargs="+", default=[], metavar="PEM",
        help="certificates between that one and the authority that devices trust",
    )  # fmt: skip
    return p


def main(args: argparse.Namespace) -> None:
    from runtime.files import write_bytes
    from runtime.trust import SIGNATURE
    from runtime.trust.bundle import read_bundle
    from runtime.trust.listing import files_in
    from runtime.trust.statement import signed_files

    folder: Path = args.folder
    for path in (args.certificate, *args.chain):
        if path and not path.is_file():
            raise ConfigError(f"{path}: is no file; expected a certificate (PEM)")
    _check_engine(folder)
    model_signing = _library()
    signing = model_signing.signing.Config().set_hashing_config(
        model_signing.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    )
    _use_key(signing, args)
    with tempfile.TemporaryDirectory() as elsewhere:  # in the folder it would be signed itself
        signature = Path(elsewhere) / SIGNATURE
        try:
            signing.sign(folder, signature)
        except Exception as error:  # a token's own
            raise ConfigError(
                f"{_without_pin(args.key)}: does not sign ({reason(error)})"
            ) from error
        content = signature.read_bytes()
    listed = signed_files(read_bundle(content).statement)
    if missing := files_in(folder) - set(listed):  # it was put there meanwhile
        raise ConfigError(f"{folder / min(missing)}: is not in the signature; sign again")
    write_bytes(folder / SIGNATURE, content)
    print(f"{folder / SIGNATURE}: {len(listed)} files")


def _check_engine(folder: Path) -> None:
    """What is signed is an engine that is whole, and files alone that a verifier will see."""
    from runtime.manifest import Manifest
    from runtime.trust import OWN_BUILD
    from runtime.trust.listing import files_in

    Manifest.read(folder, OWN_BUILD).check_payload(folder)
    for name in sorted(files_in(folder)):
        if any(part.startswith(".") for part in name.split("/")):
            raise ConfigError(
                f"{folder / name}: is hidden, and no part of an engine; remove it, then sign"
            )


def _library() -> Any:
    try:
        import model_signing
        import model_signing.hashing
        import model_signing.signing
    except ImportError as error:
        raise BackendError(
            f"signing needs model-signing, which cannot be imported ({reason(error)}); "
            f"{cli.install('signing')}"
        ) from error
    return model_signing


def _use_key(signing: Any, args: argparse.Namespace) -> None:
    if args.key.startswith(TOKEN):
        _use_token(signing, args)
        return
    path = Path(args.key)
    passphrase = _check_key(path)
    try:
        if args.certificate is None:
            # Bytes, as cryptography takes it: with text, which is declared, it fails.
            signing.use_elliptic_key_signer(private_key=path, password=passphrase)
        elif passphrase is not None:
            raise ConfigError(
                f"{path}: has a passphrase, which model_signing does not take together with a "
                "certificate; sign with the key alone, or with a key in a token"
            )
        else:
            signing.use_certificate_signer(
                private_key=path,
                signing_certificate=args.certificate,
                certificate_chain=_chain(args),
            )
    except ValueError as error:
        raise ConfigError(f"{args.certificate or path}: {reason(error)}") from error


def _use_token(signing: Any, args: argparse.Namespace) -> None:
    try:
        if args.certificate is None:
            signing.use_pkcs11_signer(pkcs11_uri=args.key)
        else:
            signing.use_pkcs11_certificate_signer(
                pkcs11_uri=args.key,
                signing_certificate=args.certificate,
                certificate_chain=_chain(args),
            )
    except RuntimeError as error:
        raise BackendError(f"{reason(error)}; {cli.install('pkcs11')}") from error
    except Exception as error:  # of the token's library, without a common base
        raise ConfigError(
            f"{_without_pin(args.key)}: no such key can be used ({reason(error)}); expected "
            "pkcs11:token=...;object=...?module-path=LIBRARY&pin-source=file:FILE"
        ) from error


def _chain(args: argparse.Namespace) -> list[Path]:
    """Not empty, which model_signing cannot read."""
    return args.chain or [args.certificate]


def _without_pin(uri: str) -> str:
    return uri.partition("?")[0]


def _check_key(path: Path) -> bytes | None:
    """The passphrase of a private key that can sign; ConfigError for every other."""
    from runtime.trust.keys import check_curve, cryptography

    if not path.is_file():
        raise ConfigError(f"--key {path}: is no file; expected a private key (PEM)")
    content = path.read_bytes()
    if b"PRIVATE KEY-----" not in content:
        what = (
            "holds a public key"
            if b"PUBLIC KEY-----" in content
            else ("holds a certificate" if b"CERTIFICATE-----" in content else "is no PEM file")
        )
        raise ConfigError(f"--key {path}: {what}; expected the private key, which signs")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        cli.note(f"{path}: others may read or write this private key; chmod 600 {path}")
    serialization = cryptography().hazmat.primitives.serialization
    passphrase = _passphrase(path) if b"ENCRYPTED" in content else None
    try:
        key = serialization.load_pem_private_key(content, passphrase)
    except (ValueError, TypeError) as error:
        if passphrase is not None:
            raise ConfigError(f"--key {path}: the passphrase is not this key's") from error
        raise ConfigError(f"--key {path}: cannot be read ({reason(error)})") from error
    except Exception as error:  # UnsupportedAlgorithm has no base of ours
        raise ConfigError(f"--key {path}: cannot be used ({reason(error)})") from error
    check_curve(key, f"--key {path}")
    return passphrase


def _passphrase(path: Path) -> bytes:
    if (given := os.environ.get(PASSPHRASE)) is not None:
        return given.encode()
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(
            f"--key {path}: has a passphrase, and there is no terminal to ask at; set {PASSPHRASE}"
        )
    return getpass.getpass(f"passphrase of {path}: ").encode()


if __name__ == "__main__":
    cli.run(parser(), main)
