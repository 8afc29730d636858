"""Several pairs at once with OpenVINO: the same maps, in order, and the faster way is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime import host, load_engine
from runtime.backends import openvino_streams
from runtime.backends.openvino_streams import TURNS, OpenVinoStreams, stream_count
from runtime.errors import BackendError, ConfigError, EngineError
from runtime.manifest import Manifest
from runtime.mapping import map_pair
from tests.runtime.map_options import map_options

openvino = pytest.importorskip("openvino")

THREADS = 2
TURN = 2 * THREADS
NEEDED = (1 + 2 * TURNS) * TURN
"""Pairs until it is known what is faster."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty one, in a folder that is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(make_engine, tmp_path) -> Path:
    return make_engine(tmp_path / "engine", "openvino")


@pytest.fixture
def pairs() -> np.ndarray:
    """uint8 [count,2,32,48,3], more than a measurement takes."""
    return np.random.default_rng(0).integers(0, 256, (NEEDED + 7, 2, 32, 48, 3), np.uint8)


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The hint of each model that is compiled or imported."""
    notes = []
    for name in ("compile_model", "import_model"):
        real = getattr(openvino.Core, name)

        def noted(self, model, device, settings, real=real):
            notes.append(settings["PERFORMANCE_HINT"])
            return real(self, model, device, settings)

        monkeypatch.setattr(openvino.Core, name, noted)
    return notes


def choices() -> list[Path]:
    return list((host.cache_folder() / "openvino").glob("*.json"))


def assert_right(results, pairs, reference) -> None:
    for result, pair in zip(results, pairs, strict=True):
        maps = result.damage, result.building, result.confidence
        for found, wanted in zip(maps, reference(*pair), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("mode", ["latency", "throughput", "auto"])
@pytest.mark.parametrize("count", [0, 1, TURN - 1, TURN, TURN + 1, NEEDED, NEEDED + 7])
def test_each_mode_answers_in_order(folder, pairs, reference, mode, count):
    with load_engine(folder, THREADS, mode=mode) as engine:
        for _ in range(2):
            assert_right(engine.predict_many(iter(pairs[:count])), pairs[:count], reference)


def test_a_networks_labels_are_the_same_in_each_mode(example_engine, example_windows, tmp_path):
    folder = example_engine(tmp_path / "example", "openvino")
    maps = {}
    for mode in ("latency", "throughput"):
        with load_engine(folder, THREADS, mode=mode) as engine:
            maps[mode] = [each.damage for each in engine.predict_many(example_windows)]
    np.testing.assert_array_equal(maps["latency"], maps["throughput"])
    assert set(np.unique(maps["latency"])) == {0, 1, 2, 3, 4}


def test_maps_and_resume_are_the_same_in_each_mode(folder, scene, tmp_path):
    pre, post, *_ = scene(200, 340)
    for mode in ("latency", "throughput", "auto"):
        with load_engine(folder, THREADS, mode=mode) as engine:
            map_pair(engine, pre, post, tmp_path / mode, map_options())
            again = map_pair(engine, pre, post, tmp_path / mode, map_options(resume=True))
        assert again["failed_tiles"] == []
        for name in ("damage.tif", "confidence.tif"):
            one, other = ((tmp_path / each / name).read_bytes() for each in ("latency", mode))
            assert one == other


def test_few_pairs_are_computed_one_after_the_other(folder, pairs, opened):
    for mode in ("throughput", "auto"):
        opened.clear()
        with load_engine(folder, THREADS, mode=mode) as engine:
            engine.predict(*pairs[0])
            list(engine.predict_many(pairs[: TURN - 1]))
        assert opened == ["LATENCY"]


def test_what_is_faster_is_measured_once(folder, pairs, opened):
    with load_engine(folder, THREADS, mode="auto") as engine:
        list(engine.predict_many(pairs))
    assert opened == ["LATENCY", "THROUGHPUT"]
    (choice,) = choices()
    for faster, wanted in ((True, ["LATENCY", "THROUGHPUT"]), (False, ["LATENCY"])):
        openvino_streams.openvino_cache._write(choice.name, str(faster).lower().encode())
        opened.clear()
        before = choice.read_bytes()
        with load_engine(folder, THREADS, mode="auto") as engine:
            list(engine.predict_many(pairs))
        assert opened == wanted
        assert choice.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"true", b"\0" * 40])
def test_a_damaged_choice_is_measured_again(folder, pairs, content):
    for _ in range(2):
        with load_engine(folder, THREADS, mode="auto") as engine:
            list(engine.predict_many(pairs))
        (choice,) = choices()
        assert choice.stat().st_size > 32
        choice.write_bytes(content)


def test_short_scenes_are_measured_together(folder, pairs):
    with load_engine(folder, THREADS, mode="auto") as engine:
        for _ in range(1 + 2 * TURNS):
            assert not choices()
            list(engine.predict_many(pairs[: TURN + 1]))
    assert choices()


def test_without_a_cache_all_is_computed(folder, pairs, reference, cache):
    cache.write_text("a file")
    for _ in range(2):
        with load_engine(folder, THREADS, mode="auto") as engine:
            assert_right(engine.predict_many(pairs), pairs, reference)


@pytest.mark.parametrize("streams_are_faster", [True, False])
def test_the_faster_way_is_taken(folder, pairs, monkeypatch, streams_are_faster):
    """By a clock on which each way takes what it is said to."""
    backend = OpenVinoStreams(Manifest.read(folder), folder, THREADS)
    now = 0.0
    monkeypatch.setattr(openvino_streams.time, "perf_counter", lambda: now)

    def takes(name, seconds):
        real = getattr(backend, name)

        def timed(turn):
            nonlocal now
            now += seconds
            return real(turn)

        monkeypatch.setattr(backend, name, timed)

    takes("_alone", 1.0)
    takes("_at_once", 0.5 if streams_are_faster else 0.99)
    batches = [(pre[None], post[None]) for pre, post in pairs]
    assert len(list(backend.infer_many(batches))) == len(pairs)
    assert backend._faster is streams_are_faster
    backend.close()


@pytest.mark.parametrize("mode", ["throughput", "auto"])
@pytest.mark.parametrize("bad", [0, 1, TURN, NEEDED + 3])
def test_a_pair_that_fails_is_told_in_its_turn(folder, pairs, reference, mode, bad):
    """A pair of another size, which the engine above would not let through."""
    backend = OpenVinoStreams(Manifest.read(folder), folder, THREADS, mode)
    batches = [(pre[None], post[None]) for pre, post in pairs]
    batches[bad] = (np.zeros((1, 8, 8, 3), np.uint8),) * 2
    results = backend.infer_many(batches)
    for pair in pairs[:bad]:
        np.testing.assert_array_equal(next(results)[0][0], reference(*pair)[0])
    with pytest.raises(BackendError, match=r"OpenVINO .* failed to infer"):
        next(results)
    backend.close()


@pytest.mark.parametrize("taken", [1, 2, TURN + 1])
def test_a_reader_may_stop_or_the_engine_be_closed(folder, pairs, taken):
    engine = load_engine(folder, THREADS, mode="throughput")
    readers = [engine.predict_many(pairs) for _ in range(2)]
    for reader in readers:
        for _ in range(taken):
            next(reader)
    readers[0].close()
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        next(readers[1])


def test_streams_that_do_not_fit_are_not_opened(folder, pairs, reference, opened, monkeypatch):
    monkeypatch.setattr(
        openvino_streams.host, "available_memory", lambda: -1
    )  # less than anything takes
    with load_engine(folder, THREADS, mode="auto") as engine:
        assert_right(engine.predict_many(pairs), pairs, reference)
    assert opened == ["LATENCY"]
    assert not choices()  # another day there may be room


def test_a_payload_that_is_gone_ends_only_what_was_forced(folder, pairs, reference, cache):
    cache.write_text("no cache")
    engines = {mode: load_engine(folder, THREADS, mode=mode) for mode in ("auto", "throughput")}
    (folder / "model.bin").unlink()
    assert_right(engines["auto"].predict_many(pairs), pairs, reference)
    with pytest.raises(BackendError, match=r"for 2 streams: .*--mode latency goes without"):
        list(engines["throughput"].predict_many(pairs))
    for each in engines.values():
        each.close()


def test_streams_are_few(monkeypatch):
    assert [stream_count(each) for each in (1, 2, 8, 64)] == [1, 2, 8, 8]


def test_one_thread_has_no_streams(folder, pairs, opened):
    for mode in ("auto", "throughput"):
        with load_engine(folder, 1, mode=mode) as engine:
            list(engine.predict_many(pairs))
    assert set(opened) == {"LATENCY"}


def test_throughput_of_another_library_is_refused(engine_folder):
    load_engine(engine_folder, mode="auto").close()
    with pytest.raises(ConfigError, match="an onnxruntime engine has no streams, which --mode thr"):
        load_engine(engine_folder, mode="throughput")


@pytest.mark.parametrize("name", ["predict", "batch", "watch"])
def test_each_command_passes_the_mode_on(run_on_a_pair, name):
    with pytest.raises(ConfigError, match="has no streams, which --mode throughput asks for"):
        run_on_a_pair(name, "--mode", "throughput")
