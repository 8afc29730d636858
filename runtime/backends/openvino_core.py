"""OpenVINO's core, of which a process has one."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def core_of(openvino: Any) -> Any:
    """The core, which is never let go of. openvino: the package.

    Each core gives the thread that made it a stack for signal handlers, and takes it away again
    when it goes. Of two that go in the order in which they came, the first one's stack is what
    the thread is left with, although its memory is free. The next signal that Python handles
    (Ctrl-C, SIGTERM, a child's end) is written there: into whatever has taken its place.
    """
    return openvino.Core()
