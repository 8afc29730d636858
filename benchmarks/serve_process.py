"""A server in a process of its own, asked as any program would, for the measurements of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class ServerProcess:
    """`port` is known once it answers."""

    def __init__(self, engine: Path, data: Path, *options: object) -> None:
        line = ["--engine", engine, "--data", data, "--port", 0, *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runtime.serve", *map(str, line)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout
        told = self.process.stdout.readline()
        if not told.startswith("serving at "):
            raise RuntimeError(f"the server did not start: {told}")
        self.port = int(told.rstrip().rstrip("/").rpartition(":")[2])

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        connection: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> tuple[int, bytes]:
        """Status and content. body: bytes as they are, anything else as JSON."""
        own = connection or self.connection()
        if body is not None and not isinstance(body, (bytes, memoryview)):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        try:
            own.request(method, path, body, headers)
            answer = own.getresponse()
            return answer.status, answer.read()
        finally:
            if connection is None:
                own.close()

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        status, content = self.ask(method, path, body, **headers)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {content.decode()}")
        return json.loads(content) if content else None

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def upload(self, path: Path) -> str:
        content = path.read_bytes()
        id = self.json("POST", "/api/uploads", {"name": path.name, "size": len(content)})["id"]
        self.json("PATCH", f"/api/uploads/{id}", content, **{"Upload-Offset": "0"})
        return str(id)

    def begin(self, pre: Path, post: Path) -> str:
        images = {"pre": {"upload": self.upload(pre)}, "post": {"upload": self.upload(post)}}
        return str(self.json("POST", "/api/jobs", images)["id"])

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.json("GET", "/api/jobs"))

    def wait(self, id: str, seconds: float = 600.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job: dict[str, Any] = self.json("GET", f"/api/jobs/{id}")
            if job["state"] not in ("waiting", "running"):
                return job
            time.sleep(0.1)
        raise RuntimeError(f"job {id} did not end")

    def peak_bytes(self) -> int:
        """Resident memory, the most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def serving(engine: Path, data: Path, *options: object) -> Iterator[ServerProcess]:
    server = ServerProcess(engine, data, *options)
    try:
        yield server
    finally:
        server.kill()
