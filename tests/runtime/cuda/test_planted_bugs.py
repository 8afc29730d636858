"""The host driver and the comparison catch what they are there for.

Each case breaks the working backend in one place, the way an oversight would.
"""

from __future__ import annotations

import pytest

RUN = """
with load_engine(FOLDER) as engine:
    batch = pairs(4)
    for maps, pair in zip(engine._backend.infer_many(batch), batch, strict=True):
        check(maps, pair)
"""


@pytest.mark.parametrize("order", ["late", "eager"])
@pytest.mark.parametrize(
    ("stream", "message"),
    [(1, "race: kernel on stream"), (2, "race: copy to the host on stream")],
    ids=["computes-before-the-copy-in", "copies-out-before-the-computation"],
)
def test_a_missing_wait(make_plan, is_caught, stream, message, order):
    code = f"""
real = Device.wait
def forgets(self, stream, event):
    if stream is not engine_streams()[{stream}]:
        real(self, stream, event)
def engine_streams():
    return engine._backend._streams
Device.wait = forgets
"""
    is_caught(make_plan(), code + RUN, message, HOST_CUDA_ORDER=order)


def test_an_event_recorded_too_early(make_plan, is_caught):
    code = """
real = tensorrt.TensorRtBackend._enqueue
def early(self, buffers):
    self._device.record(buffers.computed, self._streams[1])
    real(self, buffers)
real_record = Device.record
def record(self, event, stream, seen=set()):
    if event not in seen:
        real_record(self, event, stream)
    seen.add(event)
Device.capture = lambda self, work, stream: None
tensorrt.TensorRtBackend._enqueue = early
Device.record = record
"""
    is_caught(make_plan(), code + RUN, "race: copy to the host")


def test_a_reused_buffer(make_plan, is_caught):
    code = """
prepare = tensorrt.TensorRtBackend.__init__
def one_set(self, *arguments):
    prepare(self, *arguments)
    self._free.clear()
    self._free.extend(self._buffers[:1] * 2)
tensorrt.TensorRtBackend.__init__ = one_set
"""
    is_caught(make_plan(), code + RUN, "the host touches pinned memory while copy to the device")


def test_device_memory_shared_by_both_sets(make_plan, is_caught):
    code = """
prepare = tensorrt.Buffers.__init__
first = {}
def shared(self, *arguments):
    prepare(self, *arguments)
    first.update({} if first else self.address)
    self.address = first
tensorrt.Buffers.__init__ = shared
"""
    is_caught(make_plan(), code + RUN, "race: copy to the device")


def test_a_missing_synchronise(make_plan, is_caught):
    code = "Device.synchronize = lambda self, event: None\n"
    is_caught(make_plan(), code + RUN, "the host touches pinned memory while copy to the")


def test_the_wrong_event_synchronised(make_plan, is_caught):
    code = """
real = tensorrt.TensorRtBackend._collect
def collect(self, buffers, maps):
    buffers.downloaded, kept = buffers.computed, buffers.downloaded
    real(self, buffers, maps)
    buffers.downloaded = kept
tensorrt.TensorRtBackend._collect = collect
"""
    is_caught(make_plan(), code + RUN, "the host touches pinned memory while copy to the host")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("at['pre'], at['post'] = at['post'], at['pre']", "is wrong"),
        ("at['damage'] = at['building']", "is wrong"),
        ("at['pre'] += 1", "exceed an allocation"),
        ("at['pre'] += 1 << 30", "is not device memory"),
        ("at['pre'] = self.host['pre'].ctypes.data", "is not device memory"),
    ],
)
def test_a_wrong_address(make_plan, is_caught, change, message):
    code = f"""
enqueue = tensorrt.TensorRtBackend._enqueue
def wrong(self, buffers):
    at = dict(buffers.address)
    buffers.address, kept = at, buffers.address
    change(buffers, at)
    enqueue(self, buffers)
    buffers.address = kept
def change(self, at):
    {change}
tensorrt.TensorRtBackend._enqueue = wrong
"""
    is_caught(make_plan(), code + RUN, message)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("allocate", "leak: 4608 device bytes"),
        ("pinned", "leak: 4608 pinned bytes"),
        ("stream", "leak: 1 streams"),
        ("event", "leak: 1 events"),
    ],
)
def test_a_leak(make_plan, is_caught, kind, message):
    """One of them is taken from what the device frees, and kept."""
    code = f"""
kept = []
def leaky(self, *arguments, real=getattr(Device, {kind!r})):
    made = real(self, *arguments)
    if not kept:
        kept.append(made)
        if hasattr(self, "_frees"):
            self._frees.pop()
        else:  # a reference more, so that pycuda does not free it
            owned = {{"allocate": "_memory", "pinned": "_pinned", "stream": "_streams"}}
            things = getattr(self, owned.get({kind!r}, "_events"))
            kept.extend(things.values() if isinstance(things, dict) else things)
            if {kind!r} in ("allocate", "pinned"):
                things.clear()
    return made
setattr(Device, {kind!r}, leaky)
"""
    is_caught(make_plan(), code + RUN, message)


def test_memory_that_is_not_pinned(make_plan, is_caught):
    code = "Device.pinned = lambda self, shape: np.empty(shape, np.uint8)\n"
    is_caught(make_plan(), code + RUN, "is not pinned memory")


def test_an_engine_that_nothing_closes(make_plan, is_caught):
    code = "engine = load_engine(FOLDER); engine._free.detach(); del engine"
    is_caught(make_plan(), code, "outlived its CUDA context")


def test_memory_freed_while_it_is_used(make_plan, is_caught):
    code = """
tensorrt.TensorRtBackend._drain = lambda self: None
with load_engine(FOLDER) as engine:
    answers = engine._backend.infer_many(pairs(3))
    next(answers)
    answers.close()
"""
    is_caught(make_plan(), code, "device bytes are freed while kernel on stream")


def test_a_graph_that_outlives_the_plan(make_plan, is_caught, provider):
    if provider[0] == "pycuda":
        pytest.skip("pycuda has no graphs")
    code = "Device.discard = lambda self, graph: None\n"
    is_caught(make_plan(), code + RUN, "bytes are freed that a graph still uses")


def test_device_memory_read_by_the_host(make_plan, is_caught):
    code = """
import ctypes
with load_engine(FOLDER) as engine:
    address = engine._backend._buffers[0].address["damage"]
    print((ctypes.c_uint8 * 4).from_address(address)[0])
"""
    is_caught(make_plan(), code, "the host touches device address")


def test_a_call_outside_the_context(make_plan, is_caught):
    code = """
from contextlib import nullcontext
with load_engine(FOLDER) as engine:
    Device.current, real = lambda self: nullcontext(), Device.current
    try:
        engine.predict(image(), image())
    finally:
        Device.current = real
"""
    is_caught(make_plan(), code, "BackendError: CUDA: ")
