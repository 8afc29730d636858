"""What TensorRT engines answer, on the host driver: what ONNX Runtime answers.

The driver defers everything to the moment when the host waits, and has three orders.
"""

from __future__ import annotations

import pytest

from runtime import host


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_pair_is_answered_and_nothing_is_left(make_plan, passes, backend):
    code = """
with load_engine(FOLDER) as engine:
    for _ in range(3):
        pair = image(), image()
        result = engine.predict(*pair)
        check((result.damage, result.building, result.confidence), pair)
print(engine.backend_version)
"""
    versions = {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.1.116"}
    assert passes(make_plan(backend), code).strip() == versions[backend]


def test_many_pairs_overlap_and_keep_their_order(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    batch = pairs(7)
    for order in every_order():
        for number in (0, 1, 2, 7):
            answers = list(engine._backend.infer_many(batch[:number]))
            assert len(answers) == number
            for maps, pair in zip(answers, batch):
                check(maps, pair)
"""
    passes(make_plan(), code)


def test_one_pair_is_computed_while_the_next_is_copied_in(make_plan, passes):
    """The second pair is on the streams before the first is waited for."""
    code = """
calls = []
for name in ("upload", "synchronize"):
    def noted(self, *arguments, name=name, real=getattr(Device, name)):
        calls.append(name)
        return real(self, *arguments)
    setattr(Device, name, noted)
with load_engine(FOLDER) as engine:
    list(engine._backend.infer_many(pairs(4)))
print(*calls)
"""
    up, wait = ["upload"] * 2, ["synchronize"]
    expected = [*up, *up, *wait, *up, *wait, *up, *wait, *wait]
    assert passes(make_plan(), code).split() == expected


def test_a_batch_range_takes_every_size(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    batches = [pairs(1, size)[0] for size in (1, 4, 2, 3, 1)]
    for order in every_order():
        for maps, pair in zip(engine._backend.infer_many(batches), batches, strict=True):
            check(maps, pair)
    result = engine.predict(*batches[1])
    check((result.damage, result.building, result.confidence), batches[1])
"""
    passes(make_plan(batch=(1, 2, 4)), code)


def test_a_fixed_batch_is_answered(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    (pair,) = pairs(1, 3)
    result = engine.predict(*pair)
    check((result.damage, result.building, result.confidence), pair)
"""
    passes(make_plan(batch=(3, 3, 3)), code)


@pytest.mark.parametrize(
    ("backend", "batch", "captured"),
    [
        ("tensorrt", (1, 1, 1), True),
        ("tensorrt", (1, 2, 4), False),
        ("tensorrt-rtx", (1, 1, 1), False),
    ],
    ids=["fixed", "dynamic", "rtx-has-its-own"],
)
def test_a_graph_is_captured_where_shapes_are_fixed(
    make_plan, passes, provider, backend, batch, captured
):
    code = """
with load_engine(FOLDER) as engine:
    print(engine._backend.has_graphs)
    batch = pairs(3)
    for maps, pair in zip(engine._backend.infer_many(batch), batch, strict=True):
        check(maps, pair)
"""
    expected = captured and provider[0] == "cuda-python"
    assert passes(make_plan(backend, batch), code).strip() == str(expected)


def test_a_plan_that_cannot_be_captured_runs_without_a_graph(make_plan, passes):
    code = """
import ctypes
context = sys.modules["tensorrt"].IExecutionContext
real = context.execute_async_v3
def synchronising(self, stream_handle):
    # What a plan with data-dependent shapes does.
    if real(self, stream_handle):
        status = ctypes.CDLL("libcuda.so.1").cuStreamSynchronize(ctypes.c_void_p(stream_handle))
        return status == 0
context.execute_async_v3 = synchronising
with load_engine(FOLDER) as engine:
    print(engine._backend.has_graphs)
    (pair,) = pairs(1)
    result = engine.predict(*pair)
    check((result.damage, result.building, result.confidence), pair)
"""
    assert passes(make_plan(), code).strip() == "False"


@pytest.mark.parametrize("batch", [(1, 1, 1), (1, 2, 4)], ids=["fixed", "dynamic"])
def test_computation_alone_copies_nothing_and_computes(make_plan, passes, batch):
    """What lies on the device is answered, not what the host last gave."""
    code = """
copies = []
for name in ("upload", "download"):
    def noted(self, *arguments, name=name, real=getattr(Device, name)):
        copies.append(name)
        return real(self, *arguments)
    setattr(Device, name, noted)
with load_engine(FOLDER) as engine:
    backend = engine._backend
    first, second = pairs(2)
    engine.predict(*first)
    buffers, device, stream = backend._buffers[0], backend._device, backend._streams[1]
    with device.current():
        for name, image in zip(("pre", "post"), second):
            buffers.host[name][:1] = image
            device.upload(buffers.host[name][:1], buffers.address[name], stream)
        device.drain(stream)
    copies.clear()
    backend.compute()
    print(len(copies))
    names = ("damage", "building", "confidence")
    with device.current():
        for name in names:
            device.download(buffers.address[name], buffers.host[name][:1], stream)
        device.drain(stream)
    check([buffers.host[name][:1] for name in names], second)
"""
    assert passes(make_plan(batch=batch), code).strip() == "0"


def test_threads_share_an_engine(make_plan, passes):
    code = """
from concurrent.futures import ThreadPoolExecutor
with load_engine(FOLDER) as engine, ThreadPoolExecutor(3) as pool:
    batch = pairs(6)
    for result, pair in zip(pool.map(lambda pair: engine.predict(*pair), batch), batch):
        check((result.damage, result.building, result.confidence), pair)
"""
    passes(make_plan(), code)


def test_two_engines_live_in_one_process(make_plan, passes):
    code = """
first, second = load_engine(FOLDER), load_engine(FOLDER)
(pair,) = pairs(1)
for engine in (first, second):
    result = engine.predict(*pair)
    check((result.damage, result.building, result.confidence), pair)
first.close()
result = second.predict(*pair)
check((result.damage, result.building, result.confidence), pair)
second.close()
second.close()
"""
    passes(make_plan(), code)


def test_a_reader_that_stops_leaves_nothing_under_way(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    batch = pairs(5)
    answers = engine._backend.infer_many(batch)
    check(next(answers), batch[0])
    answers.close()
    result = engine.predict(*batch[3])
    check((result.damage, result.building, result.confidence), batch[3])
"""
    passes(make_plan(), code)


def test_a_pair_that_cannot_be_read_ends_the_iterator_alone(make_plan, passes):
    code = """
def broken(batch):
    yield batch[0]
    yield batch[1]
    raise OSError("no such file")
with load_engine(FOLDER) as engine:
    batch = pairs(3)
    try:
        list(engine._backend.infer_many(broken(batch)))
    except OSError as error:
        print(error)
    result = engine.predict(*batch[2])
    check((result.damage, result.building, result.confidence), batch[2])
"""
    assert passes(make_plan(), code).strip() == "no such file"


def test_each_answer_has_memory_of_its_own(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    (pair,) = pairs(1)
    (maps,) = engine._backend.infer_many([pair])
    list(engine._backend.infer_many(pairs(3)))
    check(maps, pair)
check(maps, pair)
"""
    passes(make_plan(), code)


def test_host_code_in_plans_stays_forbidden(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    print(engine._backend._plan._runtime.engine_host_code_allowed)
"""
    assert passes(make_plan(), code).strip() == "False"


def test_a_second_start_compiles_nothing(make_plan, passes, tmp_path):
    code = """
with load_engine(FOLDER) as engine:
    engine.predict(image(), image())
print(len(tensorrt_double.compiled))
"""
    folder = make_plan("tensorrt-rtx")
    assert passes(folder, code).strip() == "1"
    (cache,) = (tmp_path / "cache").rglob("*.bin")
    assert len(cache.stem) == 64
    assert passes(folder, code).strip() == "0"
    cache.write_bytes(b"of another release")
    assert passes(folder, code).strip() == "1"
    assert passes(folder, code).strip() == "0"


def test_a_cache_that_cannot_be_written_costs_only_time(make_plan, passes, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    code = """
with load_engine(FOLDER) as engine:
    engine.predict(image(), image())
print(len(tensorrt_double.compiled))
"""
    folder = make_plan("tensorrt-rtx")
    assert [passes(folder, code).strip() for _ in range(2)] == ["1", "1"]


def test_a_relative_cache_home_counts_as_none(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert host.cache_folder() == tmp_path / ".cache/dual-hrnet"
