"""YAML as plain data, or one line that says where in the text it is none.

Stricter than YAML: a key that stands twice is refused, of which a parser would keep the last
in silence, and so is a text whose aliases make far more of it than was written.
"""

from __future__ import annotations

from typing import Any

import yaml

from runtime.errors import ConfigError, reason

_MOST_VALUES = 10_000
"""With every alias written out. The longest configuration here has about a hundred."""


def parse_yaml(content: bytes | str, source: str) -> Any:
    """The one document of a YAML text in UTF-8; None if it is empty.

    Raises:
        ConfigError: names `source`, line and column.
    """
    text = content if isinstance(content, str) else _decoded(content, source)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _values(node, source, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        place = _place(text, error.position)
        found = f"character {error.character:#x}" if isinstance(error.character, int) else "bytes"
        raise ConfigError(f"{source}: {place}: {found} cannot stand in YAML; remove it") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = reason(ValueError(error.problem or error.context or "cannot be read"))
        tip = "; indent with spaces" if "\\t" in why else ""
        raise ConfigError(f"{source}: {_at(mark)}not YAML ({why}){tip}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply; expected sections of keys") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2020-13-45 is no date
        raise ConfigError(f"{source}: not YAML ({reason(error)})") from error


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(errors="replace")
        place = _place(before, len(before))
        raise ConfigError(
            f"{source}: {place}: byte {content[error.start]:#04x} is no UTF-8; save the file as "
            "UTF-8 text"
        ) from error


def _values(node: yaml.Node, source: str, known: dict[int, int]) -> int:
    """How many values the node becomes. `known`: those of nodes seen before; 0 while inside."""
    if id(node) in known:
        if known[id(node)] == 0:
            raise ConfigError(
                f"{source}: {_at(node.start_mark)}an alias inside of what it stands for; write "
                "the value out"
            )
        return known[id(node)]
    known[id(node)] = 0
    count = 1
    if isinstance(node, yaml.MappingNode):
        _refuse_twice(node, source)
        count += sum(_values(key, source, known) for key, _ in node.value)
        count += sum(_values(value, source, known) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_values(item, source, known) for item in node.value)
    if count > _MOST_VALUES:
        raise ConfigError(
            f"{source}: {_at(node.start_mark)}more than {_MOST_VALUES} values with its aliases "
            "written out; expected a configuration"
        )
    known[id(node)] = count
    return count


def _refuse_twice(node: yaml.MappingNode, source: str) -> None:
    first: dict[str, yaml.Mark] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        mark = first.setdefault(key.value, key.start_mark)
        if mark is not key.start_mark:
            raise ConfigError(
                f"{source}: {_at(key.start_mark)}key {key.value!r} stands twice, first in line "
                f"{mark.line + 1}; keep one"
            )


def _at(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _place(text: str, position: int) -> str:
    before = text[:position]
    return f"line {before.count(chr(10)) + 1}, column {position - before.rfind(chr(10))}"
