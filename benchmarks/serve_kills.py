"""Kill a server at random moments: is each job done, and once?"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from runtime import cli


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.serve_kills",
        description="Queue jobs at a server with the packaged example's engine, kill it with "
        "SIGKILL at random moments and start it again. Ends with 1 where a job is lost, fails, is "
        "mapped twice, or begins anew though rows of it were done.",
    )
    p.add_argument("--kills", type=int, default=20, metavar="N", help="kills (default: 20)")
    p.add_argument("--jobs", type=int, default=6, metavar="N", help="jobs that wait (default: 6)")
    p.add_argument(
        "--side", type=int, default=1536, metavar="PX", help="of the images (default: 1536)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: 0)")
    return p


def main(args: argparse.Namespace) -> int:
    from benchmarks.serve_process import ServerProcess
    from runtime.example.__main__ import ENGINE

    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        server = ServerProcess(ENGINE, data, "--threads", 1)
        try:
            ids = [server.begin(*_pair(Path(folder), args.side, n)) for n in range(args.jobs)]
            made: dict[str, tuple[int, int]] = {}
            rows: dict[str, int] = {}
            killed: dict[str, int] = {}
            wrong: list[str] = []
            for _ in range(args.kills):
                time.sleep(moments.uniform(0.05, 4.0))
                for job in server.jobs():
                    killed[job["state"]] = killed.get(job["state"], 0) + 1
                server.kill()
                _look(data, ids, made, rows, wrong)
                server = ServerProcess(ENGINE, data, "--threads", 1)
                if {job["id"] for job in server.jobs()} != set(ids):
                    wrong.append("a job is lost")
            ended = [server.wait(id) for id in ids]
            wrong += [f"{job['id']}: {job['state']}" for job in ended if job["state"] != "done"]
            _look(data, ids, made, rows, wrong)
            found = {
                "kills": args.kills,
                "jobs": args.jobs,
                "done": sum(job["state"] == "done" for job in ended),
                "states_when_killed": killed,
                "wrong": wrong,
            }
        finally:
            server.kill()
    print(json.dumps(found))
    return 1 if wrong else 0


def _look(
    data: Path,
    ids: list[str],
    made: dict[str, tuple[int, int]],
    rows: dict[str, int],
    wrong: list[str],
) -> None:
    """On the disk, with no server: finished maps are those from before, others have not gone back.

    Adds to what was found before, and to what is wrong.
    """
    for id in ids:
        summary = data / "maps" / id / "summary.json"
        if summary.exists():
            status = summary.stat()
            stamp = status.st_ino, status.st_mtime_ns
            if made.setdefault(id, stamp) != stamp:
                wrong.append(f"{id}: mapped twice")
            continue
        if id in made:
            wrong.append(f"{id}: its map is gone")
        done = _rows(data, id)
        if done < rows.get(id, 0):
            wrong.append(f"{id}: {done} rows of pixels are done, and {rows[id]} were")
        rows[id] = max(done, rows.get(id, 0))


def _rows(data: Path, id: str) -> int:
    for path in (data / "maps" / ".working" / id).glob("*/*/journal.json"):
        content: dict[str, Any] = json.loads(path.read_text())
        return sum(content["heights"])
    return 0


def _pair(folder: Path, side: int, number: int) -> tuple[Path, Path]:
    """The example's, side by side until it is as large, another one for each number."""
    import cv2
    import numpy as np

    from runtime.example.__main__ import POST, PRE

    paths = []
    for source in (PRE, POST):
        image = np.roll(cv2.imread(str(source)), 7 * number, 1)
        times = -(-side // image.shape[0])
        path = folder / f"{number}-{source.name}"
        cv2.imwrite(str(path), np.tile(image, (times, times, 1))[:side, :side])
        paths.append(path)
    return paths[0], paths[1]


if __name__ == "__main__":
    cli.run(parser(), main)
