"""Every check, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Collection

from runtime.doctor import (
    clock,
    engine,
    folders,
    geodata,
    gpu,
    libraries,
    machine,
    self_test,
    telemetry,
)
from runtime.doctor.finding import Asked, Finding, Findings
from runtime.errors import reason

CHECKS: tuple[tuple[str, Callable[[Asked], Findings]], ...] = (
    (machine.CHECK, machine.check),
    (clock.CHECK, clock.check),
    (libraries.CHECK, libraries.check),
    (geodata.CHECK, geodata.check),
    (telemetry.CHECK, telemetry.check),
    (gpu.CHECK, gpu.check),
    (folders.CHECK, folders.check),
    (engine.TRUST, engine.check_trust),
    (engine.CHECK, engine.check),
    (self_test.CHECK, self_test.check),
)


def findings(asked: Asked, names: Collection[str]) -> Findings:
    """Of the checks with these names. One that fails itself is a finding, and others go on."""
    for name, check in CHECKS:
        if name not in names:
            continue
        try:
            yield from check(asked)
        except Exception as error:
            yield Finding(
                name, "problem", f"the check itself failed ({type(error).__name__}: "
                f"{reason(error)})", "dual-hrnet doctor --debug, and report what it says",
            )  # fmt: skip
