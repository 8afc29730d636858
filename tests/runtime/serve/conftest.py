"""A server in this process or in one of its own, and pairs that it maps."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from runtime.many.lasting import Reopened, Stop
from runtime.options import MapOptions
from runtime.serve.app import make_app
from runtime.serve.jobs import Jobs
from runtime.serve.pairs import Pairs
from runtime.serve.places import held
from runtime.serve.service import Service
from runtime.serve.uploads import Uploads
from runtime.serve.worker import Worker
from tests.runtime.many.waiting import wait_for

REPOSITORY = Path(__file__).parents[3]


class Server:
    """Of a data folder; `client` asks it. The queue works while `working` is entered."""

    def __init__(self, stack: ExitStack, engine: Path, data: Path, options, token, most) -> None:
        self.places = stack.enter_context(held(data))
        self.stop = Stop()
        self.engine = Reopened(engine, 1)  # loaded with the first job
        stack.callback(self.engine.close)
        self.jobs = Jobs(self.places.jobs)
        self.pairs = Pairs(self.places, 0.0)
        self.uploads = Uploads(self.places.uploads, options, most, 8)
        self.worker = Worker(
            self.engine, self.places, self.jobs, self.uploads, self.pairs, options, self.stop
        )
        self.worker.clean()
        self.service = Service(
            self.places, self.jobs, self.uploads, self.pairs, self.worker, token is not None
        )
        self.app = make_app(self.service, token, token is None)
        self.client = TestClient(
            self.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False
        )

    @contextmanager
    def working(self):
        self.stop.asked = False
        thread = threading.Thread(target=self.worker.forever)
        thread.start()
        try:
            yield
        finally:
            self.stop.ask()
            thread.join()

    def upload(self, image: np.ndarray | bytes, name: str = "image.png") -> str:
        content = image if isinstance(image, bytes) else png(image)
        begun = self.client.post("/api/uploads", json={"name": name, "size": len(content)})
        assert begun.status_code == 201, begun.text
        id = begun.json()["id"]
        sent = self.client.patch(
            f"/api/uploads/{id}", content=content, headers={"Upload-Offset": "0"}
        )
        assert sent.status_code == 200, sent.text
        return id

    def begin(self, pre, post, name="town") -> str:
        images = {"pre": {"upload": self.upload(pre)}, "post": {"upload": self.upload(post)}}
        answer = self.client.post("/api/jobs", json={"name": name, **images})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def job(self, id: str) -> dict:
        return self.client.get(f"/api/jobs/{id}").json()

    def ended(self, id: str) -> dict:
        wait_for(lambda: self.jobs.get(id).has_ended)
        return self.job(id)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def small_engine(make_engine, tmp_path_factory) -> Path:
    return make_engine(tmp_path_factory.mktemp("serve") / "engine", size=(128, 160))


@pytest.fixture
def start(small_engine, tmp_path):
    """Start servers in this process, on DATA; one at a time."""
    with ExitStack() as stack:
        servers = ExitStack()
        stack.callback(lambda: servers.close())

        def call(options=None, token=None, most=1 << 30) -> Server:
            nonlocal servers
            servers.close()
            servers = ExitStack()
            return Server(
                servers, small_engine, tmp_path / "data", options or MapOptions(), token, most
            )

        yield call


@pytest.fixture
def server(start) -> Server:
    return start()


@pytest.fixture(scope="session")
def finished(small_engine, tmp_path_factory, draw):
    """A server with one finished map of 300 x 530 pixels, that tests of reading share."""
    with ExitStack() as stack:
        data = tmp_path_factory.mktemp("finished") / "data"
        server = Server(stack, small_engine, data, MapOptions(), None, 1 << 30)
        server.pre, server.post = draw(300, 530)
        with server.working():
            server.id = server.begin(server.pre, server.post)
            assert server.ended(server.id)["state"] == "done", server.job(server.id)
        yield server


class Process:
    """The command in a process of its own."""

    def __init__(self, engine: Path, data: Path, *options: object, settings=None) -> None:
        line = [
            sys.executable, "-m", "runtime.serve", "--engine", engine, "--data", data,
            "--port", 0, "--threads", 1, *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [str(each) for each in line], cwd=REPOSITORY, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **(settings or {}),
        )  # fmt: skip
        self.url = ""

    def ready(self):
        line = self.process.stdout.readline()
        assert line.startswith("serving at "), line + self.process.stderr.read()
        self.url = line.split()[2].rstrip("/")
        return self

    def ask(self, method: str, path: str, body=None, **headers: str):
        """Status, and what was answered."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kinds = {} if isinstance(body, bytes | None) else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, {**kinds, **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def upload(self, content: bytes) -> str:
        _, begun = self.ask("POST", "/api/uploads", {"name": "a.png", "size": len(content)})
        status, _ = self.ask(
            "PATCH", f"/api/uploads/{begun['id']}", content, **{"Upload-Offset": "0"}
        )
        assert status == 200
        return begun["id"]


@pytest.fixture
def start_process(small_engine, tmp_path):
    started = []

    def call(*options, engine=small_engine, data=tmp_path / "data", **settings) -> Process:
        started.append(Process(engine, data, *options, settings=settings))
        return started[-1]

    yield call
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()
