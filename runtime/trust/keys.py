"""Public keys and certificates that are trusted, and who of them signed.

Elliptic curves P-256, P-384 and P-521, as `model_signing` has them. A key is trusted until it is
taken away; a certificate between its two dates, by the clock. A certificate of an authority
stands for those that it issued for signing.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from runtime.cli import install
from runtime.errors import BackendError, ConfigError, reason
from runtime.trust.bundle import Bundle, pre_authenticated

ENDINGS = (".pem", ".pub", ".crt", ".cer")
CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""By curve, the digest that is signed."""
LARGEST = 1 << 20

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_ROOT = 0


class UntrustedError(ValueError):
    """No trusted key made the signature; the message says why."""


@dataclass(frozen=True)
class Trusted:
    """A file's key; `certificate` is None for a bare one."""

    path: Path
    key: Any
    certificate: Any = None


def cryptography() -> Any:
    """The library; BackendError where it is not installed."""
    try:
        import cryptography.exceptions
        import cryptography.hazmat.primitives.asymmetric.ec
        import cryptography.hazmat.primitives.hashes
        import cryptography.hazmat.primitives.serialization
        import cryptography.x509.verification
    except ImportError as error:
        raise BackendError(
            f"signatures cannot be checked: cryptography cannot be imported ({reason(error)}); "
            f"{install('trust')}"
        ) from error
    return cryptography


def read_keys(folder: Path) -> list[Trusted]:
    """Every key in a folder of keys.

    Raises:
        ConfigError: no such folder, none in it, a file that is none, one that others may write.
    """
    _check_place(folder, folder.is_dir())
    found: list[Trusted] = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            _check_place(path, path.is_file())
            found += _read(path)
    if not found:
        raise ConfigError(
            f"{folder}: holds no public key, so no engine could be trusted; expected files that "
            f"end in {', '.join(ENDINGS)}"
        )
    return found


def signer(bundle: Bundle, trusted: list[Trusted], now: datetime | None = None) -> Trusted:
    """Whose signature it is. UntrustedError where it is nobody's that is trusted now."""
    now = now or datetime.now(timezone.utc)
    if bundle.hint is not None:
        mine = [each for each in trusted if _digest(each.key) == bundle.hint]
        if not mine:
            raise UntrustedError("it is by another key than those trusted")
        in_time = [each for each in mine if not _why_not_now(each.certificate, now)]
        if not in_time:
            raise UntrustedError(f"{mine[0].path} {_why_not_now(mine[0].certificate, now)}")
        found, key = in_time[0], in_time[0].key
    else:
        found, key = _by_certificate(bundle, trusted, now)
    if not _holds(key, bundle):
        raise UntrustedError("it does not fit what it signs: one of them was altered")
    return found


def fingerprint(key: Any) -> str:
    """Of a public key, as `ssh-keygen` and people compare them: short, and enough to tell."""
    return f"SHA256:{_digest(key)[:16]}"


def check_curve(key: Any, path: Path | str) -> None:
    """ConfigError for a key that `model_signing` does not sign with."""
    name = getattr(getattr(key, "curve", None), "name", None)
    if name not in CURVES:
        kind = type(key).__name__.lstrip("_").removesuffix("PublicKey").removesuffix("PrivateKey")
        raise ConfigError(
            f"{path}: is {f'on the curve {name}' if name else f'a key of kind {kind}'}; expected "
            "an elliptic curve key on P-256, P-384 or P-521: openssl ecparam -name prime256v1 "
            "-genkey -noout -out key.pem"
        )


def _digest(key: Any) -> str:
    forms = cryptography().hazmat.primitives.serialization
    pem = key.public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _holds(key: Any, bundle: Bundle) -> bool:
    library = cryptography()
    primitives = library.hazmat.primitives
    digest = getattr(primitives.hashes, CURVES[key.curve.name])()
    try:
        key.verify(
            bundle.signature,
            pre_authenticated(bundle.statement),
            primitives.asymmetric.ec.ECDSA(digest),
        )
    except library.exceptions.InvalidSignature:
        return False
    return True


