"""Is a command of the documentation one that would be understood? Each by its own parser."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from docs.generate.commands import parser_of
from runtime.console import COMMANDS
from tests.docs.pages import ROOT
from train.config_file import load_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALLOWED = {
    "cd", "chmod", "curl", "docker", "exit", "gdal_merge.py", "git", "kill", "ln",
    "model_signing", "mv", "openssl", "source", "sudo", "systemctl", "tensorboard",
}  # fmt: skip
"""Programs and orders of the shell that are not ours: nothing is known of their options."""

MODULES = {"docs.generate", "mkdocs", "venv"}
"""Likewise, of `python -m`."""

PACKAGES = ("benchmarks", "calibration", "docs", "examples", "export", "runtime", "tests", "train")
"""Folders of the repository: a path into one must exist."""


class Wrong(Exception):
    """Why a command would not be understood."""


def check(words: list[str]) -> None:
    """Raises Wrong."""
    _check_paths(words)
    program, *rest = words
    name = Path(program).name
    if name in CHECKS:
        CHECKS[name](rest)
    elif name not in ALLOWED:
        raise Wrong(f"{program}: an unknown program; is it spelled so? Then add it to ALLOWED")


def check_span(text: str) -> None:
    """Of a command in a sentence, which may be cut short: it exists, and its options do."""
    try:
        words = shlex.split(text.replace("...", ""))
    except ValueError:
        return
    module = _named(words)
    if module is None:
        return
    parser = _parser(module)
    known = set(parser._option_string_actions)
    if odd := [w for w in words if w.startswith("--") and w.partition("=")[0] not in known]:
        raise Wrong(f"{module} has no option {', '.join(odd)}")


def _named(words: list[str]) -> str | None:
    if words[:2] == ["python", "-m"] and len(words) > 2:
        return None if words[2] in {*MODULES, "MODULE", "pip", "pytest"} else words[2]
    if words[:1] == ["dual-hrnet"] and len(words) > 1:
        return None if words[1].startswith("-") or words[1] == "NAME" else _module_of(words[1])
    modules = {each.removesuffix(".__main__") for each in COMMANDS.values()}
    return words[0] if words and words[0] in modules else None


def _module_of(name: str) -> str:
    if name not in COMMANDS:
        raise Wrong(f"dual-hrnet has no command {name!r}")
    return COMMANDS[name].removesuffix(".__main__")


def _python(words: list[str]) -> None:
    while words and words[0] in ("-X", "-W"):
        words = words[2:]
    match words:
        case ["-c", code, *_]:
            compile(code, "-c", "exec")
        case ["-m", "pip", *rest]:
            _pip(rest)
        case ["-m", "pytest", *rest]:
            _pytest(rest)
        case ["-m", module, *rest]:
            if module not in MODULES:
                _parse(module, rest)
        case [script, *_] if script.endswith(".py"):
            if not (ROOT / script).is_file():
                raise Wrong(f"{script}: no such file")
        case _:
            raise Wrong(f"python {shlex.join(words)}: not understood")


def _dual_hrnet(words: list[str]) -> None:
    if words in (["--help"], ["--version"]):
        return
    if not words:
        raise Wrong("dual-hrnet without a command")
    _parse(_module_of(words[0]), words[1:])


def _torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    args = _parsed(get_args_parser(), words, intermixed=False)
    if not args.module:
        raise Wrong("torchrun without -m")
    _parse(args.training_script, args.training_script_args)


def _parser(module: str) -> argparse.ArgumentParser:
    try:
        if find_spec(module) is None:
            raise Wrong(f"no module {module}")
        return parser_of(module)
    except (ModuleNotFoundError, AttributeError) as error:
        raise Wrong(f"{module} is no command: {error}") from error


def _parse(module: str, words: list[str]) -> None:
    args = _parsed(_parser(module), words)
    if args is None:
        return
    if module in ("train", "benchmarks.leave_one_out"):
        load_config(ROOT / args.config, args.overrides)
    elif module == "benchmarks.training":
        from benchmarks.training import variants

        for each in variants([ROOT / path for path in args.config], args.variant, args.overrides):
            load_config(each.config, list(each.overrides))


def _parsed(
    parser: argparse.ArgumentParser, words: list[str], intermixed: bool = True
) -> argparse.Namespace | None:
    """None where it is a question for help."""

    def refuse(message: str) -> NoReturn:
        raise Wrong(f"{parser.prog}: {message}")

    parser.error = refuse  # type: ignore[method-assign]
    parser.allow_abbrev = False  # the next release may have two that begin so
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return (parser.parse_intermixed_args if intermixed else parser.parse_args)(words)
    except SystemExit as end:
        if end.code:
            raise Wrong(f"{parser.prog}: exit code {end.code}") from end
        return None


def _pytest(words: list[str]) -> None:
    known = _pytest_options()
    if odd := [w for w in words if w.startswith("-") and w.partition("=")[0] not in known]:
        raise Wrong(f"pytest has no option {', '.join(odd)}")
    for word in words:
        if word in PACKAGES and not (ROOT / word).is_dir():
            raise Wrong(f"{word}: no such folder")


@functools.cache
def _pytest_options() -> frozenset[str]:
    """With those of the benchmarks and the plugins."""
    command = [sys.executable, "-m", "pytest", "benchmarks", "--help", "-p", "no:cacheprovider"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(re.findall(r"(?<![\w-])(--?[a-zA-Z][\w-]*)", told))


def _pip(words: list[str]) -> None:
    if words[:2] == ["uninstall", "-y"] and not any(w.startswith("-") for w in words[2:]):
        return
    if words[:1] not in (["install"], ["download"], ["wheel"]):
        raise Wrong(f"pip {shlex.join(words)}: not understood")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words[1:]:
        named = re.fullmatch(rf"(?:\.|{project['name']})\[([\w,-]+)\]", word)
        for extra in named[1].split(",") if named else ():
            if extra not in project["optional-dependencies"]:
                raise Wrong(f"{word}: no extra {extra} in pyproject.toml")
        if "[" in word and not named:
            raise Wrong(f"{word}: extras of what?")


def _make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) [?:]?=", text, re.MULTILINE))
    for word in words:
        name, assigned, _ = word.partition("=")
        if name not in (variables if assigned else targets):
            raise Wrong(f"make {word}: not in the Makefile")


def _check_paths(words: list[str]) -> None:
    for word in words:
        for path in re.split(r"[= ]", word):
            first, slash, _ = path.partition("/")
            if slash and first in PACKAGES and not (ROOT / path).exists():
                raise Wrong(f"{path}: no such file or folder")


CHECKS = {
    "dual-hrnet": _dual_hrnet,
    "make": _make,
    "pip": _pip,
    "pytest": _pytest,
    "python": _python,
    "python3": _python,
    "torchrun": _torchrun,
}
"""Program to what knows its options."""

PROGRAMS = {*CHECKS, *ALLOWED}
