"""The host driver itself, through the seam: what it permits, and what ends the process."""

from __future__ import annotations

import pytest

OPEN = """
import ctypes
driver = ctypes.CDLL("libcuda.so.1")
device = Device()
with device.current():
    up, down = device.stream(), device.stream()
    here, there = device.pinned((64,)), device.pinned((64,))
    address = device.allocate(64)
    uploaded, downloaded = device.event(), device.event()
"""


def test_ordered_work_gives_its_result_in_every_order(make_plan, passes):
    code = """
    for order in every_order():
        here[:] = rng.integers(0, 256, 64)
        device.upload(here, address, up)
        device.record(uploaded, up)
        device.wait(down, uploaded)
        device.download(address, there, down)
        device.record(downloaded, down)
        device.synchronize(downloaded)
        assert np.array_equal(here, there)
device.close()
"""
    passes(make_plan(), OPEN + code)


def test_an_event_that_was_never_recorded_holds_nobody_up(make_plan, passes):
    code = """
    device.wait(up, uploaded)
    device.synchronize(uploaded)
    device.drain(up)
device.close()
"""
    passes(make_plan(), OPEN + code)


def test_an_event_stands_for_its_latest_recording(make_plan, is_caught):
    """Waiting for it before it is recorded again does not cover what comes after."""
    code = """
    device.record(uploaded, up)
    device.wait(down, uploaded)
    device.upload(here, address, up)
    device.record(uploaded, up)
    device.download(address, there, down)
"""
    is_caught(make_plan(), OPEN + code, "race: copy to the host on stream 2 reads device memory")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "device.upload(device.pinned((65,)), address, up)",
            "copy to the device: 65 bytes at offset 0 exceed an allocation of 64 bytes",
        ),
        (
            "device.upload(here, address + 1, up)",
            "64 bytes at offset 1 exceed an allocation of 64 bytes",
        ),
        (
            "driver.cuMemFree_v2(ctypes.c_ulonglong(address)); device.upload(here, address, up)",
            "was freed",
        ),
        (
            "[driver.cuMemFree_v2(ctypes.c_ulonglong(address)) for _ in range(2)]",
            "is freed twice",
        ),
        (
            "driver.cuMemcpyHtoDAsync_v2(ctypes.c_ulonglong(address), ctypes.c_void_p("
            "here.ctypes.data), ctypes.c_size_t(64), None)",
            "the default stream is used",
        ),
        ("driver.cuCtxSynchronize()", "the whole device is waited for"),
        ("device.upload(here, address, up); here[0] = 1", "the host touches pinned memory"),
        ("device.download(address, there, up); there[0]", "the host touches pinned memory"),
        ("device.upload(here, address, up); driver.cuStreamDestroy_v2(ctypes.c_void_p(up))",
         "is destroyed with work that nobody waited for"),
        ("pass", "host_cuda: leak: "),
    ],
    ids=[
        "copy-too-long", "copy-beyond-the-end", "use-after-free", "double-free",
        "default-stream", "device-wide-wait", "write-to-what-is-read", "read-of-what-is-written",
        "stream-destroyed-early", "leak",
    ],
)  # fmt: skip
def test_misuse_ends_the_process(make_plan, is_caught, code, message):
    is_caught(make_plan(), f"{OPEN}    {code}\n", message)


def test_what_is_read_while_it_may_be_read_is_allowed(make_plan, passes):
    code = """
    here[:] = 7
    device.upload(here, address, up)
    assert here[0] == 7
    device.drain(up)
    here[:] = 8
device.close()
"""
    passes(make_plan(), OPEN + code)
