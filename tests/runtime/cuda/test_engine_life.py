"""How an engine ends: by `close`, by a GPU that fails, by being dropped, with the interpreter.

What is left behind, freed twice or touched too late ends the process.
"""

from __future__ import annotations

import pytest

START = """
import ctypes, gc
from runtime.errors import BackendError, EngineError
driver = ctypes.CDLL("libcuda.so.1")
OUT_OF_MEMORY, NO_DEVICE, ILLEGAL_ADDRESS = 2, 100, 700

def maps_of(result):
    return result.damage, result.building, result.confidence

def answers_rightly(engine):
    (pair,) = pairs(1)
    check(maps_of(engine.predict(*pair)), pair)

def is_gone(call):
    try:
        call()
    except BackendError as error:
        said = str(error).lower()
        assert "illegal" in said or "gpu failed" in said or "cuda error 700" in said, error
        return error
    sys.exit("the error was lost")
"""

CONTEXTS = pytest.mark.parametrize("contexts", [0, 1], ids=["", "contexts-fail-too"])
BACKENDS = pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])


@CONTEXTS
@BACKENDS
def test_after_an_error_that_stays_another_engine_can_be_loaded(
    make_plan, passes, backend, contexts
):
    code = f"""
for _ in range(2):
    engine = load_engine(FOLDER)
    answers_rightly(engine)
    driver.hostCudaBreak(0, ILLEGAL_ADDRESS, {contexts})
    is_gone(lambda: engine.predict(image(), image()))
    is_gone(lambda: engine.predict(image(), image()))
    engine.close()
with load_engine(FOLDER) as engine:
    answers_rightly(engine)
"""
    passes(make_plan(backend), START + code)


@CONTEXTS
def test_a_reader_hears_of_it_and_the_engine_can_be_closed(make_plan, passes, contexts):
    code = f"""
with load_engine(FOLDER) as engine:
    answers = engine.predict_many(pairs(5))
    next(answers)
    driver.hostCudaBreak(0, ILLEGAL_ADDRESS, {contexts})
    is_gone(lambda: next(answers))
with load_engine(FOLDER) as engine:
    answers_rightly(engine)
"""
    passes(make_plan(), START + code)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_load_that_fails_half_way_leaves_nothing(make_plan, passes, provider, call):
    """The plan is run, and captured where that can be, once for each set of buffers."""
    if provider[0] == "pycuda" and call > 2:
        pytest.skip("pycuda has no graphs")
    code = f"""
from runtime.backends.tensorrt_plan import Plan
real, calls = Plan.enqueue, []
def enqueue(self, *arguments):
    calls.append(1)
    if len(calls) == {call}:
        driver.hostCudaBreak(0, ILLEGAL_ADDRESS, 0)
    real(self, *arguments)
Plan.enqueue = enqueue
kept = is_gone(lambda: load_engine(FOLDER))  # with the frames of all that failed
with load_engine(FOLDER) as engine:
    answers_rightly(engine)
"""
    passes(make_plan(), START + code)


def test_a_context_that_rtx_refuses_keeps_nothing_alive(make_plan, passes):
    """The error's traceback has the frames in which the engine was configured."""
    code = """
tensorrt_double.ICudaEngine.create_execution_context = lambda self, runtime_config=None: None
try:
    load_engine(FOLDER)
except BackendError as error:
    kept = error
    print(error)
"""
    assert "has no memory or no kernels" in passes(make_plan("tensorrt-rtx"), START + code)


@pytest.mark.parametrize(
    ("function", "leaks"),
    [
        ("cuStreamSynchronize", 0),
        ("cuMemFree_v2", 1),
        ("cuMemFreeHost", 1),
        ("cuEventDestroy_v2", 1),
        ("cuStreamDestroy_v2", 1),
    ],
)
def test_one_step_of_closing_that_fails_costs_no_other(make_plan, on_host, function, leaks):
    code = f"""
engine = load_engine(FOLDER)
engine.predict(image(), image())
driver.hostCudaFail(b"{function}", ILLEGAL_ADDRESS)
engine.close()
"""
    result = on_host(make_plan(), START + code)
    assert "Traceback" not in result.stderr
    if leaks:  # which the context's end frees, but for this driver
        assert f"host_cuda: {leaks} leaks when the context was released" in result.stderr
    else:
        assert result.returncode == 0, result.stderr


