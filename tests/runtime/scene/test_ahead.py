import threading
import time

import pytest

from runtime.scene.ahead import ahead


def test_items_keep_their_order_and_are_made_in_advance():
    made = []

    def items():
        for i in range(6):
            made.append(i)
            yield i

    given = ahead(items(), 2)
    assert next(given) == 0
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made == [0, 1, 2, 3]  # one taken, two waiting, one in hand
    assert list(given) == [1, 2, 3, 4, 5]


def test_an_error_arrives_in_its_place():
    def items():
        yield 1
        raise OSError("disk")

    given = ahead(items(), 4)
    assert next(given) == 1
    with pytest.raises(OSError, match="disk"):
        next(given)


def test_a_caller_that_stops_ends_the_thread():
    before = threading.active_count()
    given = ahead(iter(range(1000)), 1)
    next(given)
    given.close()
    assert threading.active_count() == before


def test_the_thread_itself_may_close_the_iterator():
    """As it does when its garbage collection finds one that the caller dropped."""
    abandoned, closed = threading.Event(), threading.Event()

    def items():
        yield 1
        abandoned.wait(5)
        given.close()
        closed.set()

    given = ahead(items(), 4)
    assert next(given) == 1
    abandoned.set()
    assert closed.wait(5)
