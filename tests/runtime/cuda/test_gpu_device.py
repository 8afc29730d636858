"""The device with NVIDIA's own driver and memory: `pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from runtime.cuda import Device
from runtime.errors import BackendError

pytestmark = pytest.mark.gpu

SIZE = 1 << 22


@pytest.fixture
def device(device_class: Callable[[], Device]) -> Iterator[Device]:
    opened = device_class()
    yield opened
    opened.close()


def test_what_was_copied_in_comes_back(device: Device) -> None:
    source = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    with device.current():
        stream, address = device.stream(), device.allocate(SIZE)
        there, back = device.pinned((SIZE,)), device.pinned((SIZE,))
        there[:] = source
        device.upload(there, address, stream)
        device.download(address, back, stream)
        device.drain(stream)
    np.testing.assert_array_equal(back, source)


def test_a_stream_waits_for_the_event_of_another(device: Device) -> None:
    with device.current():
        up, down = device.stream(), device.stream()
        uploaded, downloaded = device.event(), device.event()
        address = device.allocate(SIZE)
        there, back = device.pinned((SIZE,)), device.pinned((SIZE,))
        for value in range(200):
            there[:] = value
            device.upload(there, address, up)
            device.record(uploaded, up)
            device.wait(down, uploaded)
            device.download(address, back, down)
            device.record(downloaded, down)
            device.synchronize(downloaded)
            assert (back == value).all()


def test_an_event_that_marks_nothing_is_not_waited_for(device: Device) -> None:
    with device.current():
        device.synchronize(device.event())


def test_a_graph_is_captured_without_running_and_repeats_its_work(device: Device) -> None:
    if not device.can_capture:
        pytest.skip(f"{device.provider} has no graphs")
    with device.current():
        stream, address = device.stream(), device.allocate(SIZE)
        there, back = device.pinned((SIZE,)), device.pinned((SIZE,))
        there[:], back[:] = 7, 0

        def work() -> None:
            device.upload(there, address, stream)
            device.download(address, back, stream)

        graph = device.capture(work, stream)
        device.drain(stream)
        assert not back.any()
        for value in (7, 8):
            there[:] = value
            device.launch(graph, stream)
            device.drain(stream)
            assert (back == value).all()
        device.discard(graph)


def test_a_failed_capture_leaves_the_stream_usable(device: Device) -> None:
    if not device.can_capture:
        pytest.skip(f"{device.provider} has no graphs")
    with device.current():
        stream, address = device.stream(), device.allocate(SIZE)
        there = device.pinned((SIZE,))

        def work() -> None:
            device.upload(there, address, stream)
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            device.capture(work, stream)
        device.upload(there, address, stream)
        device.drain(stream)


def test_too_much_memory_is_one_clear_line(device: Device) -> None:
    with device.current(), pytest.raises(BackendError) as caught:
        device.allocate(1 << 50)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("free the GPU's memory or build the engine with a smaller --batch")


def test_closing_gives_all_memory_back(device_class: Callable[[], Device]) -> None:
    """Sixteen times four fifths of a GPU's memory fit one after another alone."""
    import torch

    most = int(torch.cuda.mem_get_info()[0] * 0.8)
    for _ in range(16):
        device = device_class()
        with device.current():
            device.allocate(most)
        device.close()
