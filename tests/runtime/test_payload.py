"""What a library loads is what was compared with the manifest, whatever happens on the disk."""

from __future__ import annotations

import os

import numpy as np
import pytest

from runtime import load_engine
from runtime.backends import LOADED
from runtime.backends.contract import check_finite
from runtime.errors import AlteredPayloadError, BackendError, EngineError, ManifestError
from runtime.manifest import Manifest, PayloadFile, payload_of

BACKENDS = ["onnxruntime", "openvino"]


@pytest.fixture
def at_the_door(monkeypatch):
    """A function that is called when a library is about to be given a payload."""

    def set_up(backend: str, happen) -> None:
        library = pytest.importorskip(backend)
        owner, names = {
            "onnxruntime": (library, ["InferenceSession"]),
            "openvino": (getattr(library, "Core", None), ["read_model"]),
        }[backend]
        for name in names:
            real = getattr(owner, name)

            def entered(*given, real=real, **more):
                happen()
                return real(*given, **more)

            monkeypatch.setattr(owner, name, entered)

    return set_up


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_payload_changed_after_it_was_checked_changes_no_answer(
    make_engine, tmp_path, monkeypatch, at_the_door, empty_town, pair, reference, backend
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_engine(tmp_path / "e", backend)
    changed = []
    at_the_door(backend, lambda: changed.append(empty_town(folder)))
    with load_engine(folder, threads=1) as engine:
        damage = engine.predict(*pair).damage
    assert changed
    np.testing.assert_array_equal(damage, reference(*pair)[0])
    with pytest.raises(AlteredPayloadError, match="sha256"):
        load_engine(folder)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_folder_exchanged_after_its_manifest_was_read_is_refused(
    make_engine, tmp_path, monkeypatch, empty_town, backend
):
    folder = make_engine(tmp_path / "e", backend)
    other = make_engine(tmp_path / "other", backend)
    empty_town(other)
    read = Manifest.read.__func__

    def exchanged(kind, *given):
        manifest = read(kind, *given)
        folder.rename(tmp_path / "gone")
        other.rename(folder)
        return manifest

    monkeypatch.setattr(Manifest, "read", classmethod(exchanged))
    with pytest.raises(AlteredPayloadError, match="the manifest recorded"):
        load_engine(folder)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_that_the_library_does_not_load_is_checked_too(
    make_engine, make_manifest, tmp_path, backend
):
    folder = make_engine(tmp_path / "e", backend)
    (folder / "calibration.json").write_text("{}")
    make_manifest(folder, (*LOADED[backend], "calibration.json"), backend).write(folder)
    load_engine(folder).close()
    (folder / "calibration.json").write_text("[]")
    with pytest.raises(AlteredPayloadError, match=r"calibration\.json: its sha256"):
        load_engine(folder)


def test_openvino_weights_that_are_not_listed_are_not_looked_for(
    make_engine, make_manifest, tmp_path
):
    folder = make_engine(tmp_path / "e", "openvino")
    make_manifest(folder, ["model.xml"], "openvino").write(folder)
    with pytest.raises(ManifestError, match=r"payload has no model\.bin"):
        load_engine(folder)


def test_openvino_takes_no_other_format_for_its_own(make_engine, make_manifest, tmp_path):
    """It would recognise an ONNX graph, which may refer to further files."""
    folder = make_engine(tmp_path / "e", "openvino")
    onnx_folder = make_engine(tmp_path / "o")
    (folder / "model.xml").write_bytes((onnx_folder / "model.onnx").read_bytes())
    make_manifest(folder, LOADED["openvino"], "openvino").write(folder)
    with pytest.raises(BackendError, match="it is no XML"):
        load_engine(folder)


def test_onnxruntime_does_not_keep_the_bytes_of_the_payload(engine_folder):
    with load_engine(engine_folder, threads=1) as engine:
        assert engine._backend._session._model_bytes is None


def test_a_link_out_of_the_folder_gives_what_the_manifest_recorded_or_nothing(
    make_engine, tmp_path, pair, reference
):
    folder = make_engine(tmp_path / "e")
    outside = tmp_path / "outside.onnx"
    (folder / "model.onnx").rename(outside)
    (folder / "model.onnx").symlink_to(outside)
    with load_engine(folder, threads=1) as engine:
        np.testing.assert_array_equal(engine.predict(*pair).damage, reference(*pair)[0])
    outside.write_bytes(outside.read_bytes()[:-1] + b"\1")
    with pytest.raises(AlteredPayloadError, match="sha256"):
        load_engine(folder)


def test_a_payload_that_may_not_be_read_is_not_said_to_be_refused(engine_folder, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied", "model.onnx")

    monkeypatch.setattr(PayloadFile, "read", denied)
    with pytest.raises(PermissionError):
        load_engine(engine_folder)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: None])
def test_what_is_no_file_is_a_missing_payload(tmp_path, make):
    make(tmp_path / "p")
    with pytest.raises(AlteredPayloadError, match="payload file is missing; again"):
        PayloadFile("p", 0, "0" * 64).read(tmp_path, "again")


def test_a_read_gives_the_recorded_bytes_and_no_others(tmp_path):
    (tmp_path / "p").write_bytes(b"weights")
    (entry,) = payload_of(tmp_path, ["p"])
    buffer = bytearray(7)
    assert entry.read(tmp_path, "again") == b"weights"
    entry.read_into(buffer, tmp_path, "again")
    assert buffer == b"weights"
    for content, message in ((b"Weights", "sha256"), (b"weights2", "holds 8 bytes")):
        (tmp_path / "p").write_bytes(content)
        for act in (
            lambda: entry.check(tmp_path, "again"),
            lambda: entry.read(tmp_path, "again"),
            lambda: entry.read_into(buffer, tmp_path, "again"),
        ):
            with pytest.raises(AlteredPayloadError, match=f"{message}.*again"):
                act()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(
    make_engine, make_manifest, tmp_path, monkeypatch, backend, value
):
    """They map a town without buildings, or, where an activation hides them, another town."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_engine(tmp_path / "e", backend)
    path = folder / ("model.bin" if backend == "openvino" else "model.onnx")
    good = np.array([0.5, 0.25, 0.25], np.float32)
    bad = np.array([0.5, value, 0.25], np.float32)
    path.write_bytes(path.read_bytes().replace(good.tobytes(), bad.tobytes()))
    make_manifest(folder, LOADED[backend], backend).write(folder)
    with pytest.raises(EngineError, match="its weights 'pre_weight' hold NaN or infinity"):
        load_engine(folder)


def test_weights_whose_sum_overflows_are_numbers(engine_folder):
    manifest = Manifest.read(engine_folder)
    check_finite([("w", np.full(9, 3e38, np.float32))], manifest, engine_folder / "model.onnx")
