"""The command in a process of its own: how it starts, dies and ends."""

import random
import signal
import socket
import time

import pytest

from runtime.console import COMMANDS
from runtime.errors import ToolkitError
from runtime.serve import __main__ as command
from tests.runtime.many.waiting import wait_for
from tests.runtime.serve.conftest import png


def error_of(process) -> str:
    _, stderr = process.process.communicate(timeout=60)
    assert process.process.returncode != 0
    [line] = [each for each in stderr.splitlines() if each.startswith("error: ")]
    assert "Traceback" not in stderr
    return line


def test_killed_at_any_time_each_job_is_done_once(start_process, tmp_path, draw):
    moments = random.Random(5)
    process = start_process().ready()
    ids = []
    for seed in range(3):
        pre, post = (process.upload(png(each)) for each in draw(300, 200, seed))
        images = {"pre": {"upload": pre}, "post": {"upload": post}}
        status, job = process.ask("POST", "/api/jobs", images)
        assert status == 201
        ids.append(job["id"])
    made: dict[str, int] = {}
    for _ in range(3):
        time.sleep(moments.uniform(0.1, 1.5))
        process.process.send_signal(signal.SIGKILL)
        process.process.wait()
        for id in ids:
            summary = tmp_path / "data" / "maps" / id / "summary.json"
            if summary.exists():
                assert made.setdefault(id, summary.stat().st_ino) == summary.stat().st_ino
        process = start_process().ready()
        assert {each["id"] for each in process.ask("GET", "/api/jobs")[1]} == set(ids)

    def done():
        states = [each["state"] for each in process.ask("GET", "/api/jobs")[1]]
        assert "failed" not in states
        return states == ["done"] * 3

    wait_for(done)
    for id, inode in made.items():
        assert (tmp_path / "data" / "maps" / id / "summary.json").stat().st_ino == inode
    assert {path.name for path in (tmp_path / "data" / "maps").iterdir()} - {
        ".lock", ".working",
    } == set(ids)  # fmt: skip


def test_a_second_server_on_the_same_data_is_refused(start_process):
    start_process().ready()
    assert "another server works there" in error_of(start_process())


def test_a_watch_that_writes_into_its_maps_is_refused(
    start_process, small_engine, tmp_path, python
):
    start_process().ready()
    (tmp_path / "in").mkdir()
    line = [
        "-m", "runtime.watch", "--engine", small_engine, "--inbox", tmp_path / "in", "--outbox",
        tmp_path / "data" / "maps", "--once",
    ]  # fmt: skip
    found = python(*line)
    assert found.returncode != 0
    assert "another batch or watch is writing there" in found.stderr


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--engine", "nowhere"], "nowhere"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid"),
        (["--host", "192.0.2.1"], "expected an address of this machine and a free port"),
        (["--port", "70000"], "--port is 70000"),
        (["--max-upload", "0"], "--max-upload is 0.0"),
        (["--token-file", "/dev/null"], "--token-file /dev/null"),
        (["--data", "/proc/nothing"], "/proc/nothing"),
    ],
)
def test_what_cannot_start_ends_with_one_line(small_engine, tmp_path, options, line):
    given = ["--engine", small_engine, "--data", tmp_path / "data", "--port", 0, *options]
    with pytest.raises((ToolkitError, OSError)) as caught:
        command.main(command.parser().parse_args([str(each) for each in given]))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_engine_that_is_altered_ends_it_with_one_line(
    start_process, make_engine, tmp_path, empty_town
):
    engine = make_engine(tmp_path / "altered")
    empty_town(engine)
    assert "model.onnx" in error_of(start_process(engine=engine))


def test_a_port_that_is_taken_is_told(start_process):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port}: Address already in use" in error_of(start_process("--port", port))


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start_process, asked):
    process = start_process().ready()
    assert process.ask("GET", "/api/health")[1]["status"] == "ok"
    process.process.send_signal(asked)
    process.process.communicate(timeout=30)
    assert process.process.returncode == 0


def test_elsewhere_than_loopback_it_asks_for_a_token_that_it_shows_once(start_process):
    process = start_process("--host", "0.0.0.0").ready()
    told = process.process.stdout.readline()
    token = told.split()[1].rstrip(",")
    assert len(token) >= 32
    assert process.url.endswith(f"?token={token}")
    process.url = f"http://127.0.0.1:{process.url.rpartition(':')[2].partition('/')[0]}"
    assert process.ask("GET", "/api/jobs")[0] == 401
    assert process.ask("GET", "/api/jobs", Authorization=f"Bearer {token}") == (200, [])


def test_a_token_of_a_file_is_not_shown(start_process, tmp_path):
    (tmp_path / "token").write_text("a-word-of-many-letters\n")
    process = start_process("--token-file", tmp_path / "token").ready()
    assert "token" not in process.url
    assert process.ask("GET", "/api/jobs")[0] == 401
    given = {"Authorization": "Bearer a-word-of-many-letters"}
    assert process.ask("GET", "/api/jobs", **given) == (200, [])


def test_no_address_outside_is_asked(start_process, small_engine, tmp_path, python):
    """With a resolver and a network that end the process."""
    code = f"""
import socket, sys
connect = socket.socket.connect
def refuse(self, address, *_):
    raise SystemExit(f"asked for {{address}}")
socket.socket.connect = refuse
real = socket.getaddrinfo
def resolve(host, *a, **k):
    assert host == "127.0.0.1", host
    return real(host, *a, **k)
socket.getaddrinfo = resolve
import os, signal
from runtime import cli
from runtime.serve import __main__ as command, running
running._tell = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
cli.run(command.parser(), command.main, ["--engine", {str(small_engine)!r}, "--data",
    {str(tmp_path / "d")!r}, "--port", "0", "--threads", "1"])
"""
    found = python("-c", code)
    assert found.returncode == 0, found.stderr


def test_no_other_module_of_the_runtime_loads_the_server_s_libraries(python):
    code = """
import importlib, pkgutil, sys
import runtime
for each in pkgutil.walk_packages(runtime.__path__, "runtime."):
    name = each.name
    if name.startswith(("runtime.serve", "runtime.cuda", "runtime.backends")) or "__main__" in name:
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass
loaded = {"fastapi", "pydantic", "uvicorn", "starlette"} & set(sys.modules)
assert not loaded, loaded
"""
    found = python("-c", code)
    assert found.returncode == 0, found.stderr


def test_without_the_extra_the_command_names_it(python, blocked, small_engine, tmp_path):
    code = (
        blocked("fastapi", "uvicorn")
        + f"""
from runtime import cli
from runtime.serve import __main__ as command
cli.run(command.parser(), command.main, ["--engine", {str(small_engine)!r}, "--data",
    {str(tmp_path)!r}])
"""
    )
    found = python("-c", code)
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert 'pip install "dual-hrnet-edge[serve]"' in found.stderr


def test_help_is_there_at_once(python):
    start = time.monotonic()
    found = python("-m", "runtime.serve", "--help")
    assert found.returncode == 0
    assert "--token-file" in found.stdout
    assert time.monotonic() - start < 20  # what it imports is tested for all commands
    assert COMMANDS["serve"] == "runtime.serve.__main__"
