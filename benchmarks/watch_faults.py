"""A watch with faults injected: every pair is mapped, and each of them once."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError

SIDE = 96
"""Pixels of a pair: the faults are to meet many pairs."""

MOST_WAITING = 20
PATIENCE = 120.0
"""Seconds without another map, when all is mended, after which pairs count as lost."""

FAKETIME = [
    Path("/usr/lib") / folder / "faketime" / "libfaketimeMT.so.1"
    for folder in ("x86_64-linux-gnu", "aarch64-linux-gnu")
]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.watch_faults", description=__doc__)
    p.add_argument(
        "--engine", type=Path, default=Path("runtime/example/engine"), metavar="DIR",
        help="engine folder (default: runtime/example/engine)",
    )  # fmt: skip
    p.add_argument(
        "--minutes", type=float, default=30.0, metavar="M", help="how long (default: 30)"
    )
    p.add_argument("--seed", type=int, default=1, metavar="N", help="of the faults (default: 1)")
    p.add_argument("--log", type=Path, metavar="FILE", help="keep what the watch said")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(args: argparse.Namespace) -> int:
    if not 0 < args.minutes <= 1440:
        raise ConfigError(f"--minutes {args.minutes:g}: expected more than 0, at most 1440")
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(Path(scratch), args.engine, args.seed)
        with trial.plugged():
            result = trial.run(60 * args.minutes)
        if args.log:
            args.log.write_bytes((Path(scratch) / "log").read_bytes())
    print(json.dumps(result) if args.json else _table(result))
    return 1 if result["lost"] or result["twice"] or result["failed"] else 0


class Trial:
    """A watch that is started again whenever it is gone, and what is done to it."""

    def __init__(self, scratch: Path, engine: Path, seed: int) -> None:
        self.engine = engine
        self.inbox, self.outbox = scratch / "inbox", scratch / "outbox"
        self.disks = {self.inbox: scratch / "disk-in", self.outbox: scratch / "disk-out"}
        self.scratch, self.random = scratch, random.Random(seed)
        self.clock = scratch / "clock"
        self.clock.write_text("+0")
        self.library = next((path for path in FAKETIME if path.exists()), None)
        self.process: subprocess.Popen[bytes] | None = None
        self.names: list[str] = []
        self.seen: dict[str, int] = {}
        self.twice: list[str] = []
        self.faults: Counter[str] = Counter()

    @contextlib.contextmanager
    def plugged(self) -> Iterator[None]:
        """Each folder is a disk of its own, mounted from another place so that it can go."""
        for folder, disk in self.disks.items():
            folder.mkdir()
            disk.mkdir()
            _mount("-t", "tmpfs", "-o", "size=256m", "none", disk)
        try:
            for folder, disk in self.disks.items():
                _mount("--bind", disk, folder)
            yield
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for folder, disk in self.disks.items():
                subprocess.run(["umount", "-l", folder], capture_output=True)
                subprocess.run(["umount", "-l", disk], capture_output=True)

    def run(self, seconds: float) -> dict[str, object]:
        faults: list[Callable[[], None]] = [
            self.kill, self.terminate, self.fill_disk, self.unplug_inbox, self.unplug_outbox,
        ]  # fmt: skip
        if self.library:
            faults.append(self.step_back)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.arrive()
            self.restart()
            self.look()
            self.random.choice(faults)()
            self.look()
        # All is mended now.
        self.restart()
        before, since = len(self.seen), time.monotonic()
        while len(self.seen) < len(self.names) and time.monotonic() - since < PATIENCE:
            time.sleep(0.2)
            self.restart()
            self.look()
            if len(self.seen) > before:
                before, since = len(self.seen), time.monotonic()
        self.end()
        done = {path.name for path in (self.inbox / "done").iterdir()}
        put_away = [name for name in self.names if {f"{name}_pre.png", f"{name}_post.png"} <= done]
        return {
            "seconds": round(seconds),
            "pairs": len(self.names),
            "mapped": len(self.seen),
            "lost": sorted(set(self.names) - set(self.seen)),
            "twice": self.twice,
            "failed": {
                path.name: (path / "reason.txt").read_text().strip()
                for path in sorted((self.inbox / "failed").iterdir())
            },
            "images_put_away": len(put_away),
            "faults": dict(self.faults),
            "clock": bool(self.library),
        }

    def arrive(self) -> None:
        """A few pairs, each another part of the example; none while many wait."""
        if len(self.names) - len(self.seen) > MOST_WAITING:
            return
        import cv2
        import numpy as np

        example = Path(__file__).parents[1] / "runtime" / "example"
        for _ in range(self.random.randrange(1, 4)):
            name = f"pair-{len(self.names):05}"
            top, left = (self.random.randrange(384 - SIDE) for _ in range(2))
            for role in ("pre", "post"):
                image = cv2.imread(str(example / f"{role}.png"))
                part = np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])
                temporary = self.inbox / f".{name}_{role}.png"
                cv2.imwrite(str(temporary), part)
                temporary.replace(self.inbox / f"{name}_{role}.png")
            self.names.append(name)

    def restart(self) -> None:
        if self.process and self.process.poll() is None:
            return
        environ = {**os.environ, "DUAL_HRNET_LOG": "json"}
        if self.library:
            environ |= {
                "LD_PRELOAD": str(self.library), "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }  # fmt: skip
        command = [
            sys.executable, "-m", "runtime.watch", "--engine", self.engine, "--inbox", self.inbox,
            "--outbox", self.outbox, "--threads", "1", "--settle", "0.1", "--poll", "0.05",
        ]  # fmt: skip
        with (self.scratch / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(each) for each in command], stderr=log, stdout=log, env=environ
            )
        self._wait_until_it_runs()

    def _wait_until_it_runs(self) -> None:
        """A disk that is not there when a watch begins is no disk that it could miss."""
        assert self.process
        health, end = self.outbox / "health.json", time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                if json.loads(health.read_text())["pid"] == self.process.pid:
                    return
            time.sleep(0.05)

    def look(self) -> None:
        """Which maps are there: a folder that is another one now was mapped twice."""
        for summary in self.outbox.glob("*/summary.json"):
            try:
                inode = summary.parent.stat().st_ino
            except FileNotFoundError:
                continue
            name = summary.parent.name
            if self.seen.setdefault(name, inode) != inode:
                self.twice.append(name)
                self.seen[name] = inode

    def kill(self) -> None:
        self.faults["kill -9"] += 1
        time.sleep(self.random.uniform(0.1, 4))
        assert self.process
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.faults["terminate"] += 1
        time.sleep(self.random.uniform(0.1, 4))
        self.end()

    def fill_disk(self) -> None:
        """No file of the watch may grow beyond a few bytes, as on a disk that is full."""
        self.faults["full disk"] += 1
        assert self.process
        time.sleep(self.random.uniform(0.1, 2))
        infinite = resource.RLIM_INFINITY
        try:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (100, infinite))
            time.sleep(self.random.uniform(0.5, 3))
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (infinite, infinite))
        except ProcessLookupError:  # it ended on its own, and is started again
            pass
        time.sleep(1)

    def unplug_inbox(self) -> None:
        self.faults["inbox unplugged"] += 1
        self._unplugged(self.inbox)

    def unplug_outbox(self) -> None:
        self.faults["outbox unplugged"] += 1
        self._unplugged(self.outbox)

    def _unplugged(self, folder: Path) -> None:
        time.sleep(self.random.uniform(0.1, 2))
        subprocess.run(["umount", "-l", folder], check=True)
        time.sleep(self.random.uniform(0.2, 3))
        _mount("--bind", self.disks[folder], folder)
        time.sleep(1)

    def step_back(self) -> None:
        """The clock goes back by up to an hour, and on from there."""
        self.faults["clock back"] += 1
        time.sleep(self.random.uniform(0.1, 2))
        before = int(self.clock.read_text())
        self.clock.write_text(f"{before - self.random.randrange(1, 3600):+d}")
        time.sleep(1)

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.faults["had to be killed"] += 1
                self.process.kill()
                self.process.wait()


def _mount(*arguments: object) -> None:
    try:
        subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            "the folders cannot be mounted, as disks that are taken out are; expected the rights "
            "of root"
        ) from error


def _table(result: dict[str, object]) -> str:
    faults = result["faults"]
    assert isinstance(faults, dict)
    lines = [
        f"{result['pairs']} pairs in {result['seconds']} s: {result['mapped']} mapped, "
        f"{result['images_put_away']} with their images put away",
        f"lost: {result['lost'] or 'none'}; mapped twice: {result['twice'] or 'none'}; sent to "
        f"failed: {result['failed'] or 'none'}",
        "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())),
    ]
    if not result["clock"]:
        lines.append("the clock was not stepped back: libfaketime is not installed")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(parser(), main)
