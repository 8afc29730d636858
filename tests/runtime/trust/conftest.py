"""Keys, certificates, and engine folders signed by the library that defines the format."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

pytest.importorskip("model_signing")
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from runtime.trust import SIGNATURE, setting

_DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_demand_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(setting, "DEVICE", tmp_path / "etc" / "trust")
    monkeypatch.delenv(setting.VARIABLE, raising=False)


def _write_private(path: Path, key, passphrase: bytes | None = None) -> Path:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    path.chmod(0o600)
    return path


def _write_public(path: Path, key) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    path.chmod(0o644)
    return path


@pytest.fixture(scope="session")
def write_private():
    return _write_private


@pytest.fixture(scope="session")
def write_public():
    return _write_public


@pytest.fixture(scope="session")
def key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def keys(tmp_path_factory, key):
    """`key.pem` (private), `trust/key.pub`, and those of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    _write_private(folder / "key.pem", key)
    _write_public(folder / "trust" / "key.pub", key)
    stranger = ec.generate_private_key(ec.SECP256R1())
    _write_private(folder / "stranger.pem", stranger)
    _write_public(folder / "strangers" / "key.pub", stranger)
    return folder


@pytest.fixture(scope="session")
def trust(keys):
    return keys / "trust"


@pytest.fixture(scope="session")
def certificate():
    """A function that makes one, of `key`, by `issuer` or by itself."""

    def make(key, name, issuer=None, issued_by=None, days=(-1, 30), authority=False, signs=True):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        by = issuer.subject if issuer else subject
        maker = issued_by or key
        now = datetime.datetime.now(datetime.timezone.utc)
        others = "content_commitment key_encipherment data_encipherment key_agreement"
        others += " crl_sign encipher_only decipher_only"
        usage = dict.fromkeys(others.split(), False)
        usage |= {"digital_signature": signs and not authority, "key_cert_sign": authority}
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * _DAY)
            .not_valid_after(now + days[1] * _DAY)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(maker.public_key()),
                critical=False,
            )
            .sign(maker, hashes.SHA256())
        )

    return make


@pytest.fixture(scope="session")
def write_certificate():
    def write(path: Path, *certificates) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
        path.chmod(0o644)
        return path

    return write


@pytest.fixture(scope="session")
def stock_sign():
    """The library's own signing of a folder, with every option that it has."""
    import model_signing

    def sign(folder: Path, key: Path, ignored=(), algorithm="sha256", symlinks=False) -> Path:
        hashing = (
            model_signing.hashing.Config()
            .use_file_serialization(hashing_algorithm=algorithm, allow_symlinks=symlinks)
            .set_ignored_paths(paths=[SIGNATURE, *ignored])
            .set_allow_symlinks(symlinks)
        )
        config = model_signing.signing.Config().set_hashing_config(hashing)
        config.use_elliptic_key_signer(private_key=key).sign(folder, folder / SIGNATURE)
        return folder

    return sign


@pytest.fixture(scope="session")
def stock_accepts():
    """Does the library accept a folder's signature, by this public key?"""
    import model_signing

    def accepts(folder: Path, public: Path) -> bool:
        hashing = model_signing.hashing.Config().set_ignored_paths(
            paths=[SIGNATURE], ignore_git_paths=False
        )
        config = model_signing.verifying.Config().set_hashing_config(hashing)
        try:
            config.use_elliptic_key_verifier(public_key=public).verify(folder, folder / SIGNATURE)
        except Exception:
            return False
        return True

    return accepts


@pytest.fixture
def signed_engine(make_engine, stock_sign, keys, tmp_path):
    folder = make_engine(tmp_path / "engine")
    (folder / "README.md").write_text("card\n")
    (folder / "gate").mkdir()
    (folder / "gate" / "notes.txt").write_text("nested\n")
    return stock_sign(folder, keys / "key.pem")
