"""Engines of OpenVINO leave no thread with a signal stack whose memory is free."""

import pytest

pytest.importorskip("openvino")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_signals_have_a_stack_when_engines_are_closed(make_engine, tmp_path, python, order):
    """Old: closed in the order in which they were loaded, and the next signal wrote over what had
    taken that memory: the process ended with SIGABRT, anywhere."""
    folders = [str(make_engine(tmp_path / str(n) / "engine", "openvino")) for n in (0, 1)]
    code = f"""
import ctypes, gc
from runtime.engine import load_engine

class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

def stack_is_mapped():
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    place = stack.sp or 0
    with open("/proc/self/maps") as file:
        spans = [[int(end, 16) for end in line.split()[0].split("-")] for line in file]
    return stack.flags & 2 or any(begin <= place < end for begin, end in spans)  # 2: disabled

engines = [load_engine(folder, threads=1) for folder in {folders!r}]
for number in {order!r}:
    engines[number].close()
    engines[number] = None
    gc.collect()
    assert stack_is_mapped(), number
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr


def test_it_is_one_core(make_engine, tmp_path):
    from runtime.backends.openvino import load_openvino
    from runtime.backends.openvino_core import core_of

    assert core_of(load_openvino()) is core_of(load_openvino())
