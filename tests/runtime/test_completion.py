"""Completion as the shells do it, in real ones, on a terminal."""

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from runtime import cli, completion, console
from runtime.completion import FILES, FOLDERS, WORDS, candidates

REPOSITORY = Path(__file__).parents[2]

SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "source ./completion; shown() { printf '<%s>' \"$READLINE_LINE\"; }; "
        "bind -x '\"\\C-t\": shown'",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -u -D; source ./completion; "
        "shown() { printf '<%s>' \"$BUFFER\" }; zle -N shown; bindkey '^T' shown",
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        "source ./completion; bind \\ct 'printf \"<%s>\" (commandline)'",
    ),
}


class Terminal:
    """A shell on a pseudo-terminal."""

    def __init__(self, command: list[str], cwd: Path, environ: dict[str, str]) -> None:
        self._leader, follower = pty.openpty()
        self._process = subprocess.Popen(
            command, cwd=cwd, env=environ, start_new_session=True,
            stdin=follower, stdout=follower, stderr=follower,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(follower)

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def until(self, end: str) -> str:
        """What is on the terminal up to `end`."""
        seen = b""
        limit = time.monotonic() + 60
        while end.encode() not in seen:
            ready, _, _ = select.select([self._leader], [], [], limit - time.monotonic())
            if not ready:
                raise TimeoutError(f"{end!r} did not come: {seen.decode(errors='replace')!r}")
            seen += os.read(self._leader, 4096)
        return seen.decode(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._leader)


@pytest.fixture(params=SHELLS)
def completed(request, tmp_path):
    """What a shell makes of a line that ends in a Tab."""
    command, setup = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    programs, here = tmp_path / "bin", tmp_path / "here"
    programs.mkdir()
    script = programs / "dual-hrnet"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from runtime.console import main\nmain()\n"
    )
    script.chmod(0o755)
    (here / "town engines").mkdir(parents=True)
    (here / "town engines.txt").touch()
    (here / "before flood.tif").touch()
    (here / "completion").write_text(completion.SCRIPTS[request.param])
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}
    terminal = Terminal(command, here, environ)
    terminal.type(f"{setup}; printf '%s\\n' 're''ady'\n")
    terminal.until("ready\r\n")

    def line(typed: str) -> str:
        terminal.type(f"{typed}\t\x14")
        return re.findall(r"<(.*)>", terminal.until(">"))[-1]

    yield line
    terminal.close()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("pred", "predict "),
        ("predict --foot", "predict --footprints "),
        ("import-weights --source h", "import-weights --source hrnet "),
        ("import-weights --source=h", "import-weights --source=hrnet "),
        ("predict bef", "predict before\\ flood.tif "),
        ("predict --label=bef", "predict --label=before\\ flood.tif "),
        ("predict --align bef", "predict --align before\\ flood.tif "),
        ("predict --engine tow", "predict --engine town\\ engines/"),
        ("completion z", "completion zsh "),
        ("nothing --a", "nothing --a"),
    ],
)
def test_a_tab_completes(completed, typed, expected):
    assert completed(f"dual-hrnet {typed}") == f"dual-hrnet {expected}"


@pytest.mark.parametrize("name", console.COMMANDS)
def test_the_options_are_those_of_the_help(name):
    parser = console.parser_of(console.load(name), name)
    cli.add_shared(parser)
    shown = re.findall(r"^  (?:-h, )?(--[\w-]+)", parser.format_help(), re.MULTILINE)
    kind, found = candidates([name, "--"])
    assert kind == WORDS
    assert sorted(each for each, _ in found) == sorted(shown)
    assert all(meaning for _, meaning in found)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("predict|", FILES),
        ("predict|--engine|", FOLDERS),
        ("predict|--engine|e|", FILES),
        ("predict|--bands|1|2|", WORDS),  # a number, not yet PRE
        ("predict|--bands|1|2|3|", FILES),
        ("predict|--engine|=|", FOLDERS),  # as bash has --engine=
        ("predict|--engine|=|e|", FILES),
        ("predict|--engine=", FOLDERS),
        ("predict|--align|", FILES),
        ("pareto|--checkpoint|a|b|", FILES),
        ("compare|a.json|", FILES),
        ("train|--data|d|x=1|", WORDS),
        ("nothing|", WORDS),
    ],
)
def test_what_may_stand_at_the_cursor(words, expected):
    assert candidates(words.split("|"))[0] == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("import-weights|--source|", ["si-analytics", "hrnet"]),
        ("pareto|--precision|fp32|", ["fp32", "fp16", "int8"]),
        ("completion|", ["bash", "zsh", "fish"]),
        ("predict|--bands|1|", []),
        ("nothing|", []),
    ],
)
def test_choices_are_those_of_the_parser(words, expected):
    assert [each for each, _ in candidates(words.split("|"))[1]] == expected


def test_when_nothing_more_may_stand_there_options_do():
    found = [each for each, _ in candidates(["predict", "a.png", "b.png", ""])[1]]
    assert "--engine" in found
    assert "predict" in [each for each, _ in candidates([""])[1]]
    assert "predict" in [each for each, _ in candidates([])[1]]
