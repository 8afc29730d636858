"""The driver, the GPUs, and whether the engine is for one of them."""

from __future__ import annotations

from runtime.doctor.asking import ask
from runtime.doctor.finding import Asked, Finding, Findings, split
from runtime.errors import ToolkitError
from runtime.manifest import Manifest

CHECK = "gpu"

_GPUS = """
import json
from runtime.cuda import driver
print(json.dumps([[str(each) for each in driver.gpus()], driver.absence()]))
"""
_FITTING = """
import json, sys
from pathlib import Path
from runtime.backends.gpus import fitting_gpus
from runtime.errors import ToolkitError
from runtime.manifest import Manifest
folder = Path(sys.argv[1])
try:
    print(json.dumps([fitting_gpus(Manifest.read(folder), folder), ""]))
except ToolkitError as error:
    print(json.dumps([[], str(error)]))
"""


def check(asked: Asked) -> Findings:
    answer = ask(_GPUS, seconds=asked.seconds)
    if answer.trouble:
        yield Finding(
            CHECK, "problem", f"the NVIDIA driver {answer.trouble}",
            "nvidia-smi (and dmesg | grep -i nvrm); reboot, or install the driver again",
        )  # fmt: skip
        return
    found, absence = answer.value
    yield Finding(CHECK, "ok", f"GPU {'; GPU '.join(found)}" if found else f"none: {absence}")
    try:
        manifest = Manifest.read(asked.engine) if asked.engine else None
    except (ToolkitError, OSError):
        return  # the engine's own check tells
    if manifest and manifest.target.on_gpu:
        fitting = ask(_FITTING, str(asked.engine), seconds=asked.seconds)
        numbers, message = fitting.value or ([], str(fitting.trouble))
        if numbers:
            yield Finding(CHECK, "ok", f"the engine is for GPU {', '.join(map(str, numbers))}")
        else:
            yield Finding(CHECK, "problem", *split(message))
