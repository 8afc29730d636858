"""The second start of an OpenVINO engine: faster, the same, and never at risk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime import host, load_engine
from runtime.backends import openvino_cache
from runtime.errors import AlteredPayloadError
from runtime.output import summary

openvino = pytest.importorskip("openvino")


@pytest.fixture
def folder(make_engine, tmp_path, monkeypatch) -> Path:
    """An engine, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_engine(tmp_path / "engine", "openvino")


@pytest.fixture
def compiled(monkeypatch) -> list[str]:
    """A note for each time that OpenVINO compiles, or imports."""
    notes = []
    for name in ("compile_model", "import_model"):
        real = getattr(openvino.Core, name)

        def noted(self, *given, real=real, name=name, **more):
            notes.append(name)
            return real(self, *given, **more)

        monkeypatch.setattr(openvino.Core, name, noted)
    return notes


def answer(folder, pair, threads=1):
    with load_engine(folder, threads) as engine:
        return engine.predict(*pair)


def kept() -> list[Path]:
    return sorted((host.cache_folder() / "openvino").iterdir())


def test_the_second_start_imports_and_answers_the_same(folder, compiled, pair, reference):
    for _ in range(2):
        np.testing.assert_array_equal(answer(folder, pair).damage, reference(*pair)[0])
    assert compiled == ["compile_model", "import_model"]
    assert len(kept()) == 1


def test_another_setting_is_compiled_anew(folder, compiled, pair):
    answer(folder, pair, threads=1)
    answer(folder, pair, threads=2)
    assert compiled == ["compile_model", "compile_model"]
    assert len(kept()) == 2


@pytest.mark.parametrize("spoil", [lambda c: c[:100], lambda c: b"", lambda c: c[:-1] + b"\0"])
def test_a_damaged_file_is_replaced(folder, compiled, pair, reference, spoil):
    answer(folder, pair)
    (path,) = kept()
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    np.testing.assert_array_equal(answer(folder, pair).damage, reference(*pair)[0])
    assert compiled == ["compile_model", "compile_model"]
    assert openvino_cache._read(path.name) is not None


def test_a_cache_that_cannot_be_written_is_no_error(folder, compiled, pair, tmp_path):
    (tmp_path / "cache").write_text("a file")
    answer(folder, pair)
    answer(folder, pair)
    assert compiled == ["compile_model", "compile_model"]


def test_a_large_network_is_not_kept(folder, compiled, pair, monkeypatch):
    monkeypatch.setattr(openvino_cache, "LARGEST", 1)
    answer(folder, pair)
    assert not (host.cache_folder() / "openvino").exists()


def test_a_user_without_a_home_has_no_cache(folder, pair, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    answer(folder, pair)


def test_a_cache_that_others_can_write_answers_nothing(
    make_engine, folder, empty_town, pair, reference, tmp_path, capsys
):
    other = make_engine(tmp_path / "other" / "engine", "openvino")
    empty_town(other)
    answer(folder, pair)
    (path,) = kept()
    compiled = openvino.Core().compile_model(other / "model.xml", "CPU", {})
    openvino_cache._write(path.name, compiled.export_model().getvalue())
    assert not answer(folder, pair).damage.any()  # so far the user's own doing
    (host.cache_folder() / "openvino").chmod(0o777)
    np.testing.assert_array_equal(answer(folder, pair).damage, reference(*pair)[0])
    said = capsys.readouterr().err
    assert said.startswith(f"{host.cache_folder() / 'openvino'}: can be written by others")
    assert len(said.splitlines()) == 1


def test_an_engine_tells_whether_it_was_compiled_before(folder, make_engine, tmp_path):
    for expected in (False, True):
        with load_engine(folder, 1) as engine:
            assert engine.cached_compile is expected
            assert summary.of_engine(engine)["cached_compile"] is expected
        assert engine.cached_compile is expected  # closed, too
    with load_engine(make_engine(tmp_path / "other"), 1) as engine:
        assert summary.of_engine(engine)["cached_compile"] is None


def test_an_altered_payload_is_refused_although_its_compiled_model_is_kept(
    folder, empty_town, pair
):
    answer(folder, pair)
    empty_town(folder)
    with pytest.raises(AlteredPayloadError, match=r"model\.bin: its sha256"):
        load_engine(folder)
