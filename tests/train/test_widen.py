"""A widened network computes what the narrow one does, and its copies can part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runtime.errors import ConfigError
from train.checkpoint import Checkpoint, load_checkpoint
from train.model import ModelConfig
from train.widen import widened

OPTIONS = [
    {},
    {"streams": "siamese", "squeeze_excitation": False},
    {"architecture": "si-analytics"},
]


@pytest.fixture(params=OPTIONS, ids=str)
def narrow(
    request: pytest.FixtureRequest, small: Callable[..., ModelConfig], plausible: Callable
) -> Checkpoint:
    network = plausible(small(width=4, **request.param), 1)
    return Checkpoint(network.config, network.state_dict())


@pytest.mark.parametrize("width", [6, 12])
def test_the_function_is_kept(narrow: Checkpoint, width: int) -> None:
    images = [torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    wide = widened(narrow, width)
    assert wide.model == narrow.model.model_copy(update={"width": width})
    with torch.no_grad():
        expected = narrow.network().double()(*(image.double() for image in images))
        found = wide.network().double()(*(image.double() for image in images))
    for one, other in zip(expected, found, strict=True):
        assert one.std() > 0
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * one.abs().max().item())


def test_a_step_tells_the_copies_apart(narrow: Checkpoint) -> None:
    network = widened(narrow, 8).network()
    images = [torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    sum(logits.square().mean() for logits in network(*images)).backward()
    copies = [
        kernel.grad[:2] for name, kernel in network.named_parameters()
        if kernel.ndim == 4 and ".branches." in name
    ]  # fmt: skip
    learning = [pair for pair in copies if pair.any()]  # not behind a ReLU that is shut
    assert len(learning) > len(copies) / 2
    for one, other in learning:
        assert not torch.allclose(one, other, rtol=1e-3, atol=0)


@pytest.mark.parametrize("width", [4, 2])
def test_no_wider_is_refused(narrow: Checkpoint, width: int) -> None:
    with pytest.raises(ConfigError, match=f"width {width}: expected more than 4"):
        widened(narrow, width)


def test_the_command(
    small_checkpoint: Path, tmp_path: Path, command: Callable, error_line: Callable
) -> None:
    small = load_checkpoint(small_checkpoint).model.width
    line = ("train.widen", "--checkpoint", small_checkpoint, "--out", tmp_path / "wide.pt")
    result = command(*line, "--width", str(2 * small))
    assert result.returncode == 0, result.stderr
    wide = load_checkpoint(tmp_path / "wide.pt")
    wide.network()
    assert wide.model.width == 2 * small
    assert f"expected more than {small}" in error_line(*line, "--width", str(small))
