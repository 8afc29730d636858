"""The commands of a block of shell code, as bash itself takes them apart. None of them runs.

Bash looks for programs in a place without any, and hands each command, its words expanded, to a
function that notes it. So variables, quotes, continued lines, loops, pipes and comments are bash's.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT, Block

SHELL = ("bash", "console", "sh", "shell")

_PREAMBLE = r"""
PATH=/nowhere TIMEFORMAT= HOME=home
note() { printf '%s\0' "$#" "$@" >&3; }
command_not_found_handle() { note "$@"; }
cd() { note cd "$@"; }
source() { note source "$@"; }
.() { note source "$@"; }
for each in python pip pytest dual-hrnet; do
  eval ".venv/bin/$each() { note $each \"\$@\"; }"
done
exec() { note "$@"; }
kill() { note kill "$@"; }
exit() { note exit "$@"; }
set -u
"""


class BadShell(Exception):
    """What bash says about the block."""


def commands(text: str) -> list[list[str]]:
    """Words of each command; BadShell for what bash does not understand."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for entry in ROOT.iterdir():  # for patterns such as train/configs/*.yaml
            if not entry.name.startswith("."):
                (folder / entry.name).symlink_to(entry)
        noted = folder / ".noted"
        with noted.open("wb") as file:
            done = subprocess.run(
                ["bash", "--norc", "--noprofile", "-c", f"{_PREAMBLE}{_typed(text)}\nwait", "doc"],
                cwd=folder,
                env={"LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                preexec_fn=lambda: os.dup2(file.fileno(), 3),
                pass_fds=(3,),
                timeout=20,
                text=True,
                check=False,
            )
        if done.stderr.strip():
            raise BadShell(done.stderr.strip())
        return _read(noted.read_bytes())


def is_shell(block: Block, programs: set[str]) -> bool:
    """Does a block hold commands? One without a language does where a line begins with a program.

    Raises BadShell for one that looks like a command of a program that nothing is known of.
    """
    if block.language:
        return block.language in SHELL
    lines = [line.strip().removeprefix("$ ") for line in block.text.splitlines()]
    first = [Path(line.split()[0]).name for line in lines if line]
    if any(name in programs or "=" in name for name in first):
        return True
    if odd := [line for line in lines if " --" in line or " -m " in line]:
        raise BadShell(f"{block}: {odd[0]!r}: a command of an unknown program?")
    return False


def _typed(text: str) -> str:
    """What a person types: with `$ ` before some lines, those and their continuations."""
    lines = text.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return text
    typed, goes_on = [], False
    for line in lines:
        if line.startswith("$ ") or goes_on:
            typed.append(line.removeprefix("$ ").removeprefix("> "))
            goes_on = line.endswith("\\")
    return "\n".join(typed)


def _read(noted: bytes) -> list[list[str]]:
    words = iter(noted.decode().split("\0")[:-1])
    return [[next(words) for _ in range(int(count))] for count in words]
