"""Does the engine still answer as it did when it was built? In a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.doctor.asking import ask
from runtime.doctor.finding import Asked, Finding, Findings, split
from runtime.errors import ToolkitError
from runtime.manifest import Manifest

CHECK = "self-test"
EXAMPLE = Path(__file__).parents[1] / "example" / "engine"
PATIENCE = 10
"""Times the patience with a question: a large engine compiles and computes for minutes."""

_RUN = """
import json, sys, time
from pathlib import Path
from runtime import cli
cli.prepare_opencv()
from runtime.engine import load_engine
from runtime.errors import ToolkitError
from runtime.known_answer import KEY, UnknownAnswerError, compared
try:
    with load_engine(sys.argv[1]) as engine:
        size, seconds = engine.manifest.input, []
        def run(pre, post):
            start = time.perf_counter()
            maps = engine.predict(pre, post)
            seconds.append(time.perf_counter() - start)
            return maps.damage, maps.building, maps.confidence
        record = engine.manifest.verification.get(KEY)
        found = compared(run, record, size.height, size.width)
        answer = {"agreement": found.agreement, "buildings": found.buildings, "same": found.same,
                  "seconds": seconds[0]}
except UnknownAnswerError as error:
    answer = {"unknown": str(error)}
except ToolkitError as error:
    answer = {"error": str(error)}
print(json.dumps(answer))
"""


def check(asked: Asked) -> Findings:
    folder = asked.engine or EXAMPLE
    name = str(asked.engine) if asked.engine else "the example engine"
    try:
        manifest = Manifest.read(folder)
    except (ToolkitError, OSError) as error:
        what = "is not what this device takes" if asked.engine is None else "cannot be loaded"
        why = " ".join(str(error).split()) if asked.engine is None else "see engine"
        yield Finding(CHECK, "not checked", f"{name} {what} ({why})")
        return
    answer = ask(_RUN, str(folder), seconds=PATIENCE * asked.seconds)
    rebuild = manifest.rebuild_command(folder)
    found = answer.value or {}
    if answer.trouble:
        yield Finding(CHECK, "problem", f"{name}: the process {answer.trouble}", rebuild)
    elif "error" in found:
        yield _refused(found["error"], name, asked)
    elif "unknown" in found:
        yield Finding(CHECK, "not checked", f"{name} loads; {found['unknown']}", rebuild)
    elif found["same"]:
        yield Finding(
            CHECK, "ok", f"{name} answers as it was built: {100 * found['agreement']:.2f} % of the "
            f"labels, {found['buildings']} of them buildings, in {found['seconds']:.2f} s",
        )  # fmt: skip
    else:
        yield Finding(
            CHECK, "problem", f"{name} answers otherwise than when it was built: "
            f"{100 * found['agreement']:.2f} % of the labels are the same", rebuild,
        )  # fmt: skip


def _refused(message: str, name: str, asked: Asked) -> Finding:
    if asked.engine is None and "onnxruntime" in message:
        why = "the example engine needs onnxruntime; --engine DIR names yours"
        return Finding(CHECK, "not checked", why, f"{sys.executable} -m pip install onnxruntime")
    what, mend = split(message)
    return Finding(CHECK, "problem", f"{name}: {what}", mend)
