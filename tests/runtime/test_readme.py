"""The embedding examples of README and of the page on it, run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
EMBED = REPOSITORY / "docs" / "how-to" / "embed.md"


@pytest.fixture
def destroyed(make_engine, pair, reference, tmp_path, monkeypatch):
    """Pixels destroyed in the pair `first`, in a folder with an engine but no pair `second`."""
    make_engine(tmp_path / "artifacts" / "my-engine")
    for name, image in zip(("pre", "post"), pair, strict=True):
        Image.fromarray(image).save(tmp_path / f"first-{name}.png")
    monkeypatch.chdir(tmp_path)
    return int(np.sum(reference(*pair)[0] == 4))


def run_first_example(page):
    code = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[0]
    exec(compile(code, page.name, "exec"), {})


def test_the_example_of_readme_runs(destroyed, capsys):
    run_first_example(README)
    assert capsys.readouterr().out == f"{destroyed} pixels destroyed\n"


def test_the_example_of_the_page_runs(destroyed, capsys):
    run_first_example(EMBED)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"first {destroyed} pixels destroyed"
    assert second.startswith("second second-pre.png: no such image")


def test_readme_is_two_screens():
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("name", ["load_engine", "map_pair", "find_buildings", "ToolkitError"])
def test_what_the_table_names_is_there(name):
    from runtime import buildings, engine, errors, mapping

    assert any(hasattr(module, name) for module in (buildings, engine, errors, mapping))
