"""Commands in processes forked from one that has imported the heavy libraries already.

Reads requests from stdin, a JSON object a line: module, arguments, cwd, environ, stdout and
stderr (files to write). Answers each with its exit code. The modules of the project itself
are imported anew in every child.
"""

from __future__ import annotations

import json
import os
import runpy
import sys

import albumentations  # noqa: F401
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
import onnxscript  # noqa: F401
import onnxsim  # noqa: F401
import scipy.ndimage
import scipy.special
import scipy.stats  # noqa: F401
import shapely  # noqa: F401
import torch._dynamo
import torch.export
import torch.onnx._internal.exporter._core  # noqa: F401


def serve() -> dict | None:
    """In a child: what it is to run. In the server itself: None, when there is no more."""
    print("ready", flush=True)
    while line := sys.stdin.readline():
        if (child := os.fork()) == 0:
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def run(module: str, arguments: list[str], cwd: str, environ: dict, **streams: str) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(streams[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    sys.path[0] = cwd  # as python -m does
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__" and (request := serve()):
    run(**request)
