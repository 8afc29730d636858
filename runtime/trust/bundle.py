"""The signature file: a Sigstore bundle around a DSSE envelope. Nothing in it is believed yet."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from runtime import records

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class BundleError(ValueError):
    """A signature file that is not what `model_signing` writes; the message says where."""


@dataclass(frozen=True)
class Bundle:
    """What a signature file holds."""

    statement: bytes
    """The in-toto statement, JSON."""
    signature: bytes
    """ECDSA, DER, of `pre_authenticated(statement)`."""
    hint: str | None
    """sha256 of the signer's public key as PEM; None where certificates are there instead."""
    certificates: tuple[bytes, ...]
    """DER: the signer's, then those above it."""


def pre_authenticated(statement: bytes) -> bytes:
    """What DSSE signs (its PAE, version 1)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement)


def read_bundle(content: bytes) -> Bundle:
    """Strictly: no unknown key, one signature, canonical base64. Raises BundleError."""
    try:
        value = records.decode(content)
    except records.RecordError as error:
        raise BundleError(str(error)) from error
    top = _object(value, "", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    _equal(top, "mediaType", MEDIA_TYPE)
    material = _object(
        top["verificationMaterial"], "verificationMaterial", set(),
        {"publicKey", "x509CertificateChain", "tlogEntries", "timestampVerificationData"},
    )  # fmt: skip
    for each in ("tlogEntries", "timestampVerificationData"):
        if material.get(each):
            raise BundleError(f"{each} is of Sigstore's log, which needs a network to be checked")
    hint, certificates = _signer(material)
    envelope = _object(
        top["dsseEnvelope"], "dsseEnvelope", {"payload", "payloadType", "signatures"}
    )
    _equal(envelope, "payloadType", PAYLOAD_TYPE)
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise BundleError("signatures must hold one signature")
    signed = _object(signatures[0], "signatures[0]", {"sig"}, {"keyid"})
    if signed.get("keyid") not in (None, ""):  # nothing vouches for it
        raise BundleError("keyid must be empty")
    return Bundle(_bytes(envelope["payload"]), _bytes(signed["sig"]), hint, certificates)


def _signer(material: dict[str, Any]) -> tuple[str | None, tuple[bytes, ...]]:
    if ("publicKey" in material) == ("x509CertificateChain" in material):
        raise BundleError("verificationMaterial must name a public key, or certificates")
    if "publicKey" in material:
        hint = _object(material["publicKey"], "publicKey", {"hint"})["hint"]
        if not isinstance(hint, str):
            raise BundleError("hint must be text")
        return hint, ()
    chain = _object(material["x509CertificateChain"], "x509CertificateChain", {"certificates"})
    entries = chain["certificates"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= 8:
        raise BundleError("certificates must hold 1 to 8 of them")
    return None, tuple(
        _bytes(_object(each, "certificates", {"rawBytes"})["rawBytes"]) for each in entries
    )


def _object(
    value: Any, where: str, needed: set[str], allowed: set[str] | None = None
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(f"{where or 'the content'} must be an object")
    if missing := needed - set(value):
        raise BundleError(f"key {min(missing)} is missing")
    if unknown := set(value) - needed - (allowed or set()):
        raise BundleError(f"key {min(unknown)} is unknown")
    return value


def _equal(value: dict[str, Any], key: str, expected: str) -> None:
    if value[key] != expected:
        raise BundleError(f"{key} must be {expected}")


def _bytes(text: Any) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BundleError("it holds no base64 where that is expected") from error
    if base64.b64encode(content).decode() != text:  # the spare bits of the last letter
        raise BundleError("its base64 is not in its one form")
    return content
