"""What a service manager is told: ready, alive, ending (the protocol of sd_notify(3)).

Where no manager started this process, nothing is told and nothing fails.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

_SOCKET, _MICROSECONDS, _PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


class Service:
    """This process as a unit of type `notify`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get(_SOCKET, "")
        mine = environ.get(_PID, str(os.getpid())) == str(os.getpid())
        microseconds = environ.get(_MICROSECONDS, "") if mine else ""
        self.beat = int(microseconds) / 3e6 if microseconds.isdecimal() else None
        """Seconds between two signs of life, a third of the unit's WatchdogSec; None: it has none,
        or it is another process that is watched."""

    def ready(self) -> None:
        """It maps what arrives from now on."""
        self._tell("READY=1")

    def alive(self, status: str) -> None:
        """A line for `systemctl status`, and that the watchdog need not end this process."""
        self._tell(f"STATUS={' '.join(status.split())}\nWATCHDOG=1")

    def silent(self, status: str) -> None:
        """The line alone: if this lasts, the watchdog is to start the process again."""
        self._tell(f"STATUS={' '.join(status.split())}")

    def ending(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that is gone must not end the work.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(1.0)
            to.sendto(message.encode("utf-8", "replace"), address)
