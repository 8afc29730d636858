import argparse
import errno
import time

import pytest

from runtime import cli
from runtime.errors import BackendError, ConfigError


def exit_code(main, *arguments) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.run(argparse.ArgumentParser(), main, arguments)
    return caught.value.code


def raising(error):
    def main(args):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BackendError("one\n  two"), 1, "error: one two\n"),
        (ConfigError("key"), 2, "error: key\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 1,
         "error: out: No space left on device\n"),
        (OSError("plain"), 1, "error: plain\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)  # fmt: skip
def test_a_deliberate_error_is_one_line_and_a_code(capsys, error, code, line):
    assert exit_code(raising(error)) == code
    assert capsys.readouterr().err == line


def test_debug_lets_the_error_through():
    with pytest.raises(BackendError):
        cli.run(argparse.ArgumentParser(), raising(BackendError("x")), ["--debug"])


def test_an_unexpected_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(argparse.ArgumentParser(), raising(ZeroDivisionError()), [])


def test_the_code_of_main_is_the_exit_code():
    assert exit_code(lambda args: 3) == 3
    assert exit_code(lambda args: None) == 0


def test_a_reader_that_leaves_is_no_traceback(python):
    code = """
import argparse, os, sys
from runtime import cli
def main(args):
    os.close(read)
    print("x" * 10)
read, write = os.pipe()
os.dup2(write, 1)
cli.run(argparse.ArgumentParser(), main, [])
"""
    result = python("-c", code)
    assert result.returncode == 1
    assert result.stderr == ""


@pytest.mark.parametrize("module", ["batch", "predict", "watch"])
def test_help_is_instant_and_loads_nothing(python, module):
    code = f"""
import runpy, sys
sys.argv = ["{module}", "--help"]
try:
    runpy.run_module("runtime.{module}", run_name="__main__")
except SystemExit as end:
    heavy = {{"numpy", "cv2", "onnxruntime", "openvino", "torch", "ray"}} & set(sys.modules)
    print("loaded", sorted(heavy), "code", end.code)
"""
    start = time.monotonic()
    result = python("-c", code)
    seconds = time.monotonic() - start
    assert "--min-area" in result.stdout
    assert "loaded [] code 0" in result.stdout
    assert seconds < 2  # 0.1 s alone; the machine may be busy


def test_what_a_terminal_takes_for_an_order_is_shown(capsys):
    def main(args):
        cli.note("a tensor x\x1b[31m, caf\u00e9\n  and more")
        raise ConfigError("a file \x1b]0;title\x07 of \x9b31m")

    with pytest.raises(SystemExit):
        cli.run(argparse.ArgumentParser(), main, [])
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        r"a tensor x\x1b[31m, café",
        "  and more",
        r"error: a file \x1b]0;title\x07 of \x9b31m",
    ]
