"""Several methods' ranges come from one pass, and are those of a pass each."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.calibrate import calibrate, calibration_tiles, observed
from calibration.observers import METHODS
from runtime.files import sha256
from train.checkpoint import load_checkpoint


@pytest.mark.parametrize(
    "methods",
    [
        pytest.param(tuple(METHODS), marks=pytest.mark.slow),
        ("minmax", "mse"),
        pytest.param(("mse",), marks=pytest.mark.slow),
        pytest.param(("minmax",), marks=pytest.mark.slow),
    ],
)
def test_one_pass_gives_what_a_pass_for_each_method_does(
    small_checkpoint: Path, synthetic: Path, methods: tuple[str, ...]
) -> None:
    network, seen = load_checkpoint(small_checkpoint).network(), []

    def counted(tiles: list) -> list:
        seen.extend(tiles)
        return tiles

    tiles = calibration_tiles(synthetic, "train", 3)
    found = observed(network, sha256(small_checkpoint), tiles, methods, counted)
    assert len(seen) == 3
    alone = [calibrate(small_checkpoint, synthetic, "train", 3, method) for method in methods]
    assert found == alone
    assert [each.fingerprint() for each in found] == [each.fingerprint() for each in alone]
    assert len({each.fingerprint() for each in found}) == len(methods)
