"""What a check found, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "note", "problem", "not checked"]
"""`note`: works, but should be known. `problem`: will fail, or give a wrong answer."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    check: str
    """Its kind, such as `libraries`."""
    state: State
    what: str
    """What was found, in one line."""
    mend: str | None = None
    """The command that mends it; every problem has one."""

    def __post_init__(self) -> None:
        if self.state == "problem" and not self.mend:
            raise ValueError(f"a problem without a remedy: {self.what}")

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check, "state": self.state, "what": self.what, "mend": self.mend,
        }  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What the box is wanted for."""

    engine: Path | None = None
    """The engine folder; None: the example's."""
    out: Path | None = None
    """Where maps are to go."""
    inbox: Path | None = None
    """Where pairs arrive."""
    seconds: float = 60.0
    """Patience with each process of its own."""


Findings = Iterator[Finding]


def split(message: str) -> tuple[str, str]:
    """An error's line: what is wrong and expected, and, after its last semicolon, what to do."""
    what, _, mend = message.rpartition("; ")
    return (what, mend) if what else (message, "see the message")
