"""Load a server: a large upload, many that look, and a map of a city."""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime import cli

TABLE = 1_000_000


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.serve_load",
        description="One server process with the packaged example's engine: an upload of many "
        "gigabytes with its peak of resident memory, clients that poll while a job is mapped, "
        "tiles, and pages of a list of a million buildings.",
    )
    p.add_argument(
        "--gigabytes", type=float, default=4.0, metavar="GB", help="of the upload (default: 4)"
    )
    p.add_argument("--clients", type=int, default=50, metavar="N", help="that poll (default: 50)")
    p.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="that they do (default: 20)"
    )
    p.add_argument(
        "--buildings", type=int, default=TABLE, metavar="N", help="in the list (default: 1000000)"
    )
    return p


def main(args: argparse.Namespace) -> int:
    from benchmarks.serve_process import serving
    from runtime.example.__main__ import ENGINE, POST, PRE

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with serving(ENGINE, data, "--threads", 1, "--max-upload", 100) as server:
            found: dict[str, Any] = {"upload": _upload(server, int(args.gigabytes * 1e9))}
            print(json.dumps(found), flush=True)
            id = server.begin(PRE, POST)
            found = {"clients": _polled(server, args.clients, args.seconds)}
            server.wait(id)
            print(json.dumps(found), flush=True)
            found = {"tile_ms": _times(server, _tiles(id))}
            print(json.dumps(found), flush=True)
            _fill(data / "views" / f"{id}.buildings", args.buildings)
            found = {
                "page_ms": {n: _times(server, p) for n, p in _pages(id, args.buildings).items()}
            }
            found["peak_bytes"], found["threads"] = server.peak_bytes(), server.threads()
            print(json.dumps(found), flush=True)
    return 0


def _upload(server: Any, size: int) -> dict[str, float]:
    """A TIFF's first bytes and then nothing of sense: it is refused when the last byte is there."""
    before, piece = server.peak_bytes(), memoryview(bytes(64 << 20))
    id = server.json("POST", "/api/uploads", {"name": "large.tif", "size": size})["id"]
    start = time.monotonic()
    offset, status = 0, 200
    while offset < size and status == 200:
        some = piece[: size - offset]
        body = b"II*\0" + bytes(some[4:]) if offset == 0 else some
        status, _ = server.ask(
            "PATCH", f"/api/uploads/{id}", body, **{"Upload-Offset": str(offset)}
        )
        offset += len(some)
    seconds = time.monotonic() - start
    return {
        "bytes": size, "seconds": round(seconds, 1), "last_status": status,
        "peak_before": before, "peak_after": server.peak_bytes(),
    }  # fmt: skip


def _polled(server: Any, clients: int, seconds: float) -> dict[str, Any]:
    took: list[float] = []
    statuses: dict[int, int] = {}
    end = time.monotonic() + seconds

    def poll() -> None:
        with contextlib.closing(server.connection()) as connection:
            while time.monotonic() < end:
                start = time.monotonic()
                status, _ = server.ask("GET", "/api/jobs", connection=connection)
                took.append(1000 * (time.monotonic() - start))
                statuses[status] = statuses.get(status, 0) + 1
                time.sleep(1.0)

    threads = [threading.Thread(target=poll) for _ in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return {"clients": clients, "statuses": statuses, "threads": server.threads(), **_spread(took)}


def _tiles(id: str) -> Callable[[], Iterator[str]]:
    layers = ("before", "after", "damage", "confidence")
    return lambda: (
        f"/api/jobs/{id}/tiles/{layer}/1/{x}/{y}.png"
        for layer in layers for x in (0, 1) for y in (0, 1) for _ in range(10)
    )  # fmt: skip


def _pages(id: str, count: int) -> dict[str, Callable[[], Iterator[str]]]:
    url = f"/api/jobs/{id}/buildings"
    side = int(count**0.5) * 20
    return {
        "first": lambda: (f"{url}?limit=100" for _ in range(30)),
        "last": lambda: (f"{url}?limit=100&offset={count - 100}" for _ in range(30)),
        "of_a_class": lambda: (f"{url}?limit=100&class=destroyed" for _ in range(30)),
        "in_view": lambda: (
            f"{url}?limit=500&min_x={x}&min_y={x}&max_x={x + 512}&max_y={x + 512}"
            for x in range(0, side, max(1, side // 30))
        ),
    }


def _times(server: Any, paths: Callable[[], Iterator[str]]) -> dict[str, float]:
    took = []
    with contextlib.closing(server.connection()) as connection:
        for path in paths():
            start = time.monotonic()
            status, content = server.ask("GET", path, connection=connection)
            took.append(1000 * (time.monotonic() - start))
            if status != 200:
                raise RuntimeError(f"{path}: {status} {content.decode()[:200]}")
    return _spread(took)


def _spread(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    last = len(ordered) - 1
    return {
        "requests": len(ordered),
        "median_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(0.95 * last)], 1),
        "most_ms": round(ordered[-1], 1),
    }


def _fill(path: Path, count: int) -> None:
    """In place of the map's own table: squares of a city, made by what makes every table."""
    import numpy as np

    from runtime.corrections import Building
    from runtime.damage import CLASS_NAMES
    from runtime.serve import listing

    columns = int(count**0.5)

    def buildings() -> Iterator[Building]:
        for n in range(count):
            x, y = 20.0 * (n % columns), 20.0 * (n // columns)
            ring = np.array([(x, y), (x + 12, y), (x + 12, y + 9), (x, y + 9), (x, y)])
            name = CLASS_NAMES[1 + n * 7919 % 4]
            sure = (n * 104_729 % 10_000) / 10_000
            yield Building(n, name, None, sure, None, 108, None, "", ((ring,),))

    listing.write(buildings(), path)


if __name__ == "__main__":
    cli.run(parser(), main)
