"""Look whether this box is ready, and say what mends it."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import cli
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from runtime.doctor.finding import Finding

_SIGNS = {"ok": "ok", "note": "note", "problem": "PROBLEM", "not checked": "-"}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.doctor",
        description="Look whether this box is ready to make maps. Every problem is told with the "
        "command that mends it. Nothing is changed, installed or sent.",
        epilog="Exit code: 0 no problem, 1 at least one. What is marked - was not checked.",
    )
    p.add_argument(
        "--engine", type=Path, metavar="DIR", help="engine folder (default: the example's)"
    )
    p.add_argument("--out", type=Path, metavar="DIR", help="folder that maps are to go to")
    p.add_argument("--inbox", type=Path, metavar="DIR", help="folder that pairs arrive in")
    p.add_argument(
        "--seconds", type=float, default=60.0, metavar="S",
        help="patience with a library that is loaded; ten times that with an engine (default: 60)",
    )  # fmt: skip
    p.add_argument(
        "--only", nargs="+", metavar="CHECK",
        help="these checks alone, by the names in the table (default: all)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the findings as JSON, not a table")
    return p


def main(args: argparse.Namespace) -> int:
    from runtime.doctor.checks import CHECKS, findings
    from runtime.doctor.finding import Asked

    if args.seconds <= 0:
        raise ConfigError(f"--seconds is {args.seconds:g}; expected more than 0")
    known = [name for name, _ in CHECKS]
    if unknown := [each for each in args.only or () if each not in known]:
        raise ConfigError(f"--only {unknown[0]}: is no check; expected {', '.join(known)}")
    asked = Asked(args.engine, args.out, args.inbox, args.seconds)
    made = findings(asked, args.only or known)
    if args.json:
        found = list(made)
        print(json.dumps(_content(found), indent=2))
    else:
        found = []
        for each in made:
            found.append(each)
            print(_row(each), flush=True)
        print(_conclusion(found))
    return int(any(each.state == "problem" for each in found))


def _content(found: Sequence[Finding]) -> dict[str, object]:
    return {
        "ready": all(each.state != "problem" for each in found),
        "problems": sum(each.state == "problem" for each in found),
        "findings": [each.as_dict() for each in found],
    }


def _row(finding: Finding) -> str:
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    head = f"{_SIGNS[finding.state]:8}{finding.check:11}"
    indent = " " * len(head)
    lines = textwrap.wrap(finding.what, width, initial_indent=head, subsequent_indent=indent)
    if finding.mend and finding.state != "ok":
        # In one line, however long: it is to be copied.
        lines.append(f"{indent}> {finding.mend}")
    return "\n".join(lines)


def _conclusion(found: Sequence[Finding]) -> str:
    problems = sum(each.state == "problem" for each in found)
    if problems:
        return f"\n{problems} problem{'s' if problems > 1 else ''}; each has its command after >"
    unchecked = sum(each.state == "not checked" for each in found)
    return "\nno problem found" + (f"; {unchecked} things were not checked" if unchecked else "")


if __name__ == "__main__":
    cli.run(parser(), main)
