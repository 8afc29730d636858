"""Does a library send anything? Asked of the libraries as the runtime loads them."""

from __future__ import annotations

import os

from runtime.doctor.asking import ask, is_there
from runtime.doctor.finding import Asked, Finding, Findings

CHECK = "telemetry"

_OPENVINO = """
import json, sys
from runtime.backends.openvino import load_openvino
load_openvino()
print(json.dumps(sys.modules.get("openvino_telemetry") is None))
"""
_ONNXRUNTIME = """
import json, os
from runtime.backends.onnxruntime import load_onnxruntime
load_onnxruntime()
print(json.dumps(os.environ.get("ORT_DISABLE_TELEMETRY") == "1"))
"""


def check(asked: Asked) -> Findings:
    for module, code in (("openvino", _OPENVINO), ("onnxruntime", _ONNXRUNTIME)):
        if not is_there(module):
            continue
        answer = ask(code, seconds=asked.seconds)
        if answer.trouble:
            yield Finding(CHECK, "not checked", f"{module} cannot be loaded")
        elif answer.value:
            yield Finding(CHECK, "ok", f"{module}: off in every command")
        else:
            yield Finding(
                CHECK, "problem", f"{module}: its telemetry is on", f"pip uninstall -y {module}"
                "-telemetry" if module == "openvino" else "export ORT_DISABLE_TELEMETRY=1",
            )  # fmt: skip
    if is_there("ray"):
        if os.environ.get("RAY_USAGE_STATS_ENABLED", "0") == "0":
            yield Finding(CHECK, "ok", "ray: off in every command")
        else:
            yield Finding(
                CHECK, "problem", "ray: RAY_USAGE_STATS_ENABLED asks for its usage statistics",
                "unset RAY_USAGE_STATS_ENABLED",
            )  # fmt: skip
