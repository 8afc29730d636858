"""Where a device says which keys it trusts: every place is a demand, and none takes one back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import load_engine
from runtime.errors import ConfigError, SignatureError
from runtime.manifest import Manifest
from runtime.trust import OWN_BUILD, SIGNATURE, setting


@pytest.fixture
def unsigned(make_engine, tmp_path):
    return make_engine(tmp_path / "unsigned")


@pytest.fixture
def device(monkeypatch, tmp_path, trust):
    """The device's own folder of keys, set."""
    place = tmp_path / "device" / "trust"
    shutil.copytree(trust, place)
    monkeypatch.setattr(setting, "DEVICE", place)
    return place


def test_nothing_is_demanded_where_nothing_is_set(unsigned):
    assert setting.folders() == []
    load_engine(unsigned).close()


@pytest.mark.parametrize("place", ["device", "variable", "argument"])
def test_each_place_refuses_what_is_not_signed(
    unsigned, signed_engine, trust, request, monkeypatch, place
):
    given = {}
    if place == "device":
        request.getfixturevalue("device")
    elif place == "variable":
        monkeypatch.setenv(setting.VARIABLE, str(trust))
    else:
        given = {"trust": trust}
    with pytest.raises(SignatureError, match="not signed"):
        load_engine(unsigned, **given)
    load_engine(signed_engine, **given).close()


def test_an_option_takes_nothing_back(signed_engine, keys, device, stock_sign, monkeypatch):
    """Keys of a stranger beside the device's: his engine is still refused, however it is said."""
    strangers = keys / "strangers"
    stock_sign(signed_engine, keys / "stranger.pem")
    with pytest.raises(SignatureError, match=str(device)):
        load_engine(signed_engine, trust=strangers)
    monkeypatch.setenv(setting.VARIABLE, str(strangers))
    with pytest.raises(SignatureError, match=str(device)):
        load_engine(signed_engine)
    with setting.demanded(strangers), pytest.raises(SignatureError, match=str(device)):
        load_engine(signed_engine)


def test_an_engine_that_this_process_built_needs_none(unsigned, device):
    assert Manifest.read(unsigned, OWN_BUILD).payload


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda place: (place / "key.pub").unlink(), "holds no public key"),
        (lambda place: (place / "key.pub").chmod(0o666), "others may write it"),
        (lambda place: place.chmod(0o777), "others may write it"),
        (lambda place: (place / "key.pub").write_text("x"), "neither a public key"),
    ],
)
def test_keys_that_cannot_be_used_let_nothing_through(signed_engine, device, spoil, what):
    if what == "does not exist":  # a link that leads nowhere is not the same as no link
        spoil(device)
        device.symlink_to(device.with_name("gone"))
    else:
        spoil(device)
    with pytest.raises(ConfigError, match=what):
        load_engine(signed_engine)


def test_an_empty_variable_lets_nothing_through(signed_engine, monkeypatch):
    monkeypatch.setenv(setting.VARIABLE, "")
    with pytest.raises(ConfigError, match="is empty"):
        load_engine(signed_engine)


def test_a_second_key_beside_the_first_is_trusted_too(signed_engine, keys, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    shutil.copy(keys / "strangers" / "key.pub", both / "a.pub")
    shutil.copy(keys / "trust" / "key.pub", both / "b.pub")
    (both / "README.txt").write_text("who they are")
    load_engine(signed_engine, trust=both).close()


COMMANDS = {
    "predict": ["--engine", "ENGINE", "pre.png", "post.png", "--out", "OUT"],
    "batch": ["--engine", "ENGINE", "--pairs", "pairs.csv", "--out", "OUT"],
    "watch": ["--engine", "ENGINE", "--inbox", "IN", "--outbox", "OUT", "--once"],
    "plan-report": ["ENGINE"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("how", ["variable", "option"])
def test_every_command_that_loads_an_engine_keeps_to_it(
    unsigned, trust, command, how, tmp_path, pair
):
    from PIL import Image

    arrived = tmp_path / "IN"
    arrived.mkdir()
    for name, image in zip(("pre", "post"), pair, strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        Image.fromarray(image).save(arrived / f"a_{name}_disaster.png")
    (tmp_path / "pairs.csv").write_text("pre,post\npre.png,post.png\n")
    words = {"ENGINE": str(unsigned), "OUT": str(tmp_path / "out"), "IN": str(arrived)}
    arguments = [words.get(each, each) for each in COMMANDS[command]]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    if how == "variable":
        environment[setting.VARIABLE] = str(trust)
    else:
        arguments += ["--trust", str(trust)]
    done = subprocess.run(
        [sys.executable, "-m", "runtime.console", command, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is not signed" in done.stderr
    assert not list(tmp_path.glob("out/**/damage*"))


def test_every_command_with_an_engine_has_the_option():
    from runtime import cli, console

    without = set()
    for name in console.COMMANDS:
        parser = console.parser_of(console.load(name), name)
        cli.add_shared(parser)
        taken = {each.dest for each in parser._actions}
        if taken & {"engine", "engine_or_onnx"} and "--trust" not in parser._option_string_actions:
            without.add(name)
    assert not without


def test_a_worker_on_another_machine_is_told_of_the_option(keys):
    from runtime.many.workers import Job

    assert "trust" in Job.__dataclass_fields__
    with setting.demanded(keys / "trust"):
        assert setting.option() == keys / "trust"
    assert setting.option() is None


def test_a_device_without_the_library_says_so(unsigned, trust, python):
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from runtime.engine import load_engine\n"
        f"load_engine({str(unsigned)!r}, trust={str(trust)!r})"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert "cryptography cannot be imported" in done.stderr
    assert 'pip install "dual-hrnet-edge[trust]"' in done.stderr


def test_the_heavy_library_is_not_needed_to_verify(signed_engine, trust, python):
    code = f"""
import sys
from pathlib import Path
from runtime.trust.signed import signed
signed(Path({str(signed_engine)!r}), [Path({str(trust)!r})]).check_files()
heavy = {{"model_signing", "sigstore", "google.protobuf", "OpenSSL", "numpy", "onnxruntime"}}
print(sorted(heavy & set(sys.modules)))
"""
    assert python("-c", code).stdout == "[]\n"


def test_keys_that_were_taken_away_are_not_trusted(signed_engine, key, tmp_path, write_public):
    trust = write_public(tmp_path / "t" / "key.pub", key).parent
    load_engine(signed_engine, trust=trust).close()
    (trust / "key.pub").rename(trust / "key.pub.revoked")
    with pytest.raises(ConfigError, match="no public key"):
        load_engine(signed_engine, trust=trust)
    assert (signed_engine / SIGNATURE).exists()
