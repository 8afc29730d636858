"""`dual-hrnet sign`: what it signs, with which keys, and one line for each mistake with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from runtime import cli, load_engine, sign
from runtime.trust import SIGNATURE
from runtime.trust.signed import signed


@pytest.fixture
def engine(make_engine, tmp_path):
    return make_engine(tmp_path / "engine")


@pytest.fixture
def run(capsys, monkeypatch):
    """The command in this process: exit code and what it printed on stderr."""
    monkeypatch.setattr("sys.stdin", None)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.run(sign.parser(), sign.main, [str(each) for each in arguments])
        return end.value.code or 0, capsys.readouterr().err

    return run


def test_the_folder_is_as_it_was_but_for_the_signature(engine, keys, run):
    before = {path.name: path.read_bytes() for path in engine.iterdir()}
    assert run(engine, "--key", keys / "key.pem") == (0, "")
    assert {path.name for path in engine.iterdir()} == {*before, SIGNATURE}
    assert run(engine, "--key", keys / "stranger.pem") == (0, "")  # in place of the first
    after = {path.name: path.read_bytes() for path in engine.iterdir() if path.name != SIGNATURE}
    assert after == before
    load_engine(engine, trust=keys / "strangers").close()


def test_a_key_with_a_passphrase_signs(
    engine, key, trust, tmp_path, run, monkeypatch, write_private
):
    path = write_private(tmp_path / "locked.pem", key, b"open sesame")
    code, error = run(engine, "--key", path)
    assert (code, "no terminal" in error) == (2, True)
    monkeypatch.setenv(sign.PASSPHRASE, "wrong")
    code, error = run(engine, "--key", path)
    assert (code, error) == (2, f"error: --key {path}: the passphrase is not this key's\n")
    monkeypatch.setenv(sign.PASSPHRASE, "open sesame")
    assert run(engine, "--key", path) == (0, "")
    signed(engine, [trust]).check_files()


NO_KEY = b"-----BEGIN PRIVATE KEY-----\nMIIx\n-----END PRIVATE KEY-----\n"

MISTAKES = {
    "public": "holds a public key; expected the private",
    b"-----BEGIN CERTIFICATE-----": "holds a certificate",
    b"\x30\x82": "is no PEM file",
    NO_KEY: "cannot be read",
    None: "is no file",
    "rsa": "a key of kind RSA; expected an elliptic curve key",
    "ed25519": "a key of kind Ed25519",
    "secp256k1": "on the curve secp256k1",
}


@pytest.mark.parametrize("given", MISTAKES)
def test_each_mistake_with_a_key_is_one_line(
    engine, key, tmp_path, run, given, write_private, write_public
):
    path = tmp_path / "given.pem"
    if given == "public":
        write_public(path, key)
    elif isinstance(given, bytes):
        path.write_bytes(given)
    elif given is not None:
        other = {
            "rsa": lambda: rsa.generate_private_key(65537, 2048),
            "ed25519": ed25519.Ed25519PrivateKey.generate,
            "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        }
        write_private(path, other[given]())
    if path.exists():
        path.chmod(0o600)
    code, error = run(engine, "--key", path)
    assert code == 2
    assert MISTAKES[given] in error
    assert error.count("\n") == 1
    assert not (engine / SIGNATURE).exists()


def test_a_key_that_others_may_read_is_noted(engine, key, tmp_path, run, write_private):
    path = write_private(tmp_path / "open.pem", key)
    path.chmod(0o644)
    code, error = run(engine, "--key", path)
    assert code == 0
    assert f"chmod 600 {path}" in error


def test_an_engine_that_is_not_whole_is_not_signed(engine, keys, run):
    (engine / "model.onnx").write_bytes(bytes((engine / "model.onnx").stat().st_size))
    code, error = run(engine, "--key", keys / "key.pem")
    assert code == 1
    assert "sha256" in error
    assert not (engine / SIGNATURE).exists()


@pytest.mark.parametrize("name", [".gitignore", ".DS_Store"])
def test_hidden_files_are_not_signed_unseen(engine, keys, run, name):
    (engine / name).write_text("x")
    code, error = run(engine, "--key", keys / "key.pem")
    assert code == 2
    assert f"{name}: is hidden" in error


def test_a_link_is_not_signed(engine, keys, run, tmp_path):
    (engine / "link").symlink_to(tmp_path)
    code, error = run(engine, "--key", keys / "key.pem")
    assert code == 1
    assert "symbolic link" in error


def test_a_certificate_goes_with_the_signature(
    engine, key, keys, certificate, write_certificate, tmp_path, run
):
    authority = ec.generate_private_key(ec.SECP256R1())
    root = certificate(authority, "Authority", authority=True)
    leaf = write_certificate(tmp_path / "leaf.crt", certificate(key, "S", root, authority))
    trust = write_certificate(tmp_path / "trust" / "root.crt", root).parent
    assert run(engine, "--key", keys / "key.pem", "--certificate", leaf) == (0, "")
    signed(engine, [trust]).check_files()
    code, error = run(engine, "--key", keys / "stranger.pem", "--certificate", leaf)
    assert code == 2
    assert "does not match" in error


TOKEN_LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")


def test_a_key_in_a_token_signs(engine, tmp_path, monkeypatch, run):
    """A software token in a file, made with the tools of SoftHSM and OpenSC."""
    pytest.importorskip("PyKCS11")
    if not (TOKEN_LIBRARY.is_file() and shutil.which("pkcs11-tool")):
        pytest.skip("softhsm2 and opensc are not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    tool = ["pkcs11-tool", "--module", str(TOKEN_LIBRARY)]
    pin = ["--login", "--pin", "1234", "--token-label", "signing"]
    for command in (
        ["softhsm2-util", "--init-token", "--free", "--label", "signing", "--so-pin", "12345678",
         "--pin", "1234"],
        [*tool, *pin, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "release"],
        [*tool, *pin, "--read-object", "--type", "pubkey", "--label", "release",
         "--output-file", str(tmp_path / "key.der")],
    ):  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, env=os.environ)
    trust = tmp_path / "trust"
    trust.mkdir()
    subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-in", tmp_path / "key.der", "-out",
         trust / "key.pub"], check=True, capture_output=True,
    )  # fmt: skip
    uri = f"pkcs11:token=signing;object=release?module-path={TOKEN_LIBRARY}&pin-value=1234"
    assert run(engine, "--key", uri) == (0, "")
    signed(engine, [trust]).check_files()
    for wrong in (uri.replace("release", "none"), uri.replace("pin-value=1234", "pin-value=9")):
        code, error = run(engine, "--key", wrong)
        assert code == 2
        assert "no such key can be used" in error
        assert "pin-value" not in error
