"""docs/reference/commands.md: every command's usage and options, from its own parser."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

from docs.generate.markdown import NOTICE, line, prose, table
from runtime import cli
from runtime.console import GROUPS

WIDTH = 44
"""Characters in a line of usage: what a telephone shows without scrolling."""

TITLE = """# Commands

Each command is a module with one parser: `dual-hrnet NAME`, or `python -m MODULE`. `--help` shows
what stands here. Options may be given in any order. Results go to stdout, progress and errors to
stderr; the exit codes are those of [Errors](errors.md#exit-codes). Every command also takes
`--debug`, which shows the traceback of an error.
"""


def page() -> str:
    lines = [NOTICE, "", TITLE]
    for title, group in GROUPS.items():
        lines += [f"## {title}", ""]
        for name, module in group.items():
            lines += _command(name, module.removesuffix(".__main__"))
    return "\n".join(lines).rstrip() + "\n"


def parser_of(module: str) -> argparse.ArgumentParser:
    """Of the module that ``python -m`` would run; with ``--debug``, as `runtime.cli.run` adds it.

    Raises ModuleNotFoundError where there is none, AttributeError where it is no command.
    """
    found = importlib.import_module(module)
    if not hasattr(found, "parser"):
        found = importlib.import_module(f"{module}.__main__")
    parser: argparse.ArgumentParser = found.parser()
    cli.add_shared(parser)
    return parser


def _command(name: str, module: str) -> list[str]:
    parser = parser_of(module)
    run = f"python -m {module}"
    lines = [f"### dual-hrnet {name}", "", f'<a id="{module}"></a>The same: `{run}`', ""]
    lines += [prose(parser.description or ""), ""]
    lines += ["```text", *_usage(f"dual-hrnet {name}", parser), "```", ""]
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if each.help != argparse.SUPPRESS]
        actions = [each for each in actions if each.dest not in ("help", "debug")]
        if not actions:
            continue
        if group.title not in ("positional arguments", "options"):
            lines += [f"**{line(group.title or '')}**", ""]
        if group.description:
            lines += [line(group.description), ""]
        head = "argument" if group.title == "positional arguments" else "option"
        lines += [*table((head, "meaning"), (_row(each, parser) for each in actions)), ""]
    return lines


def _row(action: argparse.Action, parser: argparse.ArgumentParser) -> tuple[str, str]:
    names = [_code(action, parser, each) for each in action.option_strings or [""]]
    formatter = parser._get_formatter()
    text = line(formatter._expand_help(action)) if action.help else ""
    notes = []
    if action.required and action.option_strings:
        notes.append("required")
    if action.choices:
        notes.append(f"one of {', '.join(f'`{each}`' for each in action.choices)}")
    if isinstance(action, argparse._AppendAction) and not re.search("given|twice", text):
        notes.append("may be given several times")
    if "default" not in text and (default := _default(action)):
        notes.append(default)
    more = "; ".join(notes)
    return ", ".join(names), f"{text} ({more})" if text and more else text or more or "–"


def _code(action: argparse.Action, parser: argparse.ArgumentParser, option: str) -> str:
    """In two parts where it is long: a part is not broken, so that it can be read and copied."""
    value = _spelled(action, parser, option).removeprefix(option).strip()
    if action.choices and not action.metavar:
        value = action.dest.upper()
    whole = f"{option} {value}".strip()
    return f"`{whole}`" if len(whole) <= 20 or not option else f"`{option}` `{value}`"


def _default(action: argparse.Action) -> str:
    value = action.default
    if action.nargs == 0:
        return "the default" if action.const == value and value is not None else ""
    if value in (None, False, [], (), argparse.SUPPRESS):
        return ""
    return f"default: `{' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}`"


def _spelled(action: argparse.Action, parser: argparse.ArgumentParser, option: str) -> str:
    """`--size H W`; as argparse shows it, of one spelling."""
    formatter = parser._get_formatter()
    if action.nargs == 0:
        return option
    default = action.dest.upper() if option else action.dest
    return f"{option} {formatter._format_args(action, default)}".strip()


def _usage(program: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """The parser's own line, or one wrapped alike on every version of Python."""
    if parser.usage:
        yield from (parser.usage % {"prog": program}).splitlines()
        return
    indent = " " * 4
    text = program
    for part in _parts(parser):
        if len(text) + 1 + len(part) > WIDTH:
            yield text
            text = indent + part
        else:
            text += f" {part}"
    yield text


def _parts(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Required ones first, then choices of one, then those that may be left out."""
    shown = [a for a in parser._actions if a.dest not in ("help", "debug")]
    shown = [a for a in shown if a.help != argparse.SUPPRESS]
    exclusive = parser._mutually_exclusive_groups
    inside = {id(action) for group in exclusive for action in group._group_actions}
    alone = [action for action in shown if id(action) not in inside]

    def first(action: argparse.Action) -> str:
        return _spelled(action, parser, (action.option_strings or [""])[-1])

    yield from (first(a) for a in alone if a.option_strings and a.required)
    for group in exclusive:
        names = " | ".join(first(a) for a in group._group_actions)
        yield f"({names})" if group.required else f"[{names}]"
    yield from (f"[{first(a)}]" for a in alone if a.option_strings and not a.required)
    if arguments := [first(a) for a in alone if not a.option_strings]:
        yield " ".join(arguments)
