"""What somebody with the folder in hand can try, and what a newcomer does by mistake."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import shutil

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime import load_engine
from runtime.errors import AlteredPayloadError, SignatureError
from runtime.manifest import GATE, Graph, Manifest, Model, WindowGate, payload_of
from runtime.trust import SIGNATURE, setting
from runtime.trust.bundle import pre_authenticated
from runtime.trust.signed import signed


@pytest.fixture
def untouched(monkeypatch):
    """No inference library is given anything while this is in force."""
    import onnxruntime

    def entered(*given, **more):
        raise AssertionError("a library was given a payload")

    monkeypatch.setattr(onnxruntime, "InferenceSession", entered)


@pytest.fixture
def forged(keys):
    """A function that signs a statement of ours with the trusted key, as a signer gone wrong."""
    key = load_pem_private_key((keys / "key.pem").read_bytes(), None)

    def forge(folder, change):
        path = folder / SIGNATURE
        bundle = json.loads(path.read_text())
        envelope = bundle["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        resources = statement["predicate"]["resources"]
        digests = b"".join(bytes.fromhex(each["digest"]) for each in resources)
        statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()
        payload = json.dumps(statement).encode()
        signature = key.sign(pre_authenticated(payload), ec.ECDSA(hashes.SHA256()))
        envelope["payload"] = base64.b64encode(payload).decode()
        envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        path.write_text(json.dumps(bundle))

    return forge


def test_a_folder_whose_signature_was_deleted_is_refused(
    signed_engine, trust, untouched, monkeypatch
):
    (signed_engine / SIGNATURE).unlink()
    monkeypatch.setenv(setting.VARIABLE, str(trust))
    with pytest.raises(SignatureError, match=r"missing, so the folder is not signed"):
        load_engine(signed_engine)


def test_a_signature_by_another_key_is_refused(signed_engine, keys, untouched, stock_sign):
    with pytest.raises(SignatureError, match="another key than those trusted"):
        load_engine(signed_engine, trust=keys / "strangers")
    bundle = json.loads((signed_engine / SIGNATURE).read_text())
    stock_sign(signed_engine, keys / "stranger.pem")
    by_stranger = json.loads((signed_engine / SIGNATURE).read_text())
    by_stranger["verificationMaterial"] = bundle["verificationMaterial"]  # a lie on whose it is
    (signed_engine / SIGNATURE).write_text(json.dumps(by_stranger))
    with pytest.raises(SignatureError, match="altered"):
        load_engine(signed_engine, trust=keys / "trust")


@pytest.mark.parametrize("what", ["ignored", "unlisted", "git"])
def test_a_file_that_is_not_listed_is_refused_whatever_the_signature_says(
    make_engine, stock_sign, keys, trust, tmp_path, untouched, what
):
    folder = make_engine(tmp_path / "engine")
    if what == "git":  # the stock verifier passes these over
        stock_sign(folder, keys / "key.pem")
        (folder / ".git").mkdir()
        (folder / ".git" / "model.onnx").write_bytes(b"x")
    else:
        stock_sign(folder, keys / "key.pem", ["model.onnx"] if what == "ignored" else [])
        if what == "unlisted":
            (folder / "model.onnx.data").write_bytes(b"x")
    with pytest.raises(SignatureError, match="was not signed"):
        load_engine(folder, trust=trust)


def test_two_signatures_are_refused(signed_engine, trust, keys, stock_sign, untouched):
    path = signed_engine / SIGNATURE
    bundle = json.loads(path.read_text())
    signatures = bundle["dsseEnvelope"]["signatures"]
    signatures.append(signatures[0])
    path.write_text(json.dumps(bundle))
    with pytest.raises(SignatureError, match="one signature"):
        load_engine(signed_engine, trust=trust)
    stock_sign(signed_engine, keys / "key.pem")
    shutil.copy(path, signed_engine / "model2.sig")
    with pytest.raises(SignatureError, match=r"model2\.sig: was not signed"):
        load_engine(signed_engine, trust=trust)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", SIGNATURE, "extra", "gate"])
def test_symbolic_links_are_refused(signed_engine, trust, tmp_path, untouched, name):
    path = signed_engine / name
    outside = tmp_path / "outside"
    if path.exists():
        path.rename(outside)
    else:
        outside.write_text("x")
    path.symlink_to(outside)
    with pytest.raises(SignatureError):
        load_engine(signed_engine, trust=trust)


def test_a_pipe_is_refused_and_not_waited_for(signed_engine, trust, untouched):
    os.mkfifo(signed_engine / "pipe")
    with pytest.raises(SignatureError, match="is no file"):
        load_engine(signed_engine, trust=trust)
    (signed_engine / "pipe").unlink()
    (signed_engine / SIGNATURE).unlink()
    os.mkfifo(signed_engine / SIGNATURE)
    with pytest.raises(SignatureError):
        load_engine(signed_engine, trust=trust)


def test_a_hard_link_counts_for_what_it_holds_when_it_is_read(signed_engine, trust, tmp_path):
    os.link(signed_engine / "model.onnx", tmp_path / "handle")
    signed(signed_engine, [trust]).check_files()
    (tmp_path / "handle").write_bytes(b"another")
    with pytest.raises(SignatureError, match="model.onnx"):
        signed(signed_engine, [trust]).check_files()


def test_names_are_compared_letter_by_letter(make_engine, stock_sign, keys, trust, tmp_path):
    folder = make_engine(tmp_path / "engine")
    (folder / "caf\u00e9 \u5730\u56f3.txt").write_text("x")
    stock_sign(folder, keys / "key.pem")
    signed(folder, [trust]).check_files()
    (folder / "caf\u00e9 \u5730\u56f3.txt").rename(folder / "cafe\u0301 \u5730\u56f3.txt")
    with pytest.raises(SignatureError, match="was signed and is missing"):
        signed(folder, [trust])
    (folder / "cafe\u0301 \u5730\u56f3.txt").rename(folder / "Caf\u00e9 \u5730\u56f3.txt")
    with pytest.raises(SignatureError, match="was signed and is missing"):
        signed(folder, [trust])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s["predicate"]["serialization"].update(allow_symlinks=True), "symbolic"),
        (lambda s: s["predicate"]["serialization"].update(hash_type="blake2"), "blake2"),
        (lambda s: s["predicate"]["serialization"].update(method="shards"), "shards"),
        (lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]), "twice"),
        (lambda s: s["predicate"]["resources"][0].update(name="../engine/README.md"), "inside"),
        (lambda s: s["predicate"]["resources"][0].update(name="/etc/passwd"), "inside"),
        (lambda s: s["predicate"]["resources"].pop(), "not signed"),
        (lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"), "predicate"),
        (lambda s: s["subject"].append(s["subject"][0]), "one subject"),
        (lambda s: s["predicate"].pop("serialization"), "lacks"),
    ],
)
def test_a_trusted_key_under_a_loose_statement_is_refused(
    signed_engine, trust, forged, untouched, change, what
):
    forged(signed_engine, lambda statement: None)
    signed(signed_engine, [trust]).check_files()  # what is forged is well made
    forged(signed_engine, change)
    with pytest.raises(SignatureError, match=what):
        load_engine(signed_engine, trust=trust)


def test_a_signature_of_an_older_engine_does_not_fit_this_one(
    make_engine, stock_sign, keys, trust, tmp_path, untouched
):
    old = stock_sign(make_engine(tmp_path / "old"), keys / "key.pem")
    new = make_engine(tmp_path / "new", created="2026-02-03T04:05:06+00:00")
    shutil.copy(old / SIGNATURE, new / SIGNATURE)
    with pytest.raises(SignatureError, match="manifest.json: is not the file that was signed"):
        load_engine(new, trust=trust)


def test_a_payload_exchanged_after_the_signature_was_checked_reaches_no_library(
    signed_engine, trust, untouched, monkeypatch
):
    from runtime import engine

    real = engine.open_backend

    def late(*given, **more):
        path = signed_engine / "model.onnx"
        path.write_bytes(bytes(path.stat().st_size))
        return real(*given, **more)

    monkeypatch.setattr(engine, "open_backend", late)
    with pytest.raises(AlteredPayloadError):
        load_engine(signed_engine, trust=trust)


def test_the_manifest_that_is_believed_is_the_one_that_was_signed(
    signed_engine, trust, edit_manifest, untouched
):
    edit_manifest(signed_engine, lambda content: content.update(precision="int8"))
    for _ in range(2):
        with pytest.raises(SignatureError, match="manifest.json"):
            Manifest.read(signed_engine, trust)


def test_the_gate_of_an_engine_is_covered(make_engine, tmp_path, stock_sign, keys, trust, pair):
    model = Model("dual-hrnet", 8, 1234, "ab" * 32)
    folder = make_engine(tmp_path / "engine")
    (folder / GATE).mkdir()
    shutil.copy(folder / "model.onnx", folder / GATE / "model.onnx")
    payload = payload_of(folder / GATE, ["model.onnx"])
    gate = WindowGate(model, Graph("cd" * 32, 17), "fp32", 1, 40, 0, {}, payload)
    dataclasses.replace(Manifest.read(folder), gate=gate).write(folder)
    stock_sign(folder, keys / "key.pem")
    with load_engine(folder, trust=trust) as engine:
        assert engine.window_gate.predict(*pair).damage.any()
    path = folder / GATE / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(AlteredPayloadError):
        load_engine(folder, trust=trust)
    # And where the manifest was made to fit.
    made_to_fit = dataclasses.replace(gate, payload=payload_of(folder / GATE, ["model.onnx"]))
    dataclasses.replace(Manifest.read(folder), gate=made_to_fit).write(folder)
    with pytest.raises(SignatureError, match="manifest.json"):
        load_engine(folder, trust=trust)
