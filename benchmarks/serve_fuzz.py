"""Ask a server what its description allows and forbids, by schemathesis."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.serve_fuzz",
        description="Start a server with a finished map of the packaged example, and let "
        "schemathesis (in an environment of its own) ask it what its description allows and "
        "forbids. Ends with 1 where an answer is 5xx or not as described.",
    )
    p.add_argument(
        "--schemathesis", default="schemathesis", metavar="PATH",
        help="its command (default: schemathesis)",
    )  # fmt: skip
    p.add_argument(
        "--seconds", type=int, default=600, metavar="S", help="for so long (default: 600)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of what is asked (default: 0)")
    return p


def main(args: argparse.Namespace) -> int:
    from benchmarks.serve_process import serving
    from runtime.example.__main__ import ENGINE, POST, PRE

    command = shutil.which(args.schemathesis)
    if command is None:
        raise ConfigError(
            f"--schemathesis {args.schemathesis}: not found; expected its command, installed in an "
            "environment of its own: pip install schemathesis"
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(ENGINE, Path(folder) / "data", "--threads", 1) as server,
    ):
        id = server.begin(PRE, POST)
        server.wait(id)
        settings = Path(folder) / "schemathesis.toml"
        settings.write_text(_settings(id))
        report = Path(folder) / "report.ndjson"
        code = subprocess.run(
            [
                command, "--config-file", str(settings), "run",
                f"http://127.0.0.1:{server.port}/api/openapi.json", "--checks", CHECKS,
                "--max-time", str(args.seconds), "--seed", str(args.seed), "--continue-on-failure",
                "--max-examples", "100000", "--generation-database", "none", "--no-shrink",
                "--no-color", "--report", "ndjson", "--report-ndjson-path", str(report),
            ],
            check=False, cwd=folder,
        ).returncode  # fmt: skip
        print(
            json.dumps(
                {
                    "statuses": _statuses(report),
                    "server": server.json("GET", "/api/health")["status"],
                }
            )
        )
    return code


def _settings(id: str) -> str:
    """What is asked below a job is asked of one that there is; it is deleted by no request."""
    return f"""
[[operations]]
include-path-regex = "^/api/jobs/.id./.+"
parameters = {{ "path.id" = {json.dumps(id)} }}
"""


def _statuses(report: Path) -> dict[str, int]:
    """How often each status was answered."""
    found: dict[str, int] = {}
    with report.open() as lines:
        for line in lines:
            for status in _in(json.loads(line)):
                found[status] = found.get(status, 0) + 1
    return dict(sorted(found.items()))


def _in(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [str(value["status_code"])] if isinstance(value.get("status_code"), int) else []
        return own + [each for inner in value.values() for each in _in(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in _in(inner)]
    return []


if __name__ == "__main__":
    cli.run(parser(), main)
