"""Print what a shell needs to complete the options of dual-hrnet.

The shell asks the command's own parser at each Tab, so nothing is listed twice or goes stale;
of the libraries for it, shtab writes the options into the script, where an update leaves them
behind, and argcomplete would have to be installed on every device.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from runtime import cli, console
from runtime.console import COMMANDS

FILES, FOLDERS, WORDS = ":files", ":folders", ":words"
"""What may stand at the cursor: the shell knows its files, words are listed."""

Word = tuple[str, str]
"""What may be typed, and what it means."""

SCRIPTS = {
    "bash": f"""\
_dual_hrnet() {{
    local line word=${{COMP_WORDS[COMP_CWORD]}}
    local -a answer
    mapfile -t answer < <("$1" {console.ASK} "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null)
    [[ $word == = ]] && word=
    COMPREPLY=()
    case ${{answer[0]}} in
        {FILES}) compopt -o default ;;
        {FOLDERS}) compopt -o dirnames ;;
    esac
    for line in "${{answer[@]:1}}"; do
        line=${{line%%$'\\t'*}}
        [[ $line == "$word"* ]] && COMPREPLY+=("$line")
    done
}}
complete -F _dual_hrnet dual-hrnet
""",
    "zsh": f"""\
#compdef dual-hrnet
_dual_hrnet() {{
    local -a answer
    answer=("${{(@f)$("${{words[1]}}" {console.ASK} "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
    compset -P '--*='
    case $answer[1] in
        {FILES}) _files ;;
        {FOLDERS}) _files -/ ;;
    esac
    shift answer
    answer=("${{(@)answer//:/\\\\:}}")
    answer=("${{(@)answer/$'\\t'/:}}")
    (( $#answer )) && _describe dual-hrnet answer
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _dual_hrnet "$@"
else
    compdef _dual_hrnet dual-hrnet
fi
""",
    "fish": f"""\
function __dual_hrnet
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    set -l option (string match -r -- '^--[^=]*=' "$typed"; or echo '')
    set -l word (string sub -s (math 1 + (string length -- "$option")) -- "$typed")
    set -l answer ($before[1] {console.ASK} $before[2..] "$typed" 2>/dev/null)
    switch "$answer[1]"
        case {FILES}
            set answer (__fish_complete_path "$word")
        case {FOLDERS}
            set answer (__fish_complete_directories "$word" '')
        case '*'
            set -e answer[1]
    end
    printf '%s\\n' $option$answer
end
complete -c dual-hrnet -f -a '(__dual_hrnet)'
""",
}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.completion",
        description="Print what a shell needs to complete dual-hrnet: commands, options, choices "
        "and files.",
        epilog="To have it in every new shell:\n"
        "  bash  dual-hrnet completion bash >> ~/.bashrc\n"
        "  zsh   dual-hrnet completion zsh >> ~/.zshrc (after compinit)\n"
        "  fish  dual-hrnet completion fish > ~/.config/fish/completions/dual-hrnet.fish",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("shell", choices=SCRIPTS, help="the shell that you use")
    return p


def main(args: argparse.Namespace) -> None:
    print(SCRIPTS[args.shell], end="")


def answer(words: Sequence[str]) -> None:
    """Print what may stand where the last of `words` begins: a kind, then a word a line."""
    kind, found = candidates(words)
    print(kind, *("\t".join(each) for each in found), sep="\n")


def candidates(words: Sequence[str]) -> tuple[str, list[Word]]:
    """`words` follow ``dual-hrnet`` on the line; the last is what is typed of one, maybe ""."""
    if len(words) < 2:
        return WORDS, [(name, console.summary(module)) for name, module in COMMANDS.items()]
    try:
        parser = console.parser_of(console.load(words[0]), words[0])
    except (KeyError, ModuleNotFoundError):
        return WORDS, []
    cli.add_shared(parser)
    *before, current = _split(words[1:])
    if current.startswith("-"):
        return WORDS, list(_options(parser))
    expected = _expected(parser, before)
    return _values(expected) if expected else (WORDS, list(_options(parser)))


def _split(words: Sequence[str]) -> list[str]:
    """``--name=value`` as two words, as bash has them with a third between."""
    last = len(words) - 1
    found = []
    for number, word in enumerate(words):
        if word == "=":
            found += [""] if number == last else []
        elif word.startswith("--") and "=" in word:
            found += word.split("=", 1)
        else:
            found.append(word)
    return found


def _expected(parser: argparse.ArgumentParser, before: Iterable[str]) -> argparse.Action | None:
    """The argument that a word after those `before` would belong to."""
    options = parser._option_string_actions
    places = [(each, _most(each)) for each in parser._actions if not each.option_strings]
    open_option, left = None, 0.0
    for word in before:
        if word in options:
            open_option, left = options[word], _most(options[word])
        elif left > 0:
            left -= 1
        elif places:
            place, count = places.pop(0)
            if count > 1:
                places.insert(0, (place, count - 1))
    if open_option and left > 0:
        return open_option
    return places[0][0] if places else None


def _most(action: argparse.Action) -> float:
    """Words that an argument takes at most."""
    if isinstance(action.nargs, int):
        return action.nargs
    return math.inf if action.nargs in ("*", "+") else 1


def _options(parser: argparse.ArgumentParser) -> Iterator[Word]:
    for action in parser._actions:
        if action.help is not argparse.SUPPRESS:
            for name in action.option_strings:
                if name.startswith("--"):
                    yield name, _meaning(parser, action)


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Help text on one line, its ``%(default)s`` filled in."""
    return " ".join(parser._get_formatter()._expand_help(action).split())


def _values(action: argparse.Action) -> tuple[str, list[Word]]:
    if action.choices is not None:
        return WORDS, [(str(each), "") for each in action.choices]
    if action.type is not Path:
        return WORDS, []
    return FOLDERS if action.metavar == "DIR" else FILES, []


if __name__ == "__main__":
    cli.run(parser(), main)
