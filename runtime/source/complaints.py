"""What a decoder says while it makes up pixels: libraries go on where data are damaged.

They fill the rest with grey or with what they misread, and the map shows buildings in it.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO

import cv2
import numpy as np

from runtime.errors import reason

_STDERR = 2
_ALONE = threading.Lock()
_LIBJPEG = b"JPEG", b"progress", b"Adobe"
"""Words of libjpeg's warnings (jerror.h), one of which each has."""
_HARMLESS = b"JFIF"
"""Of a header's version number: it says nothing of the pixels."""


class _Heard(logging.Handler):
    """Warnings of one thread: another one may read another image."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.messages.append(reason(Exception(record.getMessage())))


@contextmanager
def of_gdal() -> Iterator[list[str]]:
    """GDAL's warnings, which rasterio logs. Decoded blocks are kept: each is told once."""
    logger, heard = logging.getLogger("rasterio"), _Heard()
    level = logger.level
    if logger.getEffectiveLevel() > logging.WARNING:
        logger.setLevel(logging.WARNING)
    logger.addHandler(heard)
    try:
        yield heard.messages
    finally:
        logger.removeHandler(heard)
        logger.setLevel(level)


@contextmanager
def of_libjpeg() -> Iterator[list[str]]:
    """The warnings of OpenCV's libjpeg, which writes them to stderr and nowhere else.

    What others write there meanwhile is written again.
    """
    messages: list[str] = []
    with _ALONE, _kept() as kept:
        with suppress(ValueError, AttributeError):  # closed, or none
            sys.stderr.flush()
        ours = None
        with suppress(OSError):  # none: closed by who started us
            ours = os.dup(_STDERR)
        os.dup2(kept.fileno(), _STDERR)
        try:
            yield messages
        finally:
            if ours is None:
                os.close(_STDERR)
            else:
                os.dup2(ours, _STDERR)
                os.close(ours)
            kept.seek(0)
            for line in kept.read().splitlines(keepends=True):
                if any(word in line for word in _LIBJPEG):
                    messages.append(line.decode(errors="replace").strip())
                elif ours is not None and _HARMLESS not in line:
                    os.write(_STDERR, line)


def _kept() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "r+b")
    return tempfile.TemporaryFile()


@cache
def libjpeg_is_heard() -> bool:
    """Does this OpenCV tell of damage? A build may print nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = np.asarray(cv2.imencode(".jpg", noise)[1]).ravel().copy()
    middle = len(content) // 2
    content[middle : middle + 200] = 0
    with of_libjpeg() as messages:
        cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    return bool(messages)
