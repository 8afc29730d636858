"""Which figures of two files belong together, and which do not compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.latency.figures import Key, Latency
from runtime.errors import ConfigError

MACHINE = ("cpu", "cores", "gpu_compute_capability", "platform", "affinity", "governor")
"""What makes a machine another one; its load and its libraries do not."""
ENGINE = ("backend", "precision", "height", "width", "checkpoint_sha256")
"""What makes an engine of the same name another one; a new build of it does not."""

Pair = tuple[Latency, Latency]


def pairs_of(before: Sequence[Latency], after: Sequence[Latency]) -> list[Pair]:
    """Figures of one engine's name, scope, scenario and batch, in the order of the first file.

    Raises:
        ConfigError: there is no such pair, or a file has two figures of one name.
    """
    ours, theirs = _by_key(before), _by_key(after)
    found = [(each, theirs[key]) for key, each in ours.items() if key in theirs]
    if not found:
        both = (_some(each) for each in (before, after))
        raise ConfigError(
            "the files have no figure in common, and other engines, scopes, scenarios or batches "
            f"do not compare: {' / '.join(both)}"
        )
    return found


def unpaired(figures: Sequence[Latency], others: Sequence[Latency]) -> list[Latency]:
    """Those that the other file does not have."""
    keys = {each.key for each in others}
    return [each for each in figures if each.key not in keys]


def refusals(pairs: Sequence[Pair], files: tuple[Path, Path], force: bool) -> list[str]:
    """A line for each reason not to compare, each once: machines and threads that differ;
    without `force` also engines that are not the same network, size, precision or library."""
    lines: dict[str, None] = {}
    for before, after in pairs:
        name = before.engine["name"]
        for what, old, new in _differences(before, after, force):
            lines[f"{name}: {what} is {old} in {files[0]} and {new} in {files[1]}"] = None
    return list(lines)


def _by_key(figures: Sequence[Latency]) -> dict[Key, Latency]:
    found: dict[Key, Latency] = {}
    for each in figures:
        if found.setdefault(each.key, each) is not each:
            raise ConfigError(
                f"two figures are {each.name}; give engine folders names of their own, and "
                "measure again"
            )
    return found


def _differences(before: Latency, after: Latency, force: bool) -> Iterator[tuple[str, Any, Any]]:
    for key in MACHINE:
        # A file may be older than a key: what is not known is not another.
        if key in before.machine and key in after.machine:
            yield from _differs(f"the machine's {key}", before.machine[key], after.machine[key])
    yield from _differs("the number of threads", before.threads, after.threads)
    if not force:
        for key in ENGINE:
            yield from _differs(f"the engine's {key}", before.engine[key], after.engine[key])


def _differs(what: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if old != new:
        yield what, old, new


def _some(figures: Sequence[Latency]) -> str:
    return "; ".join(each.name for each in figures[:3]) + ("; ..." if len(figures) > 3 else "")
