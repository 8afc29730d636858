import json
from datetime import datetime, timezone

import pytest

from runtime import cli


@pytest.fixture
def in_json(monkeypatch):
    monkeypatch.setenv("DUAL_HRNET_LOG", "json")


def test_notes_and_errors_are_a_json_object_a_line(in_json, capsys):
    cli.note("a note\nof two lines with \x1b and ü")
    cli.note("failed: a pair")
    cli.note("error: the disk is full; trying again")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [each["level"] for each in lines] == ["note", "failed", "error"]
    assert lines[0]["message"] == "a note\nof two lines with \x1b and ü"
    assert lines[2]["message"] == "the disk is full; trying again"
    age = datetime.now(timezone.utc) - datetime.fromisoformat(lines[0]["time"])
    assert 0 <= age.total_seconds() < 60


def test_a_command_s_error_is_one_too(in_json, command, tmp_path):
    result = command("runtime.predict", "--engine", tmp_path, "a.png")
    (line,) = result.stderr.splitlines()
    assert json.loads(line)["level"] == "error"
    assert "the image after the event is missing" in json.loads(line)["message"]
    assert result.returncode == 2


def test_any_other_value_is_for_people(monkeypatch, capsys):
    monkeypatch.setenv("DUAL_HRNET_LOG", "text")
    cli.note("a note")
    assert capsys.readouterr().err == "a note\n"


def test_a_fault_of_ours_is_one_line_with_its_traceback(in_json, capsys, tmp_path):
    import argparse

    def fails(_):
        raise ZeroDivisionError("a fault")

    with pytest.raises(SystemExit) as ended:
        cli.run(argparse.ArgumentParser(), fails, [])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "error"
    assert "ZeroDivisionError: a fault" in json.loads(line)["message"]
