"""A finished map of the packaged example, as a picture and placed, mapped once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime.engine import load_engine
from runtime.mapping import map_pair
from runtime.options import MapOptions

EXAMPLE = Path(__file__).parents[3] / "runtime" / "example"
PRE, POST, LABEL = (EXAMPLE / name for name in ("pre.png", "post.png", "label.json"))


@pytest.fixture(scope="session")
def mapped(tmp_path_factory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("mapped")
    with load_engine(EXAMPLE / "engine") as engine:
        for name, label in (("picture", None), ("placed", LABEL)):
            map_pair(engine, PRE, POST, out / name, MapOptions(label=label))
    return {name: out / name for name in ("picture", "placed")}


@pytest.fixture
def picture(mapped, tmp_path) -> Path:
    """A map in pixels that a test may write to."""
    return Path(shutil.copytree(mapped["picture"], tmp_path / "picture"))


@pytest.fixture
def placed(mapped, tmp_path) -> Path:
    return Path(shutil.copytree(mapped["placed"], tmp_path / "placed"))
