"""A frozen dataclass from JSON, strictly: every wrong key is named, none is guessed.

Understands what the toolkit's files hold: text, numbers, booleans, null, literals,
free objects, tuples of one kind, and dataclasses inside dataclasses.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections import Counter
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

MOST_BYTES = 1 << 28
"""Of a file of ours: a journal names each tile that failed. As values it takes ten times that."""


class RecordError(ValueError):
    """A value that does not fit; the message names the key."""


def load_json(path: Path, most: int = MOST_BYTES) -> Any:
    """The JSON value in a file of at most `most` bytes.

    Raises RecordError for what is not JSON text, NaN and a key given twice included.
    """
    size = path.stat().st_size
    if size > most:
        raise RecordError(f"{size} bytes, expected at most {most}")
    return decode(path.read_bytes())


def decode(content: bytes) -> Any:
    """The JSON value of a file's content; raises as `load_json` does."""
    try:
        return json.loads(
            content.decode(),
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_of_unique_keys,
        )
    except RecordError:
        raise
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON ({error})") from error


def parse(kind: type[Record], value: Any, where: str = "") -> Record:
    """`value`, as decoded from JSON, as a `kind`. Fields with a default may be missing."""
    if not isinstance(value, dict):
        what = f"key {where}" if where else "the content"
        raise RecordError(f"{what} must be an object, not {_shown(value)}")
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    prefix = f"{where}." if where else ""
    for name in names:
        if name in needed and name not in value:
            raise RecordError(f"key {prefix}{name} is missing")
    for key in value:
        if key not in names:
            raise RecordError(f"key {prefix}{key} is unknown")
    given = [name for name in names if name in value]
    return kind(**{name: _parsed(hints[name], value[name], f"{prefix}{name}") for name in given})


def _parsed(kind: Any, value: Any, where: str) -> Any:
    origin, options = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        # Equality alone would let true pass for 1.
        if not any(type(value) is type(option) and value == option for option in options):
            raise RecordError(f"key {where} is {_shown(value)}, expected one of {list(options)}")
        return value
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in options:
            return None
        (other,) = (option for option in options if option is not types.NoneType)
        return _parsed(other, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise RecordError(f"key {where} must be a list, not {_shown(value)}")
        return tuple(_parsed(options[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    return _plain(origin or kind, value, where)


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise RecordError(f"key {where} must be {_NAMES[kind]}, not {_shown(value)}")
    return value


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_NAMES[dict] = "an object"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse_constant(name: str) -> Any:
    raise RecordError(f"not JSON ({name} is not a JSON number)")


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise RecordError(f"key {twice} is given twice")
    return content
