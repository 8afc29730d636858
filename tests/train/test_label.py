"""Labels: whatever stands in one, it is read, or refused on one line with its place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.damage import IGNORE
from runtime.errors import DataError
from train.label import read_label

SQUARE = "POLYGON ((10 10, 20 10, 20 20, 10 20, 10 10))"


def _label() -> dict[str, Any]:
    return {
        "features": {
            "lng_lat": [],
            "xy": [
                {
                    "properties": {"feature_type": "building", "subtype": subtype, "uid": uid},
                    "wkt": SQUARE,
                }
                for uid, subtype in (("first", "destroyed"), ("second", "un-classified"))
            ],
        },
        "metadata": {"width": 1024, "disaster": "town-flood"},
    }


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value."""
    items = (
        value.items() if isinstance(value, dict)
        else enumerate(value) if isinstance(value, list) else ()
    )  # fmt: skip
    return [here, *(place for key, each in items for place in _places(each, (*here, key)))]


def _put(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    content = copy.deepcopy(content)
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return content


def _read(path: Path, content: str | bytes) -> list[Any] | str:
    """The footprints, or the message, which has one line and begins with the file."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        return read_label(path, damage=True)
    except DataError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert len(message.splitlines()) == 1
        assert len(message) < len(str(path)) + 400
        return message


def test_a_valid_label_is_read(tmp_path: Path) -> None:
    found = _read(tmp_path / "label.json", json.dumps(_label()))
    assert [(each.uid, each.damage) for each in found] == [("first", 4), ("second", IGNORE)]


DEEP = "DEEP"
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([
        [], {}, [SQUARE], {"wkt": SQUARE}, ["destroyed"], 10**300, "\ud800", "\0", DEEP,
        "POLYGON ((0 0, inf 0, 1 1, 0 0))", "POLYGON ((0 0, nan 0, 1 1, 0 0))",
        "POLYGON ((0 0, 1e300 0, 1 1, 0 0))", "POLYGON ((0 0, 1e999 0, 1 1, 0 0))",
        "POLYGON ((0 0))", "POLYGON EMPTY", "POINT (1 1)", "CURVEPOLYGON ((0 0, 1 1, 1 0, 0 0))",
        "GEOMETRYCOLLECTION (" * 5000, f"{SQUARE}\0", f"{SQUARE} {SQUARE}", "POLYGON" + "(" * 9999,
    ])
)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(place=st.sampled_from(_places(_label())), value=VALUES)
@example(place=("features",), value=None)
@example(place=("features", "xy", 1, "properties"), value=["uid"])
@example(place=("features", "xy", 1, "properties", "uid"), value=7)
@example(place=("features", "xy", 1, "wkt"), value=[SQUARE])
@example(place=("features", "xy", 1, "wkt"), value=DEEP)
def test_any_value_anywhere_is_read_or_refused_in_one_line(
    place: tuple[Any, ...], value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = json.dumps(_put(_label(), place, value))
    text = text.replace(f'"{DEEP}"', "[" * 10_000 + "]" * 10_000)
    _read(tmp_path_factory.getbasetemp() / "mutated.json", text)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_bytes_are_read_or_refused_in_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(json.dumps(_label()).encode())
    at = data.draw(st.integers(0, len(content)))
    content[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    _read(tmp_path_factory.getbasetemp() / "mutated.json", bytes(content))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((), [], "its content is []; expected an object"),
        (("features",), None, "features is null; expected an object"),
        (("features", "xy"), {}, "features.xy is {}; expected a list of buildings"),
        (("features", "xy", 1), "x", "features.xy[1] is 'x'; expected an object"),
        (("features", "xy", 1, "properties"), [1], "features.xy[1].properties is [1]; expected"),
        (("features", "xy", 1, "properties", "uid"), 7, "[1].properties.uid is 7; expected a text"),
        (("features", "xy", 1, "properties", "subtype"), None, "building second has subtype null"),
        (("features", "xy", 1, "wkt"), [SQUARE], "building second has wkt ['POLYGON ((10 10"),
        (("features", "xy", 1, "wkt"), None, "building second has wkt null; expected the text"),
        (("features", "xy", 1, "wkt"), {"a": 1}, 'building second has wkt {"a": 1}; expected'),
        (("features", "xy", 1, "wkt"), 3.5, "building second has wkt 3.5; expected the text"),
        (("features", "xy", 1, "wkt"), f"{SQUARE}\0", "building second is not a polygon"),
        (("metadata",), "Maxar", "metadata is 'Maxar'; expected an object"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(
    place: tuple[Any, ...], value: Any, message: str, tmp_path: Path
) -> None:
    found = _read(tmp_path / "label.json", json.dumps(_put(_label(), place, value)))
    assert isinstance(found, str)
    assert message in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"features": {"xy": []}, "features": {"xy": []}}', "key 'features' stands twice"),
        (b'{"features": {"xy": "\xe9"}}', "not a JSON label"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not a JSON label"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=["twice", "Latin-1", "huge number", "nested"],
)
def test_what_no_parser_should_pass_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    found = _read(tmp_path / "label.json", content)
    assert isinstance(found, str)
    assert message in found


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    found = _read(tmp_path / "label.json", b"\xef\xbb\xbf" + json.dumps(_label()).encode())
    assert len(found) == 2
