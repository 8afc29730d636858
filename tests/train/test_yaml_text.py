"""YAML as plain data: what is none, or far more than was written, is one line with its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import ConfigError
from train.config_file import load_config
from train.yaml_text import parse_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)

BAD = {
    "a list that does not end": (b"a: 1\nb: [1,\n", "line 3, column 1: not YAML"),
    "a tab": (b"a:\n\tb: 1\n", r"line 2, column 1: .* indent with spaces"),
    "a key twice": (b"a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' stands twice, .* line 1"),
    "a key twice inside": (b"a: {b: 1, b: 2}", "line 1, column 11: key 'b' stands twice"),
    "billion laughs": (LAUGHS.encode(), r"line \d, column 4: more than 10000 values"),
    "a list inside itself": (b"a: &a [*a]", "line 1, column 4: an alias inside of what it"),
    "Latin-1": ("a: 1\nb: \xe9\n".encode("latin-1"), "line 2, column 4: byte 0xe9 is no UTF-8"),
    "a control character": (b"a: 1\nb: \0\n", "line 2, column 4: character 0x0 cannot"),
    "nested": (b"[" * 20_000, "nested too deeply"),
    "no date": (b"a: 2020-13-45", "not YAML"),
    "a huge number": (b"a: " + b"1" * 5000, "not YAML"),
    "a Python object": (b"a: !!python/object/apply:os.getcwd []", "line 1, column 4: not YAML"),
    "two documents": (b"a: 1\n---\na: 2\n", "line 2, column 1: not YAML"),
    "a list as key": (b"? [1]\n: 2\n", "line 1, column 3: not YAML"),
    "an unknown alias": (b"a: *b", "line 1, column 4: not YAML"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_configuration_is_one_line_with_its_place(name: str) -> None:
    content, message = BAD[name]
    start = time.monotonic()
    with pytest.raises(ConfigError, match=f"^run.yaml: {message}") as caught:
        parse_yaml(content, "run.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400
    assert time.monotonic() - start < 5


def test_an_alias_of_ordinary_size_is_allowed() -> None:
    assert parse_yaml(b"a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}\n", "run.yaml") == {
        "a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}
    }  # fmt: skip


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_yaml(b"\xef\xbb\xbfa: 1\n", "run.yaml") == {"a": 1}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@settings(deadline=None, max_examples=50)
@given(PLAIN)
def test_plain_data_is_read_as_a_plain_parser_does(content: object) -> None:
    text = yaml.safe_dump(content, allow_unicode=True)
    assert parse_yaml(text.encode(), "run.yaml") == yaml.safe_load(text)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=40) | st.text(alphabet="{}[]:,-&*!?|>'\"#%@ab1\n\t ", max_size=30))
def test_any_bytes_are_data_or_one_line(content: bytes | str) -> None:
    message = "run.yaml: "
    try:
        parse_yaml(content, "run.yaml")
    except ConfigError as error:
        message = str(error)
    assert message.startswith("run.yaml: ")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("content", [b"- a", b"", b"text", b"12"])
def test_another_type_at_the_top_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run.yaml: expected a mapping of sections .*, found"):
        load_config(path)


def test_the_command_reports_a_bad_file_in_one_line(tmp_path: Path, error_line: Callable) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("model:\n  width: [8\nseed: 1\n")
    line = error_line("train", "--config", config, "--data", tmp_path, "--out", tmp_path / "run")
    assert f"{config}: line 3, column 5: not YAML" in line


def test_a_bomb_in_an_override_is_refused() -> None:
    demo = Path(__file__).parents[2] / "train" / "configs" / "demo.yaml"
    with pytest.raises(ConfigError, match="override 'seed=&a"):
        load_config(demo, ["seed=&a [*a]"])