def _by_certificate(bundle: Bundle, trusted: list[Trusted], now: datetime) -> tuple[Trusted, Any]:
    x509 = cryptography().x509
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd ones; they are refused, or trusted as they are
            leaf, *above = [x509.load_der_x509_certificate(each) for each in bundle.certificates]
            key, signs = leaf.public_key(), _may_sign(leaf)
            dated = _why_not_now(leaf, now)
    except Exception as error:  # what cryptography says of a stranger's has no common base
        raise UntrustedError(f"its certificate cannot be read ({reason(error)})") from error
    if getattr(getattr(key, "curve", None), "name", None) not in CURVES:
        raise UntrustedError("its certificate is not of a key on P-256, P-384 or P-521")
    for each in trusted:
        if each.certificate == leaf or (each.certificate is None and each.key == key):
            if dated:
                raise UntrustedError(f"its certificate {dated}")
            return each, key
    if not signs:
        raise UntrustedError("its certificate is not for signing (keyUsage digitalSignature)")
    authorities = [each for each in trusted if each.certificate and _is_authority(each.certificate)]
    if not authorities:
        raise UntrustedError("it is by another certificate than those trusted")
    checking = x509.verification
    policy = checking.ExtensionPolicy
    verifier = (
        checking.PolicyBuilder()
        .store(checking.Store([each.certificate for each in authorities]))
        .time(now)
        .extension_policies(ca_policy=policy.webpki_defaults_ca(), ee_policy=policy.permit_all())
        .build_client_verifier()
    )
    try:
        top = verifier.verify(leaf, above).chain[-1]
    except (checking.VerificationError, ValueError) as error:
        raise UntrustedError(
            f"its certificate is of no trusted authority, or not at this time ({reason(error)})"
        ) from error
    return next(each for each in authorities if each.certificate == top), key


def _may_sign(certificate: Any) -> bool:
    """As `model_signing` asks it."""
    x509 = cryptography().x509
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return True
    except x509.ExtensionNotFound:
        pass
    try:
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return x509.oid.ExtendedKeyUsageOID.CODE_SIGNING in usage


def _is_authority(certificate: Any) -> bool:
    x509 = cryptography().x509
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return bool(found.value.ca)


def _why_not_now(certificate: Any, now: datetime) -> str:
    """ "" for a bare key: it has no dates."""
    if certificate is None:
        return ""
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"is valid from {certificate.not_valid_before_utc:%Y-%m-%d} on (check the clock)"
    return ""


def _read(path: Path) -> list[Trusted]:
    library = cryptography()
    if path.stat().st_size > LARGEST:
        raise ConfigError(f"{path}: is larger than any key; expected a public key as PEM")
    found: list[Trusted] = []
    for block in _BLOCK.finditer(path.read_bytes()):
        kind = block[1].decode()
        if "PRIVATE KEY" in kind:
            raise ConfigError(
                f"{path}: holds a private key, which signs; a device needs the public one: "
                f"openssl ec -in {path} -pubout -out {path.with_suffix('.pub')}, and take this away"
            )
        try:
            if kind == "CERTIFICATE":
                certificate = library.x509.load_pem_x509_certificate(block[0])
                found.append(Trusted(path, certificate.public_key(), certificate))
            elif kind == "PUBLIC KEY":
                key = library.hazmat.primitives.serialization.load_pem_public_key(block[0])
                found.append(Trusted(path, key))
        except Exception as error:  # what cryptography says of a key has no common base
            raise ConfigError(f"{path}: cannot be read as PEM ({reason(error)})") from error
    for each in found:
        if each.certificate is None or not _is_authority(each.certificate):
            check_curve(each.key, path)
    if not found:
        raise ConfigError(
            f"{path}: holds neither a public key nor a certificate; expected PEM, as of "
            "openssl ec -in key.pem -pubout"
        )
    return found


def _check_place(path: Path, is_kind: bool) -> None:
    if not is_kind:
        what = "does not exist" if not path.exists() else "is of another kind"
        raise ConfigError(f"{path}: {what}; expected a folder of public keys (PEM files)")
    status = path.stat()
    if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), _ROOT):
        raise ConfigError(
            f"{path}: belongs to another user ({status.st_uid}), who decides by it what is trusted;"
            f" chown root {path}"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{path}: others may write it, and so decide what is trusted; chmod go-w {path}"
        )