def test_a_wait_that_fails_once_spoils_no_later_answer(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    for order in every_order():
        driver.hostCudaFail(b"cuEventSynchronize", ILLEGAL_ADDRESS)
        is_gone(lambda: engine.predict(image(), image()))
        batch = pairs(3)
        for result, pair in zip(engine.predict_many(batch), batch, strict=True):
            check(maps_of(result), pair)
"""
    passes(make_plan(), START + code)


def test_buffers_that_could_not_be_waited_for_are_not_used_again(make_plan, passes):
    code = """
with load_engine(FOLDER) as engine:
    real = Device.drain
    def fails(self, stream):
        raise BackendError("CUDA: cuStreamSynchronize failed with CUDA_ERROR_ILLEGAL_ADDRESS")
    driver.hostCudaFail(b"cuEventSynchronize", ILLEGAL_ADDRESS)
    Device.drain = fails
    is_gone(lambda: engine.predict(image(), image()))
    Device.drain = real
    is_gone(lambda: engine.predict(image(), image()))
"""
    passes(make_plan(), START + code)


@CONTEXTS
def test_what_failed_first_is_told(make_plan, passes, contexts):
    code = f"""
device = Device()
try:
    with device.current():
        driver.hostCudaBreak(0, ILLEGAL_ADDRESS, {contexts})
        raise KeyError("the first")
except KeyError as error:
    print(error)
device.close()
"""
    assert passes(make_plan(), START + code).strip() == "'the first'"


def test_a_graph_that_cannot_be_made_is_done_without(make_plan, passes, provider):
    if provider[0] == "pycuda":
        pytest.skip("pycuda has no graphs")
    code = """
driver.hostCudaFail(b"cuGraphInstantiateWithFlags", OUT_OF_MEMORY)
with load_engine(FOLDER) as engine:
    print([buffers.graph is not None for buffers in engine._backend._buffers])
    batch = pairs(3)
    for result, pair in zip(engine.predict_many(batch), batch, strict=True):
        check(maps_of(result), pair)
"""
    assert passes(make_plan(), START + code).strip() == "[False, True]"


@CONTEXTS
def test_a_watch_goes_on_when_the_gpu_is_there_again(make_plan, passes, tmp_path, contexts):
    code = f"""
import threading, time
from pathlib import Path
from PIL import Image
from runtime.many import trying, watching
from runtime.many.health import Health
from runtime.many.inbox import Inbox
from runtime.many.outbox import holding
from runtime.options import MapOptions

root = Path({str(tmp_path)!r})
inbox, outbox = root / "inbox", root / "outbox"
for folder in (inbox, outbox):
    folder.mkdir()
for name in ("a", "b"):
    for role in ("pre", "post"):
        Image.fromarray(image()).save(inbox / f"{{name}}_{{role}}.png")

real, calls, said = tensorrt.TensorRtBackend._submit, [], []
def submit(self, *arguments):
    calls.append(1)
    if len(calls) == 2:  # in the second pair
        driver.hostCudaBreak(0, ILLEGAL_ADDRESS, {contexts})
        driver.hostCudaLost(NO_DEVICE)
    real(self, *arguments)
tensorrt.TensorRtBackend._submit = submit
def warn(message):
    said.append(message)
    if len(said) == 3:
        driver.hostCudaLost(0)

trying.PATIENCE = watching.PATIENCE = (0.01, 0.02)
health = Health(outbox, Path(FOLDER), 30.0, warn)
opened = watching.Reopened(Path(FOLDER), 1)
with watching.Stop() as stop, holding(outbox), opened as engine, health:
    def end():
        until = time.monotonic() + 20
        while time.monotonic() < until and len(list(outbox.glob("*/summary.json"))) < 2:
            time.sleep(0.02)
        stop.ask()
    threading.Thread(target=end).start()
    watch = watching.Watch(
        engine, Inbox(inbox, 0.0), outbox, MapOptions(), health, stop, warn
    )
    print(watch.forever(0.01), len(list(outbox.glob("*/summary.json"))), *said[:4], sep="\\n")
"""
    status, maps, *said = passes(make_plan(), START + code).splitlines()
    assert (status, maps) == ("0", "2"), said
    assert len(said) == 3


@BACKENDS
def test_a_reader_of_a_closed_engine_is_told(make_plan, passes, backend):
    code = """
batch = pairs(5)
for taken in (0, 1, 3):
    engine = load_engine(FOLDER)
    answers = engine.predict_many(batch)
    results = [next(answers) for _ in range(taken)]
    engine.close()
    try:
        next(answers)
    except EngineError as error:
        print(error)
    for result, pair in zip(results, batch):
        check(maps_of(result), pair)
abandoned = load_engine(FOLDER)
answers = abandoned.predict_many(batch)
next(answers)
abandoned.close()
del answers
"""
    lines = passes(make_plan(backend), START + code).splitlines()
    assert len(lines) == 3
    assert all("the engine is closed; load it again to predict" in line for line in lines)


@BACKENDS
def test_pairs_are_predicted_between_a_readers_results(make_plan, passes, backend):
    code = """
with load_engine(FOLDER) as engine:
    for order in every_order():
        batches = [pairs(5), pairs(4), pairs(3)]
        readers = [engine.predict_many(batch) for batch in batches]
        for number in range(6):
            for reader, batch in zip(readers, batches):
                result = next(reader, None)
                assert (result is None) == (number >= len(batch))
                if result is not None:
                    check(maps_of(result), batch[number])
                answers_rightly(engine)
"""
    passes(make_plan(backend), START + code)


def test_a_thread_predicts_while_another_reads(make_plan, passes):
    code = """
from concurrent.futures import ThreadPoolExecutor
def read(batch):
    for result, pair in zip(engine.predict_many(batch), batch, strict=True):
        yield maps_of(result), pair
with load_engine(FOLDER) as engine, ThreadPoolExecutor(3) as pool:
    for order in ("late", "eager", "1"):
        os.environ["HOST_CUDA_ORDER"] = order
        others, own = pairs(8), pairs(8)
        found = pool.map(lambda pair: maps_of(engine.predict(*pair)), others)
        second = pool.submit(lambda batch: list(read(batch)), pairs(8))
        for maps, pair in [*read(own), *zip(found, others), *second.result()]:
            check(maps, pair)
"""
    passes(make_plan(), START + code)


def test_the_pairs_of_a_reader_may_come_from_the_same_engine(make_plan, passes):
    code = """
def derived(batch):
    for pre, post in batch:
        yield pre, np.repeat(engine.predict(pre, post).building[..., None], 3, axis=-1)
with load_engine(FOLDER) as engine:
    batch = pairs(4)
    wanted = list(derived(batch))
    for result, pair in zip(engine.predict_many(derived(batch)), wanted, strict=True):
        check(maps_of(result), pair)
"""
    passes(make_plan(), START + code)


@BACKENDS
@pytest.mark.parametrize(
    "drop",
    [
        "del engine, answers",
        "del engine; answers.close()",
        "engine.itself = engine; del engine, answers; gc.collect()",
        "pass",
        "sys.exit()",
    ],
    ids=["dropped", "reader-closed", "in-a-cycle", "at-exit", "at-sys-exit"],
)
def test_an_engine_that_nobody_closed_is_freed(make_plan, passes, backend, drop):
    code = f"""
engine = load_engine(FOLDER)
answers = engine.predict_many(pairs(4))
next(answers)
{drop}
"""
    passes(make_plan(backend), START + code)


def test_after_a_dropped_engine_another_answers(make_plan, passes):
    code = """
for _ in range(3):
    engine = load_engine(FOLDER)
    answers_rightly(engine)
"""
    passes(make_plan(), START + code)


@BACKENDS
def test_each_load_hears_what_the_librarys_one_logger_is_told(make_plan, passes, backend):
    code = """
import dataclasses
from pathlib import Path
from runtime.manifest import Manifest, payload_of
load_engine(FOLDER).close()
gc.collect()
folder = Path(FOLDER)
for content in (b"first", b"second"):
    real = tensorrt_double.ILogger.log
    (folder / "engine.plan").write_bytes(content)
    manifest = Manifest.read(folder)
    dataclasses.replace(manifest, payload=payload_of(folder, ["engine.plan"])).write(folder)
    try:
        load_engine(folder)
    except BackendError as error:
        print(error)
    gc.collect()
"""
    lines = passes(make_plan(backend), START + code).splitlines()
    assert len(lines) == 2
    assert all("refused it: no plan:" in line for line in lines)


def test_what_one_thread_is_told_is_no_other_threads_error(make_plan, passes):
    code = """
import threading
from runtime.backends.tensorrt_log import process_logger
trt = sys.modules["tensorrt"]
assert process_logger(trt) is process_logger(trt)
both, found = threading.Barrier(2), {}
def load(name):
    logger = process_logger(trt)
    logger.forget()
    both.wait()
    logger.log(trt.ILogger.ERROR, name)
    both.wait()
    found[name] = logger.error
threads = [threading.Thread(target=load, args=(name,)) for name in ("one", "two")]
[each.start() for each in threads]
[each.join() for each in threads]
assert found == {"one": "one", "two": "two"}, found
logger = process_logger(trt)
logger.forget()
threading.Thread(target=logger.log, args=(trt.ILogger.ERROR, "the library's own")).start()
import time
while not logger.error:
    time.sleep(0.01)
print(logger.error)
"""
    assert passes(make_plan(), START + code).strip() == "the library's own"
