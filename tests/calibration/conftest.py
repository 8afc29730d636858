from __future__ import annotations

from pathlib import Path

import pytest

from calibration.artefact import Artefact, read_artefact


@pytest.fixture
def artefact(calibration_file: Path) -> Artefact:
    return read_artefact(calibration_file)
