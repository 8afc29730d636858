"""Keys and certificates: which are trusted, and when; certificates against the stock verifier."""

from __future__ import annotations

import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from runtime.errors import ConfigError, SignatureError
from runtime.trust import SIGNATURE
from runtime.trust import keys as trusted_keys
from runtime.trust.bundle import read_bundle
from runtime.trust.keys import UntrustedError, read_keys, signer
from runtime.trust.signed import signed

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def stock_certified(make_engine, keys, tmp_path):
    """A folder signed with `key` and certificates, by the library."""
    import model_signing

    def make(certificate, *chain):
        folder = make_engine(tmp_path / "certified")
        hashing = model_signing.hashing.Config().set_ignored_paths(paths=[SIGNATURE])
        config = model_signing.signing.Config().set_hashing_config(hashing)
        config.use_certificate_signer(
            private_key=keys / "key.pem", signing_certificate=certificate, certificate_chain=chain
        ).sign(folder, folder / SIGNATURE)
        return folder

    return make


def stock_takes(folder, authority) -> bool:
    import model_signing

    hashing = model_signing.hashing.Config().set_ignored_paths(paths=[SIGNATURE])
    config = model_signing.verifying.Config().set_hashing_config(hashing)
    try:
        config.use_certificate_verifier(certificate_chain=[authority]).verify(
            folder, folder / SIGNATURE
        )
    except Exception:
        return False
    return True


@pytest.fixture(scope="module")
def authority(certificate):
    key = ec.generate_private_key(ec.SECP256R1())
    return key, certificate(key, "Authority", days=(-100, 3650), authority=True)


def takes(folder, trust) -> bool:
    try:
        signed(folder, [trust]).check_files()
    except SignatureError:
        return False
    return True


def test_a_certificate_of_a_trusted_authority_is_taken_as_the_library_takes_it(
    stock_certified, certificate, authority, key, write_certificate, tmp_path
):
    signing, root = authority
    leaf = certificate(key, "Signer", root, signing)
    root_file = write_certificate(tmp_path / "trust" / "root.crt", root)
    folder = stock_certified(write_certificate(tmp_path / "leaf.crt", leaf), root_file)
    assert stock_takes(folder, root_file)
    assert takes(folder, tmp_path / "trust")


def test_a_certificate_of_another_authority_is_refused_by_both(
    stock_certified, certificate, authority, key, write_certificate, tmp_path
):
    _, root = authority
    other = ec.generate_private_key(ec.SECP256R1())
    # of the same name
    strange = certificate(other, "Authority", days=(-100, 3650), authority=True)
    leaf = certificate(key, "Signer", strange, other)
    root_file = write_certificate(tmp_path / "trust" / "root.crt", root)
    folder = stock_certified(
        write_certificate(tmp_path / "leaf.crt", leaf),
        write_certificate(tmp_path / "strange.crt", strange),
    )
    assert not stock_takes(folder, root_file)
    assert not takes(folder, tmp_path / "trust")


def test_a_signer_cannot_make_certificates_of_its_own(
    stock_certified, certificate, authority, key, write_certificate, tmp_path
):
    signing, root = authority
    own = ec.generate_private_key(ec.SECP256R1())
    middle = certificate(own, "Signer", root, signing)  # no authority
    leaf = certificate(key, "Other", middle, own)
    root_file = write_certificate(tmp_path / "trust" / "root.crt", root)
    folder = stock_certified(
        write_certificate(tmp_path / "leaf.crt", leaf),
        write_certificate(tmp_path / "middle.crt", middle),
    )
    assert not stock_takes(folder, root_file)
    assert not takes(folder, tmp_path / "trust")


def test_a_certificate_for_other_uses_is_refused_by_both(
    stock_certified, certificate, authority, key, write_certificate, tmp_path
):
    signing, root = authority
    leaf = certificate(key, "Mail", root, signing, signs=False)
    root_file = write_certificate(tmp_path / "trust" / "root.crt", root)
    folder = stock_certified(write_certificate(tmp_path / "leaf.crt", leaf), root_file)
    assert not stock_takes(folder, root_file)
    assert not takes(folder, tmp_path / "trust")


def test_an_expired_certificate_is_refused(
    stock_certified, certificate, authority, key, write_certificate, tmp_path
):
    """The library asks whether it was valid when it began to be; a device asks whether it is."""
    signing, root = authority
    leaf = certificate(key, "Signer", root, signing, days=(-50, -1))
    root_file = write_certificate(tmp_path / "trust" / "root.crt", root)
    folder = stock_certified(write_certificate(tmp_path / "leaf.crt", leaf), root_file)
    assert stock_takes(folder, root_file)
    with pytest.raises(SignatureError, match="not at this time"):
        signed(folder, [tmp_path / "trust"])
    bundle = read_bundle((folder / SIGNATURE).read_bytes())
    signer(bundle, read_keys(tmp_path / "trust"), NOW - 10 * DAY)  # it was, then


def test_a_trusted_certificate_dates_its_key(
    signed_engine, certificate, key, write_certificate, tmp_path
):
    place = tmp_path / "trust"
    write_certificate(place / "a.crt", certificate(key, "Signer", days=(-2, 2)))
    assert takes(signed_engine, place)
    bundle, found = read_bundle((signed_engine / SIGNATURE).read_bytes()), read_keys(place)
    for when, what in ((NOW + 3 * DAY, "expired on"), (NOW - 3 * DAY, "check the clock")):
        with pytest.raises(UntrustedError, match=what):
            signer(bundle, found, when)
    write_certificate(place / "a.crt", certificate(key, "Signer", days=(-4, -1)))
    with pytest.raises(SignatureError, match="expired on"):
        signed(signed_engine, [place])


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "secp256k1"])
def test_other_kinds_of_keys_are_named(kind, tmp_path, write_public):
    key = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    }[kind]()
    place = write_public(tmp_path / "trust" / "key.pub", key).parent
    with pytest.raises(ConfigError, match="expected an elliptic curve key on P-256") as told:
        read_keys(place)
    assert kind in str(told.value).lower()


def test_a_private_key_among_the_public_ones_is_refused(key, tmp_path, write_private):
    (tmp_path / "trust").mkdir()
    write_private(tmp_path / "trust" / "key.pem", key)
    with pytest.raises(ConfigError, match="holds a private key, which signs"):
        read_keys(tmp_path / "trust")


def test_a_file_in_place_of_the_folder_is_refused(trust):
    with pytest.raises(ConfigError, match="expected a folder of public keys"):
        read_keys(trust / "key.pub")


def test_the_fingerprint_is_that_of_the_key(key, trust):
    import hashlib

    digest = hashlib.sha256((trust / "key.pub").read_bytes()).hexdigest()
    assert trusted_keys.fingerprint(key.public_key()) == f"SHA256:{digest[:16]}"
