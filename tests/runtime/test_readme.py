"""The README's embedding example, run as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parents[2] / "README.md"


def test_the_example_runs(make_engine, pair, reference, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 15
    make_engine(tmp_path / "artifacts" / "my-engine")
    for name, image in zip(("pre", "post"), pair, strict=True):
        Image.fromarray(image).save(tmp_path / f"first-{name}.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    destroyed = int(np.sum(reference(*pair)[0] == 4))
    assert first == f"first {destroyed} pixels destroyed"
    assert second.startswith("second second-pre.png: no such image")


@pytest.mark.parametrize("name", ["load_engine", "map_pair", "find_buildings", "ToolkitError"])
def test_what_the_table_names_is_there(name):
    from runtime import buildings, engine, errors, mapping

    assert any(hasattr(module, name) for module in (buildings, engine, errors, mapping))
