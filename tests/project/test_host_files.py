"""What the repository's host reads: the workflow, and the forms of issues."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted(p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config")
NEEDED = {
    "markdown": {"value"},
    "textarea": {"label"},
    "input": {"label"},
    "dropdown": {"label", "options"},
}
"""What the attributes of a form's part must have."""


def test_the_workflow_runs_what_a_developer_runs() -> None:
    """`.ci/run` and nothing beside it: no step can pass there and fail here."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    actions = {step["uses"].partition("@")[0]: step.get("with", {}) for step in job["steps"][:-1]}
    assert set(actions) == {"actions/checkout", "actions/setup-python"}
    python = actions["actions/setup-python"]
    assert python["cache"] == "pip"
    for name in python["cache-dependency-path"].split():
        assert (ROOT / name).is_file()
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert set(form) <= {"name", "description", "title", "labels", "body"}
    assert form["name"]
    assert form["description"]
    for part in form["body"]:
        assert part["attributes"].keys() >= NEEDED[part["type"]]
        assert part["type"] == "markdown" or part["id"]
    ids = [part["id"] for part in form["body"] if "id" in part]
    assert len(set(ids)) == len(ids)
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_a_map_for_an_engine_and_for_an_idea() -> None:
    assert [path.stem for path in FORMS] == ["engine-not-built", "feature", "wrong-map"]
