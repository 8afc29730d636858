"""docs/reference/errors.md: the tree of errors, from the docstrings of `runtime.errors`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from docs.generate.markdown import NOTICE, prose
from runtime import errors

TITLE = """# Errors

Every error that the toolkit raises on purpose is a `runtime.errors.ToolkitError`. Its message is
one line: what is wrong, what was expected, and what to do. A command prints it on stderr after
`error: `, without a traceback (`--debug` shows it), and ends with its exit code.

## Exit codes

| code | meaning |
|---|---|
| 0 | all of it was done |
| 1 | an error below, a library that is not installed, or what the operating system refused \
(a full disk, no permission); of `predict` and `batch` also: a part could not be computed and is \
nodata; of `compare`: a regression |
| 2 | a wrong option, or a `ConfigError` |
| 130 | interrupted (Ctrl-C) |

## The tree
"""


def page() -> str:
    lines = [NOTICE, "", TITLE]
    lines += [
        f"{'    ' * depth}- [`{each.__name__}`](#{each.__name__.lower()})" for each, depth in tree()
    ]
    for each, _ in tree():
        doc = inspect.getdoc(each) or ""
        parent = each.__base__
        of = f"a `{parent.__name__}`, " if parent and parent is not Exception else ""
        lines += ["", f"### {each.__name__}", "", prose(doc), ""]
        lines += [f"*{of}exit code {each.exit_code}*".replace("*a", "*A").replace("*e", "*E")]
    return "\n".join(lines).rstrip() + "\n"


def tree(
    root: type[errors.ToolkitError] = errors.ToolkitError, depth: int = 0
) -> Iterator[tuple[type[errors.ToolkitError], int]]:
    """Each error before those that are kinds of it, as they stand in the file."""
    yield root, depth
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from tree(each, depth + 1)
