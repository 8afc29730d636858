"""Ours and the library that defines the format say the same of a folder, in both directions."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys

import pytest

from runtime import load_engine
from runtime.errors import EngineError, SignatureError
from runtime.manifest import Manifest
from runtime.trust import SIGNATURE, setting
from runtime.trust.signed import signed

FILES = ["README.md", "gate/notes.txt", "manifest.json", "model.onnx"]


def stock(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def refused(folder, trust) -> bool:
    try:
        signed(folder, [trust]).check_files()
    except SignatureError:
        return True
    return False


@pytest.fixture
def ours(make_engine, keys, tmp_path, python):
    """A folder signed by our command."""
    folder = make_engine(tmp_path / "ours")
    done = python("-m", "runtime.sign", folder, "--key", keys / "key.pem")
    assert done.returncode == 0, done.stderr
    return folder


def test_our_signature_is_taken_by_the_stock_command(ours, trust):
    where = ("--public_key", trust / "key.pub", "--signature", ours / SIGNATURE)
    assert stock("verify", "key", ours, *where).returncode == 0
    (ours / "model.onnx").write_bytes(b"another")
    assert stock("verify", "key", ours, *where).returncode != 0


def test_a_signature_of_the_stock_command_is_taken_here(make_engine, keys, trust, tmp_path, pair):
    folder = make_engine(tmp_path / "theirs")
    done = stock(
        "sign", "key", folder, "--private_key", keys / "key.pem", "--signature", folder / SIGNATURE
    )
    assert done.returncode == 0, done.stderr
    with load_engine(folder, trust=trust) as engine:
        assert engine.predict(*pair).damage.shape == pair[0].shape[:2]


def test_every_file_that_changes_by_a_bit_is_refused_by_both(signed_engine, trust, stock_accepts):
    public = trust / "key.pub"
    assert not refused(signed_engine, trust)
    assert stock_accepts(signed_engine, public)
    assert sorted(signed(signed_engine, [trust]).digests) == FILES
    for name in FILES:
        path = signed_engine / name
        content = path.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert refused(signed_engine, trust), name
            assert not stock_accepts(signed_engine, public), name
            with pytest.raises(EngineError):
                load_engine(signed_engine, trust=trust)
        path.unlink()
        assert refused(signed_engine, trust)
        assert not stock_accepts(signed_engine, public)
        path.write_bytes(content)
        shutil.copy(path, path.with_name("copy"))
        assert refused(signed_engine, trust)
        assert not stock_accepts(signed_engine, public)
        path.with_name("copy").unlink()
    assert not refused(signed_engine, trust)


def leaves(value, path=()):
    """The path of every value in a JSON document that is no object or list of some."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield path


def altered(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
    return ["x"]


def replaced(document, path, value):
    copy = json.loads(json.dumps(document))
    *above, last = path
    inner = copy
    for each in above:
        inner = inner[each]
    inner[last] = value
    return copy


def test_every_field_of_the_signature_that_changes_is_refused_by_both(
    signed_engine, trust, stock_accepts
):
    path = signed_engine / SIGNATURE
    bundle = json.loads(path.read_text())
    for where in leaves(bundle):
        value = bundle
        for each in where:
            value = value[each]
        path.write_text(json.dumps(replaced(bundle, where, altered(value))))
        assert refused(signed_engine, trust), where
        # What is not signed and not read: the library passes it over.
        if where[-1] not in ("keyid", "tlogEntries"):
            assert not stock_accepts(signed_engine, trust / "key.pub"), where


def test_every_field_of_the_statement_that_changes_is_refused_by_both(
    signed_engine, trust, stock_accepts
):
    path = signed_engine / SIGNATURE
    bundle = json.loads(path.read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    where = list(leaves(statement))
    assert len(where) > 3 * len(FILES)
    for each in where:
        value = statement
        for step in each:
            value = value[step]
        changed = json.dumps(replaced(statement, each, altered(value)))
        payload = base64.b64encode(changed.encode()).decode()
        path.write_text(json.dumps(replaced(bundle, ("dsseEnvelope", "payload"), payload)))
        assert refused(signed_engine, trust), each
        assert not stock_accepts(signed_engine, trust / "key.pub"), each


def test_no_byte_of_the_signature_file_can_change_what_is_taken(signed_engine, trust):
    path = signed_engine / SIGNATURE
    content = path.read_bytes()
    before = json.loads(content)
    taken = 0
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if not refused(signed_engine, trust):
            taken += 1
            assert json.loads(path.read_bytes()) == before  # a blank, for instance
    assert taken < len(content) // 50


def test_a_signature_of_every_curve_is_taken(
    make_engine, stock_sign, tmp_path, write_private, write_public
):
    from cryptography.hazmat.primitives.asymmetric import ec

    for curve in (ec.SECP384R1, ec.SECP521R1):
        key = ec.generate_private_key(curve())
        folder = make_engine(tmp_path / curve.name)
        stock_sign(folder, write_private(tmp_path / f"{curve.name}.pem", key))
        trust = write_public(tmp_path / f"trust-{curve.name}" / "key.pem", key).parent
        assert not refused(folder, trust)


def test_verify_says_what_was_signed_and_by_whom(ours, trust, python):
    done = python("-m", "runtime.verify", ours, "--trust", trust)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(trust / "key.pub") in done.stdout
    assert "2 files" in done.stdout
    (ours / "model.onnx").write_bytes(b"another")
    done = python("-m", "runtime.verify", ours, "--trust", trust)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {ours / 'model.onnx'}: is not the file that was signed")


def test_verify_without_a_key_is_no_success(ours, python):
    done = python("-m", "runtime.verify", ours)
    assert done.returncode == 2
    assert setting.VARIABLE in done.stderr


def test_a_manifest_is_read_without_a_signature_where_none_is_demanded(make_engine, tmp_path):
    assert Manifest.read(make_engine(tmp_path / "engine")).payload
