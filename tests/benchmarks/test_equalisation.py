"""The benchmark of equalisation: its networks are what it says, and equalisation mends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.equalisation import TINY, table, variants
from train.model.inference_form import inference_form
from train.quantisation.equalisation import pairs


def test_all_but_the_last_network_are_the_same_function(plausible: Callable) -> None:
    network = plausible()
    found = variants(network, 100)
    images = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = [torch.cat(each(*images), 1) for each in found.values()]
    for same in logits[1:-1]:
        torch.testing.assert_close(same, logits[0], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits[-1], logits[0], atol=1e-2)
    form = inference_form(found[f"channels of {TINY:g}"])
    for pair in pairs(network):
        largest = form.get_submodule(f"network.{pair.first}").weight.abs().amax((1, 2, 3))
        assert largest[::3].max().item() == pytest.approx(TINY, rel=1e-3)


@pytest.mark.slow
def test_figures_of_a_small_network(
    small_checkpoint: Path, synthetic: Path, command: Callable
) -> None:
    result = command(
        "benchmarks.equalisation", "--checkpoint", small_checkpoint, "--data", synthetic,
        "--tiles", 2, "--scored", 1, "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert len(rows) == 4 * 2 * 2
    by = {(row["network"], row["target"], row["equalised"]): row for row in rows}
    for target in ("NVIDIA", "processor"):
        for network in ("channels differ by 1000", f"channels of {TINY:g}"):
            before, after = (by[network, target, done] for done in (False, True))
            assert after["label_agreement"] > before["label_agreement"]
            # Half of 1/127, and of 2 / 2^24 where FP16 has no finer step for 1e-5.
            assert max(each["worst_weight_error"] for each in (before, after)) < 0.0061
    assert len(table(rows).splitlines()) == 1 + len(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tiles", 0), "--tiles 0: expected at least 1"),
        (("--scored", 0), "--scored 0: expected at least 1"),
        (("--factor", 0.5), "--factor 0.5: expected at least 1"),
    ],
)
def test_wrong_arguments_are_one_line(
    small_checkpoint: Path, synthetic: Path, error_line: Callable, arguments: tuple, message: str
) -> None:
    common = ("--checkpoint", small_checkpoint, "--data", synthetic)
    assert message in error_line("benchmarks.equalisation", *common, *arguments)
